"""Bytes become letters as llama.cpp's grammar counts them."""

from hypothesis import given, strategies as st
import pytest

from brain_server.llama_worker.letters import Letters


def letters(data: bytes) -> str:
    """Read bytes one by one, to the end."""
    reader = Letters()
    return "".join(reader.feed(bytes([byte])) for byte in data) + reader.end()


@given(st.text())
def test_every_text_is_read_however_it_is_cut(text: str) -> None:
    assert letters(text.encode()) == text


@given(st.binary())
def test_any_bytes_are_read(data: bytes) -> None:
    assert len(letters(data)) <= len(data)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x80a", "\ufffda"),
        (b"\xc3a", "\ufffda"),
        (b"\xe2\x82", "\ufffd"),
        (b"\xe2\x82\xe2\x82\xac", "\ufffd€"),
        (b"\xed\xa0\x80", "\ufffd"),
        (b"\xff\xbf\xbf\xbf", "\ufffd"),
        (b"\xf8\x80\x80\xa2", "\ufffd"),
        (b"\xc0\xa2", '"'),
    ],
)
def test_what_is_no_letter_counts_as_often_as_for_the_grammar(data: bytes, text: str) -> None:
    assert letters(data) == text
