"""Providers: set up, looked at, changed, removed; their keys kept and never shown."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from brain_server.app import Brain
from brain_server.breaker import THRESHOLD, State
from brain_server.commands import SYSTEM
from brain_server.errors import ProviderError
from brain_server.providers import ProviderInfo, Use
from brain_server.routing.models import ProviderId, Put
from brain_server.storage.tables import providers
from tests.brain.home import Home, Refused, running, until
from tests.brain.minds.double import Double, call
from tests.brain.soon import SOON
from tests.brain.stage import FAR, NEAR, Scripts, far, near, rows
from tests.standins.tiny_gguf import tiny_gguf


def real() -> Any:
    """Return the class of the double as the brain knows it."""
    return __import__("brain_server.providers.double", fromlist=["Double"]).Double


async def test_the_kinds_are_those_that_are_there_with_their_forms(home: Home):
    kinds = {one["name"]: one for one in (await home.command("providers.kinds"))["items"]}
    assert {"anthropic", "llama_cpp", "mcp", "openai", "openai_compatible"} <= kinds.keys()
    (key,) = [one for one in kinds["double"]["options"] if one["name"] == "key"]
    assert (key["type"], key["required"]) == ("secret", False)


async def test_the_kinds_are_told_in_the_language_of_the_house(home: Home):
    told = await home.command("providers.kinds", {"language": "fr"})
    near = next(one for one in told["items"] if one["name"] == "llama_cpp")
    assert (near["title"], near["options"][0]["label"]) == ("Modèle local (llama.cpp)", "Modèle")


async def test_a_provider_is_there_again_after_a_restart_with_its_key(tmp_path: Path):
    async with running(tmp_path) as brain, Home(brain) as home:
        await home.furnish()
        made = await far(home)
    async with running(tmp_path, life=2) as brain:
        model = brain.models.get(made)
        assert model.row.options["key"] == FAR["options"]["key"]
        assert (model.row.tier, model.row.price_out) == ("frontier", 15.0)


async def test_a_provider_of_a_kind_that_is_gone_does_not_stop_the_brain(tmp_path: Path):
    async with running(tmp_path) as brain:
        await brain.brain_db.write(
            lambda connection: connection.execute(
                providers.insert().values(
                    provider="gone", name="Gone", tier="local", uses=[], options={}, created_at=1.0
                )
            )
        )
    async with running(tmp_path, life=2) as brain:
        assert brain.models.all() == []


async def test_a_change_without_the_key_keeps_the_key(home: Home, brain: Brain):
    made = await far(home)
    changed = FAR | {"provider_id": made, "name": "Other", "options": {"part": "x", "key": "***"}}
    seen = await home.command("providers.put", changed)
    assert (seen["name"], seen["options"]) == ("Other", {"part": "x", "key": "***"})
    assert brain.models.get(made).row.options["key"] == FAR["options"]["key"]
    (row,) = await rows(brain, providers)
    assert row["name"] == "Other"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"provider": "nothing"}, "unknown_provider"),
        ({"provider_id": "f" * 32}, "provider_not_found"),
        ({"options": {}}, "invalid_option"),
        ({"options": {"part": "x", "more": 1}}, "invalid_option"),
        ({"price_in": -1}, "invalid_params"),
        ({"uses": ["flying"]}, "invalid_params"),
        ({"name": ""}, "invalid_params"),
    ],
)
async def test_what_cannot_be_set_up_is_refused(home: Home, change: dict[str, Any], code: str):
    assert await home.refusal("providers.put", NEAR | change) == code
    assert (await home.command("providers.list"))["items"] == []


async def test_two_providers_of_one_name_are_refused(home: Home):
    await near(home)
    assert await home.refusal("providers.put", NEAR) == "name_taken"


async def test_only_what_a_kind_can_do_can_be_wanted_of_it(home: Home):
    web = {"provider": "web_double", "name": "Web", "options": {}, "uses": ["tools"]}
    assert await home.refusal("providers.put", web) == "invalid_option"


async def test_a_key_that_is_not_accepted_is_refused_and_nothing_is_stored(
    home: Home, monkeypatch: pytest.MonkeyPatch
):
    await near(home, name="First")

    async def check(_self: Any) -> ProviderInfo:
        raise ProviderError("provider_auth", "Wrong key")

    monkeypatch.setattr(real(), "check", check)
    assert await home.refusal("providers.put", FAR) == "provider_auth"
    assert [one["name"] for one in (await home.command("providers.list"))["items"]] == ["First"]


async def test_a_model_that_is_missing_is_stored_and_shown_as_ill(
    home: Home, monkeypatch: pytest.MonkeyPatch
):
    await near(home, name="First")

    async def check(_self: Any) -> ProviderInfo:
        raise ProviderError("model_missing", "Expected A, found B", expected="A", found=["B"])

    with monkeypatch.context() as patched:
        patched.setattr(real(), "check", check)
        made = await home.command("providers.put", FAR)
    assert made["trouble"]["code"] == "model_missing"
    health = await home.command("system.health")
    assert health["parts"]["models"] == {"ok": False, "detail": "Claude: Expected A, found B"}
    seen = await home.command("providers.check", {"provider_id": made["id"]})
    assert seen["trouble"] is None
    assert (await home.command("system.health"))["parts"]["models"]["ok"]


async def test_a_provider_that_does_not_answer_at_all_is_ill(
    home: Home, monkeypatch: pytest.MonkeyPatch
):
    made = await near(home)

    async def check(_self: Any) -> ProviderInfo:
        await asyncio.sleep(60)
        raise AssertionError

    monkeypatch.setattr(real(), "check", check)
    monkeypatch.setattr("brain_server.routing.models.CHECK_TIMEOUT", 0.05)
    seen = await home.command("providers.check", {"provider_id": made})
    assert seen["trouble"]["code"] == "provider_unreachable"


async def test_providers_are_looked_at_now_and_then(
    home: Home, brain: Brain, monkeypatch: pytest.MonkeyPatch
):
    made = await near(home)

    async def check(_self: Any) -> ProviderInfo:
        raise ProviderError("provider_unreachable", "Gone")

    monkeypatch.setattr(real(), "check", check)
    monkeypatch.setattr("brain_server.routing.models.WATCHED_EVERY", 0.01)
    brain.tasks.start("more looks", brain.models.watch())
    told = await home.event("provider.updated", lambda one: one["trouble"] is not None)
    assert (told["id"], told["trouble"]["code"]) == (made, "provider_unreachable")


async def test_a_provider_that_is_removed_while_another_is_looked_at_is_not_looked_at(
    home: Home, brain: Brain, monkeypatch: pytest.MonkeyPatch
):
    """It is closed by then, and its server is nobody's business any more."""
    await near(home)
    made = await far(home)
    gone, looked, again = brain.models.get(made).provider, list[Any](), asyncio.Event()

    async def check(model: Any) -> ProviderInfo:
        looked.append(model)
        if len(looked) == 1:
            await brain.models.remove(SYSTEM, ProviderId(provider_id=made))
        elif model is looked[0]:
            again.set()
        return ProviderInfo(models=("x",), model="x", context=8192)

    monkeypatch.setattr(real(), "check", check)
    monkeypatch.setattr("brain_server.routing.models.WATCHED_EVERY", 0.0)
    brain.tasks.start("more looks", brain.models.watch())
    async with asyncio.timeout(SOON):
        await again.wait()
    assert gone not in looked


