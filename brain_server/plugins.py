"""Plugins: one file in a folder is one, found by itself, with the form by which a person adds it.

Drivers of devices and providers of models are made this way.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cache
import importlib
import json
from pathlib import Path
import pkgutil
from typing import Any, cast, override

from brain_server.errors import InvalidRequest
from brain_server.protocol import Json


class OptionType(StrEnum):
    """How Home Assistant draws the field of an option."""

    TEXT = "text"
    URL = "url"
    SECRET = "secret"  # noqa: S105 - the name of a field type, not a secret
    NUMBER = "number"
    BOOLEAN = "boolean"
    SELECT = "select"
    ENTITY = "entity"
    DEVICE = "device"


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One field of the form with which a person adds a device or a provider."""

    name: str
    label: str
    help: str
    type: OptionType = OptionType.TEXT
    required: bool = True
    default: Any = None
    choices: tuple[str, ...] = ()
    # For ENTITY: the Home Assistant domains to offer. For DEVICE: the kinds.
    filter: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    # For NUMBER: what is shown beside it.
    unit: str | None = None


def checked(form: Iterable[Option], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was filled in, with defaults; InvalidRequest ``invalid_option`` names the field."""
    known = {option.name: option for option in form}
    for name in given:
        if name not in known:
            raise InvalidRequest("invalid_option", f"Unknown option {name}", field=name)
    found: dict[str, Any] = {}
    for name, option in known.items():
        value = given.get(name)
        if value in (None, ""):
            if option.required and option.default is None:
                raise InvalidRequest("invalid_option", f"{option.label} is needed", field=name)
            found[name] = option.default
            continue
        if not _fits(option, value):
            words = "a secret" if option.type is OptionType.SECRET else repr(value)
            raise InvalidRequest("invalid_option", f"{option.label} cannot be {words}", field=name)
        found[name] = value
    return found


def described(form: Iterable[Option], language: str = "en") -> list[Json]:
    """Return a form as Home Assistant draws it, in a language (``de``, ``de-CH``); the first time that blocks."""
    return [
        asdict(option)
        | {
            "label": said(option.label, language),
            "help": said(option.help, language),
            "choices": list(option.choices),
            "filter": list(option.filter),
        }
        for option in form
    ]


def said(words: str, language: str) -> str:
    """Return what a form says in a language; as it is where nobody has translated it."""
    code = language.partition("-")[0]
    return words if code == "en" else _translations().get(words, {}).get(code, words)


@cache
def _translations() -> dict[str, dict[str, str]]:
    """Return what the forms say, in each language but English, by the English words."""
    found: dict[str, dict[str, str]] = json.loads(
        Path(__file__).with_suffix(".json").read_text("utf-8")
    )
    return found


class Plugins[T: type](Mapping[str, T]):
    """The plug-ins of a folder by name, each imported when it is first looked at; that blocks.

    A module that does not define exactly one ``base``, called as itself, is a mistake of its author: TypeError.
    """

    def __init__(self, place: Iterable[str], package: str, base: T) -> None:
        """Look which modules there are."""
        self._package, self._base = package, base
        self._names = tuple(module.name for module in pkgutil.iter_modules(place))
        self._found: dict[str, T] = {}

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    @override
    def __len__(self) -> int:
        return len(self._names)

    @override
    def __contains__(self, name: object) -> bool:
        return name in self._names

    @override
    def __getitem__(self, name: str) -> T:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._found:
            self._found[name] = self._import(name)
        return self._found[name]

    def _import(self, name: str) -> T:
        loaded = importlib.import_module(f"{self._package}.{name}")
        classes = [
            value
            for value in vars(loaded).values()
            if isinstance(value, type)
            and issubclass(value, self._base)
            and value.__module__ == loaded.__name__
            and "name" in vars(value)
        ]
        if len(classes) != 1 or getattr(classes[0], "name", None) != name:
            message = (
                f"{loaded.__name__} must define one {self._base.__name__}, with name = {name!r}"
            )
            raise TypeError(message)
        return cast("T", classes[0])


def _fits(option: Option, value: Any) -> bool:
    """Tell whether a value is one that this option takes."""
    match option.type:
        case OptionType.BOOLEAN:
            return isinstance(value, bool)
        case OptionType.NUMBER:
            return (
                isinstance(value, int | float)
                and not isinstance(value, bool)
                and (option.minimum is None or value >= option.minimum)
                and (option.maximum is None or value <= option.maximum)
            )
        case _:
            return isinstance(value, str) and (not option.choices or value in option.choices)
