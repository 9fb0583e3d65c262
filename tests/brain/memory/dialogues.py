"""Dialogues over several days, with facts in them and questions about the facts, all made from a seed.

Like the public LoCoMo set in its form (turns, questions, the turn that has the answer), and nothing like it in
its worth: the sentences are templates. A question shares the person with its fact, seldom any other word, and
other turns of the same person share the words; so neither words nor a single name win by themselves.
"""

from collections.abc import Iterator
from dataclasses import dataclass
import random
from typing import Final

PEOPLE: Final = "Ada Ben Cleo Dana Emil Fay Gus Hana Ivo Jule Kim Liam".split()  # noqa: SIM905 - names
# What is told in one of these ways is asked for in one of those.
FACTS: Final = (
    (
        ("{who} brought a puppy home today, it is called {pet}", "{who}'s new dog answers to {pet}"),
        ("what is the name of the dog of {who}?", "how is the puppy that {who} has called?"),
    ),
    (
        ("{who} is allergic to {food}", "no {food} for {who}, that is an intolerant stomach"),
        ("which allergy does {who} have?", "what must not be in a meal that {who} eats?"),
    ),
    (
        ("{who} prefers {colour} for the bedroom walls", "{who} loves everything in {colour}"),
        ("what is the favourite color of {who}?", "which colour does {who} like best?"),
    ),
    (
        ("the birthday of {who} is on the {day}th of {month}", "{who} turned older on {month} {day}"),
        ("when is the anniversary of {who}?", "on which date do we have a party for {who}?"),
    ),
    (
        ("{who} keeps the spare screws in the {place}", "the bolts that {who} bought are in the {place}"),
        ("where are the fasteners of {who} stored?", "in which place did {who} put the screw box?"),
    ),
    (
        ("{who} has started a job at the {company}", "{who} works for the {company} now"),
        ("in which office is {who} employed?", "who is it that {who} has meetings with at work?"),
    ),
    (
        ("{who}'s car needs {number} bar in the tyres", "put {number} bar into the vehicle of {who}"),
        ("how much air does the car of {who} take?", "which pressure for {who}'s vehicle?"),
    ),
    (
        ("{who} plays {music} songs while cooking", "{music} is the music that {who} listens to"),
        ("which radio playlist does {who} enjoy?", "what kind of songs does {who} like?"),
    ),
    (
        ("{who} set the heating of the living room to {number} degrees",
         "{number} degrees is warm enough for {who} on the sofa"),
        ("what temperature does {who} want in the lounge?", "how hot does {who} like it on the couch?"),
    ),
    (
        ("{who} flies to {city} on vacation", "a trip to {city} is what {who} booked"),
        ("where does {who} go on holiday?", "what is the travel plan of {who}?"),
    ),
    (
        ("{who} takes {food} in the morning coffee", "an espresso with {food} is what {who} drinks"),
        ("what does {who} have in a hot beverage?", "how does {who} take tea or coffee?"),
    ),
    (
        ("{who} ordered {number} spools of {colour} filament", "{number} {colour} spools came for {who}"),
        ("how much plastic did {who} buy?", "what material was the purchase of {who}?"),
    ),
    (
        ("{who} repaired the {thing} with {glue}", "the broken {thing} of {who} holds with {glue}"),
        ("what did {who} mend with adhesive?", "how was the defect fixed that {who} had?"),
    ),
    (
        ("{who} waters the garden on {weekday}", "on {weekday} the plants get their water from {who}"),
        ("when does {who} run the irrigation of the lawn?", "which day are the flowers of {who} sprinkled?"),
    ),
    (
        ("{who}'s doctor is Doctor {surname}", "{who} gets the pills from Doctor {surname}"),
        ("who looks after the health of {who}?", "which hospital name does {who} trust with medicine?"),
    ),
)  # fmt: skip
CHAT: Final = (
    "{who} asked whether the printer is free",
    "{who} said that the weather is fine",
    "have you seen {who} today?",
    "{who} will come later, the bus is late",
    "let us have dinner with {who}",
    "{who} left the light on in the hall",
    "{who} laughed about the film",
    "the dog barked at {who}",
    "{who} read a book about colour",
    "{who} forgot what day it is",
    "{who} walked past the office",
    "a car stopped in front of the house of {who}",
    "{who} likes to sleep long on holidays",
    "the music of the neighbours keeps {who} awake",
    "{who} looked for the screws and gave up",
    "{who} wants to travel less and work less",
    "it was too hot for {who} in the kitchen",
    "{who} drank the last coffee",
    "{who} talked about the garden again",
    "{who} had a party with friends",
    "{who} went to the doctor for a check",
    "a purchase for {who} came by post",
    "{who} prefers not to say",
    "{who} was in the lounge all day",
)
SLOTS: Final = {
    "pet": "Rex Bella Odin Luna Fips Nala Kuno Mira",
    "food": "peanuts milk strawberries wheat honey soy shrimps celery",
    "colour": "red blue green yellow purple orange white black",
    "month": "January March April June July September October December",
    "place": "cellar attic shed drawer cupboard van suitcase basket",
    "company": "bakery harbour library museum brewery school railway theatre",
    "music": "jazz techno opera folk punk swing blues samba",
    "city": "Lisbon Oslo Vienna Riga Dublin Porto Athens Malta",
    "thing": "chair kettle drone zip lamp shelf toaster gate",
    "glue": "epoxy superglue tape resin silicone putty wax solder",
    "weekday": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday holidays",
    "surname": "Weiss Okoye Lindt Moreau Novak Silva Tanaka Ward",
    "number": "2 3 4 5 18 19 21 23",
    "day": "4 7 9 11 14 17 23 28",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question, and the places of the turns that answer it."""

    text: str
    evidence: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialogue:
    """What was said, in order, and what is asked about it."""

    turns: tuple[str, ...]
    questions: tuple[Question, ...]


def dialogues(count: int = 10, turns: int = 400, seed: int = 20261121) -> Iterator[Dialogue]:
    """Yield dialogues; the same ones for the same numbers."""
    for number in range(count):
        yield _dialogue(random.Random(f"{seed} {number}"), turns)


def _dialogue(chance: random.Random, turns: int) -> Dialogue:
    told: list[tuple[str, str | None]] = []
    for who in PEOPLE:
        for ways, asked in chance.sample(FACTS, 10):
            told.append(
                (_filled(chance, chance.choice(ways), who), chance.choice(asked).format(who=who))
            )
    while len(told) < turns:
        told.append((chance.choice(CHAT).format(who=chance.choice(PEOPLE)), None))
    chance.shuffle(told)
    texts: list[str] = []
    questions = []
    for at, (text, question) in enumerate(told):
        # The same small talk twice would be remembered once.
        texts.append(text if question is not None else f"{text}, day {at // 20}")
        if question is not None:
            questions.append(Question(text=question, evidence=frozenset({at})))
    return Dialogue(turns=tuple(texts), questions=tuple(questions))


def _filled(chance: random.Random, template: str, who: str) -> str:
    return template.format(
        who=who, **{name: chance.choice(values.split()) for name, values in SLOTS.items()}
    )