async def test_a_removed_provider_is_gone_with_its_key(home: Home, brain: Brain):
    made = await far(home)
    await home.command("providers.remove", {"provider_id": made})
    assert await home.event("provider.removed") == {"id": made}
    assert await rows(brain, providers) == []
    with pytest.raises(Refused, match="provider_not_found"):
        await home.command("providers.check", {"provider_id": made})


async def test_a_disabled_provider_is_not_asked(home: Home, scripts: Scripts):
    await near(home, enabled=False)
    assert "none is configured" in (await home.say("is ABS stronger than PLA"))["text"]


async def test_the_house_gets_its_model_ready_when_somebody_is_about_to_speak(
    home: Home, monkeypatch: pytest.MonkeyPatch
):
    warmed = asyncio.Event()

    async def warm(_self: Any) -> None:
        warmed.set()
        raise ProviderError("model_crashed", "Gone")

    made = await near(home)
    await far(home)
    monkeypatch.setattr(real(), "warm", warm)
    assert await home.command("providers.warm") == {"warming": [made]}
    await asyncio.wait_for(warmed.wait(), SOON)
    told = await home.event("provider.updated", lambda one: one["trouble"] is not None)
    assert told["trouble"]["code"] == "model_crashed"


async def test_it_is_advised_whether_a_model_fits(home: Home, tmp_path: Path):
    path = await asyncio.to_thread(tiny_gguf, tmp_path)
    small = await home.command("providers.advise", {"model": str(path), "context": 512})
    assert small["fits"]
    assert 0 < small["needs_mb"] <= small["free_mb"]
    missing = {"model": str(tmp_path / "nothing.gguf")}
    assert await home.refusal("providers.advise", missing) == "model_missing"


