"""The main job, done and looked at from outside: each step says what it proved, or raises."""

import asyncio
from collections.abc import Callable
import json
import re
import sys
import time
from typing import Final
from urllib.parse import quote

from script.house import config, mind, night, shop
from script.house.house import House
from script.house.people import Refused
from script.house.phones import button
from script.house.processes import Process
from script.house.visit import CABINET_PENDING, CONNECTION, Step, Visit, Wrong, expect, said
from script.house.waiting import PATIENCE_S, until

LASER_PENDING: Final = "binary_sensor.laser_room_laser_approval_pending"
LASER_APPROVE: Final = "button.laser_room_laser_approve"
TURN_ON: Final = f"switch.turn_on {config.RELAY}"

# What no line of Home Assistant's log may say about KITTY.
BAD_LINE: Final = re.compile(
    r" ERROR .*kitty|(?:deprecat|will stop working|will be removed|breaks in).*kitty"
    r"|kitty.*(?:deprecat|will stop working|will be removed|breaks in)",
    re.IGNORECASE,
)


async def cabinet_is_left_waiting(visit: Visit) -> str:
    """Demo asks for the tool cabinet from the dashboard, and nobody will answer."""
    await visit.demo.call("lock.unlock", config.CABINET)
    took = await visit.until(config.CABINET, "unlocking")
    await visit.until(CABINET_PENDING, "on")
    visit.cabinet_prompt = await visit.annas_phone.prompt("Tool cabinet")
    return f"it shows 'unlocking' after {took * 1000:.0f} ms"


async def assist_tells_the_state(visit: Visit) -> str:
    """'Is the workshop door locked?' is answered from what is seen."""
    answer = await visit.demo.say("is the workshop door locked?")
    expect(re.search(r"\blocked\b", answer.text), f"It said {answer.text!r}")
    return said(answer)


async def unlocking_is_asked_back(visit: Visit) -> str:
    """'Unlock the workshop door' moves nothing: Demo is asked to confirm."""
    visit.set_mark()
    answer = await visit.demo.say("unlock the workshop door")
    visit.conversation_id = answer.conversation_id
    expect(answer.asks, f"It did not ask: {answer.text!r}")
    await visit.until(config.DOOR, "unlocking")
    # Both are asked, one after the other: what came late would be taken for a question about what follows.
    await visit.annas_phone.prompt("Workshop door")
    await visit.demos_phone.prompt("Workshop door")
    expect(visit.demo.state(config.BOLT) == "locked", "The bolt has moved")
    expect(visit.count(config.BOLT_COUNTER) == visit.mark.bolt, "The bolt has moved")
    return said(answer)


async def a_conversation_has_one_owner(visit: Visit) -> str:
    """Anna says 'confirm' in Demo's conversation: that confirms nothing."""
    try:
        said = (await visit.house.anna.say("confirm", visit.conversation_id)).text
    except Refused as err:
        said = str(err)
    await visit.demo.caught_up()
    expect(visit.count(config.BOLT_COUNTER) == visit.mark.bolt, "The bolt has moved")
    expect(visit.demo.state(config.DOOR) == "unlocking", "The request is gone")
    return repr(said)


async def confirming_unlocks_once(visit: Visit) -> str:
    """'Confirm' withdraws the bolt exactly once, and 'done' is said only after that was seen."""
    first = len(visit.demo.changes)
    answer = await visit.demo.say("confirm", visit.conversation_id)
    expect(answer.text.startswith("Done"), f"It said {answer.text!r}")
    seen = next(
        (
            number
            for number, change in enumerate(visit.demo.changes)
            if number >= first
            and change["entity_id"] == config.BOLT
            and (change["new_state"] or {}).get("state") == "unlocked"
        ),
        None,
    )
    expect(seen is not None and seen < answer.seen_before, "It said so before it had happened")
    await visit.until(config.DOOR, "unlocked")
    await visit.unlocked_once()
    return said(answer)


