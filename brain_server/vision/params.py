"""What callers hand over to vision, and what vision hands over."""

from typing import Annotated, Final, Literal, Protocol

import msgspec

from brain_server.commands import Page, Params
from brain_server.vision.watching import Action, Count, Detector, Share

UNSET: Final = msgspec.UNSET


class Report(Protocol):
    """Stores what was seen of a print as an event of that print, with its picture."""

    async def __call__(
        self,
        *,
        job_id: str,
        kind: str,
        confidence: float,
        picture: bytes | None,
        detail: str | None,
    ) -> object:
        """Store it; raises a KittyError when it cannot."""


class Configure(Params):
    """Choices for one camera; what is left out stays."""

    device_id: str
    enabled: bool | msgspec.UnsetType = UNSET
    printer_id: str | msgspec.UnsetType | None = UNSET
    every_s: Annotated[float, msgspec.Meta(ge=1, le=3600)] | msgspec.UnsetType = UNSET
    threshold: Share | msgspec.UnsetType = UNSET
    needed: Count | msgspec.UnsetType = UNSET
    of: Count | msgspec.UnsetType = UNSET
    action: Action | msgspec.UnsetType = UNSET
    mute_layers: Annotated[int, msgspec.Meta(ge=1, le=10_000)] | msgspec.UnsetType = UNSET
    mute_minutes: Annotated[float, msgspec.Meta(gt=0, le=1440)] | msgspec.UnsetType = UNSET
    detector: Detector | msgspec.UnsetType = UNSET
    file: Annotated[str, msgspec.Meta(max_length=1024)] | msgspec.UnsetType | None = UNSET


class IncidentId(Params):
    """One incident."""

    incident_id: str


class Answer(IncidentId):
    """What a person says of an incident."""

    verdict: Literal["confirmed", "false_alarm"]
    mute_layers: Annotated[int, msgspec.Meta(ge=1, le=10_000)] | None = None


class IncidentsPage(Page):
    """A part of the list of incidents."""

    status: Literal["open", "confirmed", "false_alarm", "over"] | None = None
    device_id: str | None = None
    job_id: str | None = None
    newest_first: bool = False
