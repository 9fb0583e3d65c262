"""Pictures, with a real picture encoder whose weights are chance: it sees, but understands nothing."""

from pathlib import Path
import struct
import zlib

import pytest

from brain_server.errors import ProviderError
from brain_server.providers import Author, Message, ModelRequest, Part, Picture
from brain_server.providers.llama_cpp import LlamaCpp
from tests.brain.providers.llama_house import local, parts_of, question, usage_of, words_of
from tests.standins.tiny_gguf import tiny_eyes, tiny_gguf

pytestmark = pytest.mark.llama


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return one chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def square(red: int, green: int, blue: int, size: int = 40) -> Picture:
    """Return a picture of one colour."""
    rows = (b"\0" + bytes([red, green, blue]) * size) * size
    head = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return Picture(data=b"\x89PNG\r\n\x1a\n" + data, media_type="image/png")


RED, BLUE = square(255, 0, 0), square(0, 0, 255)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Give a data directory with the tiny model and its eyes."""
    (tmp_path / "models").mkdir()
    tiny_gguf(tmp_path / "models")
    tiny_eyes(tmp_path / "models")
    return tmp_path


async def look(llama: LlamaCpp, *pictures: Picture, text: str = "what is it") -> list[Part]:
    """Ask about pictures."""
    message = Message(author=Author.USER, text=text, pictures=pictures)
    return await parts_of(
        llama.stream(ModelRequest(messages=(message,), max_tokens=12, temperature=0.0))
    )


async def test_what_is_said_depends_on_the_picture(data_dir: Path) -> None:
    async with local(data_dir, mmproj="eyes") as llama:
        red, blue, again = [words_of(await look(llama, one)) for one in (RED, BLUE, RED)]
    assert red == again
    assert red != blue


async def test_each_picture_takes_its_tokens(data_dir: Path) -> None:
    async with local(data_dir, mmproj="eyes") as llama:
        none, one, two = [
            usage_of(await look(llama, *some)).tokens_in for some in ((), (RED,), (RED, BLUE))
        ]
    assert none is not None
    assert (one, two) == (none + 4, none + 8)


async def test_a_picture_leaves_nothing_behind_for_the_next_question(data_dir: Path) -> None:
    async with local(data_dir, mmproj="eyes") as llama:
        before = words_of(await parts_of(llama.stream(question(max_tokens=12))))
        await look(llama, RED)
        after = words_of(await parts_of(llama.stream(question(max_tokens=12))))
    assert before == after


async def test_a_text_cannot_pass_for_a_picture(data_dir: Path) -> None:
    async with local(data_dir, mmproj="eyes") as llama:
        usage = usage_of(await look(llama, RED, text="<__media__>"))
    assert usage.tokens_out == 12


async def test_a_picture_that_is_none_is_told(data_dir: Path) -> None:
    broken = Picture(data=b"\xff\xd8\xff nothing", media_type="image/jpeg")
    async with local(data_dir, mmproj="eyes") as llama:
        with pytest.raises(ProviderError, match="picture cannot be read") as caught:
            await look(llama, RED, broken)
        assert usage_of(await look(llama, RED)).tokens_out == 12
    assert caught.value.code == "provider_invalid"


async def test_pictures_count_towards_the_context(data_dir: Path) -> None:
    async with local(data_dir, mmproj="eyes", context=256) as llama:
        with pytest.raises(ProviderError) as caught:
            await look(llama, *[RED] * 70)
        assert usage_of(await look(llama, RED)).tokens_out == 12
    assert caught.value.code == "context_exceeded"
    assert caught.value.fields["tokens"] > 280


async def test_eyes_of_another_model_are_told_by_name(data_dir: Path) -> None:
    tiny_eyes(data_dir / "models", "others", width=32)
    async with local(data_dir, mmproj="others") as llama:
        with pytest.raises(ProviderError, match=r"others\.gguf does not belong") as caught:
            await look(llama, RED)
    assert caught.value.code == "provider_invalid"


async def test_eyes_that_are_no_eyes_are_told_by_name(data_dir: Path) -> None:
    async with local(data_dir, mmproj="tiny") as llama:
        with pytest.raises(ProviderError, match=r"tiny\.gguf does not belong") as caught:
            await look(llama, RED)
    assert caught.value.code == "provider_invalid"


async def test_a_check_finds_the_eyes(data_dir: Path) -> None:
    async with local(data_dir, mmproj="eyes") as llama:
        assert (await llama.check()).model == "tiny"
