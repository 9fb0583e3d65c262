"""KITTY: the workshop's brain, seen and held in check from Home Assistant."""

from dataclasses import dataclass

from homeassistant.config_entries import ConfigEntry

from .approvals import Approvals
from .client import BrainClient
from .coordinator import KittyCoordinator
from .gate import Executor, Ledger

type KittyConfigEntry = ConfigEntry[KittyData]


@dataclass(frozen=True, slots=True, kw_only=True)
class KittyData:
    """What one config entry holds while it is loaded."""

    client: BrainClient
    coordinator: KittyCoordinator
    ledger: Ledger
    approvals: Approvals
    executor: Executor
