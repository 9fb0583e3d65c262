"""Entities of Home Assistant: the order is a grant, the outcome is what Home Assistant saw."""

from base64 import b64encode
from typing import Any

from aiohttp import ClientSession
import pytest

from brain_server.drivers import OptionType, Order
from brain_server.drivers.home_assistant import HomeAssistant
from brain_server.errors import DeviceError, InvalidRequest, KittyError, Unavailable
from brain_server.protocol import INTENTS, CommandStatus, Json, Kind, OnlineState
from tests.brain.drivers.conformance import logged
from tests.brain.drivers.watch import build, watching
from tests.standins.home_assistant import FakeLink, Refused

OPTIONS = {"entity_id": "lock.gate", "kind": None, "state_entity": ""}
GRANT = {"grant": {"nonce": "n", "command_id": "c1"}, "signature": "s"}
LOCKED = {"online": "online", "state": {"locked": True}, "reason": None}
UNLOCK = Order(command_id="c1", intent="unlock", params={}, grant=GRANT)


async def driver(link: FakeLink, **options: Any) -> HomeAssistant:
    """Return a driver at the end of this link."""
    async with ClientSession() as session:
        made = build(HomeAssistant, OPTIONS | options, session, home_assistant=link)
    assert isinstance(made, HomeAssistant)
    return made


def test_it_acts_in_home_assistant() -> None:
    """So a grant is made for it, and its options name entities and devices."""
    assert HomeAssistant.executes_in_home_assistant
    types = {option.name: option.type for option in HomeAssistant.options}
    assert types["entity_id"] is OptionType.ENTITY
    assert types["feeds"] is OptionType.DEVICE


# -- adding -------------------------------------------------------------------------------------------


async def test_the_entity_is_described_by_home_assistant() -> None:
    """Empty options are not passed on, and only known intents are taken over."""
    link = FakeLink(
        describe={
            "external_id": "abc",
            "name": "Gate",
            "kind": "door",
            "capabilities": ["lock", "unlock", "fly"],
            "manufacturer": "Acme",
            "model": None,
        }
    )
    info = await (await driver(link)).probe()
    assert (info.external_id, info.name, info.kind) == ("abc", "Gate", Kind.DOOR)
    assert info.capabilities == {"lock", "unlock"}
    assert (info.manufacturer, info.model, info.has_camera) == ("Acme", None, False)
    assert link.asked == [("ha.describe", {"options": {"entity_id": "lock.gate"}})]
    assert link.timeouts["ha.describe"] == 5


async def test_an_entity_that_cannot_be_used_is_the_wrong_field() -> None:
    """With Home Assistant's own reason."""
    link = FakeLink(describe=Refused("entity_not_found", "There is no lock.gate"))
    with pytest.raises(InvalidRequest) as raised:
        await (await driver(link)).probe()
    assert raised.value.code == "invalid_option"
    assert raised.value.fields == {"field": "entity_id", "reason": "entity_not_found"}


UNUSABLE = [TimeoutError(), {"name": "Gate"}, {"kind": "volcano"}]


@pytest.mark.parametrize("answer", UNUSABLE)
async def test_a_home_assistant_that_does_not_answer_sensibly_cannot_be_connected(
    answer: Any,
) -> None:
    """The entity may be all right."""
    with pytest.raises(DeviceError) as raised:
        await (await driver(FakeLink(describe=answer))).probe()
    assert raised.value.code == "cannot_connect"


async def test_without_home_assistant_nothing_can_be_added() -> None:
    """The link is down."""
    link = FakeLink()
    link.up = False
    with pytest.raises(DeviceError) as raised:
        await (await driver(link)).probe()
    assert raised.value.code == "cannot_connect"


# -- orders -------------------------------------------------------------------------------------------

OUTCOMES = [
    ({"status": "acked", "detail": None}, CommandStatus.ACKED, None),
    ({"status": "failed", "detail": "jammed"}, CommandStatus.FAILED, "jammed"),
    ({"status": "unknown", "detail": "not_observed"}, CommandStatus.UNKNOWN, "not_observed"),
    ({"status": "splendid"}, CommandStatus.UNKNOWN, None),
    ({"status": "pending"}, CommandStatus.UNKNOWN, None),
    ({}, CommandStatus.UNKNOWN, None),
    (TimeoutError(), CommandStatus.UNKNOWN, "no_answer"),
]