async def test_how_fast_a_model_writes_is_shown(home: Home, scripts: Scripts):
    await near(home)

    def slowly(_request: Any) -> Iterator[Any]:
        thought = asyncio.Event()
        yield "One "
        asyncio.get_running_loop().call_later(0.3, thought.set)
        yield thought
        yield "two "
        yield "three."

    scripts["near"] = slowly
    await home.say("is ABS stronger than PLA")
    (seen,) = (await home.command("providers.list"))["items"]
    assert 0 < seen["tokens_per_second"] < 40


async def test_what_comes_all_at_once_tells_no_speed(home: Home, scripts: Scripts):
    await near(home)
    scripts["near"] = lambda _request: ["One ", "two ", "three."]
    await home.say("is ABS stronger than PLA")
    (seen,) = (await home.command("providers.list"))["items"]
    assert seen["tokens_per_second"] is None


async def test_no_key_stands_in_any_log_line_or_event(
    home: Home, scripts: Scripts, caplog: pytest.LogCaptureFixture
):
    await far(home)
    scripts["far"] = lambda _request: [ProviderError("provider_failed", "No", http_status=500)]
    await home.say("is ABS stronger than PLA")
    told = json.dumps(home.events) + json.dumps(home.frames) + caplog.text
    assert "planted" not in told


async def test_a_model_for_code_is_asked_for_code(home: Home, scripts: Scripts):
    await near(home, name="Coder", uses=["code"], options={"part": "coder"})
    await near(home, uses=["tools"])
    scripts["coder"] = lambda _request: ["def f(): ..."]
    assert (await home.say("write a python function that parses a line"))["text"] == "def f(): ..."
    assert "near" not in Double.heard


async def test_a_failed_answer_of_the_web_is_tried_again_within_its_limits(
    home: Home, scripts: Scripts
):
    """A 503 is worth another try; the second one answers."""
    tries: list[int] = []

    def play(_request: Any) -> list[Any]:
        tries.append(1)
        return (
            [ProviderError("provider_failed", "Busy", http_status=503)]
            if len(tries) == 1
            else ["Yes."]
        )

    await near(home)
    scripts["near"] = play
    assert (await home.say("is ABS stronger than PLA"))["text"] == "Yes."
    assert len(tries) == 2


