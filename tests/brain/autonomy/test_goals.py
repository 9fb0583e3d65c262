"""Goals: proposed once, decided by a person with a role and their own finger, and nothing is done before that."""

import asyncio
from typing import Any

import pytest

from brain_server.autonomy.goals import MOST_SAID
from brain_server.protocol import Channel, Json
from brain_server.storage import tables
from tests.brain.autonomy.works import DAY, Life, Works, eventually, finger, idea
from tests.brain.home import until


async def test_an_idea_waits_for_a_person_and_nothing_runs_before(life: Life, shop: Works) -> None:
    """It is identified, has a key that nobody sees, and makes no project."""
    (goal,) = await shop.proposed(idea())
    assert (goal["status"], goal["origin"], goal["budget"]) == ("identified", "advice", 0.0)
    assert "key" not in goal
    assert await life.result("project_generation_cycle") == {"projects": [], "without_model": {}}
    assert await life.items("projects.list") == []
    assert ("goal.updated", goal) in life.told
    assert await life.autonomy.goals.open() == [goal]


async def test_the_same_idea_is_the_same_goal(life: Life, shop: Works) -> None:
    """However often it is found."""
    assert len(await shop.proposed(idea())) == 1
    assert await shop.proposed(idea(), idea()) == []
    assert len(await life.items("goals.list")) == 1


async def test_of_many_ideas_the_most_important_few_are_proposed(life: Life, shop: Works) -> None:
    """Five in a week; and when ten wait, no more."""
    many = [idea(f"advice:{at}", priority=1 + at % 10) for at in range(30)]
    first = await shop.proposed(*many)
    assert sorted(one["priority"] for one in first) == [9, 9, 10, 10, 10]
    shop.clock.advance(7 * DAY)
    assert len(await shop.proposed(*many)) == 5
    shop.clock.advance(7 * DAY)
    assert await shop.proposed(*many) == []
    await life.decided(first[0], approve=False)
    assert len(await shop.proposed(*many)) == 1


async def test_what_a_person_rejected_does_not_come_back_for_half_a_year(
    life: Life, shop: Works
) -> None:
    """After that it may, as another goal; the old one stays as it was."""
    (goal,) = await shop.proposed(idea())
    assert (await life.decided(goal, approve=False))["status"] == "rejected"
    shop.clock.advance(179 * DAY)
    assert await shop.proposed(idea()) == []
    shop.clock.advance(2 * DAY)
    assert len(await shop.proposed(idea())) == 1
    assert [one["status"] for one in await life.items("goals.list")] == ["rejected", "identified"]


async def test_a_person_says_what_could_be_better(life: Life) -> None:
    """It waits for a decision like any other; said twice, it is there already."""
    said = {"title": "Print  lids on A", "reason": "They warp", "metric": "quality", "priority": 8}
    goal = await life.command("goals.add", finger("bob"), material="PLA", **said)
    assert (goal["title"], goal["created_by"]) == ("Print lids on A", "bob")
    assert (goal["status"], goal["about"]) == ("identified", {"material": "PLA"})
    again = {"title": "print lids on a"}
    assert await life.refused("goals.add", finger("ada"), **again) == "goal_exists"
    await life.decided(goal, approve=False)
    assert (await life.command("goals.add", finger("ada"), **again))["status"] == "identified"


async def test_of_peoples_own_so_many_wait(life: Life) -> None:
    """A script that goes wrong fills no list without an end."""
    for at in range(MOST_SAID):
        await life.command("goals.add", title=f"Better {at}")
    assert await life.refused("goals.add", title="One more") == "goals_full"


