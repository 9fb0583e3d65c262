"""Phones of the house: registered with Home Assistant as the companion app does, shown as a web page each."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
import html
from typing import Any, Final

from aiohttp import ClientError, ClientSession, web

from script.house.people import Json, Person, Refused
from script.house.waiting import PATIENCE_S, TooLate

CLEAR: Final = "clear_notification"
# Who was not heard of for five minutes counts as gone where people must be present.
STAYS_EVERY: Final = 60.0
_APP: Final = {
    "app_id": "kitty_demo",
    "app_name": "KITTY demo phone",
    "app_version": "1.0",
    "manufacturer": "KITTY",
    "model": "Demonstration",
    "os_name": "none",
    "os_version": "1.0",
    "supports_encryption": False,
}
_PAGE: Final = """<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="2">
<meta name="viewport" content="width=device-width"><title>{title}</title><style>
body {{ font: 16px/1.4 system-ui, sans-serif; max-width: 26rem; margin: 2rem auto; padding: 0 1rem;
  color: #212121; background: #eceff1 }}
article {{ background: #fff; border-radius: 12px; padding: 1rem; margin: 1rem 0;
  box-shadow: 0 1px 3px #0003; white-space: pre-line }}
h1 {{ font-size: 1.2rem }} h2 {{ font-size: 1rem; margin: 0 0 .5rem }} form {{ margin-top: .75rem }}
button {{ font: inherit; padding: .5rem 1rem; margin-right: .5rem; border: 0; border-radius: 8px;
  background: #0288d1; color: #fff; cursor: pointer }}
p {{ color: #546e7a }}
</style><h1>{title}</h1>{body}"""


@dataclass(slots=True)
class Phone:
    """One phone: what it was sent, what it shows, and the finger on its buttons."""

    owner: Person
    webhook_id: str
    received: list[Json] = field(default_factory=list)
    shown: dict[str, Json] = field(default_factory=dict)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _place: tuple[float, float] | None = None
    _accuracy_m: int = 10

    def take(self, notification: Json) -> None:
        """Receive a push message; one with the same tag takes the place of the older."""
        tag = str((notification.get("data") or {}).get("tag", ""))
        self.received.append(notification)
        if notification["message"] == CLEAR:
            self.shown.pop(tag, None)
        else:
            self.shown[tag] = notification
        self._news.set()

    def prompts(self) -> list[Json]:
        """Return everything received that asks for a decision."""
        return [one for one in self.received if (one.get("data") or {}).get("actions")]

    async def until(self, check: Callable[[], Any], what: str, limit: float = PATIENCE_S) -> None:
        """Wait until a check of this phone holds; TooLate when it does not."""
        try:
            async with asyncio.timeout(limit):
                while not check():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise TooLate(f"{what}: not within {limit:g} s") from None

    async def prompt(self, words: str, limit: float = PATIENCE_S) -> Json:
        """Wait for a request that is shown with these words in its title, and return it."""

        def found() -> list[Json]:
            return [
                one
                for one in self.shown.values()
                if words in one.get("title", "") and (one.get("data") or {}).get("actions")
            ]

        await self.until(found, f"{self.owner.account.name}'s phone asks about {words!r}", limit)
        return found()[-1]

    async def press(self, action: str) -> None:
        """Tell Home Assistant that a button of a notification was pressed, as the app does."""
        event = {"event_type": "mobile_app_notification_action", "event_data": {"action": action}}
        await self._webhook("fire_event", event)

    async def come_home(self, latitude: float, longitude: float) -> None:
        """Tell Home Assistant where the phone is."""
        self._place = (latitude, longitude)
        await self.stay()

    async def stay(self) -> None:
        """Tell where it is again, if it ever did; no two measurements are alike."""
        if self._place is not None:
            self._accuracy_m = 21 - self._accuracy_m
            about = {"gps": [*self._place], "gps_accuracy": self._accuracy_m, "battery": 80}
            await self._webhook("update_location", about)

    async def use_push(self, url: str) -> None:
        """Tell Home Assistant where this phone gets its push messages from."""
        about = {key: _APP[key] for key in ("app_version", "manufacturer", "model", "os_version")}
        name = f"{self.owner.account.name}'s phone"
        push = {"push_url": f"{url}/push/{self.webhook_id}", "push_token": self.webhook_id}
        await self._webhook("update_registration", {**about, "device_name": name, "app_data": push})

    async def _webhook(self, kind: str, data: Json) -> None:
        url = f"{self.owner.url}/api/webhook/{self.webhook_id}"
        async with self.owner.session.post(url, json={"type": kind, "data": data}) as response:
            if not response.ok:
                raise Refused(str(response.status), await response.text())


def button(prompt: Json, words: str) -> str:
    """Return the action id of the button of a notification with this title."""
    actions = prompt["data"]["actions"]
    found: str = next(one["action"] for one in actions if one["title"].startswith(words))
    return found


async def register(owner: Person) -> str:
    """Register a phone of its owner through the companion app's own road; returns its webhook."""
    name = f"{owner.account.name}'s phone"
    about = _APP | {"device_id": f"kitty-demo-{owner.account.username}", "device_name": name}
    answer: Json = await owner.rest("POST", "mobile_app/registrations", about)
    webhook_id: str = answer["webhook_id"]
    return webhook_id


class Exchange:
    """The push service's stand-in on the loopback, and the phones' screens for people."""

    def __init__(self, session: ClientSession) -> None:
        """Start without phones."""
        self.phones: dict[str, Phone] = {}
        self.url = ""
        self._session = session
        self._runner: web.AppRunner | None = None
        self._carried: asyncio.Task[None] | None = None

    async def start(self, port: int) -> None:
        """Listen."""
        app = web.Application()
        app.router.add_post("/push/{webhook}", self._push)
        app.router.add_get("/{name}", self._screen)
        app.router.add_post("/{name}", self._pressed)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{port}"
        self._carried = asyncio.get_running_loop().create_task(self._carry())

    async def _carry(self) -> None:
        while True:
            await asyncio.sleep(STAYS_EVERY)  # as often as a phone tells where it is
            for phone in list(self.phones.values()):
                with suppress(ClientError, Refused):  # Home Assistant may be away; it is told again
                    await phone.stay()

    async def stop(self) -> None:
        """Stop listening."""
        if self._carried is not None:
            self._carried.cancel()
        if self._runner is not None:
            await self._runner.cleanup()

    def _phone(self, request: web.Request) -> Phone:
        name = request.match_info["name"]
        for phone in self.phones.values():
            if phone.owner.account.username == name:
                return phone
        raise web.HTTPNotFound

    async def _push(self, request: web.Request) -> web.Response:
        if (phone := self.phones.get(request.match_info["webhook"])) is None:
            return web.json_response({"message": "No such phone"}, status=404)
        phone.take(await request.json())
        return web.json_response({}, status=201)

    async def _screen(self, request: web.Request) -> web.Response:
        phone = self._phone(request)
        cards = "".join(_card(one) for one in reversed(phone.shown.values()))
        title = html.escape(f"{phone.owner.account.name}'s phone")
        page = _PAGE.format(title=title, body=cards or "<p>No notifications.</p>")
        return web.Response(text=page, content_type="text/html")

    async def _pressed(self, request: web.Request) -> web.Response:
        # Another page in the same browser must not press our buttons.
        if request.headers.get("Origin") != self.url:
            raise web.HTTPForbidden
        phone = self._phone(request)
        await phone.press(str((await request.post())["action"]))
        raise web.HTTPSeeOther(request.path)


def _card(notification: Json) -> str:
    buttons = "".join(
        f'<button name="action" value="{html.escape(one["action"])}">'
        f"{html.escape(one['title'])}</button>"
        for one in (notification.get("data") or {}).get("actions", ())
    )
    title, message = (html.escape(notification.get(key) or "") for key in ("title", "message"))
    return f"<article><h2>{title}</h2>{message}<form method=post>{buttons}</form></article>"
