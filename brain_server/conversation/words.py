"""Sentences: how facts and refusals are said. Plain, short, and never more sure than the facts."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from brain_server.errors import KittyError
from brain_server.protocol import Json

NOTHING_OPEN: Final = "There is nothing waiting for your answer."
CANCELLED: Final = "All right, I have cancelled it."
NEVER: Final = "I have no record of that."
HELP: Final = (
    "You can say: lock or unlock a door, switch something on or off, start, pause, resume or cancel "
    "a print, ask for the status, ask who did something and when, or ask what is waiting for approval."
)
SCREEN_ORDER: Final = ("door", "power", "printer", "light", "sensor", "camera")

_DOING: Final = {
    "lock": "lock {device}",
    "unlock": "unlock {device}",
    "open": "open {device}",
    "power_on": "switch on {device}",
    "power_off": "switch off {device}",
    "power_cut": "cut the power of {device} now",
    "light_on": "switch on {device}",
    "light_off": "switch off {device}",
    "print_start": "start {file} on {device}",
    "print_pause": "pause {device}",
    "print_resume": "resume {device}",
    "print_cancel": "cancel the print on {device}",
    "heat": "heat {device}",
    "gcode": "send G-code to {device}",
}
_DONE: Final = {
    "lock": "{device} is locked",
    "unlock": "{device} is unlocked",
    "open": "{device} is open",
    "power_on": "{device} is on",
    "power_off": "{device} is off",
    "power_cut": "{device} is off",
    "light_on": "{device} is on",
    "light_off": "{device} is off",
    "print_start": "{device} has started {file}",
    "print_pause": "{device} is paused",
    "print_resume": "{device} goes on",
    "print_cancel": "the print on {device} is cancelled",
    "heat": "{device} is heating",
    "gcode": "{device} took the G-code",
}
_PAST: Final = {
    "lock": "locked {device}",
    "unlock": "unlocked {device}",
    "open": "opened {device}",
    "power_on": "switched on {device}",
    "power_off": "switched off {device}",
    "power_cut": "cut the power of {device}",
    "light_on": "switched on {device}",
    "light_off": "switched off {device}",
    "print_start": "started {file} on {device}",
    "print_pause": "paused {device}",
    "print_resume": "resumed {device}",
    "print_cancel": "cancelled the print on {device}",
    "heat": "heated {device}",
    "gcode": "sent G-code to {device}",
}
_FAILED: Final = {
    "not_observed": "but it did not happen",
    "device_refused": "but the device refused",
    "cannot_connect": "but the device does not answer",
    "home_assistant_offline": "but Home Assistant is not connected",
}


def _fill(table: Mapping[str, str], intent: str, device: str, params: Json) -> str:
    file = params.get("file", "the print")
    if "plate" in params:
        file = f"plate {params['plate']} of {file}"
    return table[intent].format(device=device, file=file)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _listed(names: Sequence[str], last: str = "or") -> str:
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {last} {names[-1]}"


def asked(event: Json, approvers: Sequence[str], *, asks: bool) -> str:
    """Say what waits for whom; with a question when a yes here is enough."""
    deed = _fill(_DOING, event["intent"], event["device_name"], event["params"])
    if asks:
        return f"{_sentence(deed)[:-1]}? Say confirm or cancel."
    ppe = " Protective equipment must be worn." if event["requires_ppe"] else ""
    if not approvers:
        return f"I cannot {deed}: there is nobody who may approve it right now.{ppe}"
    if event["people_needed"] - len(event["people"]) == 2:
        who = _listed(list(approvers), "and")
        return f"Two people have to approve: {deed}. I have asked {who}.{ppe}"
    return f"I have asked {_listed(list(approvers))} to approve: {deed}.{ppe}"


def outcome(command: Json) -> str:
    """Say how a command ended, or that it has not yet."""
    intent, device, params = command["intent"], command["device_name"], command["params"]
    doing = _fill(_DOING, intent, device, params)
    match command["status"]:
        case "acked":
            return f"Done: {_fill(_DONE, intent, device, params)}."
        case "deferred":
            return f"It is still hot or busy. I will {doing} when it has cooled down."
        case "failed":
            why = _FAILED.get(command["detail"] or "", "but it failed")
            return f"I tried to {doing}, {why}."
        case "unknown":
            return f"I tried to {doing}, but I could not see whether it happened. Please look."
        case "denied":
            return f"It was denied to {doing}."
        case "expired":
            return f"The request to {doing} has expired."
        case _:
            return f"I have sent the order to {doing}; it is not confirmed yet."


def under_way(event: Json) -> str:
    """Say that an approved command has not ended yet."""
    deed = _fill(_DOING, event["intent"], event["device_name"], event["params"])
    return f"Confirmed. I am about to {deed}; it is not finished yet."


def refused(err: KittyError) -> str:
    """Say why not."""
    return f"I cannot do that. {err.message}."


def which(names: Sequence[str]) -> str:
    """Ask which of several is meant."""
    if len(names) == 1:
        return f"Did you mean {names[0]}?"
    return f"Which one: {_listed(list(names))}?"


def not_found(what: str, name: str) -> str:
    """Say that there is nothing of that name."""
    return f"I do not know any {what} called {name}." if name else f"I do not know which {what}."


def unsupported(name: str, intent: str) -> str:
    """Say that a device cannot do something."""
    return f"{_sentence(name)[:-1]} cannot do that ({intent.replace('_', ' ')})."


def bad_value(wrong: Mapping[str, str]) -> str:
    """Say which value is out of bounds."""
    return " ".join(_sentence(f"{field} {problem}") for field, problem in wrong.items())


def waiting(events: Sequence[Json], people: Mapping[str, str]) -> str:
    """Say what waits for approval."""
    if not events:
        return "Nothing is waiting for approval."
    lines = []
    for event in events:
        deed = _fill(_DOING, event["intent"], event["device_name"], event["params"])
        asker = people.get(event["initiated_by"] or "", "somebody")
        lines.append(f"{asker} asks to {deed}")
    return _sentence("; ".join(lines))


def status(devices: Sequence[Json], topic: str) -> str:
    """Say how devices are."""
    if not devices:
        return "There are no devices yet."
    ordered = sorted(devices, key=lambda one: (SCREEN_ORDER.index(one["kind"]), one["name"]))
    return " ".join(_sentence(_one_status(device, topic)) for device in ordered)


def _one_status(device: Json, topic: str) -> str:
    name, state = device["name"], device["state"]
    if device["online"] != "online":
        return f"{name} is not reachable"
    match device["kind"]:
        case "door":
            return f"{name} is {_choice(state.get('locked'), 'locked', 'unlocked')}"
        case "power" | "light":
            hot = ", and goes off when cool" if device["power_off_when_cool"] else ""
            return f"{name} is {_choice(state.get('on'), 'on', 'off')}{hot}"
        case "sensor":
            if state.get("value") is None:
                return f"{name} is in an unknown state"
            return f"{name} shows {state['value']} {state.get('unit') or ''}".rstrip()
        case "printer":
            return _printer(name, state, topic)
        case _:
            return f"{name} is there"


def _choice(value: bool | None, yes: str, no: str) -> str:
    return "in an unknown state" if value is None else yes if value else no


def _printer(name: str, state: Json, topic: str) -> str:
    nozzle, bed = state.get("nozzle") or {}, state.get("bed") or {}
    if topic == "temperature":
        return f"{name}: nozzle {_degrees(nozzle)}, bed {_degrees(bed)}"
    job = state.get("job") or {}
    text = f"{name} is {state.get('status') or 'in an unknown state'}"
    if state.get("status") in {"preparing", "printing", "paused"} and job:
        text += f" with {job.get('file')}"
        if job.get("progress") is not None:
            text += f", {job['progress']:.0f} percent done"
        if job.get("remaining_s") is not None:
            text += f", {_duration(job['remaining_s'])} left"
    return text


def _degrees(part: Json) -> str:
    actual = part.get("actual")
    return "unknown" if actual is None else f"{actual:.0f} degrees"


def _duration(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def deed(row: Json, related: Sequence[Json], people: Mapping[str, str], now: float) -> str:
    """Say who did something when, and who approved it."""
    about = row["data"]
    asked = (one for one in related if one["kind"] in {"requested", "claimed", "deferred"})
    asker = next((one["user_id"] for one in asked if one["user_id"]), row["user_id"])
    approvers = [one["user_id"] for one in related if one["kind"] in {"approved", "confirmed"}]
    name = people.get(asker or "", "Somebody without a name")
    if row["kind"] in {"approved", "denied", "requested"}:
        name = people.get(row["user_id"] or "", "Somebody without a name")
        what = _fill(_DOING, about["intent"], about["device"], about.get("params") or {})
        return f"{name} {row['kind']} it {_ago(row['at'], now)}: {what}."
    past = _fill(_PAST, about["intent"], about["device"], about.get("params") or {})
    text = f"{name} {past} {_ago(row['at'], now)}"
    others = [people.get(one or "", "somebody") for one in reversed(approvers)]
    return f"{text}, approved by {_listed(others, 'and')}." if others else f"{text}."


def history(rows: Sequence[Json], people: Mapping[str, str], now: float) -> str:
    """Say what happened, newest first."""
    if not rows:
        return "Nothing has happened."
    lines = []
    for row in rows:
        what = row["data"].get("intent")
        if what is None:
            continue
        doing = _fill(_DOING, what, row["data"]["device"], row["data"].get("params") or {})
        who = people.get(row["user_id"] or "")
        verb = {"acked": "done", "settled": "settled"}.get(row["kind"], row["kind"])
        lines.append(f"{_ago(row['at'], now)} {verb}{f' by {who}' if who else ''}: {doing}")
    return _sentence("; ".join(lines))


def _ago(at: float, now: float) -> str:
    seconds = max(0.0, now - at)
    if seconds < 90:
        return "just now"
    if seconds < 3600 * 20:
        return f"{_duration(seconds)} ago"
    return f"on {datetime.fromtimestamp(at, UTC):%d %B at %H:%M} UTC"


# -- what is said around a language model -------------------------------------------------------------

TOO_MANY_STEPS: Final = "I have not come to an end with that."
NOTHING_SAID: Final = "I have no answer to that."
LEFT: Final = "All right, I left it."
NO_NEWS: Final = "Home Assistant has not answered, so I do not know whether it was done."
PROPOSAL_DONE: Final = "Done."
PROPOSAL_FAILED: Final = "Home Assistant could not do that."
REMEMBERED: Final = "I will remember that."
NOTHING_KNOWN: Final = "You have not told me anything about that."
UNDER_WAY: Final = "I am at it and will tell you when it is done."
CUT_OFF: Final = "It was cut off when KITTY was stopped; what was left was not done."
NO_WORKER: Final = "There is no model that can do this."
STEP_BEFORE_FAILED: Final = "Not begun: a step before it failed."
_WHY_NOT: Final = {
    "budget_exhausted": "the budget for paid models is used up",
    "price_unknown": "its price is not known, so I may not spend money on it",
    "privacy_refused": "the question holds something that may not leave the house",
    "offline_mode": "nothing may leave the house right now",
    "circuit_open": "the model has failed several times and is given a rest",
    "provider_unreachable": "the model cannot be reached",
    "provider_auth": "the model does not accept its key",
    "provider_busy": "the model has too much to do",
    "provider_cut_off": "the model broke off in the middle of its answer",
    "model_missing": "the model is missing",
    "model_too_large": "the model does not fit into the memory",
    "model_crashed": "the model crashed; it is started again for the next question",
    "model_loading": "the model is still being loaded",
    "model_queue_full": "too many questions are waiting for the model",
    "context_exceeded": "that is too long for the model",
    "low_confidence": "the model was not sure enough",
}
_HOME_DOING: Final = {
    "HassTurnOn": "turn on {target}",
    "HassTurnOff": "turn off {target}",
    "HassSetPosition": "move {target}",
    "HassLightSet": "change {target}",
    "HassBroadcast": "announce something",
    "HassListAddItem": "add something to a list",
}


def no_answer(errors: Sequence[KittyError]) -> str:
    """Say why no model has answered, by the last and nearest reason."""
    if not errors:
        return "I could not answer that."
    last = errors[-1]
    if last.code == "capability_off":
        return f"I cannot answer that right now. {last.message}."
    why = _WHY_NOT.get(last.code, "the model failed")
    return f"I cannot answer that right now: {why}."


def memories(texts: Sequence[str]) -> str:
    """Say what was told before."""
    if not texts:
        return "You have not told me anything yet."
    return f"You told me: {'; '.join(text.rstrip('.') for text in texts)}."


def forgot(text: str) -> str:
    """Say what was forgotten."""
    return f"I have forgotten this: {text.rstrip('.')}."


def forgotten(count: int) -> str:
    """Say how much was forgotten."""
    return f"I have forgotten {count} {'thing' if count == 1 else 'things'} that you told me."


def plan(goals: Sequence[str]) -> str:
    """Say in which steps something will be done."""
    listed = "; ".join(f"{number}. {goal.rstrip('.')}" for number, goal in enumerate(goals, 1))
    return f"I will do this in {len(goals)} steps: {listed}."


def run_over(status: str, steps: Sequence[tuple[str, str, str]]) -> str:
    """Say how a run has ended: what the last step brought, or what failed."""
    if status == "completed":
        return steps[-1][2] or "Done."
    if status == "cancelled":
        return "It was cancelled."
    failed = [f"{goal.rstrip('.')}: {result}" for goal, state, result in steps if state == "failed"]
    return f"It could not be finished. {' '.join(failed)}".strip()


def moment(second_of_day: int | None, today: str | None) -> str:
    """Say when something is said, as far as that is known."""
    parts = [today] if today else []
    if second_of_day is not None:
        parts.append(f"{second_of_day // 3600:02d}:{second_of_day // 60 % 60:02d}")
    return ", ".join(parts) or "The time is not known"


def proposal(
    tool: str, arguments: Json, device: str | None, *, foreign: bool, what: str | None = None
) -> str:
    """Describe, in our own words or the house's, what a model wants done, and ask for a yes."""
    why = "I have read text from outside, so I ask first. " if foreign else ""
    return f"{why}Shall I {what or _wanted(tool, arguments, device)}?"


def _wanted(tool: str, arguments: Json, device: str | None) -> str:
    intent = arguments.get("intent")
    if device is not None and intent in _DOING:
        return _fill(_DOING, str(intent), device, arguments.get("params") or {})
    said = {name: str(value)[:60] for name, value in arguments.items() if value not in (None, "")}
    verb = tool.rpartition("__")[2]
    if verb in _HOME_DOING:
        target = said.get("name") or said.get("area") or said.get("floor") or "everything"
        kind = f" ({said['domain']})" if "domain" in said else ""
        return _HOME_DOING[verb].format(target=target) + kind
    if "question" in said:
        return f"search the web for “{said['question']}”"
    if "url" in said:
        return f"read the page {said['url']}"
    listed = ", ".join(f"{name} {value}" for name, value in said.items())
    return f"run {tool}{f' with {listed}' if listed else ''}"
