"""Buttons: one person's decision about the one request of a device, a printer's own three, and a person's word.

That word is "the bed is clear" and "this is a false alarm".
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, override

from homeassistant.components.button import ButtonEntity, ButtonEntityDescription
from homeassistant.core import CALLBACK_TYPE, Context, HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.event import async_call_later

from . import KittyConfigEntry
from .const import CONF_REQUIRES_PPE, CONF_ZONES
from .coordinator import KittyCoordinator
from .entity import KittyEntity, RecordEntity, async_add_device_entities, needs_people
from .errors import Refused
from .jobs import JobEntity, async_add_jobs, described
from .ledger import check_subject
from .origin import caller_from
from .protocol import Json, Kind, PrinterStatus
from .workshop import alarms, is_in_use, watchers

# Not one after another: a press that waits its turn could decide a request that came meanwhile.
PARALLEL_UPDATES = 0

# A finger already on its way to another button must not decide a request that has just appeared.
SHOWN_FOR_S: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class DecisionDescription(ButtonEntityDescription):
    """A button that decides the device's pending request."""

    decision: str
    ppe: bool | None = None


@dataclass(frozen=True, kw_only=True)
class PrinterDescription(ButtonEntityDescription):
    """A button that asks a printer for something while it is in one of these states."""

    intent: str
    statuses: frozenset[PrinterStatus]


DECISIONS: Final = (
    DecisionDescription(key="approve", translation_key="approve", decision="approve", ppe=False),
    DecisionDescription(key="approve", translation_key="approve_ppe", decision="approve", ppe=True),
    DecisionDescription(key="deny", translation_key="deny", decision="deny"),
)

_RUNNING: Final = frozenset({PrinterStatus.PREPARING, PrinterStatus.PRINTING})

PRINTER: Final = (
    PrinterDescription(
        key="pause", translation_key="pause", intent="print_pause", statuses=_RUNNING
    ),
    PrinterDescription(
        key="resume",
        translation_key="resume",
        intent="print_resume",
        statuses=frozenset({PrinterStatus.PAUSED}),
    ),
    PrinterDescription(
        key="cancel",
        translation_key="cancel",
        intent="print_cancel",
        statuses=_RUNNING | {PrinterStatus.PAUSED, PrinterStatus.ERROR},
    ),
)

CLEARED: Final = ButtonEntityDescription(key="bed_cleared", translation_key="bed_cleared")
FALSE_ALARM: Final = ButtonEntityDescription(key="false_alarm", translation_key="false_alarm")