@pytest.mark.parametrize(("answer", "status", "detail"), OUTCOMES)
async def test_the_outcome_is_what_home_assistant_says_and_never_more(
    answer: Any, status: CommandStatus, detail: str | None
) -> None:
    """The grant goes over as it is, once; a word that nobody knows is no success."""
    link = FakeLink(execute=answer)
    outcome = await (await driver(link)).execute(UNLOCK)
    assert outcome is not None
    assert (outcome.status, outcome.detail) == (status, detail)
    assert link.asked == [("ha.execute", GRANT)]
    assert link.timeouts["ha.execute"] == INTENTS["unlock"].deadline + 5


async def test_an_order_over_a_link_that_is_down_was_not_sent() -> None:
    """Certainly nothing was done."""
    link = FakeLink()
    link.up = False
    with pytest.raises(DeviceError) as raised:
        await (await driver(link)).execute(UNLOCK)
    assert raised.value.code == "home_assistant_offline"


async def test_an_order_without_a_grant_is_not_sent() -> None:
    """Home Assistant would refuse it."""
    link = FakeLink()
    with pytest.raises(DeviceError) as raised:
        await (await driver(link)).execute(Order(command_id="c1", intent="unlock", params={}))
    assert raised.value.code == "grant_missing"
    assert link.asked == []


async def test_a_grant_that_home_assistant_refused_was_not_used() -> None:
    """Its ledger says so, and its reason is passed on."""
    link = FakeLink(
        execute=Refused("grant_expired", "Too late"), outcome={"spent": False, "status": None}
    )
    with pytest.raises(DeviceError) as raised:
        await (await driver(link)).execute(UNLOCK)
    assert (raised.value.code, raised.value.message) == ("grant_expired", "Too late")


LEDGER = [
    ({"spent": True, "status": "acked"}, CommandStatus.ACKED),
    ({"spent": True, "status": "unknown"}, CommandStatus.UNKNOWN),
    ({}, CommandStatus.UNKNOWN),
    (TimeoutError(), CommandStatus.UNKNOWN),
    (Refused("unknown_method", "?"), CommandStatus.UNKNOWN),
]


@pytest.mark.parametrize(("ledger", "status"), LEDGER)
async def test_an_error_is_a_refusal_only_if_the_ledger_says_that_the_grant_is_unspent(
    ledger: Any, status: CommandStatus
) -> None:
    """Home Assistant may have broken after it acted."""
    link = FakeLink(execute=Refused("invalid_request", "KeyError"), outcome=ledger)
    outcome = await (await driver(link)).execute(UNLOCK)
    assert outcome is not None
    assert outcome.status is status
    assert link.count("ha.execute") == 1


RECALLED = [
    ({"spent": True, "status": "acked"}, CommandStatus.ACKED),
    ({"spent": True, "status": "unknown"}, CommandStatus.UNKNOWN),
    ({"spent": False, "status": None}, CommandStatus.FAILED),
]


@pytest.mark.parametrize(("ledger", "status"), RECALLED)
async def test_after_a_crash_the_ledger_of_home_assistant_tells_the_outcome(
    ledger: Json, status: CommandStatus
) -> None:
    """The order is not sent again."""
    link = FakeLink(outcome=ledger)
    outcome = await (await driver(link)).recall(UNLOCK, 1)
    assert outcome is not None
    assert outcome.status is status
    assert link.asked == [("ha.outcome", {"command_id": "c1"})]


async def test_after_a_crash_home_assistant_is_waited_for() -> None:
    """It connects a moment later than the brain starts."""
    link = FakeLink()
    asked = 0

    def ledger(_params: Json) -> Json:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise Unavailable("home_assistant_offline", "Home Assistant is not connected")
        return {"spent": True, "status": "acked"}

    link.answers["ha.outcome"] = ledger
    outcome = await (await driver(link)).recall(UNLOCK, 5)
    assert outcome is not None
    assert outcome.status is CommandStatus.ACKED


