"""The ledger's memory: what a clock that was set back does not undo, and what it may forget."""

from datetime import timedelta

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.kitty import ledger
from custom_components.kitty.errors import Refused

from .conftest import ADA, BOB, DOOR, Door, decide, heard, request
from .fake_brain import FakeBrain
from .grants import approved, code_of, grant_for

pytestmark = pytest.mark.usefixtures("short_deadlines")


async def restart(
    hass: HomeAssistant, kitty: MockConfigEntry, freezer: FrozenDateTimeFactory, **later: float
) -> None:
    """Restart with the clock of the house moved; it has no battery."""
    freezer.tick(timedelta(**later))
    assert await hass.config_entries.async_reload(kitty.entry_id)
    await heard(kitty)


async def test_what_was_approved_is_void_when_the_clock_was_set_back(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    kitty: MockConfigEntry,
    brain: FakeBrain,
    door: Door,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An approval of a minute does not live for an hour and a minute; the log says why."""
    event = await approved(brain, kitty, BOB)
    await restart(hass, kitty, freezer, seconds=10)
    assert "The clock was set back" not in caplog.text
    await restart(hass, kitty, freezer, hours=-1)
    assert await code_of(brain, grant_for(brain, event)) == "grant_approval_expired"
    assert door.calls == []
    assert "The clock was set back" in caplog.text


async def test_what_was_open_cannot_be_decided_when_the_clock_was_set_back(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """People are asked anew, and the new request is as good as any."""
    brain.eligible = [BOB]
    event = (await request(kitty, "unlock", ADA))["event"]
    await restart(hass, kitty, freezer, hours=-1)
    with pytest.raises(Refused) as caught:
        await decide(kitty, event, "approve", BOB)
    assert caught.value.code == "expired"
    await restart(hass, kitty, freezer, seconds=1)
    again = (await request(kitty, "unlock", ADA))["event"]
    assert (await decide(kitty, again, "approve", BOB))["status"] == "approved"


async def test_a_grant_that_was_forgotten_stays_used_when_the_clock_is_set_back(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    kitty: MockConfigEntry,
    brain: FakeBrain,
    door: Door,
) -> None:
    """The ledger forgets after a month; the grant does not become new with a clock of a month ago."""
    grant = brain.grant(device_id=DOOR, intent="lock")
    await brain.ask("ha.execute", grant)
    await restart(hass, kitty, freezer, days=31)
    assert kitty.runtime_data.ledger.summary()["spent"] == 0
    await restart(hass, kitty, freezer, days=-31)
    assert await code_of(brain, grant) == "grant_spent"
    assert len(door.calls) == 1


async def test_what_can_no_longer_matter_is_forgotten_without_a_restart(
    freezer: FrozenDateTimeFactory, kitty: MockConfigEntry, brain: FakeBrain, door: Door
) -> None:
    """A house may run for years."""
    await brain.ask("ha.execute", brain.grant(device_id=DOOR, intent="lock"))
    known = kitty.runtime_data.ledger
    freezer.tick(timedelta(days=31))
    await known.keep_audit_head({"seq": 1, "hash": "h"})
    assert known.summary()["spent"] == 0


async def test_questions_about_commands_that_never_were_do_not_fill_the_ledger(
    kitty: MockConfigEntry, brain: FakeBrain, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only so many are kept; a grant from before one that is not kept counts as used all the same."""
    monkeypatch.setattr(ledger, "BARRED_MAX", 3)
    grants = [brain.grant(device_id=DOOR, intent="lock") for _ in range(5)]
    for grant in grants:
        about = {"command_id": grant["grant"]["command_id"], "device_id": DOOR}
        answer = await brain.ask("ha.outcome", about)
        assert answer["data"] == {"spent": False, "status": None}
    assert kitty.runtime_data.ledger.summary()["spent"] == 3
    assert [await code_of(brain, grant) for grant in grants] == ["grant_spent"] * 5
    assert door.calls == []


@pytest.mark.parametrize("command_id", ["", "c" * 65, 7, None, ["c"]])
async def test_a_question_about_no_command_is_refused(
    kitty: MockConfigEntry, brain: FakeBrain, command_id: object
) -> None:
    """What is no id is not remembered."""
    answer = await brain.ask("ha.outcome", {"command_id": command_id, "device_id": DOOR})
    assert answer["error"]["code"] == "invalid_params"
    assert kitty.runtime_data.ledger.summary()["spent"] == 0
