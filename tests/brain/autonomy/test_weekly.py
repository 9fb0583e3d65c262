"""The weekly cycle: what the rows of this house suggest, proposed once; looked up within what may be spent."""

import pytest

from brain_server.autonomy.ideas import Seen, find, question
from brain_server.errors import Unavailable
from brain_server.fabrication.outcomes import Outcome
from brain_server.protocol import Json
from brain_server.storage import tables
from brain_server.storage.tables import new_id
from tests.brain.autonomy.works import DAY, Life, Works, finger, idea
from tests.brain.fabrication.prints import NAMES, A, B
from tests.brain.overtaken import overtaken

CYCLE = "weekly_research_cycle"
NOW = 1_900_000_000.0


def found(**seen: object) -> list[str]:
    """Return the titles of what the rules find."""
    return [one.title for one in find(Seen(**seen), NAMES.get, NOW)]  # type: ignore[arg-type]  # by their names


def advice(code: str, **more: object) -> Json:
    """Return a piece of advice."""
    return {"id": "1" * 32, "code": code, "device_id": B, "text": "As counts show.", **more}


def outcome(*reasons: str, ago: float = DAY, device_id: str = A) -> Outcome:
    """Return a print that failed."""
    return Outcome(
        job_id=new_id(),
        device_id=device_id,
        material="PLA",
        artifact_id=None,
        file="x.gcode",
        good=False,
        reasons=reasons,
        ended_at=NOW - ago,
        took=None,
        estimated=None,
    )


# -- the rules ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "title"),
    [
        (
            advice("prefer_printer", material="PETG", other_device_id=A),
            "Print PETG on A rather than on B",
        ),
        (advice("material_fails", material="PETG"), "Look at the settings for PETG on B"),
        (
            advice("file_fails", device_id=None, artifact_id="f" * 32, file="vase.gcode"),
            "Slice vase.gcode anew or change its model",
        ),
        (advice("trouble_since", trouble="stringing"), "On B: dry the filament"),
        (advice("estimate_off"), "Correct the time estimates of B"),
    ],
)
def test_advice_becomes_a_goal(one: Json, title: str) -> None:
    """In the words of something to do."""
    assert found(advice=[one]) == [title]


def test_what_a_comparison_of_printers_is_about_is_the_material() -> None:
    """On whichever of them it is printed."""
    (idea,) = find(
        Seen(advice=[advice("prefer_printer", material="PETG", other_device_id=A)]), NAMES.get, NOW
    )
    assert "device_id" not in idea.about
    assert (idea.about["material"], idea.metric) == ("PETG", "print_success")


def test_three_prints_of_one_printer_with_one_reason_are_a_goal() -> None:
    """Not two, not of two printers, not long ago, not of a printer that is gone."""
    assert found(outcomes=[outcome("warping")] * 3) == [
        "Find out why prints on A fail with warping"
    ]
    assert found(outcomes=[outcome("warping")] * 2) == []
    assert found(outcomes=[outcome("warping")] * 2 + [outcome("warping", device_id=B)]) == []
    assert found(outcomes=[outcome("warping", ago=31 * DAY)] * 3) == []
    assert found(outcomes=[outcome("warping", device_id="gone")] * 3) == []


def test_what_advice_tells_already_is_told_once() -> None:
    """A trouble that advice names is no cluster besides."""
    trouble = advice("trouble_since", trouble="first_layer", device_id=A)
    seen = [outcome("warping")] * 3
    assert found(advice=[trouble], outcomes=seen) == ["On A: clean the bed and level it"]


def test_what_runs_short_again_and_again_is_a_goal() -> None:
    """Three times in three months."""
    assert found(shortages=["PLA", "PETG", "PLA", "PLA"]) == ["Keep more PLA in stock"]


def test_what_is_unwell_for_days_is_a_goal() -> None:
    """Three of the last seven checks; a check without problems counts, too."""
    bad = {"problems": [{"key": "part:memory", "text": "memory: slow"}]}
    good: Json = {"problems": []}
    assert found(checks=[bad, good, bad, good, bad]) == ["Look into it: memory: slow"]
    assert found(checks=[bad, good, bad]) == []
    assert found(checks=[good] * 7 + [bad] * 3) == []


def test_a_printer_that_is_in_trouble_often_is_a_goal() -> None:
    """The same trouble in six looks of a week; not of a printer that is gone."""
    bad = {"problems": [{"device_id": A, "code": "left_heated"}]}
    gone = {"problems": [{"device_id": "gone", "code": "offline"}]}
    assert found(fleet=[bad] * 6 + [gone] * 6) == ["Look at A: left heated"]
    assert found(fleet=[bad] * 5) == []


