"""The actions that tell what is written down: to whom, how much of it, and what nobody may see."""

from collections.abc import AsyncIterator
from typing import Any, Final

from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import Unauthorized
import probatio as vol
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.kitty.protocol import Json

from .conftest import ADA, BOB, EVE, ZONE
from .fake_brain import FakeBrain
from .shop import FILE, INCIDENT, JOB, SEEN, SPOOL, camera, incident, job, picture, review
from .workshop import (
    CAMERA,
    NOW,
    PRINTER,
    act,
    at,
    push,
    workshop_fixture,  # noqa: F401 - fixtures are asked for by name
)

GONE: Final = "de" * 16
OLD: Final = "01d0" * 8
EVENT: Final = "e4" * 16
POLICY: Final = {"zone_id": ZONE, "name": "default", "required_roles": ["engineer"]}
ADA_HERE: Final = {
    "zone_id": ZONE,
    "user_id": ADA,
    "source": "sensor",
    "status": "present",
    "observed_at": NOW,
}
CHECK: Final = {"zone_id": ZONE, "name": "air", "ok": True, "observed_at": NOW}


def listed(*rows: Json, **more: Any) -> Any:
    """Return what answers with these rows, and with what else the list tells."""
    return lambda _params, _caller: {"items": [*rows], "cursor": None} | more


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load what these tests act on."""
    return (Platform.BUTTON, Platform.CAMERA)


@pytest.fixture
async def brain(socket_enabled: None) -> AsyncIterator[FakeBrain]:
    """Return a brain that has written some things down, also of a printer that is gone."""
    fake = await FakeBrain().start()
    fake.workshop = {"vision": [camera()], "incidents": [incident()]}
    fake.jobs = {JOB: job()}
    fake.answers |= {
        "jobs.list": listed(job(), job(id=OLD, device_id=GONE), cursor="more"),
        "jobs.get": lambda params, _caller: {
            "job": {
                "id": params["job_id"],
                "device_id": PRINTER if params["job_id"] == JOB else GONE,
            }
        },
        "reviews.list": listed(review(), review(job_id=OLD, device_id=GONE)),
        "incidents.list": listed(incident(), incident(id=OLD, device_id=GONE, job_id=OLD)),
        "files.list": listed({"id": FILE, "name": "cat.gcode"}),
        "inventory.usage": listed({"id": "u1", "grams": 5.0}, materials=[{"material": "PLA"}]),
        "reviews.picture": lambda _params, _caller: picture(),
        "files.picture": lambda _params, _caller: picture(),
        "safety.evidence": lambda _params, _caller: picture(),
        "incidents.picture": lambda _params, _caller: picture() | {"device_id": CAMERA},
        "prints.picture": lambda _params, _caller: picture() | {"device_id": PRINTER},
        "safety.zones": listed(
            {"id": ZONE, "name": "Workshop", "hazard_level": "medium"},
            {"id": "attic", "name": "Attic", "hazard_level": "high"},
        ),
        "safety.policies": listed(POLICY),
        "safety.users": listed(
            {
                "id": ADA,
                "display_name": "Ada",
                "roles": ["engineer"],
                "active": True,
                "email": "a@b",
                "has_code": True,
            }
        ),
        "safety.checks": listed(CHECK | {"id": f"{ZONE}:air"}),
        "safety.presences": listed(
            ADA_HERE | {"id": f"{ZONE}:{ADA}"},
            ADA_HERE | {"id": f"attic:{ADA}", "zone_id": "attic"},
        ),
    }
    yield fake
    await fake.stop()


@pytest.fixture
def stranger(workshop: MockConfigEntry, people: dict[str, Any]) -> None:
    """Let Eve see nothing of the workshop."""
    people[EVE].mock_policy({"entities": {"entity_ids": {"lock.elsewhere": True}}})


# -- lists --------------------------------------------------------------------------------------------

LISTS: Final = [("get_jobs", "jobs.list"), ("get_reviews", "reviews.list")]


@pytest.mark.parametrize(("action", "command"), [*LISTS, ("get_incidents", "incidents.list")])
async def test_the_newest_are_told_first_and_in_pages(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, action: str, command: str
) -> None:
    """The cursor of one page leads to the next."""
    await act(hass, action, EVE, limit=2, cursor="c")
    assert brain.sent(command) == [{"limit": 2, "cursor": "c", "newest_first": True}]


@pytest.mark.parametrize(
    ("action", "command", "more"),
    [
        ("get_jobs", "jobs.list", {"status": "failed"}),
        ("get_reviews", "reviews.list", {"waiting": True}),
        ("get_incidents", "incidents.list", {"status": "open"}),
    ],
)
async def test_a_list_is_of_one_device_and_one_kind_where_somebody_says_so(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    action: str,
    command: str,
    more: Json,
) -> None:
    """By the device that people see."""
    await act(hass, action, EVE, device_id=at(hass, workshop, PRINTER), **more)
    (asked,) = brain.sent(command)
    assert asked == {"limit": 50, "device_id": PRINTER, "newest_first": True} | more


@pytest.mark.usefixtures("administrator")
async def test_an_administrator_is_told_of_printers_that_are_gone(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    """What they printed is still part of the history."""
    told = await act(hass, "get_jobs", ADA)
    assert [one["id"] for one in told["items"]] == [JOB, OLD]
    assert told["cursor"] == "more"


@pytest.mark.parametrize(("action", "_command"), LISTS)
async def test_others_are_told_of_the_printers_that_they_see(
    hass: HomeAssistant, workshop: MockConfigEntry, action: str, _command: str
) -> None:
    """Row by row."""
    told = await act(hass, action, EVE)
    assert [one["device_id"] for one in told["items"]] == [PRINTER]


async def test_an_alarm_is_told_with_its_printer(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    """One of a camera that is gone is told only to administrators."""
    told = await act(hass, "get_incidents", EVE)
    assert [(one["id"], one["printer_id"]) for one in told["items"]] == [(INCIDENT, PRINTER)]


@pytest.mark.usefixtures("stranger")
@pytest.mark.parametrize("action", ["get_jobs", "get_reviews", "get_incidents"])
async def test_who_sees_no_printer_is_told_of_none(
    hass: HomeAssistant, workshop: MockConfigEntry, action: str
) -> None:
    """An empty list, as if nothing had ever been printed."""
    assert (await act(hass, action, EVE))["items"] == []


@pytest.mark.usefixtures("stranger")
@pytest.mark.parametrize("action", ["get_jobs", "get_files", "get_incidents"])
async def test_who_asks_for_a_printer_that_is_hidden_is_refused(
    hass: HomeAssistant, workshop: MockConfigEntry, action: str
) -> None:
    """Nothing is asked of the brain."""
    with pytest.raises(Unauthorized):
        await act(hass, action, EVE, device_id=at(hass, workshop, PRINTER))


@pytest.mark.parametrize("named", [True, False])
async def test_files_are_told_of_a_printer_or_all(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, *, named: bool
) -> None:
    """What can be printed."""
    which = {"device_id": at(hass, workshop, PRINTER)} if named else {}
    told = await act(hass, "get_files", EVE, **which)
    assert told == {"items": [{"id": FILE, "name": "cat.gcode"}]}
    assert brain.sent("files.list") == [{"device_id": PRINTER} if named else {}]


@pytest.mark.usefixtures("stranger")
async def test_who_sees_no_printer_is_told_of_no_file(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    """A file's name tells what somebody makes."""
    with pytest.raises(Unauthorized):
        await act(hass, "get_files", EVE)


