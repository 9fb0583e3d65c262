"""What exactly is understood: parameters, choices, topics, times."""

import pytest

from brain_server.conversation.rules import (
    Act,
    Ambiguous,
    AskAudit,
    BadValue,
    Chosen,
    Here,
    Home,
    Named,
    NeedsModel,
    NotFound,
    Status,
    compile_home,
    understand,
)
from brain_server.protocol import INTENTS, Kind, invalid_params
from tests.brain.conversation.rules.cases import cases, describe
from tests.brain.conversation.rules.shop import ANYWHERE, ASKED, HOME, PRINT, SHOP, WORKSHOP


def said(text: str, here: Here = ANYWHERE):
    """Return what a text means in the shop."""
    return understand(text, SHOP, here)


def test_an_exact_name_is_certain_and_a_slip_less_so():
    """The confidence falls with what had to be guessed."""
    texts = ("turn on the laser cutter", "turn on the laser power", "turn on the lazer")
    levels = [said(text).confidence for text in texts]
    assert levels == sorted(levels, reverse=True)
    assert levels[0] == 1.0
    assert len(set(levels)) == 3


def test_every_deed_is_one_that_its_device_accepts():
    """Intents, kinds, capabilities and parameters of all commands hold at the gate."""
    devices = {device.id: device for device in HOME.devices}
    acts = [understand(case.sentence, SHOP, case.here) for case in cases("commands.txt")]
    acts = [found for found in acts if isinstance(found, Act)]
    assert all(
        found.intent in devices[id_].capabilities for found in acts for id_ in found.device_ids
    )
    assert all(invalid_params(found.intent, found.params) == {} for found in acts)


def test_a_question_which_carries_complete_deeds():
    """So that the answer needs no second understanding."""
    meant = said("open the door", WORKSHOP)
    assert meant == Ambiguous(
        intent="unlock",
        candidates=("workshop_door", "cabinet"),
        choices=(
            Act(intent="unlock", device_ids=("workshop_door",), confidence=0.9),
            Act(intent="unlock", device_ids=("cabinet",), confidence=0.9),
        ),
    )


def test_a_file_that_is_not_clear_is_asked_for_by_name():
    """The candidates are the files then."""
    meant = said("print the hinge")
    assert isinstance(meant, Ambiguous)
    assert meant.candidates == ("parts/hinge_left.gcode", "parts/hinge_right.gcode")
    assert [choice.params["file"] for choice in meant.choices] == [*meant.candidates]


def test_a_start_without_a_file_offers_the_first_few():
    """No more than a person can choose from."""
    files = tuple(f"part {index}.gcode" for index in range(50))
    printer = Named(id="p", name="Ender", kind=Kind.PRINTER, capabilities=PRINT, files=files)
    meant = understand("start the print", compile_home(Home(devices=(printer,))), ANYWHERE)
    assert isinstance(meant, Ambiguous)
    assert meant.candidates == files[:8]


def silent(name: str, area: str | None = None) -> Named:
    """Return a printer that does not tell its files."""
    return Named(id=name, name=name, kind=Kind.PRINTER, area_id=area, capabilities=PRINT)


def test_a_printer_that_does_not_tell_its_files_takes_the_words():
    """As they were written, with less confidence; never words that are no name."""
    home = compile_home(Home(devices=(silent("Ender"),)))
    meant = understand("print the Big Bracket on the ender", home, ANYWHERE)
    assert meant == Act(
        intent="print_start",
        device_ids=("Ender",),
        params={"file": "Big Bracket"},
        confidence=0.7,
    )
    assert describe(understand("print me a poem on the ender", home, ANYWHERE)) == "model"
    assert describe(understand("print what I said on the ender", home, ANYWHERE)) == "model"


def test_without_a_printer_words_are_no_file_unless_they_end_like_one():
    """Print money is no print."""
    home = compile_home(Home(devices=(silent("Ender"),)))
    assert understand("print money", home, ANYWHERE) == NotFound(what="file", name="money")
    assert understand("print Big.gcode", home, ANYWHERE).params == {"file": "Big.gcode"}


