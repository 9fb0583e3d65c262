"""Small ONNX networks: one that learned here to tell spaghetti from a part, and some of every form."""

from collections.abc import Iterable, Sequence
import json
from pathlib import Path
import random
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from PIL import Image, ImageEnhance

from tests.standins.mjpeg_camera import scene

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE: Final = 32
LABELS: Final = ("ok", "spaghetti")
IR_VERSION: Final = 10
OPSET: Final = 17


def pictures(seed: int, count: int) -> list[tuple[Image.Image, bool]]:
    """Draw so many prints in changing light, every second one of them spaghetti."""
    chance = random.Random(seed)
    drawn = []
    for number in range(count):
        bad = number % 2 == 1
        image = scene(chance.randrange(1000), spaghetti=bad)
        light = ImageEnhance.Brightness(image).enhance(chance.uniform(0.7, 1.2))
        drawn.append((light, bad))
    return drawn


def points(images: Iterable[Image.Image]) -> NDArray[np.float32]:
    """Return pictures as the network takes them."""
    small = [one.resize((SIDE, SIDE), Image.Resampling.BILINEAR) for one in images]
    rows = [np.asarray(one, np.float32).transpose(2, 0, 1).ravel() / 255 for one in small]
    return np.stack(rows)


def train(path: Path, *, steps: int = 300) -> None:
    """Learn from drawn pictures and write what was learned as a network of two classes."""
    drawn = pictures(1, 120)
    seen, wanted = points([one for one, _ in drawn]), np.array([bad for _, bad in drawn], float)
    mean = seen.mean(axis=0)
    weights, bias = np.zeros(seen.shape[1]), 0.0
    for _ in range(steps):
        guess = 1 / (1 + np.exp(-((seen - mean) @ weights + bias)))
        error = guess - wanted
        weights -= 0.5 * ((seen - mean).T @ error / len(wanted) + 1e-4 * weights)
        bias -= 0.5 * error.mean()
    matrix = np.stack([-weights / 2, weights / 2]).astype(np.float32)
    offset = (np.array([-bias, bias]) / 2 - matrix @ mean).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["images"], ["flat"]),
        helper.make_node("Gemm", ["flat", "matrix", "offset"], ["output0"], transB=1),
    ]
    write(path, nodes, {"matrix": matrix, "offset": offset}, names=LABELS)


def write(
    path: Path,
    nodes: Sequence[Any],
    constants: dict[str, NDArray[Any]],
    *,
    names: Sequence[str] = (),
    takes: Sequence[Any] = (1, 3, SIDE, SIDE),
    kind: int = TensorProto.FLOAT,
    gives: Sequence[Any] | None = None,
    more_inputs: Sequence[Any] = (),
) -> None:
    """Write a network that takes ``images`` and gives ``output0``."""
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("images", kind, takes), *more_inputs],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, gives)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, ir_version=IR_VERSION, opset_imports=opset)
    if names:
        helper.set_model_props(model, {"names": str(dict(enumerate(names)))})
    path.write_bytes(model.SerializeToString())


def write_giving(path: Path, given: NDArray[Any], **more: Any) -> None:
    """Write a network that gives these numbers, whatever it sees."""
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["given", "nothing"], ["output0"]),
    ]
    zero = np.zeros((), np.float32)
    write(path, nodes, {"given": given.astype(np.float32), "zero": zero}, **more)


def write_red(path: Path, *, transposed: bool = False, side: int = 64) -> None:
    """Write a network of boxes, as YOLO gives them, that is as sure of ``spaghetti`` as a patch is red."""
    cells = (side // 16) ** 2
    weights = np.array([[12.0, -12.0, -12.0]], np.float32).reshape(1, 3, 1, 1)
    nodes = [
        helper.make_node(
            "AveragePool", ["images"], ["patches"], kernel_shape=[16, 16], strides=[16, 16]
        ),
        helper.make_node("Conv", ["patches", "weights", "bias"], ["raw"]),
        helper.make_node("Sigmoid", ["raw"], ["sure"]),
        helper.make_node("Reshape", ["sure", "shape"], ["scores"]),
        helper.make_node("Concat", ["boxes", "scores"], ["joined"], axis=1),
        helper.make_node("Transpose", ["joined"], ["output0"], perm=[0, 2, 1])
        if transposed
        else helper.make_node("Identity", ["joined"], ["output0"]),
    ]
    constants = {
        "weights": weights,
        "bias": np.array([-6.0], np.float32),
        "shape": np.array([1, 1, cells], np.int64),
        "boxes": np.ones((1, 4, cells), np.float32),
    }
    write(path, nodes, constants, names=("spaghetti",), takes=(1, 3, side, side))


def beside(path: Path, **about: Any) -> None:
    """Write the file that says what a network does not."""
    path.with_suffix(".json").write_text(json.dumps(about), "utf-8")
