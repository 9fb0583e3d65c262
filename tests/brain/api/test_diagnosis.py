"""Each thing that ails a brain has a name and a cure; and what helps others to help holds no secret."""

from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import Connection, insert, text

from brain_server import metrics
from brain_server.app import Brain
from brain_server.protocol import Json
from brain_server.storage.tables import conversations, decisions, messages, new_id, work
from tests.brain.home import TOKEN, Home, Later, Rest, at_home, running

DIAGNOSE: Final = "/api/v1/system.diagnose"
SUPPORT: Final = "/api/v1/system.support"


async def findings(rest: Rest) -> dict[str, Json]:
    """Return what the diagnosis names, by its name."""
    told = (await rest.get(DIAGNOSE)).data
    return {one["code"]: one for one in told["findings"]}


async def answered(brain: Brain, count: int, **changes: Any) -> None:
    """Let so many questions have been answered by a model just now."""

    def plant(connection: Connection) -> None:
        talk = new_id()
        now = brain.clock()
        connection.execute(
            insert(conversations).values(id=talk, created_at=now, last_message_at=now)
        )
        for number in range(count):
            request_id = new_id()
            row = {
                "id": new_id(),
                "conversation_id": talk,
                "request_id": request_id,
                "input_hash": str(number),
                "tier": "local",
                "confidence": 1.0,
                "latency_ms": 400.0,
                "reason": "asked",
                "created_at": now,
                "provider_id": "a-model",
            }
            said = {"conversation_id": talk, "request_id": request_id, "created_at": now}
            reply = changes.get("reply", f"Answer {number}")
            given = {name: value for name, value in changes.items() if name != "reply"}
            connection.execute(insert(decisions).values(row | given))
            for role, words in (("user", f"Question {number}?"), ("assistant", reply)):
                connection.execute(
                    insert(messages).values(id=new_id(), role=role, text=words, **said)
                )

    await brain.brain_db.write(plant)


async def test_a_well_brain_has_no_findings_and_tells_what_each_look_took(
    home: Home, rest: Rest
) -> None:
    """Databases, queue, cache, models, memory and figures, each with its milliseconds."""
    told = (await rest.get(DIAGNOSE)).data
    assert {one["name"] for one in told["checks"]} >= {
        "brain_database",
        "cache",
        "metrics",
        "models",
        "queue",
        "safety_database",
        "schedule",
    }
    assert all(one["ok"] and one["ms"] >= 0 for one in told["checks"])
    assert told["findings"] == []


async def test_an_ill_part_is_named_with_its_cure(home: Home, rest: Rest) -> None:
    async def away() -> str | None:
        return "It does not answer"

    home.brain.health.add("mqtt", away)
    found = (await findings(rest))["part_ill"]
    assert found["detail"] == "mqtt: It does not answer"
    assert "mqtt_url" in found["cure"]


async def test_a_part_without_a_cure_of_its_own_leads_to_the_log(home: Home, rest: Rest) -> None:
    async def ill() -> str | None:
        return "It has a cold"

    home.brain.health.add("thing", ill)
    assert "log" in (await findings(rest))["part_ill"]["cure"]


async def test_a_table_that_is_missing_is_named(home: Home, rest: Rest) -> None:
    """The database answers, and is no use all the same."""
    await home.brain.brain_db.write(
        lambda connection: connection.execute(text("DROP TABLE agent_runs"))
    )
    found = (await findings(rest))["part_ill"]
    assert found["detail"] == "brain_database: Tables are missing: agent_runs. Restore a backup"
    health = (await rest.get("/api/v1/system.health")).data
    assert health["status"] == "degraded"


async def test_a_brain_that_starts_again_and_again_is_named(tmp_path: Path) -> None:
    for life in range(1, 5):
        async with running(tmp_path, life=life) as brain, at_home(brain), Rest(brain) as rest:
            found = await findings(rest)
            assert ("restart_loop" in found) is (life == 4)
    assert "4 times" in found["restart_loop"]["detail"]


async def test_starts_of_another_hour_do_not_count(tmp_path: Path, clock: Later) -> None:
    for life in range(1, 5):
        clock.ahead = life * 3600
        async with (
            running(tmp_path, clock, life=life) as brain,
            at_home(brain),
            Rest(brain) as rest,
        ):
            assert await findings(rest) == {}


