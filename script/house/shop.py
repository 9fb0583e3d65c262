"""The workshop, step by step: filament, a queue, prints that people approve, and one that fails before a camera."""

import asyncio
import csv
import io
import json
import time
from typing import Any, Final

from script.house import config, goods, parts
from script.house.people import Json, Refused
from script.house.phones import button
from script.house.visit import CONNECTION, Step, Visit, expect
from script.house.waiting import PATIENCE_S, until

STOCK_OF_TPU: Final = "sensor.kitty_stock_of_tpu"
QUEUE: Final = "sensor.kitty_print_queue"
QUEUE_LIST: Final = "todo.kitty_print_queue"
REVIEWS: Final = "sensor.kitty_reviews_waiting"
BED: Final = "sensor.workshop_mini_bed"
BED_CLEARED: Final = "button.workshop_mini_bed_cleared"
COST: Final = "sensor.workshop_mini_cost_of_the_last_print"
LAYER: Final = "sensor.workshop_mini_layer"
INCIDENTS: Final = "event.workshop_mini_incidents"
RESUME: Final = "button.workshop_mini_resume_print"
CANCEL: Final = "button.workshop_mini_cancel_print"
# A stand-in print that is watched goes on for so many layers after a false alarm: time for five more looks.
LAYERS_AFTER: Final = 90


async def a_new_spool_is_seen_at_once(visit: Visit) -> str:
    """A spool of a new material is added: its stock is on the dashboard within a second."""
    about = {"material": "TPU", "color": "red", "full_g": 500, "remaining_g": 500, "price": 24.0}
    started = time.perf_counter()
    await visit.demo.ask("kitty.add_spool", **about)
    await visit.demo.until(lambda: _number(visit, STOCK_OF_TPU) == 500, "Its stock is seen", 1.0)
    took = time.perf_counter() - started
    expect(took < 1, f"It was seen after {took:.2f} s")
    return f"{visit.demo.state(STOCK_OF_TPU)} g after {took * 1000:.0f} ms"


async def what_is_queued_waits_for_a_clear_bed(visit: Visit) -> str:
    """Demo queues a hook for the Mini: it stands in the list with what it waits for, and nobody is asked."""
    before, prompts = _number(visit, QUEUE), visit.prompts()
    row = await _queued(visit, parts.HOOK, title="Hook")
    await visit.demo.until(lambda: _number(visit, QUEUE) == before + 1, "The queue is one longer")

    async def told() -> str | None:
        found = await visit.demo.ask("todo.get_items", entity_id=QUEUE_LIST)
        items = found[QUEUE_LIST]["items"]
        words: str = next(one["description"] for one in items if one["uid"] == row["id"])
        return words if "bed" in words else None

    words = await until(told, "It says that it waits for a clear bed", PATIENCE_S)
    expect(visit.prompts() == prompts, "Somebody was asked to approve it")
    expect(visit.demo.state(config.MINI) == "completed", "It prints already")
    return repr(words)


async def a_queued_print_is_approved_and_printed_once(visit: Visit) -> str:
    """The bed is cleared, people are asked, Anna approves: it is printed once, on one printer."""
    before = await _started(visit)
    await visit.demo.call("button.press", BED_CLEARED)
    prompt = await visit.annas_phone.prompt("Mini")
    expect(await _started(visit) == before, "It prints before anybody has approved")
    await visit.annas_phone.press(button(prompt, "Approve"))
    await _printed(visit, "hook.gcode")
    expect(
        await _started(visit) == [*before, ("mini", "hook.gcode")],
        f"What was started is {await _started(visit)}",
    )
    await visit.until(BED, "to_clear")
    job = await _last_job(visit)
    expect(job["queue"]["title"] == "Hook", f"The job is of {job['queue']}")
    expect(job["command"]["requested_by"] == visit.demo.user_id, "Demo did not ask for it")
    return f"{prompt['message']!r}: {job['job']['file']} {job['job']['status']}"


