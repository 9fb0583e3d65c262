"""What the house is made of: Home Assistant's configuration, its devices and its dashboard."""

from typing import Final

from script.house.people import Account, Json

LATITUDE: Final = 52.3731
LONGITUDE: Final = 4.8922

# People who do not exist, with passwords that are printed in the terminal: for this house only.
DEMO: Final = Account(name="Demo", username="demo", password="demo-workshop")  # noqa: S106 - of a demonstration
ANNA: Final = Account(name="Anna", username="anna", password="anna-workshop")  # noqa: S106 - of a demonstration

DASHBOARD: Final = "kitty-demo"

# Home Assistant's own record of the questions that were answered.
ONBOARDING: Final[Json] = {
    "version": 4,
    "minor_version": 1,
    "key": "onboarding",
    "data": {"done": ["core_config", "analytics", "integration"]},
}

# How Home Assistant listens: it keeps this in a store, and lets what YAML says lapse after five minutes.
LISTENING: Final[Json] = {
    "version": 2,
    "minor_version": 2,
    "key": "http",
    "data": {
        "stable": {
            "server_host": ["127.0.0.1"],
            "cors_allowed_origins": [],
            "login_attempts_threshold": -1,
            "ip_ban_enabled": True,
            "ssl_profile": "modern",
            "use_x_frame_options": True,
            "created_at": "2026-01-01T00:00:00+00:00",
            "error": None,
            "error_message": None,
        },
        "pending": None,
        "yaml_migration_done": True,
    },
}

# The raw hardware. Each counts what was really done to it, like a meter that nobody can reset.
CONFIGURATION: Final = """\
# Written by script/run; changes are lost at its next start.
homeassistant:
  name: Demo house
  latitude: {latitude}
  longitude: {longitude}
  elevation: 0
  unit_system: metric
  currency: EUR
  country: NL
  time_zone: UTC
  media_dirs:
    local: {media}
api:
assist_pipeline:
config:
conversation:
counter:
  bolt_withdrawn:
    name: Bolt withdrawn
  relay_closed:
    name: Relay closed
frontend:
history:
input_boolean:
  bench_lamp_lit:
    name: Bench lamp lit
  bolt_withdrawn:
    name: Bolt withdrawn
  ceiling_lamp_lit:
    name: Ceiling lamp lit
  relay_closed:
    name: Relay closed
logbook:
logger:
  default: warning
  logs:
    custom_components.kitty: info
mobile_app:
person:
recorder:
  commit_interval: 1
system_health:
template:
  - light:
      - name: Bench lamp
        unique_id: demo_bench_lamp
        state: "{{{{ is_state('input_boolean.bench_lamp_lit', 'on') }}}}"
        turn_on:
          - action: input_boolean.turn_on
            target: {{entity_id: input_boolean.bench_lamp_lit}}
        turn_off:
          - action: input_boolean.turn_off
            target: {{entity_id: input_boolean.bench_lamp_lit}}
      - name: Ceiling lamp
        unique_id: demo_ceiling_lamp
        state: "{{{{ is_state('input_boolean.ceiling_lamp_lit', 'on') }}}}"
        turn_on:
          - action: input_boolean.turn_on
            target: {{entity_id: input_boolean.ceiling_lamp_lit}}
        turn_off:
          - action: input_boolean.turn_off
            target: {{entity_id: input_boolean.ceiling_lamp_lit}}
  - lock:
      - name: Door bolt
        unique_id: demo_door_bolt
        state: "{{{{ 'unlocked' if is_state('input_boolean.bolt_withdrawn', 'on') else 'locked' }}}}"
        lock:
          - action: input_boolean.turn_off
            target: {{entity_id: input_boolean.bolt_withdrawn}}
        unlock:
          - action: counter.increment
            target: {{entity_id: counter.bolt_withdrawn}}
          - action: input_boolean.turn_on
            target: {{entity_id: input_boolean.bolt_withdrawn}}
  - switch:
      - name: Laser relay
        unique_id: demo_laser_relay
        state: "{{{{ is_state('input_boolean.relay_closed', 'on') }}}}"
        turn_on:
          - action: counter.increment
            target: {{entity_id: counter.relay_closed}}
          - action: input_boolean.turn_on
            target: {{entity_id: input_boolean.relay_closed}}
        turn_off:
          - action: input_boolean.turn_off
            target: {{entity_id: input_boolean.relay_closed}}
webhook:
zone:
"""

