"""Time: requests expire, clocks jump, processes end, databases come back from the past."""

import asyncio
from contextlib import suppress
import logging
from pathlib import Path
import shutil

import pytest

from brain_server import storage
from brain_server.bus import Event
from brain_server.protocol import CommandStatus
from brain_server.safety import gate as gate_module
from brain_server.safety.audit import Head
from brain_server.safety.directory import AnchorParams
from brain_server.storage.tables import commands
from tests.brain.gatehouse import DOOR, Gatehouse, busy, integration, refusal

HOURS = 7200.0


async def test_a_request_that_nobody_decided_expires(house: Gatehouse) -> None:
    """The next look closes it and says when to look again."""
    door = await house.event()
    power = await house.event("power_on")
    assert await house.gate.expire() == door["expires_at"]
    house.clock.advance(60)
    assert await house.gate.expire() == power["expires_at"]
    assert await house.status(door) == ("expired", "expired")
    assert await house.status(power) == ("pending", "pending")
    assert [row["event_id"] for row in await house.trail("expired")] == [door["id"]]


async def test_an_approval_that_was_not_used_expires(house: Gatehouse) -> None:
    """Also when nothing looks before the claim."""
    unused, late = await house.approved(), await house.approved("open")
    house.clock.advance(60)
    assert await refusal(house.claim(late)) == "expired"
    assert await house.gate.expire() is None
    assert await house.status(unused) == await house.status(late) == ("expired", "expired")


async def test_what_is_being_done_does_not_expire(house: Gatehouse) -> None:
    """Claimed in time, it takes as long as it takes."""
    event = await house.approved()
    await house.claim(event)
    house.clock.advance(HOURS)
    assert await house.gate.expire() is None
    assert await house.status(event) == ("approved", "claimed")


