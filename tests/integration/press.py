"""Phones with the companion app, the push service that reaches them, and presses on their buttons."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Self
from unittest.mock import patch

from aiohttp import web
from aiohttp.test_utils import TestClient
from homeassistant.core import HomeAssistant
from homeassistant.helpers.storage import Store
from homeassistant.setup import async_setup_component
from homeassistant.util.file import WriteError
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
)
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.kitty.protocol import Json

from .conftest import (
    ADA,
    eventually,
    request,
)
from .fake_brain import FakeBrain

PRESS = "mobile_app_notification_action"


class Phones:
    """The phones of the house, and the push service that reaches them."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Start without phones."""
        self._hass = hass
        self.client: TestClient[Any, Any]
        self.pushes: dict[str, list[Json]] = {}
        self.reachable = asyncio.Event()
        self.reachable.set()
        # What the push service answers.
        self.status = HTTPStatus.CREATED
        # Phones that it cannot reach, whatever it answers for the others.
        self.failing: set[str] = set()
        self._url = ""
        self._runner: web.AppRunner

    async def start(self, clients: ClientSessionGenerator) -> Self:
        """Open the push service and Home Assistant's own door for phones."""
        app = web.Application()
        app.router.add_post("/push", self._push)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/push"
        assert await async_setup_component(self._hass, "mobile_app", {})
        await self._hass.async_block_till_done()
        self.client = await clients()
        return self

    async def stop(self) -> None:
        """Close the push service."""
        await self._runner.cleanup()

    async def add(self, user_id: str, name: str, *, pushes: bool = True) -> str:
        """Register the app on a phone of a user, who may have forbidden pushes; returns the phone."""
        entry = MockConfigEntry(
            domain="mobile_app",
            title=name,
            data={
                "app_data": {"push_token": name, "push_url": self._url} if pushes else {},
                "app_id": "io.homeassistant.companion",
                "app_name": "Home Assistant",
                "app_version": "2026.10",
                "device_id": name,
                "device_name": name,
                "manufacturer": "Phones",
                "model": name,
                "os_name": "Android",
                "os_version": "17",
                "supports_encryption": False,
                "user_id": user_id,
                "webhook_id": f"webhook-{name}",
            },
        )
        entry.add_to_hass(self._hass)
        assert await self._hass.config_entries.async_setup(entry.entry_id)
        await self._hass.async_block_till_done()
        self.pushes[name] = []
        return name

    async def shown(self, phone: str, count: int = 1) -> Json:
        """Wait for the n-th notification on a phone and return it."""
        await eventually(lambda: len(self.pushes[phone]) >= count)
        return self.pushes[phone][count - 1]

    async def press(self, phone: str, action: str) -> None:
        """Press a button of a notification on a phone."""
        await self.fire(phone, {"action": action})

    async def fire(self, phone: str, data: Json) -> None:
        """Have the app on a phone report a press, as it does: through its webhook."""
        answer = await self.client.post(
            f"/api/webhook/webhook-{phone}",
            json={"type": "fire_event", "data": {"event_type": PRESS, "event_data": data}},
        )
        assert answer.status == HTTPStatus.OK
        await self._hass.async_block_till_done()

    async def _push(self, request: web.Request) -> web.Response:
        data = await request.json()
        await self.reachable.wait()
        self.pushes[data["push_token"]].append(data)
        lost = data["push_token"] in self.failing
        status = HTTPStatus.INTERNAL_SERVER_ERROR if lost else self.status
        return web.json_response({}, status=status)


def approve(push: Json) -> str:
    """Return the approving action of a notification."""
    action: str = push["data"]["actions"][0]["action"]
    return action


def deny(push: Json) -> str:
    """Return the denying action of a notification."""
    action: str = push["data"]["actions"][1]["action"]
    return action


@contextmanager
def full_disk() -> Iterator[None]:
    """Let the disk keep nothing, for the time of a block."""
    with (
        patch.object(Store, "_async_write_data", side_effect=WriteError("full")),
        patch("custom_components.kitty.journal.os.fsync", side_effect=OSError("full")),
    ):
        yield


async def asked(brain: FakeBrain, entry: MockConfigEntry, *eligible: str) -> Json:
    """Have Ada ask for the door; returns the event."""
    brain.eligible = list(eligible)
    event: Json = (await request(entry, "unlock", ADA))["event"]
    return event
