"""What may be remembered."""

import pytest

from brain_server.errors import InvalidRequest
from brain_server.memory.content import cleaned, is_secret, normal

SECRETS = (
    "my PIN is 4821",
    "The alarm code is 4821",
    "the code for the garage is 12 34 56",
    "door code: 90210",
    "password: hunter2",
    "the wifi password is correct horse",
    "my password for the router is swordfish",
    "api_key=abcdef0123456789",
    "Authorization: Bearer eyJhbGciOiJIUzI1NiJ9",
    "use sk-ant-api03-abcdefghijklmnop for it",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.sig",
    "-----BEGIN OPENSSH PRIVATE KEY-----",
    "my card is 4111 1111 1111 1111",
    "Das Passwort lautet geheim1",
    "Kennwort ist geheim",
    "the key a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6 opens it",
    "postgresql://kitty:hunter2@host/kitty",
)
HARMLESS = (
    "the nozzle on printer A is 0.6",
    "my birthday is on the 12th of May 1984",
    "the code club meets on Tuesday",
    "the filament box holds 12 spools",
    "call the plumber on 030 1234567 when it leaks",
    "printer B needs 215 degrees for PETG",
    "we are at door 7",
    "Donaudampfschifffahrtsgesellschaft is a long word",
    "the part number is 1234 5678 9012 3456",
    "G-code for the benchy takes 42 minutes",
)


@pytest.mark.parametrize("text", SECRETS)
def test_a_secret_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        cleaned(text)
    assert (caught.value.code, caught.value.fields["reason"]) == ("not_memorable", "secret")


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_a_little_like_one_is_kept(text: str) -> None:
    assert cleaned(text) == text


@pytest.mark.parametrize("text", ["", " \n\t ", "\u200b\u202e", "\x00\x1b"])
def test_nothing_is_not_remembered(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        cleaned(text)
    assert caught.value.fields["reason"] == "empty"


def test_what_is_too_long_is_not_remembered() -> None:
    with pytest.raises(InvalidRequest) as caught:
        cleaned("word " * 401)
    assert caught.value.fields["reason"] == "too_long"


def test_what_people_cannot_see_is_left_out() -> None:
    assert cleaned("the\x1b[31m lamp\u202e is\u200b red\r\n\ttoday") == "the [31m lamp is red today"


def test_a_secret_hidden_by_invisible_characters_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        cleaned("my P\u200bI\u200bN is 48\u200b21")


def test_letters_are_composed() -> None:
    assert cleaned("cafe\u0301") == "café"


def test_half_of_a_pair_is_left_out() -> None:
    assert cleaned("lamp \ud800 on") == "lamp  on"


def test_capitals_and_final_marks_do_not_matter_in_a_comparison() -> None:
    assert normal("  What's\nthe TIME?! ") == normal("what's the time")


def test_a_number_with_a_good_check_digit_is_a_card() -> None:
    assert is_secret("4111-1111-1111-1111")
    assert not is_secret("4111-1111-1111-1112")
