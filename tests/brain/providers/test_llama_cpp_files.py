"""The head of a model file, and whether the model has room; llama.cpp is not needed for it."""

from pathlib import Path
import struct
from typing import Any

from gguf import GGUFWriter
from hypothesis import HealthCheck, given, settings, strategies as st
import pytest

from brain_server.errors import ProviderError
from brain_server.llama_worker import gguf, room
from tests.standins.tiny_gguf import (
    CHAT_TEMPLATE,
    CONTEXT,
    HEADS,
    KEY_HEADS,
    LAYERS,
    WIDTH,
    tiny_gguf,
)

MB = 1024 * 1024


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the tiny model."""
    return tiny_gguf(tmp_path)


def head(tmp_path: Path, **entries: Any) -> gguf.Metadata:
    """Write a file with a head only and read it."""
    path = tmp_path / "head.gguf"
    writer = GGUFWriter(path, "llama")
    for name, value in entries.items():
        key = f"llama.{name.replace('__', '.')}"
        add = writer.add_array if isinstance(value, list) else writer.add_uint32
        add(key, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return gguf.read(path)


# -- the head -----------------------------------------------------------------------------------------


def test_the_head_tells_what_the_model_is(path: Path) -> None:
    found = gguf.read(path)
    assert (found.architecture, found.name) == ("llama", "tiny")
    assert (found.context_length, found.embedding_length) == (CONTEXT, WIDTH)
    assert found.block_count == LAYERS
    assert found.chat_template == CHAT_TEMPLATE
    assert found.file_bytes == path.stat().st_size
    assert not found.pooling


def test_a_token_of_context_takes_a_key_and_a_value_in_each_layer(path: Path) -> None:
    assert gguf.read(path).token_bytes == 2 * 2 * LAYERS * KEY_HEADS * (WIDTH // HEADS)


def test_heads_may_be_of_another_width_than_the_model(tmp_path: Path) -> None:
    found = head(
        tmp_path,
        block_count=2,
        embedding_length=100,
        attention__head_count=4,
        attention__key_length=8,
        attention__value_length=16,
    )
    assert found.token_bytes == 2 * 4 * (8 + 16) * 2


def test_each_layer_may_have_its_own_number_of_heads(tmp_path: Path) -> None:
    found = head(
        tmp_path,
        block_count=3,
        embedding_length=64,
        attention__head_count=4,
        attention__head_count_kv=[4, 0, 2],
    )
    assert found.token_bytes == 6 * (16 + 16) * 2


def test_what_a_head_does_not_say_is_unknown(tmp_path: Path) -> None:
    found = head(tmp_path)
    assert (found.context_length, found.name, found.chat_template) == (None, None, None)
    assert found.token_bytes == 0


def test_a_model_in_parts_is_as_large_as_all_of_them(tmp_path: Path, path: Path) -> None:
    first = tmp_path / "big-00001-of-00002.gguf"
    first.write_bytes(path.read_bytes())
    (tmp_path / "big-00002-of-00002.gguf").write_bytes(bytes(1000))
    assert gguf.read(first).file_bytes == path.stat().st_size + 1000


def test_a_model_that_lacks_a_part_is_missing(tmp_path: Path, path: Path) -> None:
    first = tmp_path / "big-00001-of-00002.gguf"
    first.write_bytes(path.read_bytes())
    with pytest.raises(ProviderError) as caught:
        gguf.read(first)
    assert caught.value.code == "model_missing"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GGUF",
        b"GGML" + bytes(100),
        struct.pack("<4sIQQ", b"GGUF", 99, 0, 0),
        struct.pack("<4sIQQ", b"GGUF", 3, 0, 1 << 60),
        struct.pack("<4sIQQ", b"GGUF", 3, 0, 0),
        struct.pack("<4sIQQQ", b"GGUF", 3, 0, 1, 1 << 62),
        struct.pack("<4sIQQQ1sI", b"GGUF", 3, 0, 1, 1, b"k", 77),
        struct.pack("<4sIQQQ1sIIQ", b"GGUF", 3, 0, 1, 1, b"k", 9, 4, 1 << 60),
        struct.pack("<4sIQQQ1sIIQ", b"GGUF", 3, 0, 1, 1, b"k", 9, 8, 1 << 60),
        struct.pack("<4sIQQQ1sIIQQ", b"GGUF", 3, 0, 1, 1, b"k", 9, 8, 1, 1 << 60),
        struct.pack("<4sIQQQ1sIIQ", b"GGUF", 3, 0, 1, 1, b"k", 9, 9, 1),
    ],
)
def test_a_file_that_is_no_model_is_told_by_name(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "odd.gguf"
    path.write_bytes(data)
    with pytest.raises(ProviderError, match=r"odd\.gguf is no GGUF model") as caught:
        gguf.read(path)
    assert caught.value.code == "provider_invalid"


@given(at=st.integers(0, 2000), byte=st.integers(0, 255), length=st.integers(0, 4000))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_broken_head_never_raises_anything_else(
    path: Path, at: int, byte: int, length: int
) -> None:
    data = bytearray(path.read_bytes()[:length])
    data[at : at + 1] = bytes([byte])
    broken = path.with_name("broken.gguf")
    broken.write_bytes(data)
    with pytest.raises(ProviderError) as caught:
        gguf.read(broken)
    assert caught.value.code == "provider_invalid"


# -- room ---------------------------------------------------------------------------------------------


def machine(root: Path, free_mb: int, **groups: dict[str, str]) -> Path:
    """Make the files by which a kernel tells its memory; a name with __ is a group within a group."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(
        f"MemTotal: 99999999 kB\nMemAvailable: {free_mb * 1024} kB\n", "ascii"
    )
    (root / "proc/self/cgroup").write_text("0::/kitty/brain\n", "ascii")
    for name, files in groups.items():
        place = root / "sys/fs/cgroup" / name.replace("__", "/").removeprefix("top")
        place.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            (place / file).write_text(text, "ascii")
    return root


