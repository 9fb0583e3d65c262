"""Answers that had to wait for people: told once, to the person who asked."""

import asyncio
from http import HTTPStatus
from typing import Any, Final
from unittest.mock import patch

from homeassistant.components import persistent_notification as pn
from homeassistant.core import HomeAssistant
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_capture_events

from custom_components.kitty.protocol import Json

from .conftest import ADA, BOB, eventually, heard
from .fake_brain import FakeBrain
from .press import Phones

TEXT: Final = "It was unlocked. Shall I *print* now?"


def reply(owner: str | None) -> Json:
    """Return an answer as the brain tells it."""
    return {"conversation_id": "c0" * 16, "owner": owner, "text": TEXT}


async def test_a_late_answer_is_on_the_phone_of_who_asked(
    hass: HomeAssistant, phones: Phones, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """Once, on nobody else's, and not for everybody who looks at the dashboard."""
    ada, bob = await phones.add(ADA, "ada"), await phones.add(BOB, "bob")
    await brain.push("conversation.reply", reply(ADA))
    push = await phones.shown(ada)
    await heard(kitty)
    assert (push["title"], push["message"]) == ("Brain", TEXT)
    assert push["data"]["visibility"] == "private"
    assert (len(phones.pushes[ada]), phones.pushes[bob]) == (1, [])
    assert pn._async_get_or_create_notifications(hass) == {}


async def test_a_late_answer_to_a_person_without_a_phone_is_shown_in_the_house(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """Words of a model are not formatted: they are no link and no picture."""
    await brain.push("conversation.reply", reply(ADA))
    await eventually(lambda: pn._async_get_or_create_notifications(hass))
    (shown,) = pn._async_get_or_create_notifications(hass).values()
    assert shown["message"] == "It was unlocked\\. Shall I \\*print\\* now?"


async def test_a_late_answer_is_not_lost_where_the_phone_is_out_of_reach(
    hass: HomeAssistant, phones: Phones, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """The house shows it instead."""
    await phones.add(ADA, "ada")
    phones.status = HTTPStatus.INTERNAL_SERVER_ERROR
    await brain.push("conversation.reply", reply(ADA))
    await eventually(lambda: pn._async_get_or_create_notifications(hass))


async def test_a_late_answer_that_is_on_its_way_outlives_a_reload(
    hass: HomeAssistant, phones: Phones, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """The brain tells it once."""
    ada = await phones.add(ADA, "ada")
    held, go_on = asyncio.Event(), asyncio.Event()
    notifier = hass.data["mobile_app"]["notify"]
    send = notifier.async_send_message

    async def hold(*args: Any, **more: Any) -> None:
        held.set()
        await go_on.wait()
        await send(*args, **more)

    client = kitty.runtime_data.client
    with patch.object(notifier, "async_send_message", hold):
        await brain.push("conversation.reply", reply(ADA))
        await held.wait()
        reload = hass.async_create_task(hass.config_entries.async_reload(kitty.entry_id))
        await eventually(lambda: not client.connected)
        go_on.set()
        assert await reload
    assert (await phones.shown(ada))["message"] == TEXT


async def test_automations_hear_a_late_answer(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """Under the context of the person it is for, or of nobody."""
    events = async_capture_events(hass, "kitty_reply")
    await brain.push("conversation.reply", reply(ADA))
    await brain.push("conversation.reply", reply(None))
    await heard(kitty)
    assert [event.data["user_id"] for event in events] == [ADA, None]
    assert [event.context.user_id for event in events] == [ADA, None]
    assert events[0].data["text"] == TEXT
