"""What lies in the workshop on the first day: filament, things to print, and one print that is done."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from script.house import config, parts
from script.house.people import Json
from script.house.phones import button

if TYPE_CHECKING:
    from script.house.house import House

HOUR: Final = 3600
_SPOOLS: Final[tuple[tuple[Json, str | None], ...]] = (
    (
        {
            "material": "PLA",
            "name": "Basic",
            "vendor": "Prusament",
            "color": "orange",
            "remaining_g": 780,
            "price": 29.99,
        },
        config.PRINTER,
    ),
    (
        {
            "material": "PLA",
            "name": "Galaxy",
            "vendor": "Prusament",
            "color": "black",
            "remaining_g": 415,
            "price": 31.99,
        },
        config.MINI,
    ),
    (
        {
            "material": "PETG",
            "name": "Tough",
            "vendor": "Fillamentum",
            "color": "blue",
            "remaining_g": 64,
            "price": 34.5,
            "location": "Blue shelf",
        },
        None,
    ),
)


async def fill(house: House) -> None:
    """Put everything in its place as a person does, by actions; nothing is put anywhere twice."""
    demo = house.demo
    printers = {one: await house.device_id(one) for one in (config.PRINTER, config.MINI)}
    if (await demo.ask("kitty.get_stock"))["spools"]:
        return
    for about, where in _SPOOLS:
        spool = await demo.ask("kitty.add_spool", full_g=1000, **about)
        if where is not None:
            await demo.ask("kitty.load_spool", spool_id=spool["id"], device_id=printers[where])
    await demo.call("kitty.set_stock_limit", material="PETG", low_g=250, order_g=1000)
    for printer in printers.values():
        await demo.call(
            "kitty.watch_camera",
            device_id=printer,
            detector="file",
            file=parts.NETWORK,
            every_s=1,
            # The Mini prints sixteen layers in a second.
            mute_layers=1000,
            action="pause",
        )
    wishes: tuple[tuple[parts.Part, Json], ...] = (
        (parts.VASE, {"title": "Vase for the hall", "priority": 7, "deadline": _in_hours(30)}),
        (parts.BRACKET, {"title": "Shelf bracket, left"}),
        (parts.GEARBOX, {"title": "Gearbox housing", "priority": 2}),
    )
    for part, wish in wishes:
        await demo.call(
            "kitty.queue_print",
            path=path_of(house, part),
            device_id=printers[config.PRINTER],
            **wish,
        )
    await _print_a_clip(house, printers[config.MINI])


def path_of(house: House, part: parts.Part) -> str:
    """Return where a print file lies."""
    return str(house.place / "homeassistant" / "media" / part.name)


def _in_hours(hours: float) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat()


async def _print_a_clip(house: House, mini: str) -> None:
    """Print something small to its end, with Anna approving."""
    await house.demo.call("kitty.start_print", device_id=mini, path=path_of(house, parts.CLIP))
    await approve(house, "Mini")
    await house.demo.until(
        lambda: house.demo.state(config.MINI) == "completed", "The clip is printed", 30.0
    )


async def approve(house: House, words: str, **more: Any) -> Json:
    """Have Anna approve what her phone asks; returns what it asked."""
    phone = house.phone(house.anna)
    prompt = await phone.prompt(words, **more)
    await phone.press(button(prompt, "Approve"))
    return prompt
