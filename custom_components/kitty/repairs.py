"""What mends an issue: the one tap, or the words of what a person has to do."""

from typing import TYPE_CHECKING, override

from homeassistant.components.homeassistant.exposed_entities import (
    KNOWN_ASSISTANTS,
    async_expose_entity,
)
from homeassistant.components.http import KEY_HASS_USER
from homeassistant.components.repairs import (
    ConfirmRepairFlow,
    FlowType,
    RepairsFlow,
    RepairsFlowResult,
)
from homeassistant.config_entries import SOURCE_RECONFIGURE, ConfigEntryState
from homeassistant.const import CONF_URL
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.hassio import is_hassio
from homeassistant.helpers.http import current_request

from .const import CONF_SLUG, DOMAIN, LOGGER, SUBENTRY_PROVIDER
from .issues import PROVIDER_KINDS, IssueData
from .origin import Caller
from .protocol import Channel, CommandStatus

if TYPE_CHECKING:
    from . import KittyData


class ExplainedFlow(ConfirmRepairFlow):
    """Explain, then do what cures; what the issue is about fills the words."""

    def __init__(self, data: IssueData) -> None:
        """Take over what the issue is about."""
        self._about = {name: str(value) for name, value in data.items()}

    @override
    async def async_step_confirm(
        self, user_input: dict[str, str] | None = None
    ) -> RepairsFlowResult:
        """Ask, then cure."""
        if user_input is None:
            return await super().async_step_confirm()
        return await self._cure()

    async def _cure(self) -> RepairsFlowResult:
        """Do nothing but close the issue."""
        return self.async_create_entry(data={})


class UnexposeFlow(ExplainedFlow):
    """One tap: the entity is no longer exposed to any assistant."""

    @override
    async def _cure(self) -> RepairsFlowResult:
        """Take the entity away from the assistants."""
        for assistant in KNOWN_ASSISTANTS:
            async_expose_entity(self.hass, assistant, self._about["entity_id"], False)
        return self.async_create_entry(data={})


class OutcomeFlow(RepairsFlow):
    """Ask a person, who has looked, whether a command was carried out."""

    def __init__(self, data: IssueData) -> None:
        """Take over what the issue is about."""
        self._entry_id = str(data["entry_id"])
        self._command_id = str(data["command_id"])
        self._placeholders = {name: str(data[name]) for name in ("device", "intent")}

    async def async_step_init(self, user_input: dict[str, str] | None = None) -> RepairsFlowResult:
        """Ask: did it happen?"""
        return self.async_show_menu(
            step_id="init",
            menu_options=["happened", "did_not_happen"],
            description_placeholders=self._placeholders,
        )

    async def async_step_happened(
        self, user_input: dict[str, str] | None = None
    ) -> RepairsFlowResult:
        """Settle the command as done."""
        return await self._settle(CommandStatus.ACKED)

    async def async_step_did_not_happen(
        self, user_input: dict[str, str] | None = None
    ) -> RepairsFlowResult:
        """Settle the command as failed."""
        return await self._settle(CommandStatus.FAILED)

    async def _settle(self, outcome: CommandStatus) -> RepairsFlowResult:
        """Tell the brain what the person saw; the issue stays when the brain cannot be told."""
        entry = self.hass.config_entries.async_get_entry(self._entry_id)
        if entry is None or entry.state is not ConfigEntryState.LOADED:
            return self.async_abort(reason="entry_not_loaded")
        data: KittyData = entry.runtime_data
        params = {"command_id": self._command_id, "outcome": str(outcome)}
        try:
            await data.client.command("commands.settle", params, caller=_person_at_the_screen())
        except HomeAssistantError as err:
            return self.async_abort(
                reason="not_settled", description_placeholders={"error": str(err)}
            )
        return self.async_create_entry(data={})


def _person_at_the_screen() -> Caller:
    """Return the person whose request runs this step of a flow; flows do not carry a context."""
    request = current_request.get()
    user = request.get(KEY_HASS_USER) if request is not None else None
    return Caller(
        user_id=user.id if user else None,
        name=user.name if user else None,
        channel=Channel.DASHBOARD if user else Channel.SYSTEM,
    )


class ReconfigureFlow(ExplainedFlow):
    """Lead to the form that cures; the issue goes when the cure has worked, not before."""

    flow_type = FlowType.CONFIG_FLOW

    @override
    async def _cure(self) -> RepairsFlowResult:
        """Open the form."""
        if self.hass.config_entries.async_get_entry(self._about["entry_id"]) is None:
            return self.async_create_entry(data={})
        return self.async_abort(
            reason="form_opened",
            description_placeholders=self._about,
            next_flow=(self.flow_type, await self._open_form()),
        )

    async def _open_form(self) -> str:
        """Start the flow with the address of the brain and return its id."""
        result = await self.hass.config_entries.flow.async_init(
            DOMAIN, context={"source": SOURCE_RECONFIGURE, "entry_id": self._about["entry_id"]}
        )
        return result["flow_id"]