def test_a_start_without_a_file_is_answered_with_which_file():
    """Where the files are not known either."""
    home = compile_home(Home(devices=(silent("Ender"),)))
    nameless = NotFound(what="file", name="")
    assert understand("start the print", home, ANYWHERE) == nameless
    assert understand("start the ender", home, ANYWHERE) == nameless
    assert understand("start printing on the ender", home, ANYWHERE) == nameless


def test_the_printer_that_has_the_file_is_taken():
    """Nobody has to name it; with the file on both, the room decides, or KITTY asks."""
    one = Named(
        id="one",
        name="One",
        kind=Kind.PRINTER,
        capabilities=PRINT,
        files=("cup.gcode", "pot.gcode"),
    )
    two = Named(
        id="two",
        name="Two",
        kind=Kind.PRINTER,
        area_id="workshop",
        capabilities=PRINT,
        files=("pot.gcode",),
    )
    home = compile_home(Home(devices=(one, two)))
    assert understand("print the cup", home, ANYWHERE).device_ids == ("one",)
    assert understand("print the pot", home, WORKSHOP).device_ids == ("two",)
    assert understand("print the pot", home, ANYWHERE).candidates == ("one", "two")


@pytest.mark.parametrize(
    ("spoken", "file"),
    [
        ("bracket", "bracket.gcode"),
        ("bracket.gcode", "bracket.gcode"),
        ("bracket gcode", "bracket.gcode"),
        ("bracket file", "bracket.gcode"),
        ("braket", "bracket.gcode"),
        ("bracket v2", "bracket_v2.gcode"),
        ("bracket v 2", "bracket_v2.gcode"),
        ("bracket version 2", "bracket_v2.gcode"),
        ("phone stand", "phone-stand_0.2mm_PLA.gcode"),
        ("phonestand", None),
        ("stand", "phone-stand_0.2mm_PLA.gcode"),
        ("gear 20t", "gear 20T.gcode"),
        ("twenty", None),
        ("_", None),
        ("hinge left", "parts/hinge_left.gcode"),
        ("parts hinge left", "parts/hinge_left.gcode"),
        ("parts/hinge_left.gcode", "parts/hinge_left.gcode"),
    ],
)
def test_a_file_is_found_by_how_people_say_it(spoken: str, file: str | None):
    """Without ending, folder, capitals and underscores."""
    meant = said(f"print {spoken} on the mk3")
    found = meant.params["file"] if isinstance(meant, Act) else None
    assert found == file


def test_a_word_that_is_both_a_machine_and_a_file_is_asked_about():
    """Start the gear: the motor, or the print."""
    devices = (
        Named(id="motor", name="Gear", kind=Kind.POWER, capabilities=frozenset({"power_on"})),
        Named(id="p", name="Ender", kind=Kind.PRINTER, capabilities=PRINT, files=("gear.gcode",)),
    )
    meant = understand("start the gear", compile_home(Home(devices=devices)), ANYWHERE)
    assert isinstance(meant, Ambiguous)
    assert meant.intent is None
    assert [choice.intent for choice in meant.choices] == ["power_on", "print_start"]


def test_a_misspelt_part_of_a_file_name_is_asked_about():
    """A slip and a missing rest together are a guess."""
    meant = said("print the stabd on the mk3")
    assert isinstance(meant, Ambiguous)
    assert meant.choices[0].params == {"file": "phone-stand_0.2mm_PLA.gcode"}


@pytest.mark.parametrize(
    ("spoken", "celsius"),
    [
        ("60", 60),
        ("60.5", 60.5),
        ("60 degrees", 60),
        ("60°", 60),
        ("60 °C", 60),
        ("60c", 60),
        ("sixty", 60),
        ("sixty five", 65),
        ("fifteen", 15),
        ("a hundred", 100),
        ("a hundred and five", 105),
        ("one hundred and five", 105),
        ("zero", 0),
    ],
)
def test_temperatures_are_read_in_digits_and_words(spoken: str, celsius: float):
    """In degrees Celsius."""
    assert said(f"heat the mk3 bed to {spoken}").params == {"bed": celsius}