async def test_a_question_that_is_too_long_is_trimmed_and_asked_again(home: Home, scripts: Scripts):
    """After two seconds, as long as a model may take to come to itself."""
    lengths: list[int] = []

    def play(request: Any) -> list[Any]:
        lengths.append(len(request.messages))
        return [ProviderError("context_exceeded", "Too long")] if len(lengths) == 1 else ["Now."]

    await near(home)
    scripts["near"] = lambda _request: ["Well, " + "so " * 200]
    said = await home.say("what is the melting point of tin")
    for number in range(3):
        await home.say(f"and {number}", conversation_id=said["conversation_id"])
    scripts["near"] = play
    more = await home.say("and now", conversation_id=said["conversation_id"])
    assert more["text"] == "Now."
    assert lengths[1] < lengths[0]


async def test_a_wish_for_an_unknown_tool_is_answered_and_the_model_goes_on(
    home: Home, scripts: Scripts
):
    await near(home)
    seen: list[str] = []

    def play(request: Any) -> list[Any]:
        found = [message.text for message in request.messages if message.author == "tool"]
        seen.extend(found)
        return ["Never mind."] if found else [call("make_coffee")]

    scripts["near"] = play
    assert (await home.say("is ABS stronger than PLA"))["text"] == "Never mind."
    assert seen == ["There is no tool 'make_coffee'."]


class Looked:
    """What looks at a provider, held until a test lets it go on; and what was closed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the place of the double's own."""
        self.begun, self.go = asyncio.Event(), asyncio.Event()
        self.closed: list[Any] = []

        async def check(_model: Any) -> ProviderInfo:
            self.begun.set()
            await self.go.wait()
            return ProviderInfo(models=("x",), model="x", context=8192)

        async def close(model: Any) -> None:
            self.closed.append(model)

        monkeypatch.setattr(real(), "check", check)
        monkeypatch.setattr(real(), "close", close)


async def test_a_provider_that_is_removed_while_its_change_is_looked_at_stays_gone(
    home: Home, brain: Brain, monkeypatch: pytest.MonkeyPatch
):
    made = await far(home)
    looked = Looked(monkeypatch)
    changing = await home.send(
        type="command", action="providers.put", params=FAR | {"provider_id": made}
    )
    await looked.begun.wait()
    await home.command("providers.remove", {"provider_id": made})
    looked.go.set()
    assert (await home.answer(changing))["error"]["code"] == "provider_not_found"
    assert (brain.models.all(), await rows(brain, providers)) == ([], [])
    assert len(looked.closed) == 2


async def test_of_two_changes_at_once_the_provider_of_one_is_closed(
    home: Home, brain: Brain, monkeypatch: pytest.MonkeyPatch
):
    made = await far(home)
    before = brain.models.get(made).provider
    looked = Looked(monkeypatch)
    changed = {"type": "command", "action": "providers.put", "params": FAR | {"provider_id": made}}
    both = [await home.send(**changed) for _ in range(2)]
    await looked.begun.wait()
    looked.go.set()
    assert [(await home.answer(one))["type"] for one in both] == ["result"] * 2
    now = brain.models.get(made).provider
    assert before in looked.closed
    assert (len(looked.closed), len(set(looked.closed)), now in looked.closed) == (2, 2, False)


@pytest.mark.parametrize("action", ["put", "remove"])
async def test_a_change_that_is_stored_is_in_force_though_its_caller_was_called_off(
    home: Home, brain: Brain, monkeypatch: pytest.MonkeyPatch, action: str
):
    made = await far(home)
    before, write = brain.models.get(made).provider, brain.brain_db.write
    stored, go = asyncio.Event(), asyncio.Event()

    async def late(work: Any) -> Any:
        found = await write(work)
        stored.set()
        await go.wait()
        return found

    looked = Looked(monkeypatch)
    looked.go.set()
    monkeypatch.setattr(brain.brain_db, "write", late)
    changed = msgspec.convert(FAR | {"provider_id": made, "enabled": False}, Put)
    gone = ProviderId(provider_id=made)
    models = brain.models
    doing = models.put(SYSTEM, changed) if action == "put" else models.remove(SYSTEM, gone)
    changing = brain.tasks.start("changing", doing)
    await stored.wait()
    changing.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await changing
    await until(lambda: looked.closed, "that the one of before is closed")
    assert looked.closed == [before]
    assert brain.models.of_use(Use.TOOLS) == []


