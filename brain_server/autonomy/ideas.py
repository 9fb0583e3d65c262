"""Ideas: what rules find in the rows of this house that could be better. No model is needed for any of them."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Connection, select

from brain_server.autonomy.goals import Idea
from brain_server.autonomy.metrics import DAY, FEWEST, WINDOW
from brain_server.fabrication.advice import TROUBLES
from brain_server.fabrication.outcomes import Outcome
from brain_server.protocol import Json
from brain_server.storage.tables import proposals, work

HEALTH: Final = "daily_health_check"
FLEET: Final = "printer_fleet_health_check"
# The same reason in so many failed prints of one printer within a month is no accident.
CLUSTER: Final = 3
# A material that ran short so often in three months has too low a limit.
SHORT: Final = 3
SHORT_WITHIN: Final = 90 * DAY
# What was wrong in so many of the last daily checks should be looked into.
UNWELL: Final = 3
LOOKS: Final = 7
# And what a printer had in so many checks of the last week.
TROUBLED: Final = 6
# From this share on filament is wasted rather than lost now and then.
WASTE: Final = 0.2

type NameOf = Callable[[str], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the rules look at."""

    advice: Sequence[Json] = ()
    outcomes: Sequence[Outcome] = ()
    shortages: Sequence[str] = ()
    checks: Sequence[Json] = ()
    fleet: Sequence[Json] = ()
    # The share of filament that was wasted lately, None where too little was seen, and of how many prints.
    waste: Json | None = None


def find(seen: Seen, name_of: NameOf, now: float) -> list[Idea]:
    """Return every idea that what was seen is enough for."""
    found = [
        *_advised(seen.advice, name_of),
        *_clusters(seen, name_of, now),
        *_short(seen.shortages),
        *_unwell(seen.checks),
        *_troubled(seen.fleet, name_of),
        *_wasted(seen.waste),
    ]
    return [_with_question(one) for one in found]


def _with_question(idea: Idea) -> Idea:
    asked = question(idea.about)
    return idea if asked is None else replace(idea, about=idea.about | {"question": asked})


def shortages(connection: Connection, now: float) -> list[str]:
    """Return the material of each time that something ran short."""
    query = select(proposals.c.material).where(proposals.c.created_at > now - SHORT_WITHIN)
    return list(connection.execute(query).scalars())


def results(connection: Connection, kind: str, most: int) -> list[Json]:
    """Return what the last runs of a job found, newest first."""
    query = (
        select(work.c.result)
        .where(work.c.kind == kind, work.c.status == "completed")
        .order_by(work.c.id.desc())
        .limit(most)
    )
    return [result for result in connection.execute(query).scalars() if result is not None]


def _advised(advice: Sequence[Json], name_of: NameOf) -> Iterator[Idea]:
    """Yield what finished prints suggest."""
    names = ("code", "device_id", "other_device_id", "material", "artifact_id", "trouble")
    for one in advice:
        yield Idea(
            key=f"advice:{one['id']}",
            title=_advice_title(one, name_of),
            reason=one["text"],
            origin="advice",
            # A comparison of printers is about the prints of the material, wherever they are made.
            about={
                name: one[name]
                for name in names
                if one.get(name) and not (one["code"] == "prefer_printer" and name == "device_id")
            },
            metric="estimate_error" if one["code"] == "estimate_off" else "print_success",
            priority=4 if one["code"] == "estimate_off" else 6,
        )


def _advice_title(one: Json, name_of: NameOf) -> str:
    name = name_of(one.get("device_id") or "")
    match one["code"]:
        case "prefer_printer":
            return f"Print {one['material']} on {name_of(one['other_device_id'])} rather than on {name}"
        case "material_fails":
            return f"Look at the settings for {one['material']} on {name}"
        case "file_fails":
            return f"Slice {one['file']} anew or change its model"
        case "trouble_since":
            return f"On {name}: {TROUBLES[one['trouble']][2]}"
        case _:
            return f"Correct the time estimates of {name}"