async def what_it_took_and_cost_is_known(visit: Visit) -> str:
    """Its filament is booked from the spool that is in the Mini, and its cost is on the dashboard."""
    job = await _last_job(visit)

    async def counted() -> Json | None:
        found = await visit.demo.ask("kitty.get_costs", job_id=job["job"]["id"])
        return found if found.get("parts") else None

    costs = await until(counted, "Its costs are counted", PATIENCE_S) or {}
    grams = [one["grams"] for one in (await _last_job(visit))["usage"]]
    expect(len(grams) == 1 and grams[0] > 0, f"It took {grams} grams")
    expect(
        {one["what"] for one in costs["parts"]} == {"filament", "energy", "machine"},
        f"It cost {costs}",
    )
    expect(
        abs(sum(one["cost"] for one in costs["parts"]) - costs["total"]) < 1e-5, f"It cost {costs}"
    )
    await visit.demo.until(
        lambda: visit.demo.state(COST) == str(costs["total"]), "Its cost is on the dashboard"
    )
    return f"{grams[0]:.2f} g, {costs['total']:.4f} {costs['currency']}"


async def a_killed_brain_prints_once(visit: Visit) -> str:
    """The brain is killed between the claim and the print: Anna's approval still counts, and it is printed once."""
    before = await _started(visit)
    row = await _queued(visit, parts.CLIP, title="Clip after the power cut")
    await visit.demo.call("button.press", BED_CLEARED)
    prompt = await visit.annas_phone.prompt("Mini")
    asked = len(visit.annas_phone.prompts())
    await visit.house.brain.kill()
    await visit.until(CONNECTION, "off")
    await visit.house.start_brain()
    await visit.back()
    await visit.house.kitty_ready()
    expect(await _started(visit) == before, "It prints before anybody has approved")
    await visit.annas_phone.press(button(prompt, "Approve"))
    await _printed(visit, "clip.gcode")
    # What a second claim would do, it would have done by the next plan.
    await _over(visit, row["id"])
    expect(
        await _started(visit) == [*before, ("mini", "clip.gcode")],
        f"What was started is {await _started(visit)}",
    )
    expect(len(visit.annas_phone.prompts()) == asked, "Anna was asked a second time")
    return "one start in the journals of both printers"


async def a_review_changes_what_is_expected(visit: Visit) -> str:
    """Demo says that the hook was bad: nobody is asked about it any more, and the next is less likely to be well."""
    mini = await visit.house.device_id(config.MINI)
    asked = {"device_id": mini, "material": "PLA"}
    before = await visit.demo.ask("kitty.get_prediction", **asked)
    waiting = _number(visit, REVIEWS)
    found = visit.demo.states[REVIEWS]["attributes"]["prints"]
    job_id = next(one["job_id"] for one in found if one["file"] == "hook.gcode")
    await visit.demo.call(
        "kitty.review_print", job_id=job_id, good=False, rating=2, reasons=["warping"], layers=60
    )
    await visit.demo.until(lambda: _number(visit, REVIEWS) == waiting - 1, "One waits less")
    after = await visit.demo.ask("kitty.get_prediction", **asked)
    expect(after["n"] == before["n"] > 0, f"It rests on {before['n']}, then on {after['n']} prints")
    expect(after["probability"] < before["probability"], f"{before} became {after}")
    return f"{before['text']!r} became {after['text']!r}"


