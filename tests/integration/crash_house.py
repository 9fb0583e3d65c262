"""A Home Assistant on a real disk that kills itself at one step of a grant; run by test_crash.py."""

import asyncio
from collections.abc import Callable
import json
import os
from pathlib import Path
import signal
import sys
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

from homeassistant.core import HomeAssistant, ServiceCall
from homeassistant.loader import DATA_CUSTOM_COMPONENTS
from homeassistant.setup import async_setup_component
from pytest_homeassistant_custom_component.common import MockUser, async_test_home_assistant

from custom_components.kitty.gate import Executor
from custom_components.kitty.ledger import Ledger
from tests.standins.server import free_port

from .conftest import ADA, BOB, DOOR_ENTITY, kitty_entry, set_up
from .fake_brain import FakeBrain

STEPS = ("received", "stored", "called", "answered", "kept")


def die() -> None:
    """Go without a word, as in a power cut of the process."""
    os.kill(os.getpid(), signal.SIGKILL)


def after(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return the method that dies once its work is done."""

    async def wrapped(*args: Any, **kwargs: Any) -> None:
        await original(*args, **kwargs)
        die()

    return wrapped


def arm(step: str) -> None:
    """Make one step of the gate the last one."""
    match step:
        case "received":
            Executor._judge = lambda *_args: die()  # type: ignore[method-assign,assignment]  # one method is replaced for this test
        case "stored":
            Ledger.spend = after(Ledger.spend)  # type: ignore[method-assign]  # one method is replaced for this test
        case "answered":
            Ledger.record_outcome = lambda *_args: die()  # type: ignore[method-assign,assignment]  # one method is replaced for this test
        case "kept":
            Ledger.record_outcome = after(Ledger.record_outcome)  # type: ignore[method-assign]  # one method is replaced for this test


def offer_door(hass: HomeAssistant, effects: Path, step: str) -> None:
    """Offer a lock whose every unlocking is on disk before anything else happens."""
    shown = "unlocked" if effects.exists() else "locked"
    hass.states.async_set(DOOR_ENTITY, shown)

    async def unlock(_call: ServiceCall) -> None:
        with effects.open("a") as file:
            file.write("unlock\n")
        if step == "called":
            die()
        hass.states.async_set(DOOR_ENTITY, "unlocked", force_update=True)

    hass.services.async_register("lock", "unlock", unlock)


async def live(config_dir: str, brain: dict[str, str], step: str) -> None:
    """Set the house up and wait for the end."""
    arm(step)
    async with async_test_home_assistant(config_dir=config_dir) as hass:
        hass.data.pop(DATA_CUSTOM_COMPONENTS)
        # Never the port that a real house has.
        where = {"server_host": ["127.0.0.1"], "server_port": free_port()}
        assert await async_setup_component(hass, "http", {"http": where})
        for user_id, name in ((ADA, "Ada"), (BOB, "Bob")):
            MockUser(id=user_id, name=name).add_to_hass(hass)
        offer_door(hass, Path(config_dir) / "effects", step)
        with patch("custom_components.kitty.PLATFORMS", ()):
            await set_up(hass, kitty_entry(cast("FakeBrain", SimpleNamespace(**brain))))
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(live(sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]))