async def async_setup_entry(
    hass: HomeAssistant,
    entry: KittyConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add approve and deny for each device that people watch over, and the buttons of printers."""

    def build(coordinator: KittyCoordinator, device: Json) -> list[ButtonEntity]:
        zone = entry.options.get(CONF_ZONES, {}).get(device["zone_id"], {})
        ppe = bool(zone.get(CONF_REQUIRES_PPE))
        buttons: list[ButtonEntity] = [
            PrinterButton(coordinator, device, description)
            for description in PRINTER
            if description.intent in device["capabilities"]
        ]
        if device["kind"] == Kind.PRINTER:
            buttons.append(ClearedButton(coordinator, device, CLEARED))
            if watchers(coordinator.data, device["id"]):
                buttons.append(FalseAlarmButton(coordinator, device, FALSE_ALARM))
        if needs_people(device):
            buttons += [
                DecisionButton(coordinator, device, description)
                for description in DECISIONS
                if description.ppe in (None, ppe)
            ]
        return buttons

    async_add_device_entities(entry, async_add_entities, build)
    async_add_jobs(entry, async_add_entities, JobButton)


class PrinterButton(KittyEntity, ButtonEntity):
    """Pause, resume or cancel."""

    entity_description: PrinterDescription

    @property
    @override
    def available(self) -> bool:
        """Tell whether the printer is in a state that the button is for."""
        return super().available and self._state.get("status") in self.entity_description.statuses

    @override
    async def async_press(self) -> None:
        """Ask the printer."""
        await self._async_request(self.entity_description.intent)


class WordButton(RecordEntity, ButtonEntity):
    """What a person says to the brain about a printer."""

    async def _say(self, action: str, params: Json) -> None:
        """Say it in the name of whoever presses."""
        caller = await caller_from(self.hass, self._context or Context())
        await self._data.client.command(action, params, caller=caller)


class ClearedButton(WordButton):
    """A person has taken the print off the bed."""

    @property
    @override
    def available(self) -> bool:
        """Tell whether anything can have been taken off: nothing is being printed."""
        return super().available and not is_in_use(self.coordinator.data, self._device_id)

    @override
    async def async_press(self) -> None:
        """Let the queue use the bed."""
        await self._say("printers.cleared", {"device_id": self._device_id})


class FalseAlarmButton(WordButton):
    """What the cameras of a printer say of its print is wrong."""

    @property
    @override
    def available(self) -> bool:
        """Tell whether there is an alarm that nobody has answered."""
        return super().available and bool(alarms(self.coordinator.data, self._device_id))

    @override
    async def async_press(self) -> None:
        """Answer every open alarm of the printer."""
        for incident in alarms(self.coordinator.data, self._device_id):
            answer = {"incident_id": incident["id"], "verdict": "false_alarm"}
            await self._say("vision.answer", answer)


class JobButton(JobEntity, ButtonEntity):
    """Runs a job now."""

    def __init__(self, coordinator: KittyCoordinator, name: str) -> None:
        """Describe the button; who wants it switches it on."""
        description = described(
            ButtonEntityDescription, "run_job", name, entity_registry_enabled_default=False
        )
        super().__init__(coordinator, description, name)

    @override
    async def async_press(self) -> None:
        """Ask for a run in the name of whoever presses."""
        caller = await caller_from(self.hass, self._context or Context())
        await self.coordinator.client.command("schedule.run", {"name": self._job}, caller=caller)


class DecisionButton(KittyEntity, ButtonEntity):
    """The decision of whoever presses it about the one request that the device shows."""

    entity_description: DecisionDescription

    _shown = _subject = ""
    _ready = False
    _cancel_timer: CALLBACK_TYPE | None = None

    @property
    @override
    def available(self) -> bool:
        """Tell whether there is exactly one request and people had time to see which."""
        event = self._only_pending
        return (
            self.coordinator.last_update_success
            and self.coordinator.data.connected
            and self._ready
            and event is not None
            and (event["id"], event["subject"]) == (self._shown, self._subject)
            and self.entity_description.ppe in (None, event["requires_ppe"])
        )

    @property
    def _only_pending(self) -> Json | None:
        """Return the pending request if there is exactly one."""
        pending = self._pending
        if len(pending) != 1:
            return None
        try:
            check_subject(pending[0])
        except Refused:
            return None
        return pending[0]

    @override
    async def async_added_to_hass(self) -> None:
        """Follow the request that is pending already."""
        await super().async_added_to_hass()
        self.async_on_remove(self._stop_timer)
        self._follow()

    @override
    async def async_press(self) -> None:
        """Decide the request that is shown, as the user who presses."""
        await self._data.approvals.decide(
            self._shown,
            self.entity_description.decision,
            context=self._context or Context(),
            subject=self._subject,
            ppe=bool(self.entity_description.ppe),
        )

    @callback
    @override
    def _handle_coordinator_update(self) -> None:
        """Follow the pending request."""
        self._follow()
        super()._handle_coordinator_update()

    @callback
    def _follow(self) -> None:
        """Start the wait anew whenever another request is the one that is shown."""
        event = self._only_pending
        shown: str = event["id"] if event else ""
        subject: str = event["subject"] if event else ""
        if (shown, subject) == (self._shown, self._subject):
            return
        self._stop_timer()
        self._shown, self._subject, self._ready = shown, subject, False
        if shown:
            self._cancel_timer = async_call_later(self.hass, SHOWN_FOR_S, self._become_ready)

    @callback
    def _become_ready(self, _now: datetime) -> None:
        """Let people press."""
        self._cancel_timer = None
        self._ready = True
        self.async_write_ha_state()

    @callback
    def _stop_timer(self) -> None:
        """Forget the wait."""
        if self._cancel_timer is not None:
            self._cancel_timer()
            self._cancel_timer = None