def test_without_a_container_the_machine_tells_what_is_free(tmp_path: Path) -> None:
    assert room.free_bytes(machine(tmp_path, 700)) == 700 * MB


def test_a_container_may_have_less_and_its_cache_counts_as_free(tmp_path: Path) -> None:
    inner = {
        "memory.max": f"{500 * MB}\n",
        "memory.current": f"{400 * MB}\n",
        "memory.stat": f"anon 1\ninactive_file {50 * MB}\n",
    }
    assert room.free_bytes(machine(tmp_path, 700, kitty__brain=inner)) == 150 * MB


def test_the_container_around_the_container_counts_too(tmp_path: Path) -> None:
    outer = {"memory.max": f"{90 * MB}", "memory.current": f"{80 * MB}"}
    inner = {"memory.max": "max", "memory.current": f"{50 * MB}"}
    root = machine(tmp_path, 700, kitty=outer, kitty__brain=inner)
    assert room.free_bytes(root) == 10 * MB


def test_an_old_kernel_tells_it_in_another_place(tmp_path: Path) -> None:
    group = {
        "memory.limit_in_bytes": f"{100 * MB}",
        "memory.usage_in_bytes": f"{80 * MB}",
        "memory.stat": f"total_inactive_file {5 * MB}",
    }
    assert room.free_bytes(machine(tmp_path, 700, memory=group)) == 25 * MB


def test_a_container_over_its_limit_has_nothing_left(tmp_path: Path) -> None:
    group = {"memory.max": f"{100 * MB}", "memory.current": f"{180 * MB}"}
    assert room.free_bytes(machine(tmp_path, 700, top=group)) == 0


def test_this_machine_has_some_memory() -> None:
    assert MB < room.free_bytes() < 1 << 50


def test_a_model_that_fits_is_no_error(tmp_path: Path, path: Path) -> None:
    root = machine(tmp_path, 700)
    advice = room.fits(path, 2048, root=root)
    room.require(path, 2048, root=root)
    assert advice.fits
    assert (advice.model, advice.architecture) == ("tiny.gguf", "llama")
    assert (advice.free_mb, advice.most_context) == (700, CONTEXT)


def test_a_context_that_does_not_fit_is_refused_and_the_largest_that_does_is_told(
    tmp_path: Path,
) -> None:
    large = tiny_gguf(tmp_path, "large", context=100_000)
    with pytest.raises(ProviderError, match="needs 25 MB and 1 MB are free") as caught:
        room.require(large, 200_000, root=machine(tmp_path, 1))
    assert caught.value.fields == {
        "model": "large.gguf",
        "needs_mb": 25,
        "free_mb": 1,
        "most_context": 2048,
    }


def test_a_model_for_which_there_is_no_room_at_all_has_no_context(
    tmp_path: Path, path: Path
) -> None:
    assert room.fits(path, 1024, root=machine(tmp_path, 0)).most_context == 0


def test_eyes_take_room_too(tmp_path: Path, path: Path) -> None:
    eyes = tiny_gguf(tmp_path, "eyes")
    with eyes.open("r+b") as file:
        file.truncate(50 * MB)
    blind = room.fits(path, 1024)
    assert room.fits(path, 1024, eyes=eyes).needs_mb == blind.needs_mb + 55


def test_eyes_that_are_missing_are_named(tmp_path: Path, path: Path) -> None:
    with pytest.raises(ProviderError, match=r"none\.gguf is missing"):
        room.fits(path, 1024, eyes=tmp_path / "none.gguf")
