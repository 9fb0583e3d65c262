"""Cameras while vision is switched off: none looks, and what was being looked at has no effect."""

from brain_server.vision import AT_ONCE
from tests.brain.fabrication.test_queue_off import Off
from tests.brain.home import until
from tests.brain.vision.conftest import SPAGHETTI, Shop


async def test_a_camera_that_rests_is_not_due(shop: Shop) -> None:
    """It begins again with a whole pause."""
    await shop.prints()
    shop.brain.devices.switches = Off("vision")
    assert shop.row()["watching"] is False
    camera = shop.vision._camera(shop.brain.registry.get(shop.camera_id))
    camera.due = 5.0
    await until(lambda: camera.due == 0.0, "its rest")
    assert shop.mind.asked == []


async def test_a_look_that_waited_for_its_turn_is_not_taken(shop: Shop) -> None:
    """Switched off meanwhile."""
    await shop.prints()
    camera = shop.vision._camera(shop.brain.registry.get(shop.camera_id))
    shop.brain.devices.switches = Off("vision")
    await shop.vision._when_free(camera)
    assert shop.mind.asked == []


async def test_what_is_seen_while_it_is_switched_off_has_no_effect(shop: Shop) -> None:
    """No incident is opened, and no print is paused."""
    await shop.prints()
    await shop.chooses(action="pause", needed=1, of=1)
    shop.mind.says = SPAGHETTI
    shop.brain.devices.switches = Off("vision")
    await shop.looks(3)
    assert (await shop.incidents(), shop.orders()) == ([], [])
    shop.brain.devices.switches = Off()
    await shop.looks()
    assert shop.orders() == ["print_pause"]


async def test_what_was_seen_before_counts_no_more(shop: Shop) -> None:
    """Whoever switches it on again begins anew."""
    await shop.prints()
    shop.mind.says = SPAGHETTI
    await shop.looks(2)
    assert shop.row()["verdict"] == "spaghetti"
    shop.brain.bus.publish("capability.updated", {"name": "vision", "available": False})
    await until(lambda: shop.row()["verdict"] is None, "that it is forgotten")
    shop.brain.bus.publish("capability.updated", {"name": "queue", "available": False})
    await shop.looks(2)
    assert await shop.incidents() == []


async def test_a_camera_whose_look_was_not_taken_looks_again_once_it_is_switched_on(
    shop: Shop,
) -> None:
    """Its turn had not come when vision was switched off: it is not busy for ever."""
    await shop.prints()
    camera = shop.vision._camera(shop.brain.registry.get(shop.camera_id))

    def is_sent() -> bool:
        camera.due = 1.0  # long ago, whatever the job that began has set it to meanwhile
        return camera.busy

    def has_looked() -> bool:
        return is_sent() or bool(shop.mind.asked)

    for _ in range(AT_ONCE):
        await shop.vision._looking.acquire()
    await until(is_sent, "that it waits for its turn")
    shop.brain.devices.switches = Off("vision")
    for _ in range(AT_ONCE):
        shop.vision._looking.release()
    await until(lambda: not camera.busy, "that its turn is over")
    assert shop.mind.asked == []
    shop.brain.devices.switches = Off()
    await until(has_looked, "its next look")
    await until(lambda: shop.mind.asked, "what it asks")
