"""What people are told is text: no tag, no control character, no mention, and never too long."""

import json

import pytest

from brain_server.notify import words


@pytest.mark.parametrize(
    ("hostile", "safe"),
    [
        ("<b>bold</b>", "\u2039b\u203abold\u2039/b\u203a"),
        ("<img src=x onerror=alert(1)>", "\u2039img src=x onerror=alert(1)\u203a"),
        ("<!channel> & <@U1>", "\u2039!channel\u203a & \u2039@U1\u203a"),
        ("a\x1b[31mred\x07\x00", "a[31mred"),
        ("right\u202eleft", "rightleft"),
        ("hid\u200bden\ufeff", "hidden"),
        ("Subject: x\r\nBcc: all@example.com", "Subject: x Bcc: all@example.com"),
    ],
)
def test_a_hostile_title_is_one_harmless_line(hostile: str, safe: str) -> None:
    """Tags, escape sequences, directions, what nobody sees, headers of mail."""
    assert words.line(hostile) == safe


def test_a_message_keeps_its_lines() -> None:
    """And loses what is around them."""
    assert words.lines("\n one\n\ttwo <3 \x00\n") == "one\n\ttwo \u20393"


@pytest.mark.parametrize(("clean", "most"), [(words.line, 200), (words.lines, 4000)])
def test_a_text_is_cut_where_it_is_too_long(clean: object, most: int) -> None:
    """And shows that it is."""
    assert callable(clean)
    cut = clean("x" * 100_000)
    assert (len(cut), cut[-1]) == (most, "\u2026")


def test_a_text_of_just_the_length_stays_whole() -> None:
    """Nothing is lost without need."""
    assert words.line("x" * 200) == "x" * 200


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("@here look", "\uff20here look"),
        ("see @channel, (@ada)", "see \uff20channel, (\uff20ada)"),
        ("mail ada@example.com", "mail ada@example.com"),
        ("5 @ 3", "5 @ 3"),
    ],
)
def test_a_text_for_a_chat_calls_nobody(text: str, said: str) -> None:
    """An address of mail stays one."""
    assert words.without_mentions(text) == said


def test_data_is_harmless_all_through() -> None:
    """Texts within it, and what JSON cannot carry."""
    data = {
        "<a>": ["<b>", {"c": "\x00d"}, 1, 1.5, True, None],
        "odd": float("nan"),
        "far": float("inf"),
    }
    assert words.data(data) == {
        "\u2039a\u203a": ["\u2039b\u203a", {"c": "d"}, 1, 1.5, True, None],
        "odd": None,
        "far": None,
    }


def test_data_that_never_ends_has_an_end() -> None:
    """However deep it is."""
    deep: object = "x"
    for _ in range(900):
        deep = [deep]
    assert len(json.dumps(words.data({"deep": deep}))) < 100


def test_data_that_is_too_large_is_left_out() -> None:
    """What is told of is told all the same."""
    assert words.data({str(number): "x" * 1000 for number in range(20)}) == {"left_out": True}


def test_no_data_is_no_data() -> None:
    """Most need none."""
    assert words.data(None) == {}
