"""From a sentence to steps: one order, or several joined by "and" and "then"."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from .lexicon import Action, Lexicon
from .parse import Order, clauses, conjuncts, named, orders
from .resolve import Outcome, Resolution, Resolver, Scope
from .words import plain

MOST_STEPS: Final = 8
# As many words may say where, before it is said what.
LONGEST_FRONT: Final = 4
# A shape with a higher penalty may do without a verb.
WITH_A_VERB: Final = 0.03
# A worse reading of the whole only counts where its parts make no better sense.
CLEAR: Final = 1.0
GOOD: Final = frozenset({Outcome.FOUND, Outcome.ASK, Outcome.GUARDED})

type Resolvers = Callable[[Scope], Resolver]


class Commands:
    """Understands sentences of one turn; changes nothing."""

    def __init__(self, lexicon: Lexicon, scope: Scope, resolvers: Resolvers) -> None:
        """Take the language, the scope and how to make a resolver for a scope."""
        self._lexicon = lexicon
        self._scope = scope
        self._resolvers = resolvers
        # What came to nothing once, and how deep it was looked into.
        self._vain: dict[tuple[str, Scope, Order | None], int] = {}

    def understand(self, text: str) -> list[Resolution]:
        """Return the steps that a spelled sentence asks for; none where it is not understood."""
        return self._steps(plain(text, self._lexicon), self._scope, None, MOST_STEPS)

    def _steps(self, text: str, scope: Scope, before: Order | None, depth: int) -> list[Resolution]:
        """Return the steps of a sentence or part of one; ``before`` lends a part its verb."""
        key = (text, scope, before)
        if self._vain.get(key, -1) >= depth:
            return []
        steps = self._looked(text, scope, before, depth)
        if not steps:
            self._vain[key] = depth
        return steps

    def _looked(
        self, text: str, scope: Scope, before: Order | None, depth: int
    ) -> list[Resolution]:
        """Return the steps of a sentence or part of one, read as one and then in its parts."""
        whole = self._best(text, scope, before)
        if depth == 0 or (whole.outcome in GOOD and whole.cost < CLEAR):
            return [whole] if whole.outcome in GOOD else []
        for attempt in (self._joined, self._together, self._fronted):
            if steps := attempt(text, scope, before, depth - 1):
                return steps
        return [whole] if whole.outcome in GOOD else []

    def _best(self, text: str, scope: Scope, before: Order | None) -> Resolution:
        """Return the best reading of a sentence as one order."""
        resolver = self._resolvers(scope)
        text = " ".join(text.replace(",", " ").split())
        found = [resolver.resolve(order) for order in orders(text, self._lexicon)]
        found = [one for one in found if one.outcome is not Outcome.NOTHING]
        if not found and before is not None:
            found = [resolver.resolve(named(before, text))]
        return min(
            found,
            key=lambda one: (one.cost, one.outcome is not Outcome.FOUND),
            default=Resolution(order=Order(action=Action.SET), outcome=Outcome.NOTHING, cost=9.0),
        )

    def _joined(
        self, text: str, scope: Scope, before: Order | None, depth: int
    ) -> list[Resolution]:
        """Return the steps of the parts that "then", "and" or a comma joins."""
        parts = clauses(text, self._lexicon)
        if len(parts) > 1:
            if self._lexicon.reason.match(parts[0]):
                return self._reasoned(parts, scope, depth)
            if steps := self._sequence(parts, scope, before, depth):
                return steps
        for joint in self._lexicon.conjunction.finditer(text):
            left, right = text[: joint.start()].strip(" ,"), text[joint.end() :].strip(" ,")
            if (
                left
                and right
                and (
                    steps := self._sequence(
                        [left, plain(right, self._lexicon)], scope, before, depth
                    )
                )
            ):
                return steps
        return []

    def _reasoned(self, parts: Sequence[str], scope: Scope, depth: int) -> list[Resolution]:
        """Return the steps behind a reason: "it is dark, turn on the light"."""
        resolver = self._resolvers(scope)
        about = resolver.mentioned(parts[0])
        focus = tuple(thing.entity_id for thing in about) or scope.focus
        return self._sequence(parts[1:], replace(scope, focus=focus), None, depth)

    def _sequence(
        self, parts: Sequence[str], scope: Scope, before: Order | None, depth: int
    ) -> list[Resolution]:
        """Return the steps of parts one after another; nothing unless each is understood."""
        steps: list[Resolution] = []
        for part in parts:
            found = self._steps(part, scope, steps[-1].order if steps else before, depth)
            if not found:
                return []
            steps += found
            things = tuple(thing.entity_id for thing in found[-1].things)
            scope = replace(scope, focus=things, joined=True)
        return steps if len(steps) <= MOST_STEPS else []

    def _together(
        self, text: str, scope: Scope, before: Order | None, depth: int
    ) -> list[Resolution]:
        """Return the steps of one verb with several things: "the kitchen and bedroom lights"."""
        resolver = self._resolvers(scope)
        for order in (*orders(text, self._lexicon), *([named(before, text)] if before else ())):
            parts = conjuncts(order.target, self._lexicon)
            if len(parts) < 2:
                continue
            steps = [self._part(resolver, order, parts, number) for number in range(len(parts))]
            if all(step is not None and step.outcome in GOOD for step in steps):
                return [step for step in steps if step is not None]
        return []

    def _fronted(
        self, text: str, scope: Scope, _before: Order | None, _depth: int
    ) -> list[Resolution]:
        """Return the step of what comes after its thing or place: "in the barn turn on the light"."""
        resolver = self._resolvers(scope)
        words = text.replace(",", " ").split()
        for number in range(1, len(words) - 1):
            front = " ".join(words[:number])
            for order in orders(plain(" ".join(words[number:]), self._lexicon), self._lexicon):
                if order.penalty > WITH_A_VERB or not order.target:
                    continue
                if set(order.target.split()) <= self._lexicon.pronouns:
                    step = resolver.resolve(named(order, front))
                elif number <= LONGEST_FRONT:
                    step = resolver.resolve(named(order, f"{order.target} {front}"))
                else:
                    continue
                if step.outcome in GOOD:
                    return [step]
        return []

    def _part(
        self, resolver: Resolver, order: Order, parts: Sequence[str], number: int
    ) -> Resolution | None:
        """Return what one of several things means, with the noun of the others where it has none."""
        part = parts[number]
        kinds = self._lexicon.kinds
        last, first = parts[-1].split(), parts[0].split()
        wordings = []
        if not any((self._lexicon.stem(word),) in kinds for word in part.split()):
            if (self._lexicon.stem(last[-1]),) in kinds:
                wordings.append(f"{part} {last[-1]}")
            wordings += [f"{word} {part}" for word in first if (self._lexicon.stem(word),) in kinds]
        found = [resolver.resolve(named(order, wording)) for wording in (*wordings, part)]
        good = [one for one in found if one.outcome in GOOD]
        return min(good, key=lambda one: one.cost, default=None)
