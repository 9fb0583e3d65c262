"""What all tests of the integration share: a brain on loopback, a workshop with one door, its people."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
import time
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

from freezegun.api import FrozenDateTimeFactory, freeze_time
from homeassistant.config_entries import ConfigSubentryData
from homeassistant.core import Context, HomeAssistant, ServiceCall
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, MockUser
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

# Before the first ``hass``: else the test plugin's own folder becomes ``custom_components``.
import custom_components.kitty
from custom_components.kitty import protocol
from custom_components.kitty.const import DOMAIN
from custom_components.kitty.coordinator import Snapshot
from custom_components.kitty.protocol import Hazard, Json

from .fake_brain import TOKEN, FakeBrain

if TYPE_CHECKING:
    from .press import Phones

__all__ = ["custom_components"]

DOOR: Final = "d0" * 16
DOOR_ENTITY: Final = "lock.workshop"
ZONE: Final = "workshop"
ADA: Final = "ada0" * 8
BOB: Final = "b0b0" * 8
EVE: Final = "e5e0" * 8


@pytest.fixture(autouse=True)
def finger() -> Iterator[None]:
    """Let whatever a test calls come from a person's own screen."""
    screen = SimpleNamespace(path="/api/websocket", get=lambda *_: None)
    road: ContextVar[Any] = ContextVar("current_request", default=screen)
    with patch("custom_components.kitty.origin.current_request", road):
        yield


@pytest.fixture
async def freezer() -> AsyncIterator[FrozenDateTimeFactory]:
    """Stop the clock. The loop's goes on, and moves with it: else what waits for a moment would wait for ever."""
    loop, real = asyncio.get_running_loop(), time.monotonic
    with freeze_time() as frozen:
        stopped, since = time.monotonic, time.monotonic()
        with patch.object(loop, "time", lambda: real() + stopped() - since):
            yield frozen


@pytest.fixture(autouse=True)
def unhurried() -> Iterator[None]:
    """Ask no link whether it is there: for a clock that a test moves, no answer comes in time."""
    with patch("custom_components.kitty.client.HEARTBEAT", None):
        yield


@pytest.fixture
def hass_config_dir(tmp_path: Path) -> str:
    """Give each house a folder of its own."""
    return str(tmp_path)


@pytest.fixture
async def brain(socket_enabled: None) -> AsyncIterator[FakeBrain]:
    """Return a brain that listens."""
    fake = await FakeBrain().start()
    yield fake
    await fake.stop()


@pytest.fixture
async def people(hass: HomeAssistant) -> dict[str, MockUser]:
    """Return the people of the house: Ada and Bob have roles, Eve has none."""
    return {
        user_id: MockUser(id=user_id, name=name).add_to_hass(hass)
        for user_id, name in ((ADA, "Ada"), (BOB, "Bob"), (EVE, "Eve"))
    }


@pytest.fixture
def administrator(people: dict[str, MockUser]) -> None:
    """Let Ada be one; Eve is none."""
    people[ADA].is_owner = True


@pytest.fixture
def onlooker(workshop: MockConfigEntry, people: dict[str, MockUser]) -> None:
    """Let Eve see everything and control nothing."""
    people[EVE].mock_policy({"entities": {"all": {"read": True}}})


def door_subentry(**options: Any) -> ConfigSubentryData:
    """Return the door as a person added it: a lock of Home Assistant in the workshop."""
    return ConfigSubentryData(
        data={
            "device_id": DOOR,
            "driver": "home_assistant",
            "zone_id": ZONE,
            "options": {"entity_id": DOOR_ENTITY, **options},
            "info": {
                "external_id": "lock-1",
                "name": "Workshop door",
                "kind": "door",
                "capabilities": ["lock", "unlock", "open"],
            },
        },
        subentry_type="device",
        title="Workshop door",
        unique_id="home_assistant:lock-1",
    )


def rules(level: str = "medium", **policy: Any) -> dict[str, Any]:
    """Return options with one area of this hazard level, and roles for Ada and Bob."""
    return {
        "zones": {ZONE: {"hazard_level": level, "requires_ppe": False, "door_ids": [DOOR]}},
        "policies": {ZONE: {"required_roles": ["engineer", "safety"], "checks": {}} | policy},
        "people": {
            ADA: {"roles": ["engineer"], "email": "ada@example.com", "notify": []},
            BOB: {"roles": ["safety"], "email": "bob@example.com", "notify": []},
        },
        "presence": {},
    }


def kitty_entry(
    brain: FakeBrain,
    options: dict[str, Any] | None = None,
    subentries: tuple[ConfigSubentryData, ...] | None = None,
) -> MockConfigEntry:
    """Return a config entry of this brain, not yet added."""
    return MockConfigEntry(
        domain=DOMAIN,
        title="Brain",
        unique_id=brain.instance_id,
        data={
            "url": brain.url,
            "token": TOKEN,
            "instance_id": brain.instance_id,
            "brain_public_key": brain.public_key,
            "slug": None,
        },
        options=rules() if options is None else options,
        subentries_data=(door_subentry(),) if subentries is None else subentries,
    )