@pytest.mark.parametrize(
    "spoken",
    [
        "-5",
        "minus five",
        "60 fahrenheit",
        "140°F",
        "60 70",
        "sixty sixty",
        "five sixty",
        "a",
        "a two hundred",
        "one hundred zero",
        "one hundred and",
        "hundred",
        "ten hundred",
        "lots",
        "60 percent",
    ],
)
def test_what_is_no_temperature_is_not_guessed(spoken: str):
    """It is left to a model."""
    assert isinstance(said(f"heat the mk3 bed to {spoken}"), NeedsModel)


def test_a_temperature_out_of_bounds_is_refused_with_its_bounds():
    """By part."""
    assert said("heat the mk3 bed to 200") == BadValue(
        intent="heat", device_id="mk3", wrong={"bed": "must be between 0 and 150"}
    )


def test_one_part_has_one_temperature():
    """Two for the bed are a contradiction."""
    assert isinstance(said("heat the bed to 60 and the bed to 70"), NeedsModel)


@pytest.mark.parametrize(
    ("text", "topic"),
    [
        ("is the mk3 printing", "progress"),
        ("how long is left on the mk3", "remaining"),
        ("what is the bed temperature of the mk3", "temperature"),
        ("how is the mk3 doing", "state"),
    ],
)
def test_a_question_has_a_topic(text: str, topic: str):
    """So that the answer can be to the point."""
    assert said(text) == Status(device_ids=("mk3",), topic=topic)


MORNING = Here(second_of_day=36_000)


@pytest.mark.parametrize(
    ("period", "here", "since", "until"),
    [
        ("today", MORNING, 36_000, None),
        ("today", ANYWHERE, 86_400, None),
        ("yesterday", MORNING, 122_400, 36_000),
        ("since yesterday", MORNING, 122_400, None),
        ("last night", MORNING, 57_600, None),
        ("this week", MORNING, 604_800, None),
        ("in the last hour", MORNING, 3600, None),
        ("in the last 90 minutes", MORNING, 5400, None),
        ("in the past two days", MORNING, 172_800, None),
        ("last week", MORNING, 1_209_600, 604_800),
    ],
)
def test_a_period_is_seconds_before_now(period: str, here: Here, since: int, until: int | None):
    """Days begin at local midnight where the time of day is known."""
    assert said(f"what happened {period}", here) == AskAudit(
        question="what", since=since, until=until
    )


@pytest.mark.parametrize("period", ["in the last", "in the last five", "two days", "next week"])
def test_what_is_no_period_is_not_guessed(period: str):
    """It is left to a model."""
    assert isinstance(said(f"what happened {period}"), NeedsModel)


def test_who_opened_a_door_that_cannot_be_opened_means_unlocked():
    """The record has the deed under the name that the device has for it."""
    assert said("who opened the front door").intent == "unlock"
    assert said("who opened the garage door").intent == "open"


def test_a_person_may_be_named_in_part_and_with_a_slip():
    """Anna is Anna Larsen; two Bens are nobody in particular."""
    assert said("what did larsen do").person_id == "anna"
    assert said("what did anna larsen do").person_id == "anna"
    assert said("what did prija do").person_id == "priya"
    assert said("what did nobody do") == NeedsModel(reason="negation")


def test_an_unknown_person_is_given_back():
    """As it was said."""
    assert said("what did bob do") == NotFound(what="person", name="bob")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("don't unlock the door", "negation"),
        ("unlock the door if it rains", "condition"),
        ("unlock the door at noon", "time"),
        ("unlock the door then go", "steps"),
        ("he said unlock the door", "speech"),
        ("unlock the front door?", "question"),
        ("unlock the front door 😀", "signs"),
        ('"unlock the front door"', "quoted"),
        ("turn off everything", "several kinds"),
        ("x" * 301, "too long"),
        ("go " * 40, "too long"),
        ("", "empty"),
        ("please kitty", "empty"),
        ("make me a sandwich", "unknown"),
    ],
)
def test_the_reason_for_a_model_is_told(text: str, reason: str):
    """For the log."""
    assert said(text) == NeedsModel(reason=reason)