async def test_work_that_was_given_up_is_named(home: Home, rest: Rest) -> None:
    now = home.brain.clock()
    given_up = {"id": new_id(), "kind": "deliver", "payload": {}, "priority": 5, "status": "dead"}
    given_up |= {"due_at": now, "rank": now, "created_at": now}
    await home.brain.brain_db.write(
        lambda connection: connection.execute(insert(work).values(given_up))
    )
    told = (await rest.get(DIAGNOSE)).data
    (found,) = told["findings"]
    assert (found["code"], found["detail"]) == (
        "messages_lost",
        "1 pieces of work were given up after all tries",
    )
    assert [one["name"] for one in told["checks"] if not one["ok"]] == ["queue"]


@pytest.mark.parametrize(
    ("count", "reply", "named"),
    [(5, "I am a model.", True), (4, "I am a model.", False), (5, None, False)],
)
async def test_a_model_that_says_the_same_to_everything_is_named(
    home: Home, rest: Rest, count: int, reply: str | None, named: bool
) -> None:
    await answered(home.brain, count, **({"reply": reply} if reply else {}))
    assert ("same_reply" in await findings(rest)) is named


async def test_the_same_word_of_the_rules_is_no_illness(home: Home, rest: Rest) -> None:
    """Whoever locks five doors hears five times that it was done."""
    await answered(home.brain, 6, reply="Done.", provider_id=None, tier="rules")
    assert await findings(rest) == {}


@pytest.mark.parametrize(
    ("count", "ms", "named"), [(20, 7000.0, True), (20, 4000.0, False), (9, 7000.0, False)]
)
async def test_answers_that_take_longer_than_anybody_waits_are_named(
    home: Home, rest: Rest, count: int, ms: float, named: bool
) -> None:
    await answered(home.brain, count, latency_ms=ms)
    found = await findings(rest)
    assert ("slow_answers" in found) is named
    assert [one["detail"] for one in found.values() if "7.0 s" in one["detail"]] == [
        "One answer in twenty takes longer than 7.0 s, those of the tier local"
    ] * named


@pytest.mark.parametrize(
    ("count", "hits", "named"), [(50, 0, True), (49, 0, False), (50, 1, False)]
)
async def test_a_cache_that_hardly_ever_helps_is_named(
    home: Home, rest: Rest, count: int, hits: int, named: bool
) -> None:
    await answered(home.brain, count - hits)
    await answered(home.brain, hits, cached=True)
    assert ("cache_misses" in await findings(rest)) is named


async def test_a_cache_that_is_switched_off_misses_nothing(home: Home, rest: Rest) -> None:
    await answered(home.brain, 60)
    await rest.act("capabilities.set", {"name": "cache", "enabled": False})
    assert "cache_misses" not in await findings(rest)


async def test_a_process_that_has_grown_too_large_is_named(
    home: Home, rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "resident", lambda: 3 * 1024**3)
    assert (await findings(rest))["memory_high"]["detail"] == "The brain uses 3.0 GB of memory"


async def test_a_bundle_is_refused_until_a_person_wants_it(rest: Rest) -> None:
    refused = await rest.get(SUPPORT)
    assert (refused.status, refused.code) == (403, "support_off")


async def test_a_bundle_helps_and_holds_no_secret(tmp_path: Path) -> None:
    """Figures, and of words only whether there are any."""
    secret = "hunter2"
    async with running(tmp_path, debug=True, qdrant_api_key=secret) as brain, Rest(brain) as rest:

        async def ill() -> str | None:
            return f"No way to mqtt://kitty:{secret}@broker and token={secret}"

        brain.health.add("thing", ill)
        answer = await rest.get(SUPPORT)
    told = answer.data
    assert (answer.status, told["settings"]["qdrant_api_key"], told["settings"]["token"]) == (
        200,
        True,
        True,
    )
    assert told["settings"]["port"] == 0
    assert told["rows"]["api_keys"] >= 1
    assert {"version", "python", "system", "memory_mb", "tasks", "counters", "checks"} <= set(told)
    assert secret not in str(told)
    assert TOKEN not in str(told)
    assert str(tmp_path) not in str(told)


async def test_a_bundle_is_for_administrators(tmp_path: Path) -> None:
    async with running(tmp_path, debug=True) as brain:
        async with at_home(brain) as home:
            token = await home.token("control")
        async with Rest(brain, token) as rest:
            assert (await rest.get(SUPPORT)).code == "scope_required"
