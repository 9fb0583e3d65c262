"""Deliveries: later rather than never, at growing intervals, and once."""

import asyncio
import json
from pathlib import Path
import sys
import time

import pytest

from brain_server.errors import DeviceError
from brain_server.notify.webhook import sign
from brain_server.protocol import Json
from brain_server.storage import Database, tables
from tests.brain.gatehouse import Clock
from tests.brain.notify.conftest import ADMIN, WAITS, Desk, Receiver, eventually, hook, same


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """Use one kind of database; what differs on the other is tried beside these."""
    return f"sqlite:///{tmp_path / 'brain.db'}"


# -- to Home Assistant --------------------------------------------------------------------------------


async def test_home_assistant_is_asked_to_tell_the_phones(desk: Desk) -> None:
    """With all that it needs, and nothing of the commands behind the answers."""
    told = await desk.tell(key="k", title="T", message="M", user_id="ada")
    await desk.rested("completed")
    (asked,) = desk.home.asked
    delivery_id = asked.pop("delivery_id")
    assert len(delivery_id) == 32
    assert asked == {
        "notification_id": told,
        "key": "k",
        "target": None,
        "title": "T",
        "message": "M",
        "severity": "warning",
        "user_id": "ada",
        "actions": [],
    }


async def test_what_has_arrived_is_noted_with_whom_it_reached(desk: Desk) -> None:
    """When, and over which attempts."""
    await desk.tell()
    await desk.rested("completed")
    way = await desk.way()
    assert (way["status"], way["sent_at"], way["told"]) == ("sent", desk.clock.now, ["ada"])
    assert way["attempts"] == [{"at": desk.clock.now, "code": "sent"}]


async def test_while_home_assistant_is_away_it_waits_and_then_arrives_once(desk: Desk) -> None:
    """However long that is; no try is counted."""
    begun = desk.clock.now
    desk.home.there = False
    await desk.tell()
    for _ in range(20):
        desk.clock.advance(await desk.put_off())
    desk.home.there = True
    row = await desk.rested("completed")
    assert (row["tries"], len(desk.home.asked)) == (1, 1)
    away, sent = (await desk.way())["attempts"]
    assert (away["code"], away["at"]) == ("home_assistant_offline", begun)
    assert away["until"] > begun
    assert sent["code"] == "sent"


async def test_an_answer_that_is_lost_is_asked_for_again_under_the_same_id(desk: Desk) -> None:
    """So that Home Assistant can tell that it has shown it."""

    def lost(_asked: Json) -> Json:
        desk.home.answers = lambda _asked: {}
        raise TimeoutError

    desk.home.answers = lost
    await desk.tell()
    assert await desk.next_try(1) == WAITS[0]
    await desk.rested("completed")
    ids = [asked["delivery_id"] for asked in desk.home.asked]
    assert (len(ids), len(set(ids))) == (2, 1)
    assert [one["code"] for one in (await desk.way())["attempts"]] == ["no_answer", "sent"]


async def test_what_home_assistant_refuses_is_tried_until_it_is_given_up(desk: Desk) -> None:
    """At growing intervals, twelve times; then the work is dead, and the delivery has failed."""

    def refuse(_asked: Json) -> Json:
        raise DeviceError("phones_unreachable", "No phone could be reached")

    desk.home.answers = refuse
    await desk.tell()
    waits = [await desk.next_try(tries) for tries in range(1, 12)]
    row = await desk.rested("dead")
    assert waits == WAITS
    assert (row["tries"], row["error"]["code"]) == (12, "phones_unreachable")
    way = await desk.way()
    assert (way["status"], len(way["attempts"])) == ("failed", 12)
    assert {one["code"] for one in way["attempts"]} == {"phones_unreachable"}