@pytest.mark.parametrize(
    ("figure", "titles"),
    [
        ({"value": 0.25, "n": 12}, ["Waste less filament"]),
        ({"value": 0.1, "n": 12}, []),
        ({"value": 0.25, "n": 9}, []),
        ({"value": None, "n": 3}, []),
        (None, []),
    ],
)
def test_much_waste_is_a_goal(figure: Json | None, titles: list[str]) -> None:
    """A fifth of ten prints and more."""
    assert found(waste=figure) == titles


def test_a_question_to_the_world_names_nothing_of_the_house() -> None:
    """No device, no file, no person."""
    trouble = {"code": "trouble_since", "trouble": "stringing", "device_id": B, "material": "PETG"}
    asked = [
        question(about)
        for about in (
            trouble,
            {"code": "failures", "reason": "layer_shift", "device_id": A},
            {"code": "material_fails", "material": "PETG", "device_id": B},
            {"code": "waste"},
            {"code": "health", "problem": "part:memory"},
            {},
        )
    ]
    assert asked == [
        "3D printing: prints have strings with PETG. What are the causes and the remedies?",
        "3D printing: layer shift. What are the causes and the remedies?",
        "3D printing: which settings make prints of PETG succeed?",
        "3D printing: how is less filament wasted on failed prints?",
        None,
        None,
    ]


# -- the cycle ----------------------------------------------------------------------------------------


async def trouble(shop: Works, material: str = "PETG") -> None:
    """Let prints fail so that there is one more piece of advice."""
    bad = {"device_id": B, "material": material, "status": "failed"}
    await shop.printer(A)
    await shop.printer(B)
    good = {"device_id": A, "material": material}
    await shop.many((8, bad), (2, bad | {"status": "completed"}), (12, good))
    shop.clock.advance(7200)


async def test_what_is_found_waits_for_people_who_are_told(life: Life, shop: Works) -> None:
    """One idea comes with its buttons."""
    await trouble(shop)
    made = await life.result(CYCLE)
    (goal,) = await life.items("goals.list")
    assert made == {"found": 1, "proposed": [goal["id"]], "could_not": NO_SEARCH}
    assert (goal["status"], goal["title"]) == ("identified", "Print PETG on A rather than on B")
    (told,) = await shop.rows(tables.notifications)
    assert told["message"].startswith("Print PETG on A rather than on B. PETG on B: 8 of 10 failed")
    assert [(one["command"], one["params"]["approve"]) for one in told["actions"]] == [
        ("goals.decide", True),
        ("goals.decide", False),
    ]
    assert (await life.result(CYCLE))["proposed"] == []
    assert await life.items("projects.list") == []


async def test_an_idea_that_is_decided_at_once_is_not_told_as_new_afterwards(shop: Works) -> None:
    """The word that came last is told last."""
    asleep = await shop.begin(awake=False)
    (goal,) = await shop.proposed(idea("advice:1"))
    await overtaken(
        asleep.database,
        lambda: asleep.autonomy.goals.tell([goal["id"]]),
        lambda: asleep.command("goals.decide", finger("ada"), goal_id=goal["id"], approve=False),
    )
    told = [row["status"] for name, row in asleep.told if name == "goal.updated"]
    assert told[-2:] == ["identified", "rejected"]


NO_SEARCH = [{"what": "research", "code": "search_not_configured"}]


async def test_of_several_ideas_people_hear_once(life: Life, shop: Works) -> None:
    """With how many they are."""
    await trouble(shop)
    await shop.ran_short("PLA", 3)
    await life.result(CYCLE)
    assert await shop.messages() == ["2 ideas wait for your decision."]
    assert (await shop.rows(tables.notifications))[0]["actions"] == []


async def test_a_week_in_which_nothing_is_found_is_quiet(life: Life, shop: Works) -> None:
    """No empty word."""
    assert await life.result(CYCLE) == {"found": 0, "proposed": [], "could_not": []}
    assert await shop.messages() == []


async def test_what_was_found_is_looked_up_within_the_budget(shop: Works) -> None:
    """The goal carries the research; the whole may cost no more than what was set."""
    await trouble(shop)
    life = await shop.begin(research=True, weekly_budget=0.5)
    await life.result(CYCLE)
    (goal,) = await life.items("goals.list")
    assert shop.questions == [("3D printing: which settings make prints of PETG succeed?", 500_000)]
    assert goal["research_id"] == (await shop.rows(tables.researches))[0]["id"]


