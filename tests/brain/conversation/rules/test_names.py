"""From what a device is called to the device."""

from hypothesis import assume, given, settings, strategies as st
import pytest

from brain_server.conversation.rules import (
    Act,
    Ambiguous,
    Area,
    Here,
    Home,
    Named,
    NotFound,
    Unsupported,
    compile_home,
    understand,
)
from brain_server.protocol import Kind
from tests.brain.conversation.rules.shop import ANYWHERE, LIGHT, LOCK, POWER, PRINT

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def door(name: str, area: str | None = None, *aliases: str) -> Named:
    """Return a door whose id is its name."""
    return Named(
        id=name, name=name, kind=Kind.DOOR, aliases=aliases, area_id=area, capabilities=LOCK
    )


def power(name: str, area: str | None = None) -> Named:
    """Return a socket whose id is its name."""
    return Named(id=name, name=name, kind=Kind.POWER, area_id=area, capabilities=POWER)


def light(name: str, area: str | None = None) -> Named:
    """Return a light whose id is its name."""
    return Named(id=name, name=name, kind=Kind.LIGHT, area_id=area, capabilities=LIGHT)


AREAS = (Area(id="hall", name="Hall"), Area(id="store", name="Store room", aliases=("storage",)))


def said(text: str, *devices: Named, here: str | None = None):
    """Return what a text means in a home of these devices."""
    home = compile_home(Home(devices=devices, areas=AREAS))
    return understand(text, home, Here(area_id=here))


def done(text: str, *devices: Named, here: str | None = None) -> tuple[str, ...]:
    """Return the devices of the deed that a text means; none when it means no deed."""
    meant = said(text, *devices, here=here)
    return meant.device_ids if isinstance(meant, Act) else ()


def asked(text: str, *devices: Named, here: str | None = None) -> tuple[str, ...]:
    """Return the devices that a text makes KITTY ask about."""
    meant = said(text, *devices, here=here)
    return meant.candidates if isinstance(meant, Ambiguous) else ()


@settings(deadline=None, max_examples=200)
@given(
    data=st.data(), name=st.sampled_from(["laser", "compressor", "workshop", "cabinet", "lathe"])
)
def test_a_name_with_one_slip_is_still_found(data: st.DataObject, name: str):
    """A letter missing, doubled, wrong or swapped, in a name of five letters or more."""
    at = data.draw(st.integers(0, len(name) - 2))
    letter = data.draw(st.sampled_from(LETTERS))
    slip = data.draw(
        st.sampled_from(
            [
                name[:at] + name[at + 1 :],
                name[:at] + letter + name[at:],
                name[:at] + letter + name[at + 1 :],
                name[:at] + name[at + 1] + name[at] + name[at + 2 :],
            ]
        )
    )
    home = compile_home(Home(devices=(door(name), door("Pantry"))))
    assume(slip not in home.language.known_words)
    meant = understand(f"unlock the {slip} door", home, ANYWHERE)
    assert isinstance(meant, Act)
    assert meant.device_ids == (name,)


@pytest.mark.parametrize(
    ("spoken", "name"),
    [
        ("the font door", "Fort door"),
        ("the lift door", "Left door"),
        ("the outsid door", "Inside door"),
        ("the lathe room door", "Lather door"),
    ],
)
def test_what_is_only_similar_is_never_opened(spoken: str, name: str):
    """A short name, or two slips: KITTY asks or does not know it."""
    assert done(f"unlock {spoken}", door(name)) == ()


def test_a_weak_guess_asks_did_you_mean():
    """One letter off in a name of four letters is a question, not a deed."""
    assert asked("unlock the lift door", door("Left door"), door("Front door")) == ("Left door",)


def test_a_weak_guess_is_asked_about_even_for_light():
    """The left light may be the loft light; it may be one that KITTY does not know."""
    assert asked("turn on the lift light", light("Loft light")) == ("Loft light",)


def test_a_letter_or_a_digit_is_never_guessed():
    """Laser B is not Laser A, and printer 3 is not printer 2."""
    assert done("turn on laser b", power("Laser A")) == ()
    assert done("turn on laser 3", power("Laser 2")) == ()


def test_two_names_as_near_as_each_other_are_asked_about():
    """The slip fits both, so neither is taken."""
    assert asked("turn on the sanden", power("Sander"), power("Sanded")) == ("Sander", "Sanded")


def test_a_word_that_the_home_knows_is_not_a_slip_for_another():
    """The right door is not the light door."""
    assert done("unlock the light door", door("Right door")) == ()


def test_the_whole_name_wins_over_part_of_another():
    """Laser is the laser, though there is a Laser light."""
    assert done("turn on the laser", power("Laser"), light("Laser light")) == ("Laser",)


def test_half_a_name_is_asked_about_before_a_hazard():
    """The table may be the table saw, and may be not."""
    assert asked("turn on the table", power("Table saw")) == ("Table saw",)
    assert done("turn off the table", power("Table saw")) == ("Table saw",)
    assert done("turn on the saw", power("Table saw")) == ("Table saw",)


def test_part_of_the_name_of_a_printer_is_enough():
    """People call a Prusa MK4 the Prusa, and the MK4."""
    printer = Named(
        id="p", name="Prusa MK4", kind=Kind.PRINTER, capabilities=PRINT, files=("a.gcode",)
    )
    home = compile_home(Home(devices=(printer,)))
    assert understand("resume the prusa", home, ANYWHERE).device_ids == ("p",)
    assert understand("resume the mk4", home, ANYWHERE).device_ids == ("p",)