async def locking_needs_nobody(visit: Visit) -> str:
    """'Lock the workshop door' is done at once: the safe direction is never held up."""
    visit.set_mark()
    answer = await visit.demo.say("lock the workshop door")
    expect(answer.text.startswith("Done"), f"It said {answer.text!r}")
    await visit.until(config.BOLT, "locked")
    await visit.until(config.DOOR, "locked")
    expect(visit.prompts() == visit.mark.prompts, "Somebody was asked to approve it")
    return said(answer)


async def laser_asks_the_other(visit: Visit) -> str:
    """Demo switches the laser on from the dashboard: high hazard, so Anna's phone is asked."""
    visit.set_mark()
    started = time.perf_counter()
    await visit.demo.call("switch.turn_on", config.LASER)
    visit.laser_prompt = await visit.annas_phone.prompt("Laser")
    took = time.perf_counter() - started
    await visit.until(LASER_PENDING, "on")
    asked = [one for one in visit.demos_phone.prompts() if "Laser" in one["title"]]
    expect(not asked, "Demo was asked to approve his own request")
    expect(visit.demo.state(config.RELAY) == "off", "The relay has closed")
    return f"on Anna's phone after {took * 1000:.0f} ms: {visit.laser_prompt['message']}"


async def nobody_approves_his_own(visit: Visit) -> str:
    """Demo presses 'approve' himself, then uses Anna's notification: both are refused."""
    await visit.demo.until(
        lambda: visit.demo.state(LASER_APPROVE) != "unavailable", "The button can be pressed"
    )
    code = ""
    try:
        await visit.demo.call("button.press", LASER_APPROVE)
    except Refused as err:
        code = err.code
    expect(code == "self_approval", f"Pressing the button gave {code or 'no error'}")
    await visit.demos_phone.press(button(visit.laser_prompt, "Approve"))
    await visit.audited("attempt", user_id=visit.demo.user_id)
    await visit.demo.caught_up()
    expect(visit.demo.state(config.RELAY) == "off", "The relay has closed")
    expect(visit.demo.state(LASER_PENDING) == "on", "The request is gone")
    return f"the button says {code}; the notification of another is recorded as an attempt"


async def anna_approves(visit: Visit) -> str:
    """Anna approves on her phone: the relay closes exactly once."""
    started = time.perf_counter()
    await visit.annas_phone.press(button(visit.laser_prompt, "Approve"))
    await visit.until(config.RELAY, "on")
    took = time.perf_counter() - started
    await visit.until(config.LASER, "on")
    tag = visit.laser_prompt["data"]["tag"]
    await visit.annas_phone.until(
        lambda: tag not in visit.annas_phone.shown, "The notification is taken away"
    )
    await _closed_once(visit)
    return f"the relay closed {took * 1000:.0f} ms after her press"


async def a_used_approval_is_worthless(visit: Visit) -> str:
    """The same press again, replayed, changes nothing and is recorded."""
    await visit.annas_phone.press(button(visit.laser_prompt, "Approve"))
    await visit.audited("attempt", user_id=visit.house.anna.user_id)
    await _closed_once(visit)
    return "recorded as an attempt"


async def switching_off_needs_nobody(visit: Visit) -> str:
    """Demo switches the laser off: nobody is asked."""
    prompts = visit.prompts()
    await visit.demo.call("switch.turn_off", config.LASER)
    took = await visit.until(config.RELAY, "off")
    await visit.until(config.LASER, "off")
    expect(visit.prompts() == prompts, "Somebody was asked to approve it")
    return f"off after {took * 1000:.0f} ms"


async def a_denied_request_stays_off(visit: Visit) -> str:
    """Demo asks for the laser again and Anna denies: it stays off."""
    visit.set_mark()
    await visit.demo.call("switch.turn_on", config.LASER)
    prompt = await visit.annas_phone.prompt("Laser")
    await visit.annas_phone.press(button(prompt, "Deny"))
    await visit.until(LASER_PENDING, "off")
    await visit.audited("denied", user_id=visit.house.anna.user_id)
    await visit.demo.caught_up()
    closed = visit.count(config.RELAY_COUNTER) - visit.mark.relay
    expect(closed == 0 and visit.demo.state(config.RELAY) == "off", "The relay has closed")
    return "denied by Anna"


