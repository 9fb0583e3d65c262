"""Networks that a person supplies: those of the contract judge, all others are refused with a reason."""

from collections.abc import Callable
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image, ImageDraw
import pytest

from brain_server.errors import DeviceError
from brain_server.vision_worker.network import Network
from tests.standins.mjpeg_camera import jpeg, scene
from tests.standins.onnx_network import beside, pictures, train, write, write_giving, write_red

THREE = ("ok", "spaghetti", "nozzle clog")


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Network:
    """Give a network that learned what spaghetti looks like."""
    path = tmp_path_factory.mktemp("networks") / "learned.onnx"
    train(path)
    return Network(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a place for a network."""
    return tmp_path / "network.onnx"


def giving(
    path: Path, numbers: Any, names: tuple[str, ...] = THREE, **about: Any
) -> dict[str, float]:
    """Return the scores of a network that gives these numbers."""
    write_giving(path, np.array(numbers), names=names)
    if about:
        beside(path, **about)
    return Network(path).judge(jpeg(scene())).scores


def reason(path: Path) -> str:
    """Return why a network is refused."""
    with pytest.raises(DeviceError) as caught:
        Network(path)
    assert caught.value.code == "detector_unusable"
    return str(caught.value.fields["reason"])


# -- judging ------------------------------------------------------------------------------------------


def test_a_network_that_learned_finds_spaghetti_in_pictures_it_has_never_seen(
    learned: Network,
) -> None:
    fresh = pictures(99, 60)
    right = sum((learned.judge(jpeg(one)).scores["spaghetti"] > 0.5) is bad for one, bad in fresh)
    assert right >= 57
    assert learned.loaded.failures == ("spaghetti",)


def test_raw_scores_become_shares_of_one(path: Path) -> None:
    scores = giving(path, [[0.0, 2.0, -1.0]])
    assert math.isclose(sum(scores.values()), 1, abs_tol=1e-6)
    assert scores["spaghetti"] > scores["ok"] > scores["nozzle clog"]


def test_shares_stay_what_they_are(path: Path) -> None:
    assert giving(path, [[0.7, 0.2, 0.1]]) == pytest.approx(
        {"ok": 0.7, "spaghetti": 0.2, "nozzle clog": 0.1}
    )


@pytest.mark.parametrize("transposed", [False, True])
def test_of_all_boxes_the_surest_counts(path: Path, transposed: bool) -> None:
    write_red(path, transposed=transposed)
    network = Network(path)
    image = Image.new("RGB", (640, 480), (40, 40, 40))
    assert network.judge(jpeg(image)).scores["spaghetti"] < 0.05
    ImageDraw.Draw(image).rectangle((300, 150, 520, 400), fill=(255, 0, 0))
    assert network.judge(jpeg(image)).scores["spaghetti"] > 0.9
    assert network.loaded.form == "boxes"


def test_a_wide_picture_is_seen_whole(path: Path) -> None:
    write_red(path)
    image = Image.new("RGB", (1600, 800), (40, 40, 40))
    ImageDraw.Draw(image).rectangle((0, 0, 420, 799), fill=(255, 0, 0))
    assert Network(path).judge(jpeg(image)).scores["spaghetti"] > 0.9


def test_a_box_counts_as_much_as_there_is_a_thing_in_it(path: Path) -> None:
    boxes = np.zeros((1, 20, 8))
    boxes[0, 3, 4:] = (0.5, 0.1, 0.9, 0.2)
    scores = giving(path, boxes)
    assert scores == pytest.approx({"ok": 0.05, "spaghetti": 0.45, "nozzle clog": 0.1})


def test_boxes_that_name_their_class_have_to_be_announced(path: Path) -> None:
    boxes = np.zeros((1, 300, 6))
    boxes[0, 0, 4:] = (0.8, 1)
    boxes[0, 1, 4:] = (0.6, 1)
    boxes[0, 2, 4:] = (0.9, 7)
    scores = giving(path, boxes, form="boxes_end_to_end")
    assert scores == pytest.approx({"ok": 0.0, "spaghetti": 0.8, "nozzle clog": 0.0})


def test_the_file_beside_names_labels_and_failures(path: Path) -> None:
    write_giving(path, np.array([[0.1, 0.9]]))
    beside(path, labels=["good", "bad"], failures=["bad"])
    loaded = Network(path).loaded
    assert (loaded.labels, loaded.failures) == (("good", "bad"), ("bad",))


def test_without_a_word_all_that_is_not_fine_is_a_failure(path: Path) -> None:
    write_giving(path, np.array([[0.1, 0.8, 0.1]]), names=THREE)
    assert Network(path).loaded.failures == ("spaghetti", "nozzle clog")


def test_colours_are_moved_and_scaled_where_the_file_beside_says_so(path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Reshape", ["mean", "shape"], ["one"]),
        helper.make_node("Concat", ["one", "rest"], ["output0"], axis=1),
    ]
    constants = {"shape": np.array([1, 1]), "rest": np.zeros((1, 1), np.float32)}
    write(path, nodes, constants, names=("bad", "worse"))
    beside(path, mean=[0.5, 0.5, 0.5], std=[0.25, 0.25, 0.25])
    white = jpeg(Image.new("RGB", (64, 64), (255, 255, 255)))
    share = Network(path).judge(white).scores["bad"]
    assert math.isclose(math.log(share / (1 - share)), 2.0, abs_tol=1e-3)


def test_bytes_and_colours_last_are_taken_too(path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["images"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["numbers"], ["means"], axes=[1, 2], keepdims=0),
        helper.make_node("Mul", ["means", "scale"], ["output0"]),
    ]
    constants = {"scale": np.array([0.1], np.float32)}
    names = ("red", "green", "blue")
    write(path, nodes, constants, names=names, takes=(1, 48, 64, 3), kind=TensorProto.UINT8)
    beside(path, failures=["red"])
    scores = Network(path).judge(jpeg(Image.new("RGB", (64, 64), (255, 0, 0)))).scores
    assert scores["red"] > 0.99


def test_open_sides_get_a_usual_size(path: Path) -> None:
    numbers = np.array([[0.5, 0.5]])
    write_giving(path, numbers, names=("ok", "bad"), takes=("n", 3, "h", "w"), gives=(1, 2))
    network = Network(path)
    assert (network._height, network._width) == (224, 224)
    beside(path, size=320)
    network = Network(path)
    assert (network._height, network._width) == (320, 320)


@pytest.mark.parametrize("image", [b"", b"GIF89a", jpeg(scene())[:500]])
def test_what_is_no_picture_is_refused(learned: Network, image: bytes) -> None:
    with pytest.raises(DeviceError) as caught:
        learned.judge(image)
    assert caught.value.code == "bad_picture"


def test_a_picture_without_end_is_refused(
    learned: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brain_server.vision_worker.network.MOST_PIXELS", 1000)
    with pytest.raises(DeviceError) as caught:
        learned.judge(jpeg(scene()))
    assert caught.value.code == "bad_picture"


# -- refusing -----------------------------------------------------------------------------------------


def test_a_missing_file_is_refused(path: Path) -> None:
    assert "cannot be read" in reason(path)


@pytest.mark.parametrize("content", [b"", b"no network", bytes(range(256)) * 40])
def test_a_file_that_is_no_network_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert "no ONNX network" in reason(path)


def test_a_file_without_end_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(bytes(2000))
    monkeypatch.setattr("brain_server.vision_worker.network.MOST_FILE", 1000)
    assert "MiB" in reason(path)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"takes": (1, 3, 32)}, "one picture"),
        ({"takes": (4, 3, 32, 32)}, "one picture"),
        ({"takes": (1, 1, 32, 32)}, "three colours"),
        ({"takes": (1, 3, 4, 32)}, "4 by 32"),
        ({"takes": (1, 3, 32, 9000)}, "32 by 9000"),
        ({"kind": TensorProto.DOUBLE}, "tensor(double)"),
        (
            {"more_inputs": [helper.make_tensor_value_info("b", TensorProto.FLOAT, (1,))]},
            "one picture",
        ),
    ],
)
def test_a_network_that_takes_something_else_is_refused(
    path: Path, more: dict[str, Any], why: str
) -> None:
    kind = more.get("kind", TensorProto.FLOAT)
    nodes = [
        helper.make_node("Cast", ["images"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["numbers"], ["mean"], keepdims=0),
        helper.make_node("Reshape", ["mean", "shape"], ["output0"]),
    ]
    write(path, nodes, {"shape": np.array([1, 1])}, names=("bad",), **(more | {"kind": kind}))
    assert why in reason(path)


@pytest.mark.parametrize(
    "numbers",
    [
        [[0.5, 0.5]],
        [0.1, 0.2, 0.7],
        np.zeros((1, 5, 9)),
        np.zeros((2, 3)),
        np.zeros((1, 300, 6)),
        np.zeros((1, 3, 2, 2)),
        [[0.1, np.nan, 0.9]],
        [[0.1, np.inf, 0.9]],
    ],
    ids=["labels", "rank", "boxes", "batch", "unannounced", "mask", "nan", "infinite"],
)
def test_a_network_that_gives_something_else_is_refused(path: Path, numbers: Any) -> None:
    write_giving(path, np.array(numbers), names=THREE)
    assert reason(path)


def test_numbers_that_are_no_shares_are_refused(path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Reshape", ["mean", "shape"], ["one"]),
        helper.make_node("Cast", ["one"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Cast", ["whole"], ["output0"], to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(
        nodes[:3],
        "network",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, (1, 3, 32, 32))],
        [helper.make_tensor_value_info("whole", TensorProto.INT64, (1, 1))],
        [helper.make_tensor("shape", TensorProto.INT64, [2], [1, 1])],
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)])
    path.write_bytes(model.SerializeToString())
    beside(path, labels=["bad"])
    assert "not numbers" in reason(path)


def test_a_network_that_breaks_on_its_own_size_is_refused(path: Path) -> None:
    nodes = [helper.make_node("Reshape", ["images", "shape"], ["output0"])]
    write(path, nodes, {"shape": np.array([1, 7])}, names=("bad",), takes=(1, 3, "h", "w"))
    assert "cannot be run" in reason(path)


@pytest.mark.parametrize(
    "about",
    [
        {"labels": []},
        {"labels": "spaghetti"},
        {"labels": ["a", "a", "b"]},
        {"labels": ["a", "", "b"]},
        {"labels": ["x" * 65, "b", "c"]},
        {"failures": ["other"]},
        {"failures": []},
        {"failures": "spaghetti"},
        {"labels": ["ok", "fine", "good"]},
        {"form": "masks"},
        {"form": "boxes"},
        {"mean": [1, 2]},
        {"mean": "grey"},
        {"std": [1, 0, 1]},
        {"std": [1, "a", 1]},
    ],
    ids=str,
)
def test_a_file_beside_that_makes_no_sense_is_told(path: Path, about: dict[str, Any]) -> None:
    write_giving(path, np.array([[0.1, 0.8, 0.1]]), names=THREE)
    beside(path, **about)
    assert reason(path)


@pytest.mark.parametrize("text", ["no json", "[]", "\xff"])
def test_a_file_beside_that_is_no_json_object_is_told(path: Path, text: str) -> None:
    write_giving(path, np.array([[0.1, 0.8, 0.1]]), names=THREE)
    path.with_suffix(".json").write_text(text, "latin-1")
    assert "JSON" in reason(path)


def test_without_any_labels_a_network_is_refused(path: Path) -> None:
    write_giving(path, np.array([[0.1, 0.9]]))
    assert "labels" in reason(path)


@pytest.mark.parametrize("names", ["no python", "__import__('os')", "{0: ["])
def test_names_are_read_and_never_run(path: Path, names: str) -> None:
    write_giving(path, np.array([[0.1, 0.9]]))
    rename(path, lambda: names)
    assert "names" in reason(path)


def rename(path: Path, names: Callable[[], str]) -> None:
    """Put other names into a network."""
    model = onnx.load(path)
    helper.set_model_props(model, {"names": names()})
    path.write_bytes(model.SerializeToString())
