"""An ONNX network that a person supplied: what it takes and gives is found out, never assumed.

It takes one picture, ``[1, 3, height, width]`` or ``[1, height, width, 3]``, RGB, float32 from 0 to 1 (or uint8 from 0
to 255). It gives either a number for each label (``classes``), or boxes as YOLO does (``boxes``). The labels are in the
file (``names``, as YOLO's export writes it) or in a JSON file beside it.
"""

import ast
import io
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnxruntime
from PIL import Image

from brain_server.errors import DeviceError
from brain_server.protocol import Json
from brain_server.vision_worker.wire import Judged, Loaded

if TYPE_CHECKING:
    from numpy.typing import NDArray

type Numbers = NDArray[Any]

FORMS: Final = ("classes", "boxes", "boxes_with_objectness", "boxes_end_to_end")
# The sides of a picture where the file leaves them open, and the most that it may ask for.
OPEN_CLASSES: Final = 224
OPEN_BOXES: Final = 640
MOST_SIDE: Final = 2048
MOST_LABELS: Final = 1000
MOST_FILE: Final = 512 * 1024 * 1024
MOST_PIXELS: Final = 40_000_000
# What YOLO puts around a picture that has another shape than its input.
GREY: Final = 114
# Labels that are no failure, unless the file beside the network says otherwise.
FINE: Final = frozenset(
    {"ok", "fine", "good", "normal", "success", "background", "no_failure", "no_defect", "printing"}
)


