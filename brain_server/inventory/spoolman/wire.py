"""Spoolman's REST API, version 1, as far as spools go through it."""

from typing import Any, Final

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
)
import msgspec
from yarl import URL

from brain_server.errors import InvalidRequest, Unavailable
from brain_server.lan import once
from brain_server.protocol import Json

TIMEOUT: Final = ClientTimeout(total=15, sock_connect=5)
PAGE: Final = 200
MOST_BYTES: Final = 16 * 1024 * 1024
_API: Final = "/api/v1"


class Vendor(msgspec.Struct):
    """Who made a filament."""

    id: int
    name: str


class Filament(msgspec.Struct):
    """A kind of filament."""

    id: int
    density: float
    diameter: float
    name: str | None = None
    vendor: Vendor | None = None
    material: str | None = None
    price: float | None = None
    weight: float | None = None
    color_hex: str | None = None
    multi_color_hexes: str | None = None


class Spool(msgspec.Struct):
    """One spool; what it held at first may be told only by its filament."""

    id: int
    filament: Filament
    used_weight: float
    initial_weight: float | None = None
    price: float | None = None
    location: str | None = None
    comment: str | None = None
    archived: bool = False

    @property
    def full_g(self) -> float | None:
        """Return what it held at first; None: nobody wrote it down."""
        return self.initial_weight or self.filament.weight or None

    def left_g(self, full_g: float) -> float:
        """Return what is left of what it held at first."""
        return max(0.0, full_g - self.used_weight)


_VENDORS: Final = msgspec.json.Decoder(list[Vendor])
_FILAMENTS: Final = msgspec.json.Decoder(list[Filament])
_SPOOLS: Final = msgspec.json.Decoder(list[Spool])
_VENDOR: Final = msgspec.json.Decoder(Vendor)
_FILAMENT: Final = msgspec.json.Decoder(Filament)
_SPOOL: Final = msgspec.json.Decoder(Spool)


def address(text: str) -> URL:
    """Return where the API is; InvalidRequest ``invalid_setting`` for what is no web address."""
    try:
        url = URL(text.strip().rstrip("/").removesuffix(_API))
    except ValueError as err:
        raise _no_address() from err
    if url.scheme not in {"http", "https"} or not url.host or url.query_string:
        raise _no_address()
    return url.with_path(url.path.rstrip("/") + _API)


def _no_address() -> InvalidRequest:
    return InvalidRequest(
        "invalid_setting",
        "Setting spoolman_url must be a web address, e.g. http://spoolman:7912",
        field="spoolman_url",
    )


def may_have_arrived(error: Unavailable) -> bool:
    """Tell whether a request that failed may have been carried out all the same."""
    return bool(error.fields.get("sent", True))


class Wire:
    """Asks Spoolman.

    Raises Unavailable: ``spoolman_unreachable``, or ``spoolman_refused`` with http_status. In its field
    ``sent`` is False where certainly nothing was done.
    """

    def __init__(self, session: ClientSession, url: URL) -> None:
        """Take the session and the address of the API."""
        self._session = session
        self._url = url

    async def spools(self) -> list[Spool]:
        """Return all spools, archived ones, too."""
        return await self._all("spool", _SPOOLS, allow_archived="true")

    async def spool(self, spool_id: int) -> Spool | None:
        """Return a spool, or None where there is none."""
        try:
            return await self._ask("GET", f"spool/{spool_id}", _SPOOL)
        except Unavailable as err:
            if err.fields.get("http_status") == 404:
                return None
            raise

    async def use(self, spool_id: int, grams: float) -> Spool:
        """Take grams from a spool, or put back what was too much."""
        return await self._ask("PUT", f"spool/{spool_id}/use", _SPOOL, {"use_weight": grams})

    async def add_spool(self, body: Json) -> Spool:
        """Add a spool."""
        return await self._ask("POST", "spool", _SPOOL, body)

    async def vendors(self) -> list[Vendor]:
        """Return all makers."""
        return await self._all("vendor", _VENDORS)

    async def add_vendor(self, body: Json) -> Vendor:
        """Add a maker."""
        return await self._ask("POST", "vendor", _VENDOR, body)

    async def filaments(self) -> list[Filament]:
        """Return all kinds of filament."""
        return await self._all("filament", _FILAMENTS)

    async def add_filament(self, body: Json) -> Filament:
        """Add a kind of filament."""
        return await self._ask("POST", "filament", _FILAMENT, body)

    async def _all[T: (Vendor, Filament, Spool)](
        self, what: str, decoder: msgspec.json.Decoder[list[T]], **query: str
    ) -> list[T]:
        found: list[T] = []
        while True:
            part = {"limit": str(PAGE), "offset": str(len(found)), "sort": "id:asc"}
            page = await self._ask("GET", what, decoder, query=query | part)
            # A server that knows no pages gives everything each time.
            new = [one for one in page if not found or one.id > found[-1].id]
            found += new
            if len(new) < PAGE:
                return found

    async def _ask[T](
        self,
        method: str,
        path: str,
        decoder: msgspec.json.Decoder[T],
        body: Json | None = None,
        *,
        query: dict[str, str] | None = None,
    ) -> T:
        url = self._url.joinpath(*path.split("/"))
        try:
            async with self._session.request(
                method,
                url,
                json=body,
                params=query,
                timeout=TIMEOUT,
                allow_redirects=False,
                middlewares=None if method == "GET" else (once,),
            ) as response:
                return decoder.decode(await _body(response))
        except ClientConnectorError as err:
            raise _unreachable(sent=False) from err
        except (ClientError, TimeoutError) as err:
            raise _unreachable(sent=True) from err
        except (msgspec.DecodeError, msgspec.ValidationError) as err:
            raise _refused(f"what nobody can read: {err}", sent=True) from err


async def _body(response: ClientResponse) -> bytearray:
    body = bytearray()
    async for chunk in response.content.iter_chunked(64 * 1024):
        body += chunk
        if len(body) > MOST_BYTES:
            raise _refused("too much", sent=True)
    if 200 <= response.status < 300:
        return body
    # What the server calls our mistake, it has not done; where it broke, nobody knows.
    raise _refused(
        _words(response.status, body), sent=response.status >= 500, status=response.status
    )


def _words(status: int, body: bytearray) -> str:
    """Return what Spoolman said of an error."""
    try:
        said: Any = msgspec.json.decode(body)
    except msgspec.DecodeError:
        said = None
    words = said.get("message") if isinstance(said, dict) else None
    return f"{status} {words}"[:200] if words else str(status)


def _unreachable(*, sent: bool) -> Unavailable:
    return Unavailable("spoolman_unreachable", "Spoolman does not answer", sent=sent)


def _refused(reason: str, *, sent: bool, status: int | None = None) -> Unavailable:
    return Unavailable(
        "spoolman_refused",
        f"Spoolman answered {reason}",
        reason=reason,
        sent=sent,
        http_status=status,
    )
