"""What a grant has to be borne out by: our own options, and people whose decisions we recorded."""

from collections.abc import Mapping
from dataclasses import dataclass
import math
from typing import TYPE_CHECKING, Any, Self

from homeassistant.const import CONF_EMAIL
from homeassistant.core import HomeAssistant

from .const import (
    CONF_HAZARD_LEVEL,
    CONF_PEOPLE,
    CONF_POLICIES,
    CONF_REQUESTER_MAY_CONFIRM,
    CONF_REQUIRED_ROLES,
    CONF_REQUIRES_DUAL_CONFIRM,
    CONF_REQUIRES_PPE,
    CONF_ROLES,
    CONF_VOICE_MAY_CONFIRM,
    CONF_ZONES,
)
from .errors import Refused
from .ledger import REFUSED
from .origin import person
from .protocol import (
    DIRECT_CHANNELS,
    INTENTS,
    VOICE_PERSON,
    Channel,
    Hazard,
    Json,
    hazard_level,
    people_behind,
    people_needed,
    worse,
)

if TYPE_CHECKING:
    from . import KittyConfigEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A single-use order of the brain."""

    command_id: str
    event_id: str | None
    device_id: str
    intent: str
    params: Json
    subject: str | None
    level: Hazard
    people: tuple[str, ...]
    issued_at: float
    expires_at: float
    nonce: str

    @classmethod
    def read(cls, raw: Any) -> Self:
        """Read a grant; Refused ``grant_malformed`` where a field is missing, unknown or wrong."""
        if not isinstance(raw, dict) or raw.keys() != cls.__dataclass_fields__.keys():
            raise Refused("grant_malformed")
        words = [raw[name] for name in ("command_id", "device_id", "intent", "nonce")]
        optional = [raw[name] for name in ("event_id", "subject") if raw[name] is not None]
        numbers = [raw[name] for name in ("issued_at", "expires_at")]
        well_formed = (
            all(isinstance(word, str) and word for word in (*words, *optional))
            and all(type(one) in (int, float) and math.isfinite(one) for one in numbers)
            and isinstance(raw["params"], dict)
            and raw["level"] in list(Hazard)
            and isinstance(raw["people"], list)
            and all(isinstance(one, str) for one in raw["people"])
        )
        if not well_formed:
            raise Refused("grant_malformed")
        return cls(**raw | {"level": Hazard(raw["level"]), "people": tuple(raw["people"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What our own options say about one intent in one zone."""

    level: Hazard
    known_zone: bool
    zone_id: str | None
    safe: bool
    roles: frozenset[str]
    dual: bool
    requester_may_confirm: bool
    voice_may_confirm: bool
    ppe: bool
    people: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, entry: KittyConfigEntry, zone_id: str | None, intent: str) -> Self:
        """Read the options; what is not said is taken as the brain takes it."""
        zones, policies = (entry.options.get(name, {}) for name in (CONF_ZONES, CONF_POLICIES))
        zone, policy = zones.get(zone_id), policies.get(zone_id, {})
        danger = Hazard.LOW if zone is None else Hazard(zone.get(CONF_HAZARD_LEVEL, Hazard.HIGH))
        return cls(
            level=hazard_level(intent, danger),
            known_zone=zone is not None,
            zone_id=zone_id,
            safe=INTENTS[intent].safe,
            roles=frozenset(policy.get(CONF_REQUIRED_ROLES, ())),
            dual=bool(policy.get(CONF_REQUIRES_DUAL_CONFIRM)),
            requester_may_confirm=bool(policy.get(CONF_REQUESTER_MAY_CONFIRM, True)),
            voice_may_confirm=bool(policy.get(CONF_VOICE_MAY_CONFIRM)),
            ppe=bool((zone or {}).get(CONF_REQUIRES_PPE)),
            people=entry.options.get(CONF_PEOPLE, {}),
        )

    @property
    def needed(self) -> int:
        """Return how many different people have to stand behind the intent."""
        return people_needed(self.level, dual_confirm=self.dual)

    async def check(
        self, hass: HomeAssistant, grant: Grant, event: Json | None, now: float
    ) -> None:
        """Refuse a grant that our own records do not bear out."""
        if self.safe:
            return
        if worse(self.level, grant.level) is not grant.level:
            raise Refused("grant_level_too_low")
        if len(set(grant.people)) != len(grant.people):
            raise Refused("grant_people_repeated")
        if self.needed == 0:
            return
        if not self.known_zone:
            raise Refused("no_zone")
        event = self._same_subject(grant, event, now)
        counted = await self.counted(hass, event)
        if set(grant.people) - counted:
            raise Refused("grant_people_unknown")
        if self._different(frozenset(grant.people)) < self.needed:
            raise Refused("grant_too_few_people", needed=self.needed)

    def _same_subject(self, grant: Grant, event: Json | None, now: float) -> Json:
        """Return the record of what people decided, if it is this very thing and still stands."""
        if event is None:
            raise Refused("grant_event_unknown")
        same = (
            grant.subject == event["subject"]
            and grant.device_id == event["device_id"]
            and grant.intent == event["intent"]
            and grant.params == event["params"]
            and grant.level == event.get("level")
            and event["zone_id"] == self.zone_id
        )
        if not same:
            raise Refused("grant_wrong_subject")
        if any(
            made["decision"] == "deny" and made["status"] != REFUSED
            for made in event["decisions"].values()
        ):
            raise Refused("grant_denied")
        # By our own clock, too: how long an approval lives is not for the brain to say.
        ours = event["opened_at"] + INTENTS[grant.intent].approval_ttl
        if event["closed"] is not None or not now < min(event["expires_at"], ours):
            raise Refused("grant_approval_expired")
        return event

    async def counted(self, hass: HomeAssistant, event: Json) -> frozenset[str]:
        """Return the people who stand behind a recorded event now."""
        requester, channel = event["requester"], str(event["channel"])
        approvers = {
            user_id
            for user_id, made in event["decisions"].items()
            if made["decision"] == "approve"
            and made["status"] != REFUSED
            and not await self.why_not(
                hass, user_id, made["channel"], ppe=made["ppe"], requester=requester
            )
        }
        if requester is not None and await self._entitled(hass, requester):
            requester = None
        return people_behind(
            self.level,
            dual_confirm=self.dual,
            requester=requester,
            channel=channel,
            approvers=frozenset(approvers),
        )

    async def why_not(
        self,
        hass: HomeAssistant,
        user_id: str,
        channel: str,
        *,
        ppe: bool,
        requester: str | None,
    ) -> str | None:
        """Return the code of why somebody's approval does not count; None when it does."""
        if self.ppe and not ppe:
            return "ppe_required"
        if user_id == VOICE_PERSON:
            spoken = channel == Channel.VOICE and self.voice_may_confirm and self.needed == 1
            return None if spoken else "direct_approval_required"
        if reason := await self._entitled(hass, user_id):
            return reason
        if user_id == requester and (self.needed > 1 or not self.requester_may_confirm):
            return "self_approval"
        if channel in DIRECT_CHANNELS or (self.needed == 1 and channel == Channel.ASSIST):
            return None
        return "direct_approval_required"

    async def _entitled(self, hass: HomeAssistant, user_id: str) -> str | None:
        """Return the code of why the zone does not trust somebody; None when it does."""
        roles = set(self.people.get(user_id, {}).get(CONF_ROLES, ()))
        if not roles or await person(hass, user_id) is None:
            return "not_registered"
        return "role_required" if self.roles and not roles & self.roles else None

    def _different(self, user_ids: frozenset[str]) -> int:
        """Return how many people these users are: two accounts with one address are one person."""
        return len(
            {
                (self.people.get(user_id, {}).get(CONF_EMAIL) or user_id).casefold()
                for user_id in user_ids
            }
        )
