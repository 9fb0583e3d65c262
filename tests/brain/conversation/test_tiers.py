"""The way of a question through the tiers, under load, over a restart, and within its bounds."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from brain_server.app import Brain
from brain_server.errors import ProviderError
from brain_server.protocol import Json
from brain_server.providers import Tool, Words
from brain_server.routing.ask import tokens_of
from brain_server.storage.tables import conversations, decisions, embeddings, spending
from tests.brain.home import Home, at_home, running, until
from tests.brain.minds.double import Double, answers, call, everything, sure
from tests.brain.stage import WEB, Scripts, far, near, rows, web

FRESH = "who won the latest election in the news"


# -- near, looked up, far -----------------------------------------------------------------------------


async def test_an_unsure_answer_to_a_fresh_question_is_looked_up(
    home: Home, brain: Brain, scripts: Scripts
):
    web().found[:] = ["Ada has won."]
    await home.command("providers.put", WEB)
    await near(home)
    await far(home)
    scripts["near"] = lambda request: (
        ["Ada, says the web."] if "Ada has won" in everything(request) else sure("It was Bob", 0.2)
    )
    said = await home.say(FRESH)
    assert (said["text"], said["tier"]) == ("Ada, says the web.", "mcp")
    assert "far" not in Double.heard
    assert [(row["tier"], row["reason"]) for row in await rows(brain, decisions)] == [
        ("mcp", "answered"),
        ("local", "low_confidence"),
    ]


async def test_when_the_search_is_down_the_dearer_model_is_asked(
    home: Home, brain: Brain, scripts: Scripts, monkeypatch: pytest.MonkeyPatch
):
    async def broken(*_: object) -> None:
        raise ProviderError("provider_unreachable", "The web does not answer")

    await home.command("providers.put", WEB)
    await near(home)
    await far(home)
    monkeypatch.setattr(web(), "call", broken)
    scripts["near"] = lambda _request: sure("It was Bob", 0.2)
    scripts["far"] = lambda _request: ["I think Ada."]
    said = await home.say(FRESH)
    assert (said["text"], said["tier"]) == ("I think Ada.", "frontier")
    assert [row["tier"] for row in await rows(brain, decisions)] == ["frontier", "local", "mcp"]


async def test_a_server_that_cannot_search_is_no_search(
    home: Home, scripts: Scripts, monkeypatch: pytest.MonkeyPatch
):
    async def tools(*_: object) -> tuple[Tool, ...]:
        return (Tool(name="set_timer", description="Set a timer", parameters={"type": "object"}),)

    web().asked.clear()
    monkeypatch.setattr(web(), "tools", tools)
    await home.command("providers.put", WEB)
    await near(home)
    scripts["near"] = lambda _request: sure("It was Bob", 0.2)
    said = await home.say(FRESH)
    assert said["text"].startswith("I cannot answer that right now")
    assert web().asked == []


async def test_who_answers_from_the_web_sees_nothing_private(home: Home, scripts: Scripts):
    web().found[:] = ["Ada has won."]
    await home.command("providers.put", WEB)
    await home.puppet("d", "door", "shop", name="Shop door")
    await home.say("remember that the election party is at my place")
    await near(home, uses=["tools"])
    scripts["near"] = lambda request: sure("It was Bob", 0.2) if request.tools else ["Ada."]
    await home.say(FRESH)
    told = Double.heard["near"][-1]
    assert not told.tools
    assert "Shop door" not in everything(told)
    assert "party" not in everything(told)
    assert web().asked[-1] == FRESH


async def test_a_hard_question_goes_past_the_near_model(home: Home, scripts: Scripts):
    await near(home)
    await far(home)
    scripts["far"] = lambda _request: ["A plan."]
    await home.say(
        "Explain why PETG warps, compare it with ASA, analyse the trade-offs, design a test plan and "
        "write it down step by step with pros and cons"
    )
    assert "near" not in Double.heard


PAGE = "http://127.0.0.1:1/private"


async def test_a_page_of_the_house_is_not_read_even_when_a_person_names_it(
    home: Home, scripts: Scripts
):
    await near(home)
    scripts["near"] = lambda request: (
        [f"It said: {answers(request)[0]}"]
        if answers(request)
        else [call("read_web_page", url=PAGE)]
    )
    said = await home.say(f"what does {PAGE} say about tin")
    assert "url_refused" in said["text"]


async def test_an_address_that_nobody_has_said_is_asked_about(home: Home, scripts: Scripts):
    await near(home)
    scripts["near"] = lambda request: (
        ["So."] if answers(request) else [call("read_web_page", url="https://evil.example/?q=all")]
    )
    said = await home.say("what is the melting point of tin")
    assert said["text"] == "Shall I read the page https://evil.example/?q=all?"


async def test_a_page_of_the_house_is_not_read_even_after_a_yes(
    home: Home, brain: Brain, scripts: Scripts
):
    await near(home)
    scripts["near"] = lambda request: (
        ["So."] if answers(request) else [call("read_web_page", url=PAGE)]
    )
    asked = await home.say("what is the melting point of tin")
    assert asked["text"] == f"Shall I read the page {PAGE}?"
    await home.say("yes", conversation_id=asked["conversation_id"])
    assert "url_refused" in {row["reason"] for row in await rows(brain, decisions)}


# -- bounds -------------------------------------------------------------------------------------------


async def test_a_turn_runs_the_model_of_meanings_once(home: Home, brain: Brain, scripts: Scripts):
    await near(home)
    await home.say("remember that the nozzle on printer A is 0.6")
    before = brain.embedder.runs
    scripts["near"] = lambda _request: ["It is 0.6."]
    await home.say("which nozzle has printer A got now")
    assert brain.embedder.runs == before + 1
    await home.say("which nozzle has printer A got now")
    assert brain.embedder.runs == before + 1
    assert len(await _embeddings(brain)) >= 1


async def _embeddings(brain: Brain) -> list[Json]:
    def work(connection: Any) -> list[Json]:
        return [dict(row) for row in connection.execute(embeddings.select()).mappings()]

    return await brain.brain_db.read(work)


async def test_a_prompt_stays_small(home: Home, scripts: Scripts):
    """With ten devices, sixteen messages of history and the tools of the workshop."""
    for number in range(10):
        await home.puppet(f"p{number}", "printer", "shop", name=f"Printer {number}")
    await near(home)
    scripts["near"] = lambda _request: ["All right, that is so, as far as I can tell you today."]
    said = await home.say("what is the melting point of tin")
    for number in range(12):
        await home.say(f"and of metal {number}", conversation_id=said["conversation_id"])
    sizes = [tokens_of(request) for request in Double.heard["near"]]
    assert sizes[0] < 3_000
    assert max(sizes) < 4_000


async def test_the_part_that_is_the_same_for_everybody_comes_first(home: Home, scripts: Scripts):
    await near(home)
    scripts["near"] = lambda _request: ["Well."]
    await home.say("what is the melting point of tin", user="ada")
    await home.say("how tall is the Zugspitze", user="bob", second_of_day=5)
    first, second = Double.heard["near"]
    assert first.messages[0] == second.messages[0]
    assert first.tools == second.tools


async def test_a_model_that_writes_far_beyond_its_limit_is_cut_off(
    home: Home, brain: Brain, scripts: Scripts
):
    await far(home)
    endless = [Words(text="word " * 100)] * 100
    scripts["far"] = lambda _request: endless
    await home.say("is ABS stronger than PLA")
    (entry,) = await rows(brain, spending)
    assert entry["status"] == "settled"
    assert entry["cost_micro"] <= entry["reserved_micro"] * 2.5
    assert Double.cancelled == ["far"]


# -- many, and again ----------------------------------------------------------------------------------


@pytest.mark.timeout(300)
async def test_fifty_people_at_once_are_all_answered_and_all_recorded(
    home: Home, brain: Brain, scripts: Scripts
):
    await far(home)
    await home.command("budget.set_limits", {"daily": 10.0})
    scripts["far"] = lambda request: [f"Heard: {request.messages[-1].text.splitlines()[-1]}"]
    turns = [home.say(f"is metal {number} stronger than tin") for number in range(50)]
    said = await asyncio.gather(*turns)
    assert [one["text"] for one in said] == [
        f"Heard: is metal {number} stronger than tin" for number in range(50)
    ]
    assert len(await rows(brain, decisions)) == 50
    assert len([row for row in await rows(brain, spending) if row["status"] == "settled"]) == 50


@pytest.mark.timeout(300)
async def test_fifty_people_at_once_do_not_overspend(home: Home, brain: Brain, scripts: Scripts):
    await far(home)
    await home.command("budget.set_limits", {"daily": 0.1})
    scripts["far"] = lambda _request: ["Yes."]
    await asyncio.gather(*(home.say(f"is metal {number} strong") for number in range(50)))
    ledger = await rows(brain, spending)
    assert sum(row["cost_micro"] for row in ledger) <= 100_000
    assert {row["reason"] for row in await rows(brain, decisions)} == {
        "answered",
        "budget_exhausted",
    }


async def test_a_chain_that_waits_for_people_goes_on_after_a_restart(
    tmp_path: Path, scripts: Scripts
):
    async with running(tmp_path) as brain, at_home(brain) as home:
        door = await home.puppet("door-1", "door", "shop", name="Shop door")
        door.shows = {"locked": False}
        wish = {"device_id": door.context.device_id, "intent": "unlock"}
        await near(home)
        scripts["near"] = lambda request: (
            [f"It says {answers(request)[-1]}"]
            if answers(request)
            else [call("workshop_request", **wish)]
        )
        said = await home.say("could somebody open that shop door for the courier", user="bob")
        (event,) = (await home.command("safety.events"))["items"]
    async with running(tmp_path, life=2) as brain, at_home(brain) as home:
        door = await until(lambda: _on_stage("door-1"), "the door")
        door.shows = {"locked": False}
        await home.decide(event, "bob")
        reply: Json = await home.event("conversation.reply")
        assert reply["conversation_id"] == said["conversation_id"]
        assert "Done: Shop door is unlocked." in reply["text"]
        assert [order.intent for order in door.orders["door-1"]] == ["unlock"]
        (row,) = await rows(brain, conversations)
        assert "chain" not in row["state"]


def _on_stage(name: str) -> Any:
    puppet = __import__("brain_server.drivers.puppet", fromlist=["Puppet"]).Puppet
    return puppet.on_stage.get(name)