async def test_what_two_say_at_once_to_two_brains_is_one_goal(shop_anywhere: Works) -> None:
    """The other hears that it is there."""
    lives = [
        await shop_anywhere.begin(awake=False),
        await shop_anywhere.begin(awake=False, apart=True),
    ]
    for at in range(10):
        found = await asyncio.gather(
            *(life.command("goals.add", title=f"Better {at}") for life in lives),
            return_exceptions=True,
        )
        errors = [one for one in found if isinstance(one, BaseException)]
        assert [getattr(one, "code", one) for one in errors] == ["goal_exists"]
    assert len(await lives[0].items("goals.list")) == 10


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"title": "x"}, "invalid_params"),
        ({"title": "Better", "priority": 0}, "invalid_params"),
        ({"title": "Better", "priority": 11}, "invalid_params"),
        ({"title": "Better", "metric": "joy"}, "unknown_metric"),
    ],
)
async def test_what_makes_no_sense_is_refused(life: Life, given: Json, code: str) -> None:
    """Before anything is stored."""
    assert await life.refused("goals.add", **given) == code
    assert await life.items("goals.list") == []


async def test_hidden_characters_and_secrets_do_not_become_a_goal(life: Life, shop: Works) -> None:
    """A title is one line of what people can see."""
    (goal,) = await shop.proposed(
        idea(title="Look\u200b\nhere", reason="password: hunter2hunter2 " + "x" * 5000)
    )
    assert goal["title"] == "Look here"
    assert "hunter2" not in goal["reason"]
    assert len(goal["reason"]) < 2_100


@pytest.mark.parametrize(
    ("who", "code"),
    [
        (finger(None), "person_decides"),
        (finger("ada", Channel.AUTOMATION), "direct_approval_required"),
        (finger("ada", Channel.VOICE), "direct_approval_required"),
        (finger("eve"), "not_registered"),
        (finger("stranger"), "not_registered"),
    ],
)
async def test_nobody_else_decides(life: Life, shop: Works, who: Any, code: str) -> None:
    """No automation, no voice, nobody without a role; and nothing of it is written down as a decision."""
    (goal,) = await shop.proposed(idea())
    given = {"goal_id": goal["id"], "approve": True}
    assert await life.refused("goals.decide", who, **given) == code
    assert (await life.items("goals.list"))[0]["status"] == "identified"
    assert await shop.house.trail("goal_decided") == []


async def test_a_decision_is_made_once_and_audited(life: Life, shop: Works) -> None:
    """With who, when, what, and what may be spent."""
    (goal,) = await shop.proposed(idea())
    decided = await life.decided(goal, budget=1.5)
    assert (decided["status"], decided["decided_by"]) == ("approved", "ada")
    assert (decided["decided_at"], decided["budget"]) == (shop.clock.now, 1.5)
    given = {"goal_id": goal["id"], "approve": False}
    assert await life.refused("goals.decide", finger("bob"), **given) == "already_decided"
    (row,) = await shop.house.trail("goal_decided")
    assert (row["user_id"], row["data"]["approve"], row["data"]["budget"]) == ("ada", True, 1.5)


@pytest.mark.parametrize("approve", [True, False])
async def test_the_same_word_of_the_same_person_is_heard_once(
    life: Life, shop: Works, approve: bool
) -> None:
    """A button that is pressed again, because nobody saw the first time arrive."""
    (goal,) = await shop.proposed(idea())
    first = await life.decided(goal, approve=approve)
    assert await life.decided(goal, approve=approve) == first
    other = {"goal_id": goal["id"], "approve": not approve}
    assert await life.refused("goals.decide", finger("ada"), **other) == "already_decided"
    assert len(await shop.house.trail("goal_decided")) == 1


async def test_the_same_word_twice_at_once_is_one_decision(life: Life, shop: Works) -> None:
    """One project comes of it."""
    (goal,) = await shop.proposed(idea())
    first, second = await asyncio.gather(life.decided(goal), life.decided(goal))
    assert first == second
    assert len(await shop.rows(tables.outcomes)) == 1
    assert len(await shop.house.trail("goal_decided")) == 1


async def test_another_budget_is_another_word(life: Life, shop: Works) -> None:
    """Whoever wants to give more hears that it is decided."""
    (goal,) = await shop.proposed(idea())
    await life.decided(goal, budget=1.0)
    more = {"goal_id": goal["id"], "approve": True, "budget": 2.0}
    assert await life.refused("goals.decide", finger("ada"), **more) == "already_decided"