async def a_print_is_started(visit: Visit) -> str:
    """'Start the bracket on the big printer' prints once it is confirmed, and printing is seen."""
    asked = await visit.demo.say("start the bracket on the big printer")
    expect(asked.asks, f"It did not ask: {asked.text!r}")
    expect(visit.demo.state(config.PRINTER) != "printing", "It prints already")
    await visit.annas_phone.prompt("Big printer")
    await visit.demos_phone.prompt("Big printer")
    answer = await visit.demo.say("confirm", asked.conversation_id)
    expect(answer.text.startswith("Done"), f"It said {answer.text!r}")
    await visit.until(config.PRINTER, "printing", 30.0)
    file = visit.demo.state(config.PRINTER_FILE)
    expect(file == "bracket.gcode", f"It prints {file}")
    return f"{asked.text!r} {said(answer)}"


async def pausing_needs_nobody(visit: Visit) -> str:
    """Pausing and cancelling the print are never held up."""
    prompts = visit.prompts()
    await visit.demo.call("button.press", config.PAUSE)
    paused = await visit.until(config.PRINTER, "paused")
    await visit.demo.call("button.press", config.CANCEL)
    await visit.until(config.PRINTER, "aborted")
    expect(visit.prompts() == prompts, "Somebody was asked to approve it")
    return f"paused after {paused * 1000:.0f} ms, then cancelled"


async def a_killed_brain_forgets_nothing(visit: Visit) -> str:
    """The brain is killed between question and answer: one prompt, one action all the same."""
    visit.set_mark()
    asked = await visit.demo.say("unlock the workshop door")
    expect(asked.asks, f"It did not ask: {asked.text!r}")
    await visit.annas_phone.prompt("Workshop door")
    await visit.demos_phone.prompt("Workshop door")
    await visit.house.brain.kill()
    await visit.until(CONNECTION, "off")
    started = time.perf_counter()
    await visit.house.start_brain()
    await visit.back()
    back = time.perf_counter() - started
    answer = await visit.demo.say("confirm", asked.conversation_id)
    expect(answer.text.startswith("Done"), f"It said {answer.text!r}")
    await visit.unlocked_once()
    prompts = visit.prompts() - visit.mark.prompts
    expect(prompts == 2, f"The two phones were asked {prompts} times together")
    return f"brain and link back after {back:.1f} s, {said(answer)}"


async def the_door_locks_without_the_brain(visit: Visit) -> str:
    """With the brain dead the door still locks, Assist says what is the matter, and it is audited."""
    await visit.house.brain.kill()
    await visit.until(CONNECTION, "off")
    await visit.demo.call("lock.lock", config.DOOR)
    took = await visit.until(config.BOLT, "locked")
    await visit.until(config.DOOR, "locked")
    answer = await visit.demo.say("lock the workshop door")
    expect("not connected" in answer.text, f"Assist said {answer.text!r}")
    await visit.house.start_brain()
    await visit.back()
    await visit.audited("ha_safe_direction", user_id=visit.demo.user_id)
    return f"locked after {took * 1000:.0f} ms, {said(answer)}"