async def a_failing_print_is_paused(visit: Visit) -> str:
    """The camera sees a print fail: one alarm, one notification a person, and the print is paused."""
    mini = await visit.house.device_id(config.MINI)
    known = len((await visit.brain("incidents.list"))["items"])
    path = goods.path_of(visit.house, parts.SPAGHETTI)
    await visit.demo.call("kitty.start_print", device_id=mini, path=path)
    await goods.approve(visit.house, "Mini")
    await visit.until(config.MINI, "printing")
    took = await visit.demo.until(lambda: _incident(visit) == "opened", "The alarm", 30.0)
    await visit.until(config.MINI, "paused")
    await visit.annas_phone.until(lambda: _alarms(visit), "Anna's phone tells it")
    await visit.demos_phone.until(
        lambda: _alarms(visit, visit.demos_phone), "Demo's phone tells it"
    )
    items = (await visit.brain("incidents.list"))["items"]
    expect(len(items) == known + 1, f"There are {len(items) - known} incidents")
    expect(items[-1]["action"] == "pause", f"It says {items[-1]['action']}")
    pauses = [one for one in await _journal(visit, "mini") if one["intent"] == "print_pause"]
    expect(len(pauses) == 1, f"It was paused {len(pauses)} times")
    told = _alarms(visit)[-1]
    return f"after {took:.1f} s: {told['title']!r}"


async def a_false_alarm_is_quiet(visit: Visit) -> str:
    """Anna says on her phone that it is none; the print goes on, and the same picture alarms nobody again."""
    rang = len(_alarms(visit))
    prompt = next(one for one in visit.annas_phone.shown.values() if _is_alarm(one))
    await visit.annas_phone.press(button(prompt, "False alarm"))
    await visit.demo.until(lambda: _incident(visit) == "false_alarm", "It is none")
    await visit.annas_phone.until(
        lambda: not any(map(_is_alarm, visit.annas_phone.shown.values())), "It is taken away"
    )
    await visit.demo.call("button.press", RESUME)
    await goods.approve(visit.house, "Mini")
    await visit.until(config.MINI, "printing")
    until_layer = _number(visit, LAYER) + LAYERS_AFTER
    await visit.demo.until(lambda: _number(visit, LAYER) >= until_layer, "It goes on", 30.0)
    expect(visit.demo.state(config.MINI) == "printing", "It was paused again")
    expect(len(_alarms(visit)) == rang, "Anna was told again")
    await visit.demo.call("button.press", CANCEL)
    await visit.until(config.MINI, "aborted")
    return f"{LAYERS_AFTER} layers later nobody was told again"


async def bad_air_is_asked_about(visit: Visit) -> str:
    """ABS is refused until somebody says that the air moves, and then people decide as always."""
    mini = await visit.house.device_id(config.MINI)
    file = {"device_id": mini, "path": goods.path_of(visit.house, parts.HOOD)}
    prompts = visit.prompts()
    refusal = await _refusal(visit, **file)
    expect(refusal.code == "ventilation_unconfirmed", f"It was refused as {refusal.code}")
    expect(refusal.about.get("materials") == "ABS", f"It says {refusal.about}")
    expect(visit.prompts() == prompts, "Somebody was asked to approve it")
    await visit.demo.call("kitty.start_print", **file, ventilation=True)
    prompt = await visit.annas_phone.prompt("Mini")
    # Both are asked, one after the other: what came late would be taken for a question about what follows.
    await visit.demos_phone.prompt("Mini")
    await visit.annas_phone.press(button(prompt, "Deny"))
    await visit.until("binary_sensor.workshop_mini_approval_pending", "off")
    return f"{refusal}; then {prompt['message']!r}"


async def what_does_not_fit_is_refused(visit: Visit) -> str:
    """A plate that is larger than the Mini is refused in words, before anybody is asked."""
    mini, prompts = await visit.house.device_id(config.MINI), visit.prompts()
    path = goods.path_of(visit.house, parts.PLATE)
    refusal = await _refusal(visit, device_id=mini, path=path)
    expect(refusal.code == "does_not_fit_volume", f"It was refused as {refusal.code}")
    expect(refusal.about.get("what") == "volume", f"It says {refusal.about}")
    expect(visit.prompts() == prompts, "Somebody was asked to approve it")
    return str(refusal)