async def test_a_provider_that_is_removed_while_its_change_is_stored_is_closed(
    home: Home, brain: Brain, monkeypatch: pytest.MonkeyPatch
):
    made = await far(home)
    before, write = brain.models.get(made).provider, brain.brain_db.write
    stored, go = asyncio.Event(), asyncio.Event()

    async def late(work: Any) -> Any:
        monkeypatch.setattr(brain.brain_db, "write", write)
        stored.set()
        await go.wait()
        return await write(work)

    looked = Looked(monkeypatch)
    looked.go.set()
    monkeypatch.setattr(brain.brain_db, "write", late)
    gone = ProviderId(provider_id=made)
    removing = brain.tasks.start("removing", brain.models.remove(SYSTEM, gone))
    await stored.wait()
    await home.command("providers.put", FAR | {"provider_id": made})
    after = brain.models.get(made).provider
    go.set()
    await removing
    assert (looked.closed, brain.models.all()) == ([before, after], [])


async def test_a_change_without_the_key_keeps_the_key_that_was_set_meanwhile(
    home: Home, brain: Brain, monkeypatch: pytest.MonkeyPatch
):
    made = await far(home)
    models, looked = brain.models, Looked(monkeypatch)
    named = FAR | {"provider_id": made, "name": "Other", "options": {"part": "far"}}
    keyed = FAR | {"provider_id": made, "options": {"part": "far", "key": "sk-new-key-1234567890"}}
    naming = brain.tasks.start("naming", models.put(SYSTEM, msgspec.convert(named, Put)))
    await looked.begun.wait()
    first, looked.go = looked.go, asyncio.Event()
    looked.go.set()
    keying = brain.tasks.start("keying", models.put(SYSTEM, msgspec.convert(keyed, Put)))
    await until(lambda: keying.done() or models._changing[made]._waiters, "the other change")
    first.set()
    await asyncio.gather(naming, keying)
    assert models.get(made).row.options["key"] == "sk-new-key-1234567890"
    assert [row["options"] for row in await rows(brain, providers)] == [
        {"part": "far", "key": "sk-new-key-1234567890"}
    ]


@pytest.mark.parametrize("action", ["put", "remove"])
async def test_a_provider_that_is_gone_tells_nothing_any_more(
    home: Home, brain: Brain, action: str
):
    """A call that is still under way may fail later; what is shown is what is there."""
    made = await far(home)
    before, told = brain.models.get(made), []
    params = (
        FAR | {"provider_id": made, "name": "Other"} if action == "put" else {"provider_id": made}
    )
    await home.command(f"providers.{action}", params)
    brain.bus.listen("provider.updated", lambda event: told.append(event.data["name"]))
    for _ in range(THRESHOLD):
        with suppress(ProviderError), before.breaker.call():
            raise ProviderError("provider_failed", "It broke")
    assert before.breaker.state is State.OPEN
    assert told == []


async def test_a_provider_that_is_removed_while_the_one_of_before_is_closed_is_told_of_no_more(
    home: Home, brain: Brain, monkeypatch: pytest.MonkeyPatch
):
    made = await far(home)
    closing, go, told = asyncio.Event(), asyncio.Event(), []

    async def close(_model: Any) -> None:
        monkeypatch.undo()
        closing.set()
        await go.wait()

    for name in ("provider.updated", "provider.removed"):
        brain.bus.listen(name, lambda event: told.append(event.name))
    monkeypatch.setattr(real(), "close", close)
    changed = msgspec.convert(FAR | {"provider_id": made}, Put)
    changing = brain.tasks.start("changing", brain.models.put(SYSTEM, changed))
    await closing.wait()
    await home.command("providers.remove", {"provider_id": made})
    go.set()
    await changing
    assert told == ["provider.removed"]