async def a_restart_keeps_what_is_pending(visit: Visit) -> str:
    """Home Assistant restarts while Anna is asked: her notification still works, once."""
    visit.set_mark()
    await visit.demo.call("switch.turn_on", config.LASER)
    visit.laser_prompt = await visit.annas_phone.prompt("Laser")
    # Who was perhaps not reached is asked again.
    await until(lambda: _asking_is_noted(visit), "It is written down who was asked", PATIENCE_S)
    asked = len(visit.annas_phone.prompts())
    started = time.perf_counter()
    await visit.house.restart_hass()
    await visit.house.kitty_ready()
    took = time.perf_counter() - started
    visit.mark.calls = len(visit.demo.calls)
    expect(visit.count(config.RELAY_COUNTER) == visit.mark.relay, "The relay has closed")
    await visit.until(LASER_PENDING, "on")
    await visit.annas_phone.press(button(visit.laser_prompt, "Approve"))
    await visit.until(config.RELAY, "on")
    await visit.until(config.LASER, "on")
    await _closed_once(visit)
    expect(len(visit.annas_phone.prompts()) == asked, "Anna was asked a second time")
    await visit.demo.call("switch.turn_off", config.LASER)
    await visit.until(config.RELAY, "off")
    return f"Home Assistant was back after {took:.1f} s"


async def a_power_cut_keeps_what_is_pending(visit: Visit) -> str:
    """Brain and Home Assistant are both killed while Anna is asked: she approves, it happens once."""
    await visit.demo.call("switch.turn_on", config.LASER)
    visit.laser_prompt = await visit.annas_phone.prompt("Laser")
    # Who was perhaps not reached is asked again.
    await until(lambda: _asking_is_noted(visit), "It is written down who was asked", PATIENCE_S)
    asked = len(visit.annas_phone.prompts())
    started = time.perf_counter()
    await asyncio.gather(visit.house.brain.kill(), visit.house.hass.kill())
    await asyncio.gather(visit.house.start_brain(), visit.house.restart_hass())
    await visit.house.kitty_ready()
    took = time.perf_counter() - started
    await visit.until(LASER_PENDING, "on")
    # The counter itself may have lost what it had not yet written down.
    visit.set_mark()
    expect(visit.demo.state(config.RELAY) == "off", "The relay has closed")
    await visit.annas_phone.press(button(visit.laser_prompt, "Approve"))
    await visit.until(config.RELAY, "on")
    await visit.until(config.LASER, "on")
    await _closed_once(visit)
    expect(len(visit.annas_phone.prompts()) == asked, "Anna was asked a second time")
    await visit.demo.call("switch.turn_off", config.LASER)
    await visit.until(config.RELAY, "off")
    return f"both were back after {took:.1f} s"


async def _asking_is_noted(visit: Visit) -> bool:
    """Tell whether Home Assistant has it on the disk that everybody who is asked about the laser was reached."""
    storage = visit.house.place / "homeassistant" / ".storage"
    ledgers = storage.glob(f"kitty.{'?' * 32}")
    newest = max(ledgers, key=lambda one: one.stat().st_mtime)
    tokens = json.loads(newest.read_text("utf-8"))["data"]["tokens"].values()
    tag = visit.laser_prompt["data"]["tag"]
    return all(one["shown"] for one in tokens if one["event_id"] in tag)


async def the_record_names_people(visit: Visit) -> str:
    """Logbook, Assist and audit chain tell who asked and who approved."""
    begin = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(visit.started))

    async def told() -> list[str]:
        rows = await visit.demo.rest("GET", f"logbook/{quote(begin)}?entity={config.LASER}")
        texts = [f"{row.get('name')} {row.get('message', '')}" for row in rows]
        return [one for one in texts if "was switched on: asked by Demo, approved by Anna" in one]

    found = await until(told, "The logbook names Demo and Anna", PATIENCE_S)
    answer = await visit.demo.say("who turned on the laser?")
    named = "Demo" in answer.text and "Anna" in answer.text
    expect(named, f"Assist said {answer.text!r}")
    approved = await visit.audited("approved", user_id=visit.house.anna.user_id)
    rows = await visit.audit(kind="requested")
    asked = [row for row in rows if row["event_id"] == approved["event_id"]]
    expect(
        [row["user_id"] for row in asked] == [visit.demo.user_id], "The chain does not name Demo"
    )
    return f"{found[-1]!r}, {said(answer)}"


