"""Many at once: people, tasks, threads and processes; one wins, once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
import json
from pathlib import Path
import sys

import pytest

from brain_server.protocol import Channel, Json
from brain_server.storage.tables import approvals
from tests.brain.gatehouse import Clock, Gatehouse, refusal

PEOPLE = ("ada", "bob", "cyd", "dan")
RACES = 500


@pytest.fixture
async def houses(house: Gatehouse, tmp_path: Path, clock: Clock) -> AsyncIterator[list[Gatehouse]]:
    """Give four gates with connections and writer threads of their own on one database."""
    others = [Gatehouse(house.url, tmp_path, clock) for _ in range(3)]
    for other in others:
        await other.open()
    yield [house, *others]
    for other in others:
        await other.close()


async def test_of_twenty_claims_one_wins(house: Gatehouse) -> None:
    """All at the same time."""
    event = await house.approved()
    codes = Counter(await asyncio.gather(*(refusal(house.claim(event)) for _ in range(20))))
    assert codes == {None: 1, "not_claimable": 19}


async def test_of_twenty_claims_by_four_brains_one_wins(houses: list[Gatehouse]) -> None:
    """Each with its own connection: the database decides, not the process."""
    event = await houses[0].approved()
    codes = Counter(
        await asyncio.gather(*(refusal(one.claim(event)) for one in houses for _ in range(5)))
    )
    assert codes == {None: 1, "not_claimable": 19}
    assert len(await houses[0].trail("claimed")) == 1
    assert await houses[0].problem() is None


async def test_of_four_approvers_of_a_medium_one_wins(houses: list[Gatehouse]) -> None:
    """The others find it decided."""
    event = await houses[0].event(zone="shop")
    tries = zip(houses, PEOPLE, strict=True)
    codes = Counter(
        await asyncio.gather(*(refusal(one.approve(event, person)) for one, person in tries))
    )
    assert codes == {None: 1, "already_decided": 3}
    assert len(await houses[0].rows(approvals)) == 1


async def test_two_halves_of_a_high_by_two_brains_make_a_whole(houses: list[Gatehouse]) -> None:
    """Neither misses the other: one of them sees both."""
    await houses[0].see("bob")
    for _ in range(10):
        event = await houses[0].event(by=None, channel=Channel.VOICE)
        decided = await asyncio.gather(
            houses[1].approve(event, "bob"), houses[2].approve(event, "cyd")
        )
        assert sorted(one["status"] for one in decided) == ["approved", "pending"]


async def test_a_yes_and_a_no_at_once_are_one_of_the_two(houses: list[Gatehouse]) -> None:
    """Whoever is first; and a no that came first lets nothing be claimed."""
    ends: Counter[tuple[str, str, str | None]] = Counter()
    for _ in range(10):
        event = await houses[0].event(zone="shop")
        await asyncio.gather(
            refusal(houses[1].approve(event, "bob")), refusal(houses[2].deny(event, "cyd"))
        )
        claimed = await refusal(houses[3].claim(event))
        ends[(*await houses[0].status(event), claimed)] += 1
    assert ends.keys() <= {
        ("approved", "claimed", None),
        ("denied", "denied", "not_claimable"),
    }


async def test_a_claim_and_a_changed_rule_at_once_never_both_win(houses: list[Gatehouse]) -> None:
    """Either it ran under the old rule before the change, or not at all."""
    await houses[0].rule("shop")
    orders = []
    for number in range(10):
        event = await houses[0].approve(await houses[0].event(zone="shop"), "ada")
        houses[1].policies = houses[0].policies
        claim, _ = await asyncio.gather(
            refusal(houses[2].claim(event)),
            houses[1].rule("shop", presence_ttl=100.0 + number),
        )
        rows = await houses[0].trail("claimed", "rules_changed")
        orders.append((claim, rows[-1]["kind"], rows[-2]["kind"]))
    assert set(orders) <= {
        (None, "rules_changed", "claimed"),
        ("policy_changed", "rules_changed", "rules_changed"),
        ("policy_changed", "rules_changed", "claimed"),
    }


async def test_twenty_taps_by_four_brains_with_one_key_are_one_command(
    houses: list[Gatehouse],
) -> None:
    """The key is looked for and stored in one step."""
    asked = await asyncio.gather(
        *(one.ask("lock", idempotency_key="ada:1") for one in houses for _ in range(5))
    )
    assert [one.fresh for one in asked].count(True) == 1
    assert len({one.command["id"] for one in asked}) == 1


async def racer(house: Gatehouse, person: str) -> asyncio.subprocess.Process:
    """Start a process that races, and wait until it stands at the line."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.brain.safety.racer", house.url, str(house.folder), person),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    assert process.stdout
    assert await process.stdout.readline() == b"ready\n"
    return process


async def result(process: asyncio.subprocess.Process, lines: bytes) -> Json:
    """Let it run, and return what it won."""
    output, _ = await process.communicate(lines)
    found: Json = json.loads(output)
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_four_processes_race_five_hundred_times(house: Gatehouse) -> None:
    """Each of them approves and claims every command; each command is approved and claimed once."""
    events = await asyncio.gather(
        *(house.event(zone="shop", by=None, device=f"{number:032x}") for number in range(RACES))
    )
    lines = b"".join(json.dumps(event).encode() + b"\n" for event in events) + b"go\n"
    racers = await asyncio.gather(*(racer(house, person) for person in PEOPLE))
    found = await asyncio.gather(*(result(process, lines) for process in racers))
    for word in ("approved", "claimed"):
        winners = Counter(event for one in found for event in one[word])
        assert winners == dict.fromkeys((event["id"] for event in events), 1)
    assert len(await house.trail("claimed")) == RACES
    assert await house.problem() is None
