"""Settings come from options, environment and arguments; what makes no sense is refused by name."""

from dataclasses import FrozenInstanceError, fields
import json
from pathlib import Path

import pytest

from brain_server.errors import InvalidRequest
from brain_server.settings import Settings, split_options


def test_without_anything_there_are_defaults() -> None:
    """A brain starts with no setting at all."""
    assert Settings.load({}, {}, None) == Settings()


def test_arguments_win_over_the_environment_and_that_over_options(tmp_path: Path) -> None:
    """Each is asked in turn."""
    options = tmp_path / "options.json"
    options.write_text(json.dumps({"port": 1, "host": "from-options", "token": "from-options"}))
    environ = {"KITTY_PORT": "2", "KITTY_HOST": "from-environment"}
    found = Settings.load({"port": "3"}, environ, options)
    assert (found.port, found.host, found.token) == (3, "from-environment", "from-options")


def test_options_that_are_not_there_are_no_options(tmp_path: Path) -> None:
    """Outside the app there is no such file."""
    assert Settings.load({}, {}, tmp_path / "none.json") == Settings()


def test_what_is_not_a_setting_is_left_alone(tmp_path: Path) -> None:
    """The app's file may hold more than the brain's part, and the environment does."""
    options = tmp_path / "options.json"
    options.write_text(json.dumps({"ssl": True, "port": 1}))
    environ = {"KITTY_CRASH": "x", "HOME": "/", "PORT": "7"}
    assert Settings.load({}, environ, options) == Settings(port=1)


def test_an_option_without_a_value_is_not_set(tmp_path: Path) -> None:
    """A field that was left empty in a form comes as null."""
    options = tmp_path / "options.json"
    options.write_text(json.dumps({"database_url": None, "port": None}))
    assert Settings.load({"host": None}, {}, options) == Settings()


@pytest.mark.parametrize("content", ["", "{", "[]", "7", "null", '"text"', "\x00", "\udcff"])
def test_options_that_cannot_be_read_are_refused(tmp_path: Path, content: str) -> None:
    """A broken file is not taken for an empty one."""
    options = tmp_path / "options.json"
    options.write_text(content, "utf-8", "surrogateescape")
    with pytest.raises(InvalidRequest) as caught:
        Settings.load({}, {}, options)
    assert (caught.value.code, caught.value.fields) == ("invalid_setting", {"field": "options"})


WRONG = [
    ("port", "many"),
    ("port", "80.5"),
    ("port", 80.5),
    ("port", True),
    ("port", []),
    ("port", {}),
    ("port", "-1"),
    ("port", 65_536),
    ("port", ""),
    ("request_rate", "fast"),
    ("request_rate", True),
    ("request_rate", "nan"),
    ("request_rate", "inf"),
    ("request_rate", 0),
    ("request_rate", -1),
    ("request_burst", 0),
    ("max_clients", 0),
    ("client_queue", "0"),
    ("telemetry_days", -3),
    ("budget_daily", -0.01),
    ("budget_monthly", "inf"),
    ("budget_soft", 0),
    ("budget_soft", 1.01),
    ("trace_sample", 0),
    ("trace_sample", 2),
    ("currency", "euro"),
    ("currency", ""),
    ("debug", "maybe"),
    ("debug", 2),
    ("debug", []),
    ("host", 7),
    ("host", True),
    ("host", ["127.0.0.1"]),
    ("token", 12345678),
    ("database_url", {}),
    ("data_dir", 7),
    ("data_dir", []),
    ("log_level", "loud"),
    ("log_level", 10),
]


def test_a_budget_may_be_nothing() -> None:
    """Then only what is free may be asked."""
    found = Settings.load({"budget_daily": 0, "budget_monthly": "0"}, {}, None)
    assert (found.budget_daily, found.budget_monthly) == (0.0, 0.0)


@pytest.mark.parametrize(("name", "value"), WRONG, ids=repr)
def test_a_value_of_the_wrong_type_is_refused_by_its_name(name: str, value: object) -> None:
    """Nothing is guessed: not a truth for a number, not a list for a text."""
    with pytest.raises(InvalidRequest) as caught:
        Settings.load({name: value}, {}, None)
    assert (caught.value.code, caught.value.fields["field"]) == ("invalid_setting", name)
    assert name in caught.value.message


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("port", "0", 0),
        ("port", " 8100 ", 8100),
        ("port", 65_535, 65_535),
        ("request_rate", "2.5", 2.5),
        ("request_rate", 3, 3.0),
        ("session_ttl", "1e3", 1000.0),
        ("debug", "true", True),
        ("debug", "ON", True),
        ("debug", "0", False),
        ("debug", False, False),
        ("data_dir", "/data", Path("/data")),
        ("data_dir", Path("/data"), Path("/data")),
        ("log_level", "DEBUG", "DEBUG"),
        ("token", "", ""),
    ],
)
def test_a_value_of_the_right_type_is_taken(name: str, value: object, expected: object) -> None:
    """As text, as from the environment, or as it is, as from options."""
    found = getattr(Settings.load({name: value}, {}, None), name)
    assert (found, type(found)) == (expected, type(expected))


def test_every_setting_can_be_set_in_every_way(tmp_path: Path) -> None:
    """By argument, environment and option, each to another value than the default."""
    others = {bool: "true", int: "9", float: "0.5", str: "critical"}
    texts = {item.name: others.get(type(item.default), "/elsewhere") for item in fields(Settings)}
    texts["currency"] = "USD"
    options = tmp_path / "options.json"
    options.write_text(json.dumps(texts))
    by_option = Settings.load({}, {}, options)
    by_environment = Settings.load({}, {f"KITTY_{k.upper()}": v for k, v in texts.items()})
    words = [word for k, v in texts.items() for word in (f"--{k.replace('_', '-')}", v)]
    by_argument = Settings.load(split_options(words), {})
    assert by_option == by_environment == by_argument
    assert [
        item.name for item in fields(Settings) if getattr(by_option, item.name) == item.default
    ] == []


def test_settings_do_not_change() -> None:
    """They are read once."""
    with pytest.raises(FrozenInstanceError):
        Settings().port = 7  # type: ignore[misc]  # the double has the part that is used


def test_arguments_are_names_and_values() -> None:
    """With a space or an equals sign, dashes for underscores."""
    words = ["--data-dir", "/data", "--port=7", "--token=a=b", "--host="]
    assert split_options(words) == {
        "data_dir": "/data",
        "port": "7",
        "token": "a=b",
        "host": "",
    }


@pytest.mark.parametrize(
    "words",
    [
        ["--nonsense", "1"],
        ["--nonsense=1"],
        ["port", "7"],
        ["-p", "7"],
        ["--port"],
        ["--"],
        ["--port", "7", "stray"],
        ["--help"],
        ["--__class__=1"],
    ],
)
def test_words_that_are_no_arguments_are_refused(words: list[str]) -> None:
    """With the word that is wrong."""
    with pytest.raises(InvalidRequest) as caught:
        split_options(words)
    assert caught.value.code == "invalid_argument"
    assert caught.value.fields["field"] in words


def test_two_files_or_one_server(tmp_path: Path) -> None:
    """Without an address of a server there are two files in the folder."""
    files = Settings(data_dir=tmp_path)
    server = Settings(database_url="postgresql+psycopg://x/kitty")
    assert files.safety_url == f"sqlite:///{tmp_path}/safety.db"
    assert files.brain_url == f"sqlite:///{tmp_path}/brain.db"
    assert server.safety_url == server.brain_url == "postgresql+psycopg://x/kitty"