async def the_prints_are_written_down(visit: Visit) -> str:
    """All prints come out as a table that a spreadsheet opens, each with its file and how it ended."""
    answer = await visit.demo.ask("kitty.export_jobs", format="csv")
    rows = list(csv.DictReader(io.StringIO(answer["text"].lstrip("\ufeff"))))
    ended = [(row["file"], row["status"]) for row in rows if row["file"] != "bracket.gcode"]
    wanted = [
        ("clip.gcode", "completed"),
        ("hook.gcode", "completed"),
        ("clip.gcode", "completed"),
        ("spaghetti.gcode", "aborted"),
    ]
    expect(ended == wanted, f"It holds {ended}")
    expect(answer["rows"] == len(rows), f"{answer['rows']} rows are said, {len(rows)} found")
    return f"{len(rows)} rows, {len(rows[0])} columns"


STEPS: Final[tuple[Step, ...]] = (
    a_new_spool_is_seen_at_once,
    what_is_queued_waits_for_a_clear_bed,
    a_queued_print_is_approved_and_printed_once,
    what_it_took_and_cost_is_known,
    a_killed_brain_prints_once,
    a_review_changes_what_is_expected,
    a_failing_print_is_paused,
    a_false_alarm_is_quiet,
    bad_air_is_asked_about,
    what_does_not_fit_is_refused,
    the_prints_are_written_down,
)


# -- looking ------------------------------------------------------------------------------------------


def _number(visit: Visit, entity_id: str) -> int:
    state = visit.demo.state(entity_id)
    return int(float(state)) if state not in {None, "unknown", "unavailable"} else 0


async def _queued(visit: Visit, part: parts.Part, **wish: Any) -> Json:
    """Put a part into the queue of the Mini."""
    mini = await visit.house.device_id(config.MINI)
    path = goods.path_of(visit.house, part)
    return await visit.demo.ask("kitty.queue_print", device_id=mini, path=path, **wish)


async def _printed(visit: Visit, file: str) -> None:
    """Wait until the Mini has printed a file."""
    await visit.demo.until(
        lambda: (
            visit.demo.state("sensor.workshop_mini_file") == file
            and visit.demo.state(config.MINI) == "completed"
            and visit.demo.state(BED) != "in_use"
        ),
        f"{file} is printed",
        30.0,
    )


async def _over(visit: Visit, queue_id: str) -> None:
    """Wait until an item of the queue is over, and the brain has planned anew."""

    async def gone() -> bool:
        return all(one["id"] != queue_id for one in (await visit.brain("queue.list"))["items"])

    await until(gone, "It is over", PATIENCE_S)
    await visit.demo.ask("kitty.plan_queue")
    await visit.demo.caught_up()


async def _last_job(visit: Visit) -> Json:
    """Return the last print with all that belongs to it."""
    job = (await visit.brain("jobs.list", limit=1000))["items"][-1]
    return await visit.demo.ask("kitty.get_job", job_id=job["id"])


async def _journal(visit: Visit, printer: str) -> list[Json]:
    """Return what a printer really did."""
    path = visit.house.place / "journals" / f"{printer}.jsonl"
    text = await asyncio.to_thread(path.read_text, "utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


async def _started(visit: Visit) -> list[tuple[str, str]]:
    """Return every start of a print on both printers, in the order of each."""
    return [
        (printer, one["params"]["file"])
        for printer in ("printer", "mini")
        for one in await _journal(visit, printer)
        if one["intent"] == "print_start"
    ]


def _incident(visit: Visit) -> str | None:
    seen: str | None = visit.demo.states.get(INCIDENTS, {}).get("attributes", {}).get("event_type")
    return seen


def _is_alarm(notification: Json) -> bool:
    tag = str((notification.get("data") or {}).get("tag", ""))
    return tag.startswith("kitty-incident-")


def _alarms(visit: Visit, phone: Any = None) -> list[Json]:
    """Return the notifications of alarms that rang on a phone, Anna's unless it is named."""
    received = (phone or visit.annas_phone).received
    return [one for one in received if _is_alarm(one) and one.get("title")]


async def _refusal(visit: Visit, **about: Any) -> Refused:
    """Start a print that must be refused; returns the refusal."""
    try:
        await visit.demo.call("kitty.start_print", **about)
    except Refused as err:
        return err
    raise AssertionError("It was not refused")