DOORS = Here(candidates=("front_door", "garage_door", "workshop_door"))


@pytest.mark.parametrize(
    ("answer", "chosen"),
    [
        ("the front door", "front_door"),
        ("front door please", "front_door"),
        ("the front one", "front_door"),
        ("front", "front_door"),
        ("the first", "front_door"),
        ("the first one", "front_door"),
        ("1", "front_door"),
        ("number two", "garage_door"),
        ("the second one", "garage_door"),
        ("garage", "garage_door"),
        ("the one in the garage", "garage_door"),
        ("I meant the garage door", "garage_door"),
        ("the garrage door", "garage_door"),
        ("the last one", "workshop_door"),
        ("the third", "workshop_door"),
        ("shop door", "workshop_door"),
    ],
)
def test_an_answer_picks_one_of_the_offered(answer: str, chosen: str):
    """By name, by place in the list, by room."""
    assert said(answer, DOORS) == Chosen(candidates=(chosen,))


@pytest.mark.parametrize(
    "answer",
    [
        "the cabinet",
        "the fourth",
        "0",
        "both",
        "all of them",
        "yes",
        "not the front door",
        "maybe",
        "the front or the garage",
        "front door?",
        "the door",
        "it",
        "the back door",
        "",
        "99999999999",
    ],
)
def test_an_answer_that_picks_none_chooses_nothing(answer: str):
    """What is not offered, not clear, several or denied."""
    assert not isinstance(said(answer, DOORS), Chosen | Act)


def test_several_may_be_chosen_where_the_question_allows_it():
    """Both and all are answers then."""
    offered = Here(candidates=("front_door", "garage_door"), several=True)
    assert said("both", offered) == Chosen(candidates=("front_door", "garage_door"))


def test_a_file_is_chosen_by_its_words():
    """Candidates that are no devices are files."""
    offered = Here(candidates=("parts/hinge_left.gcode", "parts/hinge_right.gcode"))
    assert said("the left one", offered) == Chosen(candidates=("parts/hinge_left.gcode",))
    assert said("hinge right", offered) == Chosen(candidates=("parts/hinge_right.gcode",))
    assert said("the second", offered) == Chosen(candidates=("parts/hinge_right.gcode",))


def test_yes_to_did_you_mean_is_the_one_choice():
    """With one candidate and nothing else open."""
    assert said("yes", Here(candidates=("saw",))) == Chosen(candidates=("saw",))


@pytest.mark.parametrize("answer", ["neither", "none of them", "cancel", "never mind", "no"])
def test_a_choice_can_be_declined(answer: str):
    """Then nothing is done."""
    assert describe(said(answer, DOORS)) == "cancel"


def test_a_guess_or_a_negation_is_no_answer():
    """Two slips are too many, and a name that begins with no may be a no."""
    assert not isinstance(said("the frunk door", DOORS), Chosen)
    doors = (
        Named(id="no", name="No entry", kind=Kind.DOOR),
        Named(id="main", name="Main", kind=Kind.DOOR),
    )
    home = compile_home(Home(devices=doors))
    offered = Here(candidates=("no", "main"))
    assert not isinstance(understand("no entry", home, offered), Chosen)


def test_a_new_command_is_no_answer():
    """It is understood as itself."""
    assert describe(said("unlock the cabinet", DOORS)) == "act unlock cabinet"
    assert describe(said("lock the front door", ASKED)) == "act lock front_door"


def test_a_home_without_devices_still_answers():
    """Questions about nothing are no error."""
    empty = compile_home(Home())
    texts = ("status", "is anything printing", "unlock the door", "lock up", "unlock", "help")
    found = [describe(understand(text, empty, ANYWHERE)) for text in texts]
    assert found == ["status", "model", "notfound", "model", "model", "help"]


def test_every_intent_but_raw_code_can_be_said():
    """G-code is not for talking."""
    acts = [understand(case.sentence, SHOP, case.here) for case in cases("commands.txt")]
    intents = {found.intent for found in acts if isinstance(found, Act)}
    assert intents == set(INTENTS) - {"gcode"}