async def test_what_was_given_up_can_be_tried_again(desk: Desk) -> None:
    """By a person, when what was wrong is right again."""
    desk.off = {"notifications"}
    await desk.tell()
    await desk.say("channels.put", {"channel_id": "push", "enabled": False})
    desk.off = set()
    row = await desk.rested("dead")
    assert (await desk.way())["status"] == "failed"
    await desk.say("channels.put", {"channel_id": "push", "enabled": True})
    await desk.schedule.work._rows.retry(row["id"])
    await desk.rested("completed")
    assert (await desk.way())["status"] == "sent"


async def test_what_has_arrived_is_not_brought_again(desk: Desk) -> None:
    """Though its work came twice."""
    await desk.tell()
    row = await desk.rested("completed")
    again = await desk.schedule.add("notify.deliver", row["payload"])
    await desk.schedule.add("notify.deliver", {"delivery_id": "forgotten"})
    await desk.all_done()
    assert again != row["id"]
    assert len(desk.home.asked) == 1


async def test_what_is_too_old_is_no_longer_sent(desk: Desk) -> None:
    """After a week nobody wants to hear of it."""
    desk.home.there = False
    await desk.tell()
    await desk.put_off()
    desk.clock.advance(8 * 86_400)
    desk.home.there = True
    row = await desk.rested("dead")
    assert (row["error"]["code"], desk.home.asked) == ("notification_expired", [])


async def test_while_notifications_are_switched_off_they_wait(desk: Desk) -> None:
    """They are not lost."""
    desk.off = {"notifications"}
    await desk.tell()
    await asyncio.sleep(0.1)  # time for what must not happen
    assert desk.home.asked == []
    desk.off = set()
    await desk.rested("completed")


async def test_a_text_for_slack_calls_nobody(desk: Desk) -> None:
    """Mail stays as it is written."""
    await desk.say("channels.put", {"channel_id": "push", "enabled": False})
    for kind in ("email", "slack"):
        channel = {"type": kind, "name": kind, "target": f"notify.{kind}"}
        await desk.say("channels.put", channel)
    await desk.tell(title="@here", message="@channel: fire")
    await desk.all_done()
    said = {asked["target"]: (asked["title"], asked["message"]) for asked in desk.home.asked}
    assert said == {
        "notify.email": ("@here", "@channel: fire"),
        "notify.slack": ("\uff20here", "\uff20channel: fire"),
    }


# -- quiet hours --------------------------------------------------------------------------------------


class TestAtNight:
    """It is half past three in the morning; the clock of the tests stands at 17:46 UTC."""

    @pytest.fixture
    def quiet(self) -> str:
        """Make it quiet now, for 14 minutes more."""
        return "10:00-18:00"

    @pytest.mark.parametrize("severity", ["info", "warning"])
    async def test_what_can_wait_waits_until_it_ends(self, desk: Desk, severity: str) -> None:
        """And is then sent, without a try having been counted."""
        await desk.tell(severity=severity)
        wait = await desk.put_off()
        assert (wait, desk.home.asked) == (800.0, [])
        desk.clock.advance(wait)
        row = await desk.rested("completed")
        assert (row["tries"], len(desk.home.asked)) == (1, 1)

    async def test_what_is_critical_goes_at_once(self, desk: Desk) -> None:
        """At any hour."""
        await desk.tell(severity="critical")
        await desk.rested("completed")
        assert len(desk.home.asked) == 1


# -- webhooks -----------------------------------------------------------------------------------------


async def test_a_webhook_says_it_all_and_is_signed(desk: Desk, receiver: Receiver) -> None:
    """With the secret that was told when it was made, and the delivery as its id."""
    channel = await hook(desk, receiver)
    told = await desk.tell(key="k", title="T", message="M", data={"a": 1})
    await desk.rested("completed")
    ((headers, body),) = receiver.taken
    assert json.loads(body) == {
        "type": "kitty.notification",
        "timestamp": "2030-03-17T17:46:40+00:00",
        "data": {
            "id": told,
            "key": "k",
            "severity": "warning",
            "title": "T",
            "message": "M",
            "data": {"a": 1},
            "created_at": desk.clock.now,
        },
    }
    made = sign(channel["secret"], headers["webhook-id"], headers["webhook-timestamp"], body)
    assert same(headers["webhook-signature"], made)