class UnreachableFlow(ReconfigureFlow):
    """Offer to start the app, where the brain is one; else lead to the form of its address."""

    @override
    async def async_step_init(self, user_input: dict[str, str] | None = None) -> RepairsFlowResult:
        """Ask which of the two, where there are two."""
        entry = self.hass.config_entries.async_get_entry(self._about["entry_id"])
        if entry is None or self._slug() is None:
            return await self.async_step_confirm()
        return self.async_show_menu(
            step_id="init",
            menu_options=["start_app", "confirm"],
            description_placeholders={"url": entry.data[CONF_URL]},
        )

    async def async_step_start_app(
        self, user_input: dict[str, str] | None = None
    ) -> RepairsFlowResult:
        """Have the Supervisor start the app; the issue goes when the brain answers."""
        from homeassistant.components.hassio import (  # noqa: PLC0415 - only where there is a Supervisor
            AddonError,
            AddonManager,
        )

        try:
            await AddonManager(self.hass, LOGGER, "KITTY", self._slug() or "").async_start_addon()
        except AddonError as err:
            return self.async_abort(
                reason="app_not_started", description_placeholders={"error": str(err)}
            )
        return self.async_abort(reason="app_started")

    def _slug(self) -> str | None:
        """Return the app that the brain came from; None where it is none, or there is no Supervisor."""
        entry = self.hass.config_entries.async_get_entry(self._about["entry_id"])
        slug: str | None = entry.data.get(CONF_SLUG) if entry else None
        return slug if is_hassio(self.hass) else None


class OptionsRepairFlow(ReconfigureFlow):
    """Lead to the options, where people and areas are set."""

    flow_type = FlowType.OPTIONS_FLOW

    @override
    async def _open_form(self) -> str:
        """Start the options flow and return its id."""
        result = await self.hass.config_entries.options.async_init(self._about["entry_id"])
        return result["flow_id"]


class ProviderRepairFlow(ReconfigureFlow):
    """Lead to the form of a language model or tool server."""

    flow_type = FlowType.CONFIG_SUBENTRIES_FLOW

    @override
    async def _cure(self) -> RepairsFlowResult:
        """Open the form, unless it was removed meanwhile."""
        entry = self.hass.config_entries.async_get_entry(self._about["entry_id"])
        if entry is None or self._about["subentry_id"] not in entry.subentries:
            return self.async_create_entry(data={})
        return await super()._cure()

    @override
    async def _open_form(self) -> str:
        """Start the flow and return its id."""
        result = await self.hass.config_entries.subentries.async_init(
            (self._about["entry_id"], SUBENTRY_PROVIDER),
            context={
                "source": SOURCE_RECONFIGURE,
                "subentry_id": self._about["subentry_id"],
            },
        )
        return result["flow_id"]


class AcceptAuditFlow(ExplainedFlow):
    """Take the brain's record as it is now, because a person says that this is right."""

    @override
    async def _cure(self) -> RepairsFlowResult:
        """Remember the head of the record that there is."""
        entry = self.hass.config_entries.async_get_entry(self._about["entry_id"])
        if entry is None:
            return self.async_create_entry(data={})
        if entry.state is not ConfigEntryState.LOADED:
            return self.async_abort(reason="entry_not_loaded")
        data: KittyData = entry.runtime_data
        if data.coordinator.data.audit:
            await data.ledger.keep_audit_head(data.coordinator.data.audit)
        # A fresh connection compares the record with what is remembered now.
        self.hass.config_entries.async_schedule_reload(entry.entry_id)
        return self.async_create_entry(data={})


async def async_create_fix_flow(
    hass: HomeAssistant, issue_id: str, data: IssueData | None
) -> RepairsFlow:
    """Return the flow that mends an issue."""
    match data:
        case None:
            return ConfirmRepairFlow()
        case {"kind": "exposed_raw_entity" | "exposed_approval"}:
            return UnexposeFlow(data)
        case {"kind": "unknown_outcome"}:
            return OutcomeFlow(data)
        case {"kind": "brain_unreachable"}:
            return UnreachableFlow(data)
        case {"kind": kind} if kind in PROVIDER_KINDS:
            return ProviderRepairFlow(data)
        case {"kind": "area_unset" | "no_approver"}:
            return OptionsRepairFlow(data)
        case {"kind": "audit_rollback"}:
            return AcceptAuditFlow(data)
        case _:
            return ExplainedFlow(data)