async def test_of_two_who_decide_at_once_one_does(life: Life, shop: Works) -> None:
    """The other hears what became of it, and only the one is in the audit trail."""
    (goal,) = await shop.proposed(idea())
    found = await asyncio.gather(
        life.decided(goal),
        life.command("goals.decide", finger("bob"), goal_id=goal["id"], approve=False),
        return_exceptions=True,
    )
    errors = [one for one in found if isinstance(one, BaseException)]
    assert [getattr(one, "code", "") for one in errors] == ["already_decided"]
    assert len(await shop.house.trail("goal_decided")) == 1


async def test_what_is_audited_as_decided_is_decided_though_nobody_waits_for_it(
    life: Life, shop: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And told to the others, who would be asked for ever."""
    (goal,) = await shop.proposed(idea())
    step, audited, go = shop.house.gate.step, asyncio.Event(), asyncio.Event()

    async def slow(work: Any) -> Any:
        done = await step(work)
        audited.set()
        await go.wait()
        return done

    monkeypatch.setattr(shop.house.gate, "step", slow)
    deciding = life.tasks.start("deciding", life.decided(goal, approve=False))
    await audited.wait()
    deciding.cancel()
    await asyncio.wait([deciding])
    go.set()

    async def told() -> bool:
        return "rejected" in [row["status"] for name, row in life.told if name == "goal.updated"]

    await eventually(told)
    assert (await life.items("goals.list"))[0]["status"] == "rejected"


async def test_what_a_person_wants_is_told_though_nobody_waits_for_it(shop: Works) -> None:
    """What is stored is told."""
    # A life at work would write something of its own.
    life = await shop.begin(awake=False)
    stored, write = asyncio.Event(), life.database.write

    async def late(work: Any) -> Any:
        made = await write(work)
        stored.set()
        await asyncio.sleep(0)  # whoever asked is called off by then
        return made

    with pytest.MonkeyPatch.context() as once:
        once.setattr(life.database, "write", late)
        adding = life.tasks.start("adding", life.command("goals.add", title="Print lids on A"))
        await stored.wait()
        adding.cancel()
        await asyncio.wait([adding])
    (goal,) = await life.items("goals.list")
    await until(lambda: ("goal.updated", goal) in life.told, "It is told")


async def test_the_figure_before_is_kept_with_the_decision(life: Life, shop: Works) -> None:
    """Of the thirty days before it, with how many prints that were; a goal without a metric has none."""
    await shop.many((3, {"material": "PETG"}), (3, {"material": "PETG", "status": "failed"}))
    shop.clock.advance(3600)
    first, second = await shop.proposed(idea(), idea("stock:PLA", metric=None))
    await life.decided(first)
    await life.decided(second)
    (row,) = await shop.rows(tables.outcomes)
    assert (row["goal_id"], row["metric"]) == (first["id"], "print_success")
    assert (row["baseline"]["value"], row["baseline"]["n"]) == (0.5, 6)
    assert (row["result"], row["score"], row["measured_at"]) == (None, None, None)


async def test_what_was_agreed_to_is_planned_at_once(life: Life, shop: Works) -> None:
    """Without waiting for the hour of the cycle."""
    (goal,) = await shop.proposed(idea())
    await life.decided(goal)
    project = await life.project("active")
    assert (project["goal_id"], project["title"]) == (goal["id"], goal["title"])
    assert (await life.items("goals.list", status="active"))[0]["id"] == goal["id"]


async def test_a_goal_that_is_none_is_not_found(life: Life) -> None:
    """Neither to decide nor to read."""
    given = {"goal_id": "f" * 32, "approve": True}
    assert await life.refused("goals.decide", finger("ada"), **given) == "goal_not_found"


async def test_goals_come_in_pages(life: Life, shop: Works) -> None:
    """As every list."""
    await shop.proposed(*(idea(f"advice:{at}") for at in range(3)))
    first = await life.command("goals.list", limit=2)
    rest = await life.command("goals.list", cursor=first["cursor"])
    assert (len(first["items"]), len(rest["items"]), rest["cursor"]) == (2, 1, None)