async def test_the_use_of_filament_is_told_with_its_sums(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """A time without a zone is one of this house."""
    told = await act(hass, "get_usage", EVE, since="2026-11-02 08:00:00", spool_id=SPOOL)
    assert told == {"items": [{"id": "u1", "grams": 5.0}], "materials": [{"material": "PLA"}]}
    assert brain.sent("inventory.usage")[0] == {
        "since": 1793635200.0,
        "spool_id": SPOOL,
        "limit": 1000,
    }


async def test_all_use_of_filament_is_told_where_nobody_says_since_when(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Of one material, if one is named."""
    await act(hass, "get_usage", EVE, material="PLA")
    assert brain.sent("inventory.usage")[0] == {"material": "PLA", "limit": 1000}


# -- pictures -----------------------------------------------------------------------------------------

PICTURES: Final = [
    ("job_id", JOB, "reviews.picture"),
    ("incident_id", INCIDENT, "incidents.picture"),
    ("print_event_id", SEEN, "prints.picture"),
    ("artifact_id", FILE, "files.picture"),
]


@pytest.mark.parametrize(("name", "key", "command"), PICTURES)
async def test_a_picture_is_shown_to_who_may_see_what_is_on_it(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    name: str,
    key: str,
    command: str,
) -> None:
    """As it goes over the wire, and nothing more."""
    assert await act(hass, "get_picture", EVE, **{name: key}) == picture()
    assert brain.sent(command)[0][name] == key


async def test_the_tool_path_of_a_plate_is_drawn(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Where somebody asks for it."""
    await act(hass, "get_picture", EVE, artifact_id=FILE, kind="preview", plate=2)
    assert brain.sent("files.picture") == [{"artifact_id": FILE, "kind": "preview", "plate": 2}]


@pytest.mark.usefixtures("stranger")
@pytest.mark.parametrize(("name", "key", "_command"), PICTURES)
async def test_a_picture_is_not_shown_to_others(
    hass: HomeAssistant, workshop: MockConfigEntry, name: str, key: str, _command: str
) -> None:
    """Whatever it is of."""
    with pytest.raises(Unauthorized):
        await act(hass, "get_picture", EVE, **{name: key})


async def test_evidence_of_a_request_is_shown_to_who_may_see_its_device(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """As long as the request is in sight."""
    event = brain.event(PRINTER, "heat", command_id="c")
    await push(hass, brain, "safety.event", event)
    assert await act(hass, "get_picture", EVE, event_id=event["id"]) == picture()


@pytest.mark.usefixtures("administrator")
async def test_old_evidence_is_shown_to_administrators_alone(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    """Nobody knows any more what it shows."""
    assert await act(hass, "get_picture", ADA, event_id=EVENT) == picture()
    with pytest.raises(Unauthorized):
        await act(hass, "get_picture", EVE, event_id=EVENT)


@pytest.mark.parametrize("which", [{}, {"job_id": JOB, "artifact_id": FILE}])
async def test_one_picture_is_asked_for_and_not_two_or_none(
    hass: HomeAssistant, workshop: MockConfigEntry, which: Json
) -> None:
    """Before the brain is asked."""
    with pytest.raises(vol.Invalid):
        await act(hass, "get_picture", **which)


# -- rules --------------------------------------------------------------------------------------------


async def test_the_people_of_the_workshop_are_told_who_is_who_and_where(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    """In the areas in which they may see something; nobody's address."""
    told = await act(hass, "get_rules", BOB)
    (zone,) = told["zones"]
    assert (zone["id"], zone["policy"], zone["checks"]) == (ZONE, POLICY, [CHECK])
    ada = {"id": ADA, "display_name": "Ada", "roles": ["engineer"], "active": True}
    assert told["people"] == [ada | {"has_code": None}]
    assert told["presence"] == [ADA_HERE]


@pytest.mark.parametrize("user_id", [ADA, None])
@pytest.mark.usefixtures("administrator")
async def test_administrators_and_automations_are_told_the_same(
    hass: HomeAssistant, workshop: MockConfigEntry, user_id: str | None
) -> None:
    """They may see everything."""
    told = await act(hass, "get_rules", user_id)
    assert len(told["people"]) == len(told["presence"]) == 1


async def test_whether_somebody_has_a_code_is_told_to_themselves(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    """The panel asks them for it; what an automation reads is in its trace."""
    own, automation = [await act(hass, "get_rules", user_id) for user_id in (ADA, None)]
    assert [told["people"][0]["has_code"] for told in (own, automation)] == [True, None]


async def test_others_are_told_the_rules_and_of_nobody(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Where somebody is, is nobody else's affair."""
    told = await act(hass, "get_rules", EVE)
    assert [one["id"] for one in told["zones"]] == [ZONE]
    assert (told["people"], told["presence"]) == (None, None)
    assert brain.sent("safety.presences") == []


@pytest.mark.usefixtures("stranger")
async def test_who_sees_no_device_is_told_of_no_area(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    """An area is known by what stands in it."""
    assert (await act(hass, "get_rules", EVE))["zones"] == []
