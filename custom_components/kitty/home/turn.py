"""One sentence with everything that is needed to understand it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from homeassistant.auth.models import User
from homeassistant.auth.permissions.const import POLICY_READ
from homeassistant.core import HomeAssistant

from custom_components.kitty.assent import agrees, declines

from .act import able_domains
from .agenda import Agenda
from .builtin import Said
from .commands import Commands
from .house import House, class_of, is_risky
from .lexicon import Action, Lexicon, Value, ValueKind
from .memory import Pending, Turn as Before
from .parse import Order, orders
from .questions import Questions, Reply
from .resolve import SECURES, Outcome, Resolution, Resolver, Scope
from .sky import Sky
from .targets import Matcher, Mention, best_of, mention_of
from .words import plain, similar, spell

# A sentence as long as this answers no question; it is one of its own.
LONGEST_ANSWER: Final = 6
SURE: Final = 1.0
# A shape with a higher penalty has no verb of its own.
WITH_A_VERB: Final = 0.06
# A shape with at most this penalty begins with its verb.
WITH_A_VERB_SAID: Final = 0.03
# "The window is open" has no fewer words before an order.
SHORTEST_CONDITION: Final = 3
# What is done to things that are named.
_HANDLED: Final = frozenset(
    {
        Action.TURN_ON,
        Action.TURN_OFF,
        Action.TOGGLE,
        Action.OPEN,
        Action.CLOSE,
        Action.SET,
        Action.UP,
        Action.DOWN,
        Action.START,
        Action.STOP,
    }
)
_WORDS_ONLY: Final = frozenset({Action.ADD_ITEM, Action.FINISH_ITEM, Action.REMOVE_ITEM})


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """What a sentence comes to: steps, an answer, or that a question was dropped."""

    steps: tuple[Resolution, ...] = ()
    reply: Reply | None = None
    cancelled: bool = False
    # Nobody else may make something of it.
    closed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One sentence in one house, said by one person in one place."""

    hass: HomeAssistant
    said: Said
    lexicon: Lexicon
    house: House
    before: Before
    area_id: str | None
    user: User | None

    @property
    def scope(self) -> Scope:
        """Return where this is said, about what, and what the speaker may know."""
        return Scope(area_id=self.area_id, focus=self.before.focus, may_read=self.may_read)

    def may_read(self, entity_id: str) -> bool:
        """Tell whether the speaker may see an entity; the house's own voice sees what is exposed."""
        return self.user is None or self.user.permissions.check_entity(entity_id, POLICY_READ)

    def _may_read_all(self) -> bool:
        """Tell whether nothing is hidden from the speaker."""
        return self.user is None or self.user.permissions.access_all_entities(POLICY_READ)

    def resolver(self, scope: Scope) -> Resolver:
        """Return what finds the things of this house."""
        return Resolver(self.hass, self.house, self.lexicon, scope)

    async def understand(self) -> Understood:
        """Return what the sentence comes to."""
        text = plain(spell(self.said.text, self.lexicon), self.lexicon)
        if not text:
            return Understood()
        steps = self._commands(self.scope).understand(text)
        refused = self.lexicon.refusal.search(text) is not None
        if refused and any(step.order.action not in _WORDS_ONLY for step in steps):
            steps = []
        steps = self._one_way_in(steps)
        worded = is_clear(steps) and all(step.order.penalty <= WITH_A_VERB for step in steps)
        if self.before.pending is not None and (not worded or self._only_points(text)):
            answered = self._answered(self.before.pending, text)
            if answered is not None:
                return answered
        if is_clear(steps):
            return Understood(steps=tuple(steps))
        if (conditional := await self._conditional(text)) is not None:
            return conditional
        if not steps and (reply := await self._asked(text)) is not None:
            return Understood(reply=reply)
        closed = refused or self._may_touch_guarded(text) or self._is_delicate(text)
        # Home Assistant's own agent tells what it sees to everybody.
        closed = closed or not self._may_read_all()
        return Understood(steps=tuple(steps), closed=closed)

    def _commands(self, scope: Scope) -> Commands:
        """Return what reads commands."""
        return Commands(self.lexicon, scope, self.resolver)

    def _questions(self, scope: Scope) -> Questions:
        """Return what answers questions."""
        agenda = Agenda(self.hass, self.house, self.lexicon, self.said.context, self.may_read)
        sky = Sky(self.hass, self.lexicon, self.said.context)
        return Questions(self.hass, self.house, self.lexicon, scope, agenda, sky)

    async def _asked(self, text: str) -> Reply | None:
        """Return the answer to a question; "whether it is so" is one, too."""
        questions = self._questions(self.scope)
        if (found := self.lexicon.whether.match(text)) is not None:
            return await questions.condition(found["when"])
        return await questions.answer(text)

    def _one_way_in(self, steps: list[Resolution]) -> list[Resolution]:
        """Return the steps, or a question where one sentence would open several ways into the house."""
        opened = [
            step
            for step in steps
            if step.outcome is Outcome.FOUND and step.risky and step.order.action not in SECURES
        ]
        if len({thing.entity_id for step in opened for thing in step.things}) < 2:
            return steps
        things = {thing.entity_id: thing for step in opened for thing in step.things}
        calls = {entity_id: call for step in opened for entity_id, call in step.calls.items()}
        return [
            replace(
                opened[0],
                outcome=Outcome.ASK,
                things=tuple(things.values()),
                calls=calls,
                reason="one_at_a_time",
            )
        ]

    async def _conditional(self, text: str) -> Understood | None:
        """Return what "do this if that" comes to now; None where the sentence has no "if"."""
        for shape in self.lexicon.condition:
            if (found := shape.match(text)) is not None:
                what, when = found["what"].strip(" ,"), found["when"].strip(" ,")
                return await self._if(what, when) or Understood(closed=True)
        for what, when in self._unjoined(text):
            if (understood := await self._if(what, when)) is not None:
                return understood
        return None

    def _unjoined(self, text: str) -> Iterator[tuple[str, str]]:
        """Yield an order and the condition that runs into it: "if it is dark turn on the light"."""
        found = self.lexicon.conditional.match(text)
        words = found["rest"].split() if found else []
        commands = self._commands(self.scope)
        for number in range(SHORTEST_CONDITION, len(words) - 1):
            what = " ".join(words[number:])
            if self._is_command(what, commands):
                yield what, " ".join(words[:number]).strip(" ,")

    def _is_command(self, text: str, commands: Commands) -> bool:
        """Tell whether words are an order with a verb of its own for things of this house."""
        read = [one for one in orders(text, self.lexicon) if one.penalty <= WITH_A_VERB_SAID]
        if any(set(one.target.split()) <= self.lexicon.pronouns for one in read if one.target):
            return True
        steps = commands.understand(text) if read else []
        return bool(steps) and all(step.order.penalty <= WITH_A_VERB_SAID for step in steps)

    async def _if(self, what: str, when: str) -> Understood | None:
        """Return what an order under a condition comes to now; None where the condition says nothing."""
        steps = self._commands(self.scope).understand(what)
        focus = tuple(one.entity_id for step in steps for one in step.things)
        scope = replace(self.scope, focus=focus or self.before.focus)
        reply = await self._questions(scope).condition(when)
        if reply is None:
            return None
        if reply.things and not is_clear(steps):
            area = reply.things[0].area
            near = replace(
                self.scope,
                area_id=area.id if area else self.area_id,
                focus=tuple(one.entity_id for one in reply.things),
            )
            steps = self._commands(near).understand(what)
        if reply.truth and steps:
            return Understood(steps=tuple(self._one_way_in(steps)), closed=True)
        if not reply.truth and steps:
            reason = reply.text.partition(", ")[2].rstrip(".")
            text = self.lexicon.said["not_now"].format(reason=reason)
            return Understood(reply=replace(reply, text=text))
        return Understood(closed=True)

    def _only_points(self, text: str) -> bool:
        """Tell whether words only name a place in an order: "the last one" is a song, too."""
        said = {word for word in text.split() if word not in self.lexicon.fillers} - {"1"}
        return bool(said) and said <= self.lexicon.ordinals.keys()

    def _answered(self, pending: Pending, text: str) -> Understood | None:
        """Return what an answer to our question comes to; None where it is none."""
        words = text.replace(",", " ").split()
        said = " ".join(words)
        if said in self.lexicon.never_mind or declines(self.said.text):
            return Understood(cancelled=True)
        if len(words) > LONGEST_ANSWER:
            return None
        step = pending.steps[pending.asked]
        chosen = self._chosen(step, said)
        if not chosen:
            return None
        guarded = all(step.things[number].guarded_by for number in chosen)
        things = tuple(step.things[number] for number in chosen)
        picked = replace(
            step,
            outcome=Outcome.GUARDED if guarded else Outcome.FOUND,
            things=tuple(one for one in things if guarded or one.guarded_by is None),
            cost=0.0,
        )
        steps = list(pending.steps)
        steps[pending.asked] = picked
        return Understood(steps=tuple(steps))

    def _chosen(self, step: Resolution, said: str) -> list[int]:
        """Return which options an answer names, by place in the question, order, name or place."""
        options = list(range(len(step.things)))
        heard = self.said.text
        if agrees(heard) or ("?" not in heard and said in self.lexicon.yes):
            return options if len(options) == 1 else []
        if said in self.lexicon.every_one:
            risky = any(is_risky(self.hass, one, self.lexicon) for one in step.things)
            return [] if risky else options
        for word in said.split():
            if (number := self.lexicon.ordinals.get(word)) is not None:
                index = number - 1 if number > 0 else len(options) - 1
                return [index] if index < len(options) else []
        matcher = Matcher(self.house, self.lexicon, lambda one: class_of(self.hass, one))
        for wording in (said, " ".join(word for word in said.split() if word != "1")):
            mention = mention_of(wording, self.lexicon, self.house, fuzzy=not step.risky)
            matches = matcher.matches(mention, step.things) if mention.words else []
            best = best_of(matches) if matches else []
            if len(best) == 1:
                return [step.things.index(best[0].thing)]
        return []

    def _names_a_stranger(self, text: str) -> bool:
        """Tell whether a command names a thing by its kind and by a word that nobody here knows."""
        for order in orders(text, self.lexicon):
            vague = order.penalty > WITH_A_VERB or _is_word(order.value)
            if order.action not in _HANDLED or vague:
                continue
            mention = mention_of(order.target, self.lexicon, self.house)
            placed = {number for numbers, _kinds in mention.kinds for number in numbers}
            strange = any(
                number not in placed
                and not word.said.isdigit()
                and not self.house.vocabulary & word.options.keys()
                for number, word in enumerate(mention.words)
            )
            if strange and (placed or self._names_one(mention)):
                return True
        return False

    def _names_one(self, mention: Mention) -> bool:
        """Tell whether words hold the whole name of a thing that can be told to do something."""
        said = {word.said for word in mention.words}
        things = self.house.of(able_domains(Order(action=Action.SET)))
        return any(said >= set(name) for thing in things for name in thing.names)

    def _is_delicate(self, text: str) -> bool:
        """Tell whether nobody may guess at a sentence: it is no command for now, or names a way in."""
        if self.lexicon.deed_asked.match(text) or self._speaks_of_a_deed(text):
            return True
        if self.lexicon.question.match(text):
            return False
        if self.lexicon.not_now.search(text) or self.lexicon.exception.search(text):
            return True
        if self._names_a_stranger(text) or self._only_names(text):
            return True
        mention = mention_of(text, self.lexicon, self.house, fuzzy=False)
        matcher = Matcher(self.house, self.lexicon, lambda one: class_of(self.hass, one))
        said = {word.said for word in mention.words}
        for thing in self.house.things.values():
            if not is_risky(self.hass, thing, self.lexicon):
                continue
            names = {word for name in (*thing.names, *thing.device_names) for word in name}
            if names & said or any(_sounds(word, frozenset(names)) for word in said):
                return True
            if any(matcher.is_kind(kind, thing) for _at, kinds in mention.kinds for kind in kinds):
                return True
        return False

    def _speaks_of_a_deed(self, text: str) -> bool:
        """Tell whether a sentence holds an order behind words that mean something else with it."""
        words = text.replace(",", " ").split()
        commands = self._commands(self.scope)
        return any(
            self._is_command(" ".join(words[number:]), commands) for number in range(1, len(words))
        )

    def _only_names(self, text: str) -> bool:
        """Tell whether a sentence is only the name of a thing, and so says nothing to do with it."""
        mention = mention_of(text, self.lexicon, self.house, fuzzy=False)
        matcher = Matcher(self.house, self.lexicon, lambda one: class_of(self.hass, one))
        things = self.house.of(able_domains(Order(action=Action.SET)))
        return any(match.exact for match in matcher.matches(mention, things)[:1])

    def _may_touch_guarded(self, text: str) -> bool:
        """Tell whether Home Assistant's own agent might take the sentence for a guarded entity."""
        raw = [thing for thing in self.house.things.values() if thing.raw]
        if not raw:
            return False
        said = [word for word in text.replace(",", " ").split() if word not in self.lexicon.fillers]
        loose = self.lexicon.every | self.lexicon.everything | self.lexicon.pronouns
        if any(word in loose for word in text.split()):
            return True
        stems = [self.lexicon.stem(word) for word in said]
        matcher = Matcher(self.house, self.lexicon, lambda one: class_of(self.hass, one))
        mention = mention_of(text, self.lexicon, self.house, fuzzy=False)
        return any(
            any(word in thing.lookup or _sounds(word, thing.lookup) for word in stems)
            or any(
                matcher.is_kind(kind, thing) for _places, kinds in mention.kinds for kind in kinds
            )
            for thing in raw
        )


def _is_word(value: Value | None) -> bool:
    """Tell whether a value is only a word, which may be anything."""
    return value is not None and value.kind is ValueKind.WORD


def _sounds(word: str, known: frozenset[str]) -> bool:
    """Tell whether a word sounds like one of those known."""
    return any(similar(word, one) for one in known)


def is_clear(steps: Sequence[Resolution]) -> bool:
    """Tell whether there are steps, and all so clear that nobody else has to be asked."""
    return bool(steps) and all(
        step.outcome is Outcome.GUARDED or (step.outcome is Outcome.FOUND and step.cost < SURE)
        for step in steps
    )
