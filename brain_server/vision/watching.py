"""How one camera is watched, and what is remembered of it while a print runs before it."""

from collections import deque
from typing import Annotated, Final, Literal

import msgspec

from brain_server.protocol import Json
from brain_server.vision.detect import Verdict
from brain_server.vision.health import Eye

# While nothing is printed it is only looked whether the camera still sees.
IDLE_EVERY_S: Final = 300.0
# A model is asked less often than a network of the house: it is slow, or dear.
MODEL_EVERY_S: Final = 30.0
FIRST_LAYERS: Final = range(2, 11)
FINE_LOOKS: Final = 3
FINE: Final = 0.7

type Detector = Literal["auto", "file", "model", "none"]
type Action = Literal["notify", "pause"]
type Share = Annotated[float, msgspec.Meta(ge=0.05, le=1)]
type Count = Annotated[int, msgspec.Meta(ge=1, le=20)]


class Watching(msgspec.Struct, frozen=True, kw_only=True):
    """What a person may choose for one camera."""

    enabled: bool = True
    # The printer that it watches; None: itself, or the only printer in its area.
    printer_id: str | None = None
    every_s: Annotated[float, msgspec.Meta(ge=1, le=3600)] = 15.0
    # From so sure on a picture counts, and so many of so many must count.
    threshold: Share = 0.6
    needed: Count = 3
    of: Count = 5
    action: Action = "notify"
    # How long an answer "false alarm" holds: in layers, or in minutes where the printer tells no layers.
    mute_layers: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 10
    mute_minutes: Annotated[float, msgspec.Meta(gt=0, le=1440)] = 20.0
    # auto: the file where there is one, else a model.
    detector: Detector = "auto"
    # An ONNX network: a name in the folder `models`, or a whole path. None: the one of the settings.
    file: Annotated[str, msgspec.Meta(max_length=1024)] | None = None


class Mute(msgspec.Struct, frozen=True, kw_only=True):
    """Until when nothing is reported of one print, after a person called it a false alarm."""

    job_id: str
    layer: int | None = None
    at: float | None = None

    def holds(self, job_id: str, layer: int | None, now: float) -> bool:
        """Tell whether it is still to be quiet about this print."""
        if job_id != self.job_id:
            return False
        if self.layer is not None and layer is not None:
            return layer < self.layer
        return self.at is not None and now < self.at


class Kept(Watching, frozen=True, kw_only=True):
    """What is stored of a camera: the choices, and what must survive a restart."""

    mute: Mute | None = None
    first_layer_of: str | None = None


class Camera:
    """One camera at run time."""

    def __init__(self, device_id: str, kept: Kept) -> None:
        """Start without having looked."""
        self.device_id = device_id
        self.kept = kept
        self.eye = Eye()
        self.verdict: Verdict | None = None
        self.at: float | None = None
        self.busy = False
        self.due = 0.0
        self.model_due = 0.0
        self.job_id: str | None = None
        self.told: tuple[object, ...] = ()
        self.told_at = 0.0
        self._seen: deque[bool] = deque()
        self._fine: deque[float] = deque(maxlen=FINE_LOOKS)

    def begin(self, job_id: str | None) -> None:
        """Forget what was seen of another print."""
        if job_id != self.job_id:
            self.job_id = job_id
            self.forget()

    def forget(self) -> None:
        """Count from nothing again."""
        self.verdict = None
        self._seen.clear()
        self._fine.clear()

    def counts(self, verdict: Verdict) -> bool:
        """Take a verdict; True when enough of the last ones say that the print fails.

        One that cannot tell is no evidence for either.
        """
        self.verdict = verdict
        if verdict.word == "unknown":
            return False
        failing = verdict.failing >= self.kept.threshold
        self._seen.append(failing)
        while len(self._seen) > max(self.kept.of, self.kept.needed):
            self._seen.popleft()
        self._fine.append(0.0 if failing else 1 - verdict.failing)
        if verdict.word == "fine" and not failing:
            self._fine[-1] = min(self._fine[-1], verdict.confidence)
        return failing and sum(self._seen) >= self.kept.needed

    def fine(self) -> float | None:
        """Return how sure the last looks are that all is well; None when they are not sure enough."""
        surely = len(self._fine) == FINE_LOOKS and min(self._fine) >= FINE
        return min(self._fine) if surely else None

    def view(self, settings: Json) -> Json:
        """Return what is known of it, without what the devices tell."""
        health, verdict, mute = self.eye.health, self.verdict, self.kept.mute
        quiet = mute if mute is not None and mute.job_id == self.job_id else None
        return {
            "device_id": self.device_id,
            "health": health.state.value,
            "reason": health.reason,
            "verdict": verdict.word if verdict else None,
            "confidence": round(verdict.confidence, 3) if verdict else None,
            "what": verdict.what if verdict else None,
            "detector": verdict.by if verdict else None,
            "at": self.at,
            "job_id": self.job_id,
            "muted_until_layer": quiet.layer if quiet else None,
            "muted_until": quiet.at if quiet and quiet.layer is None else None,
            "settings": settings,
        }