def test_the_room_decides_between_equal_names():
    """Two side doors: the one of this room, the one of the room that is named, or a question."""
    doors = (door("Hall side door", "hall"), door("Store side door", "store"))
    assert done("unlock the side door", *doors, here="hall") == ("Hall side door",)
    assert done("unlock the side door in the storage", *doors) == ("Store side door",)
    assert asked("unlock the side door", *doors) == ("Hall side door", "Store side door")


def test_the_only_door_is_the_door():
    """With one door, or one in this room, no name is needed."""
    assert done("unlock the door", door("Main", "store")) == ("Main",)
    assert done("unlock it", door("Main", "store")) == ("Main",)
    pair = (door("Main", "store"), door("Side", "hall"))
    assert done("unlock the door", *pair, here="store") == ("Main",)
    assert asked("unlock the door", *pair) == ("Main", "Side")


def test_a_place_is_no_name_for_what_could_harm():
    """Turn on the hall is a wish for light; it switches no machine."""
    assert done("turn on the hall", power("Drill", "hall"), light("Ceiling", "hall")) == (
        "Ceiling",
    )
    assert done("turn on the hall", power("Drill", "hall")) == ()


def test_a_name_of_several_words_may_be_run_together_or_apart():
    """As speech recognition and thumbs write it."""
    assert done("turn on the drillpress", power("Drill press")) == ("Drill press",)
    assert done("turn on the drill press", power("Drillpress")) == ("Drillpress",)
    assert done("turn on saw two", power("Saw 2"), power("Saw 1")) == ("Saw 2",)


def test_accents_and_case_do_not_matter():
    """Names are compared without them."""
    assert done("unlock the cafe door", door("Café door")) == ("Café door",)
    assert done("UNLOCK THE CAFÉ DOOR", door("cafe door")) == ("cafe door",)


def test_a_name_in_another_script_is_a_name():
    """Only the sentence around it is English."""
    assert done("unlock Склад", door("Склад")) == ("Склад",)


def test_the_article_of_a_name_is_not_needed():
    """The Beast is a beast."""
    assert done("turn on the beast", power("The Beast")) == ("The Beast",)


def test_aliases_are_names():
    """By any of them."""
    assert done("unlock the man cave", door("Door 7", None, "man cave")) == ("Door 7",)


def test_a_device_of_another_kind_is_named_as_such():
    """It is there, and it cannot be unlocked; a longer name that only begins like it is not taken."""
    laser, room = power("Laser"), door("Laser room")
    assert said("unlock the laser", laser) == Unsupported(intent="unlock", device_id="Laser")
    assert said("unlock the laser", laser, room) == Unsupported(intent="unlock", device_id="Laser")


def test_what_the_device_cannot_do_is_said():
    """A door without a lock."""
    gate = Named(id="gate", name="Yard gate", kind=Kind.DOOR, capabilities=frozenset({"open"}))
    assert said("lock the yard gate", gate) == Unsupported(intent="lock", device_id="gate")
    assert done("open the yard gate", gate) == ("gate",)


def test_what_one_of_a_list_cannot_do_is_said():
    """Before anything is done to the other."""
    gate = Named(id="gate", name="Yard gate", kind=Kind.DOOR, capabilities=frozenset({"open"}))
    assert said("lock the yard gate and the front door", gate, door("Front")) == Unsupported(
        intent="lock", device_id="gate"
    )


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("print cup on the ender", "print_start"),
        ("heat the ender bed to 60", "heat"),
        ("resume the ender", "print_resume"),
    ],
)
def test_a_printer_that_only_watches_cannot_be_told(text: str, intent: str):
    """It has no such capability."""
    ender = Named(id="ender", name="Ender", kind=Kind.PRINTER)
    assert said(text, ender) == Unsupported(intent=intent, device_id="ender")


def test_a_deed_for_all_skips_what_cannot_do_it():
    """All doors that have a lock."""
    gate = Named(id="gate", name="Yard gate", kind=Kind.DOOR, capabilities=frozenset({"open"}))
    assert done("lock all doors", gate, door("Front"), door("Back")) == ("Front", "Back")


def test_an_unknown_name_is_given_back():
    """As it was said, for the answer."""
    assert said("unlock the secret vault", door("Front")) == NotFound(
        what="device", name="secret vault"
    )


def test_lock_up_means_the_room_that_is_named_or_the_house():
    """All its doors."""
    doors = (door("Main", "hall"), door("Side", "hall"), door("Back", "store"))
    assert done("lock up the hall", *doors) == ("Main", "Side")
    assert done("lock up", *doors, here="store") == ("Main", "Side", "Back")
    assert done("lock up the back", *doors) == ("Back",)


def test_both_means_two():
    """With three doors, KITTY asks which two."""
    doors = (door("Main", "hall"), door("Side", "hall"), door("Back", "hall"))
    assert asked("lock both doors", *doors) == ("Main", "Side", "Back")
    assert done("lock both doors", *doors[:2]) == ("Main", "Side")


def test_everything_in_a_room_is_of_the_kind_of_the_verb():
    """Lock everything in the hall: its doors."""
    doors = (door("Main", "hall"), door("Side", "hall"), door("Back", "store"))
    assert done("lock everything in the hall", *doors) == ("Main", "Side")


def test_here_is_this_room():
    """And nothing where it is not known which room this is."""
    doors = (door("Main", "hall"), door("Side", "store"))
    assert done("lock the door in here", *doors, here="store") == ("Side",)
    assert done("lock the door in this room", *doors) == ()
    assert done("lock the door in this room", door("Gate"), *doors) == ()
