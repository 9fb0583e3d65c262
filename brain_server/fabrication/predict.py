"""How likely a print turns out well, from this house's own outcomes, and honest about how few they are.

The model is made anew from the rows whenever they changed: nothing is stored, nothing is loaded.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import select

from brain_server.commands import Caller, Params, Scope, command
from brain_server.errors import NotFound
from brain_server.fabrication.odds import Chance, Model, Tally
from brain_server.fabrication.outcomes import Outcome, Outcomes
from brain_server.inventory.materials import normal
from brain_server.protocol import Json
from brain_server.storage import Database
from brain_server.storage.tables import artifacts

# Fewer outcomes of this printer with this material than this, and the answer says so.
COLD: Final = 5


class PredictionOf(Params):
    """A print that somebody thinks of."""

    device_id: str
    material: str | None = None
    artifact_id: str | None = None


class Predictions:
    """Says how likely a print turns out well, and because of what."""

    def __init__(
        self,
        database: Database,
        outcomes: Outcomes,
        name_of: Callable[[str], str | None],
    ) -> None:
        """Take the database, the outcomes of this house, and what a device is called (None: there is none)."""
        self._db = database
        self._outcomes = outcomes
        self._name_of = name_of
        self._model = Model(())
        self._made_of = -1
        self._making = asyncio.Lock()

    @command(
        "predictions.get",
        Scope.READ,
        read_only=True,
        tool="Say how likely a print turns out well on a printer, with a material or file, and because of what.",
    )
    async def get(self, _caller: Caller, params: PredictionOf) -> Json:
        """Say how likely a print turns out well; NotFound ``device_not_found``, ``file_not_found``."""
        if (name := self._name_of(params.device_id)) is None:
            raise NotFound("device_not_found", "There is no such device")
        material = None if params.material is None else normal(params.material)
        title = None
        if params.artifact_id is not None:
            title, told = await self._file(params.artifact_id)
            material = material or told
        seen = await self._outcomes.all()
        model = await self._fitted(seen)
        chance = model.chance(params.device_id, material, params.artifact_id)
        of_it = [
            one
            for one in seen
            if one.device_id == params.device_id and material in {None, one.material}
        ]
        because = reasons(seen, params.device_id, material, params.artifact_id, name, title)
        cold = len(of_it) < COLD
        return {
            "device_id": params.device_id,
            "material": material,
            "artifact_id": params.artifact_id,
            "probability": round(chance.probability, 3),
            "low": round(chance.low, 3),
            "high": round(chance.high, 3),
            "n": len(of_it),
            "cold": cold,
            "because": because,
            "text": in_words(chance, because, len(of_it), f"{material or 'prints'} on {name}"),
        }

    async def chance(
        self, device_id: str, material: str | None, artifact_id: str | None = None
    ) -> Chance:
        """Return how likely a print turns out well; for those who plan."""
        model = await self._fitted(await self._outcomes.all())
        return model.chance(device_id, material, artifact_id)

    async def _fitted(self, seen: Sequence[Outcome]) -> Model:
        version = self._outcomes.version
        async with self._making:
            if self._made_of != version:
                self._model = await asyncio.to_thread(lambda: Model(tallied(seen)))
                self._made_of = version
            return self._model

    async def _file(self, artifact_id: str) -> tuple[str, str | None]:
        query = select(artifacts.c.name, artifacts.c.facts).where(artifacts.c.id == artifact_id)
        row = await self._db.read(lambda connection: connection.execute(query).one_or_none())
        if row is None:
            raise NotFound("file_not_found", "There is no such file")
        return row.name, material_of(row.facts)


def tallied(outcomes: Iterable[Outcome]) -> list[Tally]:
    """Count outcomes by printer, material and file."""
    counted: Counter[tuple[str, str | None, str | None, bool]] = Counter(
        (one.device_id, one.material, one.artifact_id, one.good) for one in outcomes
    )
    kinds = dict.fromkeys(key[:3] for key in counted)
    return [
        Tally(
            printer=printer,
            material=material,
            file=file,
            good=counted[printer, material, file, True],
            failed=counted[printer, material, file, False],
        )
        for printer, material, file in kinds
    ]


def reasons(
    seen: Sequence[Outcome],
    device_id: str,
    material: str | None,
    artifact_id: str | None,
    name: str,
    title: str | None,
) -> list[Json]:
    """Return what is known of such prints, the nearest first: how many failed of how many."""
    kinds: list[tuple[str, str, Callable[[Outcome], bool]]] = [
        ("file", f"{title}", lambda one: one.artifact_id == artifact_id),
        (
            "printer_material",
            f"{material} on {name}",
            lambda one: one.device_id == device_id and one.material == material,
        ),
        ("material", f"{material} on all printers", lambda one: one.material == material),
        ("printer", f"{name}", lambda one: one.device_id == device_id),
        ("house", "all prints", lambda _one: True),
    ]
    found: list[Json] = []
    for kind, what, is_one in kinds:
        if (kind == "file" and title is None) or ("material" in kind and material is None):
            continue
        some = [one.good for one in seen if is_one(one)]
        if some and all(one["of"] != len(some) for one in found):
            found.append({"kind": kind, "what": what, "failed": some.count(False), "of": len(some)})
    return found


def in_words(chance: Chance, because: Sequence[Json], count: int, what: str) -> str:
    """Return the answer as a sentence that says how little it may rest on."""
    between = f"between {chance.low:.0%} and {chance.high:.0%}"
    if not because:
        return f"Nobody can know yet: no print here has been judged. A guess: {between}."
    nearest = because[0]
    told = f"{nearest['what']} failed {nearest['failed']} of {nearest['of']}"
    if count >= COLD:
        return f"{chance.probability:.0%} likely ({between}), because {told}."
    few = f"only {count} of {what}" if count else f"none of {what}"
    return f"Perhaps {chance.probability:.0%} ({between}): {few} so far; {told}."


def material_of(facts: Mapping[str, Any]) -> str | None:
    """Return the material that a slicer wrote into a file, None where it wrote none."""
    told = facts.get("material")
    return normal(told) if told else None
