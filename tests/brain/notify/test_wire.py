"""Notifications in a real brain: over its socket to Home Assistant, and back with an answer."""

import asyncio
from pathlib import Path

from brain_server.notify.courier import LOOK_AGAIN
from brain_server.protocol import Json
from tests.brain.gatehouse import Clock
from tests.brain.home import Home, at_home, running
from tests.brain.soon import SOON


def let_it_tell(home: Home) -> list[Json]:
    """Let Home Assistant show what it is asked to; returns where that is kept."""
    shown: list[Json] = []

    async def show(params: Json) -> Json:
        shown.append(params)
        return {"told": ["ada"]}

    home.answers["ha.notify"] = show
    return shown


async def arrived(home: Home) -> Json:
    """Return the only notification when its only delivery has arrived."""
    async with asyncio.timeout(SOON):
        while True:
            (row,) = (await home.command("notifications.list"))["items"]
            if row["deliveries"][0]["status"] == "sent":
                return dict(row)
            await asyncio.sleep(0.02)  # until the next look


async def test_what_is_told_is_shown_and_answered(tmp_path: Path) -> None:
    """The person who pressed the button is the one whose answer it is."""
    async with running(tmp_path) as brain, at_home(brain) as home:
        shown = let_it_tell(home)
        sent = {"message": "Full", "key": "disk", "actions": [{"id": "yes", "title": "Tidy"}]}
        identity = (await home.command("notifications.send", sent))["id"]
        row = await arrived(home)
        assert row["deliveries"][0]["told"] == ["ada"]
        assert [(one["notification_id"], one["message"]) for one in shown] == [(identity, "Full")]
        ada = {"user_id": "ada", "name": "Ada", "channel": "mobile", "context_id": "c"}
        answer = {"notification_id": identity, "action": "yes"}
        await home.command("notifications.answer", answer, caller=ada)
        told = await home.event("notification.answered")
        assert told == {"id": identity, "key": "disk", "action": "yes", "user_id": "ada"}


async def test_what_is_told_while_home_assistant_is_away_arrives_once_after_a_restart(
    tmp_path: Path,
) -> None:
    """The brain that was told of it is no more."""
    clock = Clock()
    async with running(tmp_path, clock) as brain:
        tell = brain.background.notify.tell
        await tell(key="disk", severity="critical", title="Disk", message="Full")
    clock.advance(LOOK_AGAIN)
    async with running(tmp_path, clock, life=2) as brain, at_home(brain) as home:
        shown = let_it_tell(home)
        clock.advance(LOOK_AGAIN)
        row = await arrived(home)
        assert (len(shown), row["title"], row["repeats"]) == (1, "Disk", 0)
