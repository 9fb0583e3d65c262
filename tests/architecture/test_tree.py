"""The reader of the tree sees what it must, and nothing else."""

import ast

import pytest

from tests.architecture.tree import catches_everything, cycles, is_bare_task, is_naive_time


def _call(source: str) -> ast.Call:
    node = ast.parse(source, mode="eval").body
    assert isinstance(node, ast.Call)
    return node


@pytest.mark.parametrize(
    ("source", "bare"),
    [
        ("asyncio.create_task(work())", True),
        ("create_task(work())", True),
        ("asyncio.get_running_loop().create_task(work())", True),
        ("self.loop.create_task(work())", True),
        ("asyncio.ensure_future(work())", True),
        ("group.create_task(work())", False),
        ("entry.async_create_background_task(hass, work(), 'name')", False),
    ],
)
def test_a_task_that_nobody_keeps_is_recognised(source: str, bare: bool) -> None:
    """A loop's or asyncio's own task is bare; a group's is not."""
    assert is_bare_task(_call(source)) is bare


@pytest.mark.parametrize(
    ("source", "naive"),
    [
        ("datetime.now()", True),
        ("datetime.utcnow()", True),
        ("dt.datetime.today()", True),
        ("datetime.fromtimestamp(stamp)", True),
        ("datetime.now(UTC)", False),
        ("datetime.fromtimestamp(stamp, tz=UTC)", False),
        ("dt_util.utcnow()", False),
    ],
)
def test_a_naive_time_is_recognised(source: str, naive: bool) -> None:
    """A datetime without a zone is naive; Home Assistant's helper has one."""
    assert is_naive_time(_call(source)) is naive


@pytest.mark.parametrize(
    ("handler", "everything"),
    [
        ("except: pass", True),
        ("except Exception as err: log(err)", True),
        ("except (ValueError, BaseException): pass", True),
        ("except ValueError: pass", False),
        ("except BaseException: undo(); raise", False),
    ],
)
def test_a_handler_of_every_error_is_recognised(handler: str, everything: bool) -> None:
    """What undoes and raises again is not the end of the error."""
    (block,) = ast.parse(f"try: work()\n{handler}").body
    assert isinstance(block, ast.Try)
    assert catches_everything(block.handlers[0]) is everything


def test_a_circle_is_found_once() -> None:
    """Two modules that import each other are one circle, whoever else uses them."""
    edges = {"a": {"b"}, "b": {"c"}, "c": {"b"}}
    assert cycles(edges) == [["b", "c", "b"]]