async def set_up(hass: HomeAssistant, entry: MockConfigEntry) -> MockConfigEntry:
    """Set an entry up."""
    assert await async_setup_component(hass, "homeassistant", {})
    if hass.config_entries.async_get_entry(entry.entry_id) is None:
        entry.add_to_hass(hass)
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    return entry


@pytest.fixture
def no_platforms(enable_custom_integrations: None) -> Iterator[None]:
    """Leave the entities out, where a test is about something else."""
    with patch("custom_components.kitty.PLATFORMS", ()):
        yield


class Door:
    """A lock of Home Assistant: its services do what the test says, and count."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Show a locked door and offer its three services."""
        self._hass = hass
        self.calls: list[ServiceCall] = []
        self.becomes: dict[str, str] = {"lock": "locked", "unlock": "unlocked", "open": "open"}
        self.before: Callable[[], Any] = lambda: None
        self.show("locked")
        for name in self.becomes:
            hass.services.async_register("lock", name, self._serve)

    def show(self, state: str, **attributes: Any) -> None:
        """Show a state."""
        self._hass.states.async_set(
            DOOR_ENTITY, state, {"supported_features": 1} | attributes, force_update=True
        )

    async def _serve(self, call: ServiceCall) -> None:
        self.calls.append(call)
        if (waiting := self.before()) is not None:
            await waiting
        if call.service in self.becomes:
            self.show(self.becomes[call.service])


@pytest.fixture
def door(hass: HomeAssistant) -> Door:
    """Return the lock of the workshop."""
    return Door(hass)


@pytest.fixture
def options() -> dict[str, Any]:
    """Return the rules of the house; a test module may want others."""
    return rules()


@pytest.fixture
async def kitty(
    hass: HomeAssistant,
    no_platforms: None,
    brain: FakeBrain,
    people: dict[str, MockUser],
    door: Door,
    options: dict[str, Any],
) -> MockConfigEntry:
    """Return the entry, set up without entities and known to the brain."""
    entry = await set_up(hass, kitty_entry(brain, options))
    await brain.received_command("devices.observe")
    await fed(entry)
    return entry


async def until(entry: MockConfigEntry, true: Callable[[Snapshot], object]) -> Snapshot:
    """Wait until something is true of what the coordinator knows."""
    coordinator = entry.runtime_data.coordinator
    news = asyncio.Event()
    stop = coordinator.async_add_listener(news.set)
    try:
        async with asyncio.timeout(20):
            while not true(coordinator.data):
                news.clear()
                await news.wait()
    finally:
        stop()
    data: Snapshot = coordinator.data
    return data


async def eventually(true: Callable[[], object]) -> None:
    """Wait until something is true of which nobody sends news."""
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.01)


async def fed(entry: MockConfigEntry) -> None:
    """Wait until the brain was told everything that it is told at the beginning, which has begun."""
    async with entry.runtime_data.feed._lock:
        pass


async def heard(entry: MockConfigEntry) -> None:
    """Wait until everything that the brain has sent so far has been taken."""
    await until(entry, lambda data: data.connected)
    await entry.runtime_data.client.command("devices.list")


def of(user_id: str | None, **more: Any) -> Context:
    """Return the context of a finger on a dashboard."""
    return Context(user_id=user_id, **more)


def frozen(data: dict[str, Any]) -> MappingProxyType[str, Any]:
    """Return options as Home Assistant holds them."""
    return MappingProxyType(data)


async def request(entry: MockConfigEntry, intent: str, user_id: str | None, **more: Any) -> Json:
    """Ask for something at the door."""
    answer: Json = await entry.runtime_data.approvals.request(
        DOOR, intent, {}, context=of(user_id), **more
    )
    return answer


async def decide(entry: MockConfigEntry, event: Json, decision: str, user_id: str | None) -> Json:
    """Decide an event with a finger on a dashboard."""
    decided: Json = await entry.runtime_data.approvals.decide(
        event["id"], decision, context=of(user_id)
    )
    return decided


@pytest.fixture
def high(hass: HomeAssistant, brain: FakeBrain, kitty: MockConfigEntry) -> None:
    """Make the workshop dangerous, here and at the brain."""
    brain.zone_levels[ZONE] = Hazard.HIGH
    hass.config_entries.async_update_entry(kitty, options=rules("high"))


@pytest.fixture
def short_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait a moment, and not a quarter of a minute, for what will not be seen."""
    for name, intent in protocol.INTENTS.items():
        monkeypatch.setitem(protocol.INTENTS, name, replace(intent, deadline=0.2))


@pytest.fixture
async def phones(
    hass: HomeAssistant, kitty: MockConfigEntry, hass_client_no_auth: ClientSessionGenerator
) -> AsyncIterator[Phones]:
    """Return the phones of the house."""
    from .press import Phones  # noqa: PLC0415 - it uses what is defined here

    found = await Phones(hass).start(hass_client_no_auth)
    yield found
    await found.stop()