class Network:
    """One network, tried once before it is trusted."""

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        """Load a file; DeviceError ``detector_unusable`` with the reason when it is not of the contract."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            if path.stat().st_size > MOST_FILE:
                raise _unusable(f"it has more than {MOST_FILE // 1024**2} MiB")
            self._session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
        except OSError as err:
            raise _unusable(f"{path.name} cannot be read") from err
        except _NATIVE as err:
            raise _unusable(f"{path.name} is no ONNX network that can be run") from err
        about = _about(path)
        meta = self._session.get_modelmeta().custom_metadata_map
        self._labels = _labels(about.get("labels"), meta.get("names"))
        self._mean, self._deviation = _three(about, "mean", 0.0), _three(about, "std", 1.0)
        self._take_input(about)
        self._form = self._take_form(about.get("form"), self._run(self._grey()))
        self.loaded = Loaded(
            labels=self._labels,
            failures=self._take_failures(about.get("failures")),
            form=self._form,
        )

    def judge(self, image: bytes) -> Judged:
        """Return how sure the network is of each label; DeviceError ``bad_picture``."""
        scores = self._scores(self._run(self._prepared(image)))
        return Judged(scores=dict(zip(self._labels, scores, strict=True)))

    # -- what goes in ---------------------------------------------------------------------------------

    def _take_input(self, about: Json) -> None:
        """Find out how the network wants its picture."""
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4:
            raise _unusable("it does not take one picture")
        self._name, shape = inputs[0].name, list(inputs[0].shape)
        self._bytes = inputs[0].type == "tensor(uint8)"
        if not self._bytes and inputs[0].type != "tensor(float)":
            raise _unusable(f"it takes {inputs[0].type}, not float or uint8")
        self._last = shape[3] == 3 and shape[1] != 3
        sides = shape[1:3] if self._last else shape[2:4]
        if 3 not in (shape[1], shape[3]) or (isinstance(shape[0], int) and shape[0] not in {1, -1}):
            raise _unusable("it does not take one picture of three colours")
        wants_classes = about.get("form") == "classes" or self._rank() == 2
        default = about.get("size", OPEN_CLASSES if wants_classes else OPEN_BOXES)
        given = [side if isinstance(side, int) and side > 0 else default for side in sides]
        if not all(isinstance(side, int) and 8 <= side <= MOST_SIDE for side in given):
            raise _unusable(f"its picture would have {given[0]} by {given[1]} points")
        self._height, self._width = given

    def _rank(self) -> int:
        return len(self._session.get_outputs()[0].shape)

    def _grey(self) -> Numbers:
        return self._shaped(np.full((self._height, self._width, 3), GREY, np.uint8))

    def _prepared(self, image: bytes) -> Numbers:
        """Return a picture in the network's size; boxes see it whole and undistorted."""
        try:
            with Image.open(io.BytesIO(image), formats=("JPEG", "PNG")) as picture:
                if picture.width * picture.height > MOST_PIXELS:
                    raise DeviceError("bad_picture", "The picture is too large")
                colours = picture.convert("RGB")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as err:
            raise DeviceError("bad_picture", "The camera sent no picture that can be read") from err
        if self._form == "classes":
            sized = colours.resize((self._width, self._height), Image.Resampling.BILINEAR)
            return self._shaped(np.asarray(sized))
        scale = min(self._width / colours.width, self._height / colours.height)
        inner = (max(1, round(colours.width * scale)), max(1, round(colours.height * scale)))
        whole = Image.new("RGB", (self._width, self._height), (GREY, GREY, GREY))
        corner = ((self._width - inner[0]) // 2, (self._height - inner[1]) // 2)
        whole.paste(colours.resize(inner, Image.Resampling.BILINEAR), corner)
        return self._shaped(np.asarray(whole))

    def _shaped(self, points: Numbers) -> Numbers:
        made: Numbers = points
        if not self._bytes:
            made = ((points.astype(np.float32) / 255 - self._mean) / self._deviation).astype(
                np.float32
            )
        return np.ascontiguousarray((made if self._last else made.transpose(2, 0, 1))[None])

    # -- what comes out -------------------------------------------------------------------------------

    def _run(self, points: Numbers) -> Numbers:
        try:
            found = np.asarray(self._session.run(None, {self._name: points})[0])
        except _NATIVE as err:
            raise _unusable("it cannot be run on a picture of its own size") from err
        if not np.issubdtype(found.dtype, np.floating) or not np.isfinite(found).all():
            raise _unusable("what it gives are not numbers")
        return found

    def _take_form(self, wanted: Any, found: Numbers) -> str:
        """Tell the form of what it gives by its shape, or check the one that is named."""
        if wanted is not None and wanted not in FORMS:
            raise _unusable(f"there is no form {wanted!r}")
        n = len(self._labels)
        fits = {
            "classes": found.ndim == 2 and found.shape == (1, n),
            "boxes": found.ndim == 3 and 4 + n in found.shape[1:],
            "boxes_with_objectness": found.ndim == 3 and found.shape[2] == 5 + n,
            "boxes_end_to_end": found.ndim == 3 and found.shape[2] == 6,
        }
        # The last form is like others in its shape, so it has to be named.
        form = wanted or next((name for name in FORMS[:3] if fits[name]), None)
        if form is None or not fits[form] or found.shape[0] != 1:
            shape = " by ".join(map(str, found.shape))
            raise _unusable(f"it gives {shape} numbers, which do not fit {n} labels", labels=n)
        return str(form)

    def _take_failures(self, wanted: Any) -> tuple[str, ...]:
        if wanted is None:
            failures = [label for label in self._labels if label.casefold() not in FINE]
        elif isinstance(wanted, list) and set(map(str, wanted)) <= set(self._labels):
            failures = [label for label in self._labels if label in wanted]
        else:
            raise _unusable("the failures are not among the labels")
        if not failures:
            raise _unusable("none of its labels is a failure")
        return tuple(failures)

    def _scores(self, found: Numbers) -> list[float]:
        """Return one number from 0 to 1 for each label: of all boxes the surest."""
        n = len(self._labels)
        match self._form:
            case "classes":
                best = _shares(found[0])
            case "boxes":
                rows = found[0] if found.shape[2] == 4 + n else found[0].T
                best = rows[:, 4:].max(axis=0, initial=0.0)
            case "boxes_with_objectness":
                best = (found[0][:, 4:5] * found[0][:, 5:]).max(axis=0, initial=0.0)
            case _:
                best = np.zeros(n)
                for score, label in found[0][:, 4:6]:
                    if 0 <= (number := round(float(label))) < n:
                        best[number] = max(best[number], score)
        return [float(value) for value in np.clip(best, 0, 1)]


def _shares(numbers: Numbers) -> Numbers:
    """Return shares of one, from what already are shares or from raw scores."""
    if (numbers >= 0).all() and math.isclose(float(numbers.sum()), 1, abs_tol=1e-3):
        return numbers
    powers = np.exp(numbers - numbers.max())
    shares: Numbers = powers / powers.sum()
    return shares


def _about(path: Path) -> Json:
    """Return what the JSON file beside the network says, nothing when there is none."""
    beside = path.with_suffix(".json")
    try:
        found = json.loads(beside.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as err:
        raise _unusable(f"{beside.name} is no JSON") from err
    if not isinstance(found, dict):
        raise _unusable(f"{beside.name} is no JSON object")
    return found


def _labels(beside: Any, inside: str | None) -> tuple[str, ...]:
    """Return the labels: a list of the file beside, or YOLO's ``{0: 'spaghetti'}`` in the network."""
    found = beside
    if found is None and inside is not None:
        try:
            found = ast.literal_eval(inside[:65536])
        except (ValueError, SyntaxError, MemoryError, RecursionError) as err:
            raise _unusable("its names cannot be read") from err
        if isinstance(found, dict):
            found = [found[number] for number in sorted(found)]
    if (
        not isinstance(found, list)
        or not 0 < len(found) <= MOST_LABELS
        or not all(isinstance(label, str) and 0 < len(label) <= 64 for label in found)
        or len(set(found)) != len(found)
    ):
        raise _unusable("nothing says what its labels are: put them into the JSON file beside it")
    return tuple(found)


def _three(about: Json, name: str, default: float) -> Numbers:
    given = about.get(name, [default] * 3)
    fits = isinstance(given, list) and len(given) == 3
    if not fits or not all(isinstance(part, int | float) for part in given):
        raise _unusable(f"{name} is not three numbers")
    if name == "std" and 0 in given:
        raise _unusable("std has a zero")
    return np.asarray(given, np.float32)


def _unusable(reason: str, **fields: Any) -> DeviceError:
    return DeviceError(
        "detector_unusable", f"This network cannot be used: {reason}", reason=reason, **fields
    )


def _errors() -> tuple[type[Exception], ...]:
    """Return the errors of onnxruntime, which it does not name where it raises them."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state  # noqa: PLC0415 - its native part

    named = [value for value in vars(state).values() if isinstance(value, type)]
    return (RuntimeError, ValueError, *(one for one in named if issubclass(one, Exception)))


_NATIVE: Final = _errors()
