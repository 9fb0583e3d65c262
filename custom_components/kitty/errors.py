"""One tree of errors; every ``code`` is also the translation key of its message."""

from typing import Any, Final, Self

from aiohttp import ClientError
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
import probatio as vol

from .const import CAPABILITIES, DOMAIN

# How breaks what is not in our hands: what other integrations offer, and who reads a frame that makes no sense.
MISHAPS: Final = (
    ArithmeticError,
    AttributeError,
    ClientError,
    HomeAssistantError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    vol.Invalid,
)

# What ails the brain itself and not the wish: it cannot be asked now, though its socket is open.
BUSY: Final = frozenset(
    {
        "database_busy",
        "internal",
        "not_awake",
        "overloaded",
        "rate_limited",
        "shutting_down",
        "standby",
        "storage_failed",
        "storage_full",
        "timeout",
    }
)

# Why a printer cannot print a file; each has its own words.
MISFITS: Final = frozenset({"volume", "nozzle", "material", "max_nozzle", "max_bed"})
# Errors in whose sentences a word of the brain's would stand: by which of their fields, and for which of its
# values, there is a sentence of its own instead.
VARIANTS: Final[dict[str, tuple[str, frozenset[str]]]] = {
    "capability_off": ("because", CAPABILITIES),
    "over_limit": ("part", frozenset({"bed", "lines", "nozzle"})),
    "url_refused": (
        "reason",
        frozenset({"address", "credentials", "form", "host", "port", "scheme"}),
    ),
}


class KittyError(HomeAssistantError):
    """A failure with a stable code, worded by the translations."""

    def __init__(self, code: str, **placeholders: object) -> None:
        """Make an error; the placeholders fill its translated message."""
        super().__init__(
            translation_domain=DOMAIN,
            translation_key=code,
            translation_placeholders={name: str(value) for name, value in placeholders.items()},
        )
        self.code = code


class BrainUnavailable(KittyError):
    """The brain cannot be asked now; nobody knows whether a request under way was carried out."""

    def __init__(self, code: str = "brain_unavailable", **placeholders: object) -> None:
        """Make the error; ``brain_timeout`` where nothing came in time, else what ails it."""
        super().__init__(code, **placeholders)


class CannotConnect(BrainUnavailable):
    """No socket to the brain could be opened."""

    def __init__(self, **placeholders: object) -> None:
        """Make the error."""
        super().__init__("cannot_connect", **placeholders)


class InvalidAuth(KittyError):
    """The brain does not know the token."""

    def __init__(self) -> None:
        """Make the error."""
        super().__init__("invalid_auth")


class WrongScope(InvalidAuth):
    """The brain knows the token, which was not made for Home Assistant."""


class SchemaMismatch(KittyError):
    """The brain and the integration share no version of the wire."""

    def __init__(self, *, brain: int, integration: int) -> None:
        """Make the error; a larger number is the newer side."""
        super().__init__("schema_mismatch", brain=brain, integration=integration)
        self.brain_is_older = brain < integration


class WrongBrain(KittyError):
    """Another brain than the one this entry was set up with answers at its address."""

    def __init__(self) -> None:
        """Make the error."""
        super().__init__("wrong_brain")


class LedgerUnwritable(KittyError):
    """The ledger is not safely on disk, so nothing that depends on it may happen."""

    def __init__(self) -> None:
        """Make the error."""
        super().__init__("ledger_unwritable")


class Refused(ServiceValidationError):
    """The integration itself refuses; nothing was done."""

    def __init__(self, code: str, **placeholders: object) -> None:
        """Make a refusal; the placeholders fill its translated message."""
        super().__init__(
            translation_domain=DOMAIN,
            translation_key=code,
            translation_placeholders={name: str(value) for name, value in placeholders.items()},
        )
        self.code = code


class BrainError(ServiceValidationError):
    """The brain answered with an error; its own sentence is the English message."""

    def __init__(self, code: str, message: str, details: dict[str, Any] | None = None) -> None:
        """Make the error from what came over the wire."""
        self.code = code
        self.details = details or {}
        misfit = _first_misfit(code, self.details)
        super().__init__(
            message,
            translation_domain=DOMAIN,
            translation_key=_key(code, self.details, misfit),
            translation_placeholders={
                name: _plain(value) for name, value in (self.details | (misfit or {})).items()
            },
        )

    @classmethod
    def from_frame(cls, error: dict[str, Any]) -> Self:
        """Read the ``error`` of a frame."""
        return cls(
            str(error.get("code", "internal_error")),
            str(error.get("message", "")),
            error.get("details"),
        )


def _key(code: str, details: dict[str, Any], misfit: dict[str, Any] | None) -> str:
    """Return under which key an error has its sentence; a newer brain may know more than we have words for."""
    if misfit is not None:
        return f"{code}_{misfit['what']}"
    field, known = VARIANTS.get(code, ("", frozenset()))
    value = details.get(field)
    return (
        f"{code}_{value.replace('.', '_')}" if isinstance(value, str) and value in known else code
    )


def _first_misfit(code: str, details: dict[str, Any]) -> dict[str, Any] | None:
    """Return the first reason why a printer cannot print a file, where it is one that has words."""
    found = details.get("misfits") if code == "does_not_fit" else None
    first = found[0] if isinstance(found, list) and found else None
    return first if isinstance(first, dict) and first.get("what") in MISFITS else None


def _plain(value: Any) -> str:
    """Return a field as people read it: a list without its brackets, a figure without needless places."""
    if isinstance(value, list):
        return ", ".join(_plain(one) for one in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