# What nobody needs to see, and what no assistant may have.
RAW_ENTITIES: Final = (
    "lock.door_bolt",
    "switch.laser_relay",
    "input_boolean.bench_lamp_lit",
    "input_boolean.bolt_withdrawn",
    "input_boolean.ceiling_lamp_lit",
    "input_boolean.relay_closed",
    "counter.bolt_withdrawn",
    "counter.relay_closed",
)

# The workshop's ordinary lamps, which KITTY knows from Home Assistant alone.
BENCH_LAMP: Final = "light.bench_lamp"
CEILING_LAMP: Final = "light.ceiling_lamp"
LAMPS: Final = (BENCH_LAMP, CEILING_LAMP)
SHOPPING_LIST: Final = "todo.shopping_list"

DOOR: Final = "lock.workshop_workshop_door"
BOLT: Final = "lock.door_bolt"
BOLT_COUNTER: Final = "counter.bolt_withdrawn"
CABINET: Final = "lock.workshop_tool_cabinet"
LASER: Final = "switch.laser_room_laser"
RELAY: Final = "switch.laser_relay"
RELAY_COUNTER: Final = "counter.relay_closed"
PRINTER: Final = "sensor.workshop_big_printer_status"
PRINTER_FILE: Final = "sensor.workshop_big_printer_file"
PROGRESS: Final = "sensor.workshop_big_printer_progress"
MINI: Final = "sensor.workshop_mini_status"
PAUSE: Final = "button.workshop_big_printer_pause_print"
CANCEL: Final = "button.workshop_big_printer_cancel_print"


def devices(journals: str) -> list[Json]:
    """Return the devices, as a person fills in the form: driver, then its fields by their labels."""
    workshop, laser_room = "workshop", "laser_room"
    return [
        {"driver": "home_assistant", "name": "Workshop door", "zone_id": workshop, "Entity": BOLT},
        {"driver": "home_assistant", "name": "Laser", "zone_id": laser_room, "Entity": RELAY},
        {
            "driver": "demo",
            "name": "Big printer",
            "zone_id": workshop,
            "Kind": "printer",
            "Name": "Big printer",
            "Speed": 10,
            "Locks itself after": 0,
            "Delay": 0,
            "Journal file": f"{journals}/printer.jsonl",
            "Build volume": "220x220x250",
            "Nozzle": 0.4,
            "Power": 150,
        },
        {
            "driver": "demo",
            "name": "Mini",
            "zone_id": workshop,
            "Kind": "printer",
            "Name": "Mini",
            "Speed": 100,
            "Locks itself after": 0,
            "Delay": 0,
            "Journal file": f"{journals}/mini.jsonl",
            "Build volume": "120x120x120",
            "Nozzle": 0.4,
            "Power": 80,
        },
        {
            "driver": "demo",
            "name": "Workshop camera",
            "zone_id": workshop,
            "Kind": "camera",
            "Name": "Workshop camera",
            "Speed": 1,
            "Locks itself after": 0,
            "Delay": 0,
        },
        {
            "driver": "demo",
            "name": "Tool cabinet",
            "zone_id": workshop,
            "Kind": "door",
            "Name": "Tool cabinet",
            "Speed": 1,
            "Locks itself after": 30,
            "Delay": 0,
            "Journal file": f"{journals}/cabinet.jsonl",
        },
    ]


def options(demo_id: str, anna_id: str) -> list[list[Json]]:
    """Return the ways through the options, as a person goes through the menu."""
    roles = {demo_id: ["operator", "admin"], anna_id: ["operator", "safety"]}
    people: list[list[Json]] = [
        [{"next_step_id": "person"}, {"user_id": user_id}, {"roles": found}]
        for user_id, found in roles.items()
    ]
    workshop: list[Json] = [
        {"next_step_id": "area"},
        {"area_id": "workshop"},
        {"hazard_level": "medium", "requires_ppe": False},
        {
            "required_roles": ["operator", "safety"],
            "requires_dual_confirm": False,
            "requires_presence": False,
            "presence_ttl": 300,
            "requester_may_confirm": True,
            "voice_may_confirm": False,
            "checks": [],
        },
    ]
    laser_room: list[Json] = [
        {"next_step_id": "area"},
        {"area_id": "laser_room"},
        {"hazard_level": "high", "requires_ppe": False},
        {
            "required_roles": ["operator", "safety"],
            "requires_dual_confirm": True,
            "requires_presence": True,
            "presence_ttl": 300,
            "checks": [],
        },
        {"persons": ["person.demo", "person.anna"], "occupancy": []},
    ]
    return [*people, workshop, laser_room]


def dashboard() -> Json:
    """Return the dashboard that builds itself from what is in the house."""
    return {"strategy": {"type": "custom:kitty"}}
