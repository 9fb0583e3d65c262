"""One tree of errors. ``code`` is stable, is the translation key in Home Assistant, and never changes meaning.

KittyError
├── InvalidRequest 400      the caller's words are wrong; nothing happened
├── Unauthorized   401      no or unknown token
├── Forbidden      403      known, but may not; a refusal by the gate
├── NotFound       404
├── Conflict       409      the thing is no longer in the state that the caller believes
├── TooMany        429      slow down; carries retry_after
├── DeviceError    502      the device refused or broke; nothing was done, or it says so
├── ProviderError  502      a model or tool server failed; its codes are in ``providers``
└── Unavailable    503      a part is down; try later
"""

from typing import Any


class KittyError(Exception):
    """An error that a caller may see: a stable code, a sentence, and fields for translation."""

    status: int = 500

    def __init__(self, code: str, message: str, **fields: Any) -> None:
        """Make an error; ``fields`` fill the translated message and go to the wire as details."""
        super().__init__(message)
        self.code = code
        self.message = message
        self.fields = fields

    def as_dict(self) -> dict[str, Any]:
        """Return the error as it goes over the wire."""
        return {"code": self.code, "message": self.message, "details": self.fields}


class InvalidRequest(KittyError):
    """The request is malformed; nothing happened."""

    status = 400


class Unauthorized(KittyError):
    """No token, or one that is unknown, expired or revoked."""

    status = 401


class Forbidden(KittyError):
    """The caller is known and may not do this."""

    status = 403


class NotFound(KittyError):
    """There is no such thing."""

    status = 404


class Conflict(KittyError):
    """The thing is not in the state that the request needs."""

    status = 409


class TooMany(KittyError):
    """The caller must wait; ``retry_after`` seconds are in the fields."""

    status = 429


class DeviceError(KittyError):
    """A device or its server refused or failed; it did not carry the request out."""

    status = 502


class ProviderError(KittyError):
    """A model or a tool server failed to answer."""

    status = 502


class Unavailable(KittyError):
    """A part that the request needs is down."""

    status = 503