async def test_the_keeper_expires_what_is_due(
    house: Gatehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the background, woken by whatever happens, and tells who listens."""
    monkeypatch.setattr(gate_module, "LOOK_EVERY", 60.0)
    closed = asyncio.Event()
    event = await house.event()

    def heard(seen: Event) -> None:
        if seen.data["status"] == "expired":
            closed.set()

    house.bus.listen("safety.event", heard)
    async with asyncio.TaskGroup() as tasks:
        keeper = tasks.create_task(house.gate.run())
        house.clock.advance(60)
        await house.gate.withdraw((await house.event("open"))["id"], "ada")  # wakes it
        await closed.wait()
        keeper.cancel()
    assert await house.status(event) == ("expired", "expired")


class Noticed(logging.Handler):
    """Waits for a line in the log."""

    def __init__(self) -> None:
        """Start with none seen."""
        super().__init__()
        self.seen = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        """See it."""
        self.seen.set()


async def test_the_keeper_survives_a_database_that_is_busy(
    house: Gatehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks again; what is due stays due."""
    monkeypatch.setattr(storage, "BUSY_SECONDS", 0.01)
    monkeypatch.setattr(gate_module, "LOOK_EVERY", 0.01)
    await house.restart()
    event = await house.event()
    house.clock.advance(60)
    trouble, closed = Noticed(), asyncio.Event()
    logging.getLogger("brain_server.safety.gate").addHandler(trouble)
    house.bus.listen("safety.event", lambda _event: closed.set())
    async with asyncio.TaskGroup() as tasks:
        with busy(house.url):
            keeper = tasks.create_task(house.gate.run())
            await trouble.seen.wait()
            assert await house.status(event) == ("pending", "pending")
        await closed.wait()
        keeper.cancel()
    logging.getLogger("brain_server.safety.gate").removeHandler(trouble)
    assert await house.status(event) == ("expired", "expired")


# -- clocks that jump ---------------------------------------------------------------------------------


@pytest.mark.parametrize("jump", [HOURS, -HOURS])
async def test_a_jump_of_the_clock_lets_no_approval_through(house: Gatehouse, jump: float) -> None:
    """Forward it is too late; back it was approved in the future, which proves nothing."""
    event = await house.approved()
    house.clock.advance(jump)
    assert await refusal(house.claim(event)) == "expired"
    assert await house.status(event) == ("expired", "expired")


@pytest.mark.parametrize("jump", [HOURS, -HOURS])
async def test_what_expired_stays_expired_whatever_the_clock_says(
    house: Gatehouse, jump: float
) -> None:
    """No jump brings it back."""
    event = await house.approved()
    house.clock.advance(60)
    await house.gate.expire()
    house.clock.advance(jump)
    assert await refusal(house.claim(event)) == "not_claimable"
    assert await refusal(house.approve(event, "cyd")) == "expired"


async def test_a_clock_that_goes_back_revives_no_presence(house: Gatehouse) -> None:
    """Seen in the future is not seen."""
    await house.see("bob")
    house.clock.advance(-HOURS)
    event = await house.event()
    assert await refusal(house.approve(event, "bob")) == "presence_required"


async def test_a_decision_from_before_the_jump_is_stale(house: Gatehouse) -> None:
    """In either direction."""
    event = await house.event("power_on")
    early = house.signed(event, "bob")
    house.clock.advance(121)
    assert await refusal(house.gate.decide(early)) == "stale_decision"
    house.clock.advance(-242)
    assert await refusal(house.gate.decide(early)) == "stale_decision"


async def test_a_request_from_the_future_is_never_carried_out(house: Gatehouse) -> None:
    """The clock went back while people decided: they may, but it will not run."""
    event = await house.event()
    house.clock.advance(-HOURS)
    await house.see("bob")
    await house.approve(event, "bob")
    assert await refusal(house.claim(event)) == "expired"


# -- restarts -----------------------------------------------------------------------------------------


async def test_a_restart_loses_nothing_and_does_nothing(house: Gatehouse) -> None:
    """What waited, waits; what was approved can be claimed, once; what was claimed can not."""
    waiting, approved, claimed = (
        await house.event("power_on"),
        await house.approved(),
        await house.approved("open"),
    )
    await house.claim(claimed)
    await house.restart()
    open_work = {command["id"]: command["status"] for command, _ in await house.gate.open_work()}
    assert open_work == {
        waiting["command_id"]: "pending",
        approved["command_id"]: "pending",
        claimed["command_id"]: "claimed",
    }
    assert (await house.claim(approved))["status"] == "claimed"
    assert await refusal(house.claim(claimed)) == "not_claimable"


async def test_a_request_before_a_restart_is_approved_after_it(house: Gatehouse) -> None:
    """One prompt, one action."""
    event = await house.event()
    await house.restart()
    await house.see("bob")
    assert (await house.approve(event, "bob"))["status"] == "approved"


async def test_what_is_over_is_no_open_work(house: Gatehouse) -> None:
    """Done, denied, expired; but an unknown outcome stays open until somebody looks."""
    for outcome in (CommandStatus.ACKED, CommandStatus.FAILED, CommandStatus.UNKNOWN):
        asked = await house.ask("lock")
        await house.gate.settle(asked.command["id"], outcome, None)
    await house.deny(await house.event(), "bob")
    assert [command["status"] for command, _ in await house.gate.open_work()] == ["unknown"]


# -- a database from the past -------------------------------------------------------------------------


async def anchor(house: Gatehouse, head: Head) -> dict[str, object]:
    """Show the brain the head that Home Assistant saw last."""
    return await house.directory.anchor(integration(), AnchorParams(seq=head.seq, hash=head.hash))


async def head_of(house: Gatehouse) -> Head:
    """Return the head of the chain."""
    return await house.database.read(house.gate.chain.head)


async def test_a_chain_that_contains_the_anchor_is_trusted(house: Gatehouse) -> None:
    """The head, an older row, and the empty chain that a new Home Assistant saw."""
    older = await head_of(house)
    event = await house.approved()
    heads = [older, await head_of(house), Head(0, "")]
    assert [await anchor(house, head) for head in heads] == [{"ok": True}] * 3
    assert await house.status(event) == ("approved", "pending")


async def test_an_older_chain_voids_all_that_is_open(house: Gatehouse) -> None:
    """Home Assistant saw more than there is: this database is a copy from the past."""
    approved, pending = await house.approved(), await house.event("open")
    deferred = await house.ask("power_off", defer=True)
    head = await head_of(house)
    assert await anchor(house, Head(head.seq + 1, "f" * 64)) == {"ok": False, "voided": 3}
    assert await refusal(house.claim(approved)) == "not_claimable"
    assert await refusal(house.approve(pending, "bob")) == "expired"
    assert {row["id"]: row["status"] for row in await house.rows(commands)} == {
        approved["command_id"]: "expired",
        pending["command_id"]: "expired",
        deferred.command["id"]: "expired",
    }
    assert len(await house.trail("voided")) == 3
    (row,) = await house.trail("restored")
    assert row["data"] == {"seen": {"seq": head.seq + 1, "hash": "f" * 64}, "voided": 3}


async def test_another_chain_of_the_same_length_voids_all_that_is_open(house: Gatehouse) -> None:
    """The number fits, the hash does not."""
    event = await house.approved()
    head = await head_of(house)
    assert (await anchor(house, Head(head.seq, "f" * 64)))["ok"] is False
    assert await house.status(event) == ("expired", "expired")


async def test_a_changed_device_voids_what_waits_for_it(house: Gatehouse) -> None:
    """And nothing that waits for another."""
    here, there = await house.event(), await house.event(device="e" * 32)
    assert await house.gate.void_all("device_changed", DOOR) == 1
    assert await house.status(here) == ("expired", "expired")
    assert await house.status(there) == ("pending", "pending")


async def test_what_was_asked_under_a_key_is_taken_back(house: Gatehouse) -> None:
    """Whether people have approved it by now, or nobody has to; all else goes on."""
    waiting = await house.event(idempotency_key="one")
    approved = await house.approved(idempotency_key="two")
    deferred = await house.ask("power_off", defer=True, idempotency_key="three")
    other = await house.event(idempotency_key="four")
    await house.gate.retract(["one", "two", "three"], "not wanted")
    assert await house.status(waiting) == ("expired", "expired")
    assert await house.status(approved) == ("expired", "expired")
    assert (await house.gate.command(deferred.command["id"]) or {})["status"] == "expired"
    assert await house.status(other) == ("pending", "pending")
    assert await refusal(house.claim(approved)) == "not_claimable"
    assert [row["data"]["reason"] for row in await house.trail("voided")] == ["not wanted"] * 3


async def test_what_is_being_carried_out_is_not_taken_back(house: Gatehouse) -> None:
    """Nor anything else with it."""
    waiting = await house.event(idempotency_key="two")
    begun = await house.approved(idempotency_key="one", device="e" * 32)
    await house.claim(begun)
    assert await refusal(house.gate.retract(["one", "two"], "not wanted")) == "still_under_way"
    assert await house.status(waiting) == ("pending", "pending")


async def test_what_is_over_or_unknown_stays_as_it_is_when_it_is_taken_back(
    house: Gatehouse,
) -> None:
    """It is never sent again; what is unknown is for a person to settle."""
    asked = await house.ask("lock", idempotency_key="one")
    await house.gate.settle(asked.command["id"], CommandStatus.UNKNOWN, None)
    await house.gate.retract(["one"], "not wanted")
    assert (await house.gate.command(asked.command["id"]) or {})["status"] == "unknown"
    assert await house.trail("voided") == []


async def test_who_waits_for_the_anchor_is_told_when_it_fits(house: Gatehouse) -> None:
    """And only then: a copy from the past starts nothing."""
    told: list[str] = []
    house.directory.anchored = lambda: told.append("fits")
    head = await head_of(house)
    await anchor(house, Head(head.seq, "f" * 64))
    assert told == []
    await anchor(house, head)
    assert told == ["fits"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_restored_copy_repeats_nothing(house: Gatehouse, tmp_path: Path) -> None:
    """Copied while an approval waited, carried out, restored: the anchor makes it void."""
    event = await house.approved()
    await house.close()
    files = {name: tmp_path / name for name in ("safety.db", "safety.db-wal")}
    kept = tmp_path / "kept"
    kept.mkdir()
    copied = await asyncio.to_thread(_copy, list(files.values()), kept)
    await house.open()
    await house.claim(event)
    seen = await head_of(house)
    await house.close()
    await asyncio.to_thread(_copy, copied, tmp_path)
    await house.open()
    assert await house.status(event) == ("approved", "pending")
    assert (await anchor(house, seen))["ok"] is False
    assert await refusal(house.claim(event)) == "not_claimable"
    assert await house.problem() is None


def _copy(files: list[Path], folder: Path) -> list[Path]:
    return [Path(shutil.copy2(file, folder)) for file in files if file.exists()]


async def test_who_goes_away_hears_nothing_but_all_others_do(house: Gatehouse) -> None:
    """A decision that was committed is published, though its sender is no longer there."""
    event = await house.event()
    await house.see("bob")
    heard = asyncio.Event()
    house.bus.listen("audit.head", lambda _event: heard.set())
    async with asyncio.TaskGroup() as tasks:
        sender = tasks.create_task(house.approve(event, "bob"))
        await asyncio.sleep(0)  # it has handed its write over, and waits
        sender.cancel()
        with suppress(asyncio.CancelledError):
            await sender
    await heard.wait()
    assert house.said("safety.event")[-1]["status"] == "approved"
    assert await house.status(event) == ("approved", "pending")
