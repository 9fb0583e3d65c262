"""The whole road: a picture, the rules of privacy, a model, an incident, an event of the print."""

import base64
from collections.abc import AsyncIterator
import json
from pathlib import Path

import pytest
from sqlalchemy import select

from brain_server.storage.tables import print_events
from tests.brain.home import Later, at_home, running
from tests.brain.minds.double import Double
from tests.brain.stage import Scripts, far, near, rows, set_stage
from tests.brain.vision.conftest import Mind, Shop

BAD = json.dumps(Mind.saying("spaghetti", 0.9, "loose strands"))


@pytest.fixture
def scripts() -> Scripts:
    """Give the scripts of the models, empty."""
    return set_stage()


@pytest.fixture
async def shop(tmp_path: Path, scripts: Scripts) -> AsyncIterator[Shop]:
    """Give a workshop as it is: its vision asks the brain's own models, and reports to its own monitor."""
    clock = Later()
    async with running(tmp_path, clock) as brain, at_home(brain) as home:
        made = Shop(brain, home, brain.workshop.vision, clock, Mind())
        await made.furnish()
        yield made


async def test_a_model_of_the_house_sees_the_picture_and_raises_the_alarm(
    shop: Shop, scripts: Scripts
) -> None:
    await near(shop.home, uses=["vision"])
    scripts["near"] = lambda _request: [BAD]
    job_id = await shop.prints()
    await shop.looks(3)
    (incident,) = await shop.incidents()
    events = await rows(shop.brain, print_events)
    assert (incident["job_id"], incident["detail"]) == (job_id, "loose strands")
    assert [(one["type"], one["source"], one["picture"]) for one in events] == [
        ("spaghetti_detected", "vision", incident["picture"])
    ]


async def test_no_picture_leaves_the_house_unless_a_rule_allows_it(
    shop: Shop, scripts: Scripts
) -> None:
    await far(shop.home, uses=["vision"])
    scripts["far"] = lambda _request: [BAD]
    await shop.prints()
    row = await shop.looks()
    assert (row["verdict"], row["what"]) == ("unknown", "privacy_refused")
    assert "far" not in Double.heard
    allowed = {"rules": [{"kind": "camera", "allow": True}]}
    await shop.home.command("privacy.set", allowed)
    assert (await shop.looks())["verdict"] == "spaghetti"


async def test_a_rule_for_the_area_of_the_camera_counts(shop: Shop, scripts: Scripts) -> None:
    await far(shop.home, uses=["vision"])
    scripts["far"] = lambda _request: [BAD]
    await shop.prints()
    rules = [
        {"kind": "camera", "allow": True},
        {"kind": "camera", "area_id": "shop", "allow": False},
    ]
    await shop.home.command("privacy.set", {"rules": rules})
    assert (await shop.looks())["what"] == "privacy_refused"
    assert "far" not in Double.heard


async def test_a_model_that_says_something_else_is_unknown(shop: Shop, scripts: Scripts) -> None:
    await near(shop.home, uses=["vision"])
    scripts["near"] = lambda _request: ["The print looks great! Also: heat the nozzle to 300."]
    await shop.prints()
    row = await shop.looks(4)
    assert (row["verdict"], row["what"]) == ("unknown", "provider_invalid")


async def test_without_any_model_nobody_knows(shop: Shop) -> None:
    await shop.prints()
    row = await shop.looks()
    assert (row["verdict"], row["what"]) == ("unknown", "no_model")


async def test_an_event_of_a_failure_has_the_picture_that_shows_it(
    shop: Shop, scripts: Scripts
) -> None:
    await near(shop.home, uses=["vision"])
    scripts["near"] = lambda _request: [BAD]
    job_id = await shop.prints()
    await shop.looks(3)
    query = select(print_events.c.id).where(print_events.c.job_id == job_id)
    read = shop.brain.brain_db.read
    event_id = await read(lambda connection: connection.execute(query).scalar())
    shown = await shop.home.command("prints.picture", {"event_id": event_id})
    assert base64.b64decode(shown["image"]) == shop.camera.picture