async def the_cabinet_has_expired(visit: Visit) -> str:
    """What nobody answered has expired, nothing moved, and its notification is worthless."""
    await visit.until(CABINET_PENDING, "off", 90.0)
    await visit.until(config.CABINET, "locked")
    await visit.annas_phone.press(button(visit.cabinet_prompt, "Approve"))
    anna = visit.house.anna.user_id

    async def recorded() -> bool:
        rows = await visit.audit(kind="attempt", person="person.anna")
        return len([row for row in rows if row["user_id"] == anna]) > 1

    await until(recorded, "The late press is recorded", PATIENCE_S)
    await visit.demo.caught_up()
    expect(visit.demo.state(config.CABINET) == "locked", "The cabinet has moved")
    journal = visit.house.place / "journals" / "cabinet.jsonl"
    expect(not journal.exists(), f"The cabinet did something: see {journal}")
    return "expired, and a late approval was refused"


async def the_audit_chain_holds(visit: Visit) -> str:
    """The audit chain verifies, through Home Assistant and from the command line."""
    answer = await visit.demo.ask("kitty.verify_audit")
    expect(answer["ok"], f"It says {answer}")
    place = visit.house.place
    verify = Process(
        "audit verify",
        [
            sys.executable,
            *("-m", "brain_server", "audit", "verify", "--data-dir", str(place / "brain")),
        ],
        place / "verify.log",
    )
    await verify.start()
    status = await verify.wait()
    expect(status == 0, f"kitty-brain audit verify ended with {status}: {verify.tail()}")
    return f"{answer['rows']} rows"


async def home_assistant_has_no_complaint(visit: Visit) -> str:
    """Home Assistant's log has no error of KITTY and no word of something that will stop working."""
    text = await asyncio.to_thread(visit.house.hass.log.read_text, "utf-8", "replace")
    bad = [line for line in text.splitlines() if BAD_LINE.search(line)]
    expect(not bad, "\n".join(bad[:5]))
    return f"{len(text.splitlines())} lines read"


STEPS: Final[tuple[Step, ...]] = (
    cabinet_is_left_waiting,
    assist_tells_the_state,
    unlocking_is_asked_back,
    a_conversation_has_one_owner,
    confirming_unlocks_once,
    locking_needs_nobody,
    laser_asks_the_other,
    nobody_approves_his_own,
    anna_approves,
    a_used_approval_is_worthless,
    switching_off_needs_nobody,
    a_denied_request_stays_off,
    a_print_is_started,
    pausing_needs_nobody,
    a_killed_brain_forgets_nothing,
    the_door_locks_without_the_brain,
    mind.the_hit_ratio_is_switched_on,
    a_restart_keeps_what_is_pending,
    a_power_cut_keeps_what_is_pending,
    *shop.STEPS,
    the_record_names_people,
    the_cabinet_has_expired,
    *mind.STEPS,
    *night.STEPS,
    the_audit_chain_holds,
    home_assistant_has_no_complaint,
)


async def walk(house: House, say: Callable[[str], None]) -> bool:
    """Take every step and say how each went; True when all held."""
    visit = Visit(house)
    good = True
    for number, step in enumerate(STEPS, start=1):
        title = (step.__doc__ or step.__name__).splitlines()[0]
        started = time.perf_counter()
        try:
            found, sign = await step(visit), "✓"
        except (Wrong, TimeoutError, Refused) as err:
            found, sign, good = f"{type(err).__name__}: {err}", "✗", False
        say(f"{sign} {number:2} {title}  {time.perf_counter() - started:.2f} s\n       {found}")
    return good


async def _closed_once(visit: Visit) -> None:
    """Check that since the mark the relay closed exactly once, by one service call."""
    await visit.demo.caught_up()
    closed = visit.count(config.RELAY_COUNTER) - visit.mark.relay
    called = visit.demo.called(visit.mark.calls)[TURN_ON]
    expect((closed, called) == (1, 1), f"{closed} times closed by {called} service calls")