@pytest.mark.parametrize("answer", [TimeoutError(), Refused("unknown_method", "?")])
async def test_a_ledger_that_cannot_be_asked_says_nothing(answer: BaseException) -> None:
    """So the command will be unknown."""
    with pytest.raises(DeviceError):
        await (await driver(FakeLink(outcome=answer))).recall(UNLOCK, 1)


async def test_a_home_assistant_that_stays_away_ends_the_wait() -> None:
    """At the limit."""
    link = FakeLink()
    link.up = False
    with pytest.raises(DeviceError) as raised:
        await (await driver(link)).recall(UNLOCK, 0.2)
    assert raised.value.code == "no_answer"


# -- watching -----------------------------------------------------------------------------------------


async def test_the_entity_is_looked_at_when_the_driver_starts() -> None:
    """By the id of the device, for Home Assistant knows its options itself."""
    link = FakeLink(observe=LOCKED)
    async with watching(HomeAssistant, OPTIONS, home_assistant=link) as watch:
        seen = await watch.online()
    assert seen.state == {"locked": True}
    assert link.asked == [("ha.observe", {"device_id": "device-1"})]


async def test_an_entity_that_is_unavailable_is_offline_for_its_own_reason() -> None:
    """Home Assistant itself is there."""
    gone = {"online": "offline", "state": {}, "reason": "entity_unavailable"}
    async with watching(HomeAssistant, OPTIONS, home_assistant=FakeLink(observe=gone)) as watch:
        seen = await watch.offline()
    assert seen.reason == "entity_unavailable"


async def test_a_link_that_is_down_for_long_is_reported_once_and_then_looked_through_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One observation for the whole time; its line in the log is not the driver's."""
    monkeypatch.setattr("brain_server.drivers.home_assistant.LOOK_EVERY_S", 0.01)
    link = FakeLink(observe=LOCKED)
    link.up = False
    async with (
        logged() as lines,
        watching(HomeAssistant, OPTIONS, home_assistant=link) as watch,
    ):
        gone = await watch.offline()
        while link.count("ha.observe") < 10:
            await watch.driver.refresh()
        link.up = True
        back = await watch.online()
    assert (gone.reason, gone.state) == ("home_assistant_offline", {})
    assert back.state == {"locked": True}
    assert [seen for seen in watch.seen if seen.online is OnlineState.OFFLINE] == [gone]
    assert lines == []


@pytest.mark.parametrize("answer", [{"state": {}}, {"online": "perhaps"}])
async def test_an_answer_that_makes_no_sense_is_not_believed(answer: Json) -> None:
    """The device counts as gone."""
    async with watching(HomeAssistant, OPTIONS, home_assistant=FakeLink(observe=answer)) as watch:
        gone = await watch.offline()
    assert gone.reason == "invalid_answer"


async def test_a_look_that_fails_after_an_order_does_not_undo_the_order() -> None:
    """Refreshing raises nothing."""
    await (await driver(FakeLink(observe=TimeoutError()))).refresh()


# -- pictures -----------------------------------------------------------------------------------------


async def test_a_picture_comes_through_the_link() -> None:
    """As base64."""
    link = FakeLink(
        snapshot={"content_type": "image/jpeg", "image": b64encode(b"\xff\xd8").decode()}
    )
    assert await (await driver(link)).snapshot() == b"\xff\xd8"


PICTURES = [
    ({"image": "no base64!"}, "camera_failed"),
    ({"image": None}, "camera_failed"),
    ({}, "camera_failed"),
    (Refused("no_camera", "That is no camera"), "no_camera"),
]


@pytest.mark.parametrize(("answer", "code"), PICTURES)
async def test_what_is_no_picture_is_not_shown(answer: Any, code: str) -> None:
    """With Home Assistant's reason where it gave one."""
    with pytest.raises(KittyError) as raised:
        await (await driver(FakeLink(snapshot=answer))).snapshot()
    assert raised.value.code == code