async def test_a_week_has_one_budget_however_often_it_is_looked_at(shop: Works) -> None:
    """Whoever runs the cycle again by hand spends nothing more; the next week may spend again."""
    await trouble(shop)
    life = await shop.begin(research=True, weekly_budget=0.5)
    await life.by_hand()
    await life.result(CYCLE)
    await trouble(shop, material="ABS")
    await life.result(CYCLE)
    shop.clock.advance(7 * DAY)
    await trouble(shop, material="ASA")
    await life.result(CYCLE)
    assert [budget for _, budget in shop.questions] == [500_000, 0, 500_000]


async def test_only_so_many_ideas_come_in_one_week(life: Life, shop: Works) -> None:
    """However often it is looked for them, and however fast people decide."""
    first = await shop.proposed(*(idea(f"a:{number}") for number in range(4)))
    for goal in first:
        await life.decided(goal, approve=False)
    second = await shop.proposed(*(idea(f"b:{number}") for number in range(4)))
    shop.clock.advance(7 * DAY)
    third = await shop.proposed(*(idea(f"c:{number}") for number in range(9)))
    assert [len(made) for made in (first, second, third)] == [4, 1, 5]


async def test_what_is_rejected_meanwhile_is_not_looked_up(shop: Works) -> None:
    """People have heard of it by then."""
    await trouble(shop)
    await trouble(shop, material="ABS")
    life = await shop.begin(research=True, weekly_budget=0.5)

    async def reject() -> None:
        for goal in await life.items("goals.list"):
            await life.decided(goal, approve=False)

    shop.meanwhile = reject
    made = await life.result(CYCLE)
    assert (len(made["proposed"]), len(shop.questions)) == (2, 1)


async def test_without_a_budget_it_is_looked_up_for_nothing(shop: Works) -> None:
    """Money is spent only where somebody said so."""
    await trouble(shop)
    life = await shop.begin(research=True)
    await life.result(CYCLE)
    assert [budget for _, budget in shop.questions] == [0]


async def test_what_cannot_be_looked_up_is_said(shop: Works) -> None:
    """And the idea is proposed all the same."""
    await trouble(shop)
    shop.trouble = Unavailable("capability_off", "Research is switched off")
    life = await shop.begin(research=True)
    made = await life.result(CYCLE)
    assert [one["code"] for one in made["could_not"]] == ["capability_off"]
    assert len(made["proposed"]) == 1


async def test_a_week_is_looked_up_once_however_often_it_is_tried(shop: Works) -> None:
    """A crash between the goals and their research loses neither."""
    await trouble(shop)
    life = await shop.begin(research=True)
    goals = life.autonomy.goals
    tell, failed = goals.tell, []

    async def breaks(ids: list[str]) -> list[Json]:
        if not failed:
            failed.append(ids)
            raise Unavailable("database_busy", "Busy")
        return await tell(ids)

    goals.tell = breaks  # type: ignore[method-assign,assignment]  # the test puts its own in its place
    asked = await life.command("schedule.run", name=CYCLE)

    async def over() -> None:
        while (await life.command("work.get", work_id=asked["work_id"]))["status"] != "completed":
            shop.clock.advance(60)

    await over()
    assert len(failed) == 1
    assert len(shop.questions) == 1
    assert (await life.items("goals.list"))[0]["research_id"] is not None


async def test_a_research_of_a_goal_is_not_done_twice(shop: Works) -> None:
    """The rule's plan leaves it out where it was done."""
    await trouble(shop)
    life = await shop.begin(research=True, weekly_budget=0.5)
    await life.result(CYCLE)
    (goal,) = await life.items("goals.list")
    await life.decided(goal, budget=1.0)
    await life.task(1, "pending", "waiting")
    assert {one["kind"] for one in await life.items("tasks.list")} == {"measure", "remind"}


async def test_a_goal_that_may_be_looked_up_is(shop: Works) -> None:
    """Where nobody did before, and money was given."""
    await trouble(shop)
    life = await shop.begin()
    await life.result(CYCLE)
    (goal,) = await life.items("goals.list")
    again = await shop.begin(research=True, apart=True)
    await life.stop()
    await again.decided(goal, budget=1.0)
    await again.task(2, "pending", "waiting")
    kinds = [one["kind"] for one in await again.items("tasks.list")]
    assert kinds == ["measure", "research", "remind"]
    assert goal["research_id"] is None


async def test_a_goal_that_somebody_rejected_makes_nothing(life: Life, shop: Works) -> None:
    """No project, no task."""
    await trouble(shop)
    await life.result(CYCLE)
    (goal,) = await life.items("goals.list")
    await life.decided(goal, approve=False)
    assert (await life.result("project_generation_cycle"))["projects"] == []
    assert await life.items("projects.list") == []