def _clusters(seen: Seen, name_of: NameOf, now: float) -> Iterator[Idea]:
    """Yield what went wrong again and again on one printer, unless advice speaks of it already."""
    told = {
        (one["device_id"], word)
        for one in seen.advice
        if one["code"] == "trouble_since"
        for word in TROUBLES[one["trouble"]][0]
    }
    counts = Counter(
        (one.device_id, reason)
        for one in seen.outcomes
        if not one.good and one.ended_at > now - WINDOW
        for reason in one.reasons
    )
    for (device_id, reason), count in sorted(counts.items()):
        name = name_of(device_id)
        if count < CLUSTER or name is None or (device_id, reason) in told:
            continue
        words = reason.replace("_", " ")
        yield Idea(
            key=f"failures:{device_id}:{reason}",
            title=f"Find out why prints on {name} fail with {words}",
            reason=f"{count} prints on {name} failed with {words} in the last 30 days.",
            origin="failures",
            about={"code": "failures", "device_id": device_id, "reason": reason},
            metric="print_success",
            priority=6,
        )


def _short(materials: Sequence[str]) -> Iterator[Idea]:
    for material, count in sorted(Counter(materials).items()):
        if count >= SHORT:
            yield Idea(
                key=f"stock:{material}",
                title=f"Keep more {material} in stock",
                reason=f"{material} ran short {count} times in 90 days. Raise its limit, or order more at once.",
                origin="stock",
                about={"code": "stock", "material": material},
                priority=4,
            )


def _unwell(checks: Sequence[Json]) -> Iterator[Idea]:
    """Yield the parts that were unwell on several of the last days."""
    last = checks[:LOOKS]
    found = Counter(problem["key"] for check in last for problem in check["problems"])
    texts = {problem["key"]: problem["text"] for check in last for problem in check["problems"]}
    for key, count in sorted(found.items()):
        if count >= UNWELL:
            yield Idea(
                key=f"health:{key}",
                title=f"Look into it: {texts[key]}",
                reason=f"So it was in {count} of the last {len(last)} daily checks.",
                origin="health",
                about={"code": "health", "problem": key},
                priority=7,
            )


def _troubled(checks: Sequence[Json], name_of: NameOf) -> Iterator[Idea]:
    """Yield the printers that had the same trouble in many of the last checks."""
    found = Counter(
        (problem["device_id"], problem["code"]) for check in checks for problem in check["problems"]
    )
    for (device_id, code), count in sorted(found.items()):
        name = name_of(device_id)
        if count >= TROUBLED and name is not None:
            words = code.replace("_", " ")
            yield Idea(
                key=f"fleet:{device_id}:{code}",
                title=f"Look at {name}: {words}",
                reason=f"So it was in {count} of the last {len(checks)} checks of the printers.",
                origin="fleet",
                about={"code": "fleet", "device_id": device_id, "problem": code},
                metric="print_success",
                priority=6,
            )


def _wasted(figure: Json | None) -> Iterator[Idea]:
    if figure is None or figure["value"] is None or figure["n"] < 2 * FEWEST:
        return
    if figure["value"] >= WASTE:
        yield Idea(
            key="waste",
            title="Waste less filament",
            reason=f"{figure['value']:.0%} of the filament of the last 30 days went into prints that came to nothing "
            f"(n={figure['n']}).",
            origin="waste",
            about={"code": "waste"},
            metric="filament_waste",
            priority=5,
        )


def question(about: Json) -> str | None:
    """Return what could be looked up about an idea: words of ours and of no person, None where nothing fits.

    Names of devices and files stay in the house: they say nothing to the world, and much about the house.
    """
    material = about.get("material")
    match about.get("code"):
        case "trouble_since":
            trouble = TROUBLES[about["trouble"]][1]
            of_it = f" with {material}" if material else ""
            return f"3D printing: {trouble}{of_it}. What are the causes and the remedies?"
        case "failures":
            reason = about["reason"].replace("_", " ")
            return f"3D printing: {reason}. What are the causes and the remedies?"
        case "material_fails" | "prefer_printer":
            return f"3D printing: which settings make prints of {material} succeed?"
        case "waste":
            return "3D printing: how is less filament wasted on failed prints?"
        case _:
            return None