async def test_a_receiver_that_is_gone_is_not_asked_again(desk: Desk, receiver: Receiver) -> None:
    """It has said so."""
    await hook(desk, receiver)
    receiver.status = 410
    await desk.tell()
    row = await desk.rested("dead")
    assert (row["error"]["code"], len(receiver.taken)) == ("webhook_gone", 1)
    assert (await desk.way())["status"] == "failed"


async def test_what_is_for_one_person_goes_to_no_webhook(desk: Desk, receiver: Receiver) -> None:
    """Only to the phones of that person."""
    await desk.say("channels.put", {"type": "webhook", "name": "Flow", "target": receiver.url})
    await desk.tell(user_id="ada")
    await desk.rested("completed")
    assert (len(await desk.work()), receiver.taken) == (1, [])


async def test_while_webhooks_are_switched_off_they_wait(desk: Desk, receiver: Receiver) -> None:
    """And go when they are on again."""
    await hook(desk, receiver)
    desk.off = {"webhooks"}
    await desk.tell()
    desk.clock.advance(await desk.put_off())
    desk.off = set()
    await desk.rested("completed")
    assert len(receiver.taken) == 1


async def test_a_channel_that_fails_holds_no_other_up(desk: Desk, receiver: Receiver) -> None:
    """Each has work of its own."""
    await desk.say("channels.put", {"type": "webhook", "name": "Flow", "target": receiver.url})
    receiver.status = 500
    await desk.tell()
    await eventually(lambda: desk.home.asked and receiver.taken)
    await desk.until(lambda row: row["status"] == "completed")
    ways = {way["channel_id"]: way["status"] for way in (await desk.listed())[0]["deliveries"]}
    assert ways.pop("push") == "sent"
    assert set(ways.values()) == {"queued"}


LIFE = """
import asyncio, sys, time
sys.path.insert(0, {root!r})
from brain_server.storage import Database, tables
from tests.brain.notify.conftest import Desk
async def main():
    database = Database({url!r}, tables.brain, name="brain", durable=False)
    await database.open()
    desk = Desk(database, time.time)
    await desk.schedule.start(alone=True)
    await asyncio.sleep(30)  # it is killed long before
asyncio.run(main())
"""


async def test_a_brain_that_is_killed_before_it_has_noted_it_sends_the_same_message_again(
    tmp_path: Path, receiver: Receiver
) -> None:
    """Killed by the receiver itself, which has it already; it tells by the id that it is the same."""
    url = f"sqlite:///{tmp_path / 'brain.db'}"
    database = Database(url, tables.brain, name="brain", durable=False)
    await database.open()
    desk = Desk(database, Clock(1_700_000_000.0))
    await hook(desk, receiver)
    desk.clock.now = time.time()
    await desk.tell()
    root = str(Path(__file__).parents[3])
    life = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LIFE.format(root=root, url=url)
    )
    receiver.before = life.kill
    await life.wait()
    assert (len(receiver.taken), (await desk.way())["status"]) == (1, "queued")
    receiver.before = lambda: None
    await desk.schedule.start(alone=True)
    await desk.rested("completed")
    ids = [headers["webhook-id"] for headers, _ in receiver.taken]
    assert (len(ids), len(set(ids))) == (2, 1)
    await desk.schedule.stop()
    await desk.tasks.stop()
    await database.close()


async def test_a_test_of_a_channel_comes_at_once(desk: Desk, receiver: Receiver) -> None:
    """Without a place in the queue."""
    channel = await hook(desk, receiver)
    told = await desk.say("channels.test", {"channel_id": channel["id"]}, ADMIN)
    assert (told, len(receiver.taken), await desk.work()) == ({"sent": True}, 1, [])
