"""HTTP to a model: one request, answered whole or as server-sent events, and a stable code for every failure.

``provider_unreachable`` means that nothing was asked; once the question may have arrived, a missing answer is
``provider_cut_off``. The key is in the headers alone: no error, log or repr shows it.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
import re
from typing import Any, Final

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientResponseError,
    ClientSession,
    ClientSSLError,
    ClientTimeout,
    ConnectionTimeoutError,
)
import msgspec
from yarl import URL

from brain_server.errors import InvalidRequest, KittyError, ProviderError
from brain_server.protocol import Json

CONNECT_S: Final = 5.0
SILENCE_S: Final = 60.0
LOOK_S: Final = 10.0
MOST_EVENT: Final = 16 * 1024 * 1024
MOST_ANSWER: Final = 64 * 1024 * 1024

_MOST_ERROR: Final = 64 * 1024
_MOST_WORDS: Final = 300
_MOST_NAMES: Final = 20
_DAY_S: Final = 86_400.0
# The end of an answer comes within this time after its last event, or its connection is not used again.
_TAIL_S: Final = 1.0
_OVERLOADED: Final = 529
_REFUSALS: Final = range(400, 600)
_BUSY: Final = frozenset({429, _OVERLOADED})
_MB: Final = {"B": 2**-20, "KiB": 2**-10, "MiB": 1.0, "GiB": 2**10}

# No JSON, no UTF-8, or brackets in brackets without end.
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_TOO_LONG: Final = re.compile(
    r"(?i)context_length_exceeded|exceed_context_size|prompt is too long|maximum context length|"
    r"exceeds? (?:the )?(?:available |model'?s )?context|exceed context limit|"
    r"greater than the context length|context (?:the )?overflow"
)
_TOO_LARGE: Final = re.compile(
    r"requires more system memory \(([\d.]+) ([KMG]iB|B)\) than is available \(([\d.]+) ([KMG]iB|B)\)"
)
_CRASHED: Final = re.compile(r"(?i)runner (?:process )?(?:has terminated|no longer running)")
# An error in the middle of a stream has no status: what it calls itself has the one that it stands for.
_STATUS: Final = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "unavailable_error": 503,
    "timeout_error": 504,
    "overloaded_error": _OVERLOADED,
}


class Events:
    """Takes a body of server-sent events apart, however it is cut into chunks; keeps the data alone."""

    __slots__ = ("_data", "_rest", "_returned", "_size")

    def __init__(self) -> None:
        """Start at the beginning of a body."""
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0
        self._returned = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the data of each event that this chunk completes."""
        if self._returned and chunk[:1] == b"\n":  # a line end that was cut in two
            chunk = chunk[1:]
        self._returned = chunk[-1:] == b"\r"
        lines = (self._rest + chunk).splitlines(keepends=True)
        whole = not lines or lines[-1][-1:] in (b"\n", b"\r")
        self._rest = b"" if whole else lines.pop()
        found = []
        for line in lines:
            if line[:5] == b"data:":
                self._data.append(line[5:].strip())
                self._size += len(line)
            elif self._data and line in {b"\n", b"\r\n", b"\r"}:
                found.append(b"\n".join(self._data))
                self._data.clear()
                self._size = 0
        if self._size + len(self._rest) > MOST_EVENT:
            raise ProviderError("provider_invalid", "An event of the answer is too large")
        return found


class Wire:
    """The way to one server. Every method raises ProviderError when there is no good answer."""

    def __init__(
        self,
        session: ClientSession,
        base: URL,
        headers: dict[str, str],
        *,
        secret: str,
        connect_s: float = CONNECT_S,
        silence_s: float = SILENCE_S,
    ) -> None:
        """Take the address, the headers and the key in them, and how long to wait for a sign of life."""
        self._session = session
        self._base = base
        # What is compressed on its way comes in lumps, not word by word.
        plain = {"Accept-Encoding": "identity", "Content-Type": "application/json"}
        self._headers = plain | headers
        self._secret = secret
        self._connect_s = connect_s
        self._stream_limit = ClientTimeout(total=None, connect=connect_s, sock_read=silence_s)

    async def stream(self, path: str, body: Json, *, model: str) -> AsyncGenerator[bytes]:
        """Post, and yield the data of each event until the body ends; closing this hangs up at once."""
        response = await self._send("POST", path, body, model, self._stream_limit)
        try:
            if response.content_type != "text/event-stream":
                raise ProviderError("provider_invalid", "The answer is not a stream of events")
            events = Events()
            async for chunk in response.content.iter_any():
                for data in events.feed(chunk):
                    yield data
        except (ClientError, TimeoutError) as err:
            raise cut_off() from err
        finally:
            response.close()

    async def ask[T](
        self,
        method: str,
        path: str,
        decoder: msgspec.json.Decoder[T],
        *,
        seconds: float,
        model: str,
        body: Json | None = None,
        query: Mapping[str, str] | None = None,
    ) -> T:
        """Make a call that is answered whole, within so many seconds."""
        limit = ClientTimeout(total=seconds, connect=self._connect_s)
        response = await self._send(method, path, body, model, limit, query)
        try:
            answer = await _read(response, MOST_ANSWER)
        except (ClientError, TimeoutError) as err:
            raise cut_off() from err
        finally:
            response.close()
        return decoded(decoder, answer)

    def stumbled(self, error: Any, *, model: str) -> ProviderError:
        """Return what an error in the middle of a stream means."""
        said = _inner({"error": error})
        code = said.get("code")
        status = code if isinstance(code, int) and code in _REFUSALS else None
        for name in (code, said.get("type")):
            if status is None and isinstance(name, str):
                status = _STATUS.get(name)
        return self._refusal(status or HTTPStatus.INTERNAL_SERVER_ERROR, said, None, model)

    async def _send(
        self,
        method: str,
        path: str,
        body: Json | None,
        model: str,
        limit: ClientTimeout,
        query: Mapping[str, str] | None = None,
    ) -> ClientResponse:
        """Send a request once and return its answer, if that is one."""
        try:
            response = await self._session.request(
                method,
                self._base / path,
                params=query,
                data=None if body is None else msgspec.json.encode(body),
                headers=self._headers,
                timeout=limit,
                allow_redirects=False,  # the key is for this host alone
            )
        except ClientSSLError as err:
            words = f"{self._base.host} cannot prove that it is that"
            raise ProviderError("provider_unreachable", words) from err
        except (ClientConnectorError, ConnectionTimeoutError) as err:
            words = f"Nobody answers at {self._base.host}"
            raise ProviderError("provider_unreachable", words) from err
        except ClientResponseError as err:
            # Its repr shows the headers that were sent: it must not become the cause of another error.
            odd = err.message
        except (ClientError, TimeoutError) as err:
            raise cut_off() from err
        else:
            if response.status == HTTPStatus.OK:
                return response
            raise await self._refused(response, model)
        raise ProviderError("provider_invalid", f"The answer is not HTTP: {self._clean(odd)}")

    async def _refused(self, response: ClientResponse, model: str) -> ProviderError:
        body = b""
        with suppress(ClientError, TimeoutError):  # the status says enough
            body = await _read(response, _MOST_ERROR)
        response.close()
        wait = _retry_after(response.headers)
        return self._refusal(response.status, _inner(_parsed(body)), wait, model)

    def _refusal(self, status: int, said: Json, wait: float | None, model: str) -> ProviderError:
        """Return what a server means by a status and the words that came with it."""
        text = " ".join(str(said.get(part) or "") for part in ("type", "code", "message", "detail"))
        words = self._clean(said.get("message") or said.get("detail") or "") or f"HTTP {status}"
        if status in {401, 403}:
            # The server's own words may quote the key.
            return ProviderError("provider_auth", "The key is not accepted")
        if status in _BUSY or "server busy" in text:
            told = {} if wait is None else {"retry_after": wait}
            return ProviderError("provider_busy", f"It is busy: {words}", **told)
        if _TOO_LONG.search(text):
            return ProviderError("context_exceeded", f"The question is too long: {words}")
        if memory := _TOO_LARGE.search(text):
            return ProviderError(
                "model_too_large",
                "There is too little memory for the model",
                needs_mb=round(float(memory[1]) * _MB[memory[2]]),
                free_mb=round(float(memory[3]) * _MB[memory[4]]),
            )
        if _CRASHED.search(text):
            return ProviderError("model_crashed", f"The model crashed: {words}")
        if "model_not_found" in text or (status == HTTPStatus.NOT_FOUND and "model" in text):
            return ProviderError("model_missing", f"There is no model {model}", expected=model)
        if status == HTTPStatus.SERVICE_UNAVAILABLE and "loading" in text.casefold():
            return ProviderError("model_loading", "The model is being loaded")
        return ProviderError("provider_failed", f"It failed: {words}", http_status=status)

    def _clean(self, words: Any) -> str:
        """Return words from outside as one short line without the key."""
        text = str(words)
        if self._secret:
            text = text.replace(self._secret, "***")
        return " ".join(text.split())[:_MOST_WORDS]


async def drain(events: AsyncGenerator[bytes]) -> None:
    """Read what follows the last event, so that the connection can be used again."""
    # The answer is whole already: a tail that breaks or does not come takes nothing from it.
    with suppress(KittyError, TimeoutError):
        async with asyncio.timeout(_TAIL_S):
            async for _ in events:
                pass


def decoded[T](decoder: msgspec.json.Decoder[T], data: bytes) -> T:
    """Return what JSON says; ProviderError ``provider_invalid`` when it is none, or not what was expected."""
    try:
        return decoder.decode(data)
    except _UNREADABLE as err:
        raise ProviderError("provider_invalid", f"The answer makes no sense: {err}") from err


def arguments(text: str) -> Json | None:
    """Return the arguments of a tool as a model wrote them; None when they are not a JSON object."""
    found = _parsed(text.encode("utf-8", "replace")) if text.strip() else {}
    return found if isinstance(found, dict) else None


def address(value: Any, version: str) -> URL:
    """Return the address of an API, with its version where a person left out the path; InvalidRequest otherwise."""
    try:
        url = URL(str(value).strip().rstrip("/"))
        url.port  # noqa: B018 - yarl looks at the port only now
    except ValueError as err:
        raise InvalidRequest(
            "invalid_option", "This is not a web address", field="base_url"
        ) from err
    if url.scheme not in {"http", "https"} or not url.host or url.user or url.query_string:
        raise InvalidRequest("invalid_option", "This is not a web address", field="base_url")
    return url / version if url.path in {"", "/"} else url


def key(value: Any) -> str:
    """Return an API key fit for a header, or nothing; InvalidRequest otherwise."""
    found = str(value or "").strip()
    if not all("!" <= character <= "~" for character in found):
        raise InvalidRequest("invalid_option", "This is not an API key", field="api_key")
    return found


def missing(expected: str, found: Sequence[str]) -> ProviderError:
    """Return the error of a model that is not in the list."""
    more = ", …" if len(found) > _MOST_NAMES else ""
    names = ", ".join(found[:_MOST_NAMES]) + more or "none"
    return ProviderError(
        "model_missing",
        f"Expected model {expected}, found {names}",
        expected=expected,
        found=names,
    )


def cut_off() -> ProviderError:
    """Return the error of an answer that was begun, or may have been, and never ended."""
    return ProviderError("provider_cut_off", "The answer broke off")


async def _read(response: ClientResponse, limit: int) -> bytes:
    """Return the body, and of one that is too large only so much that it shows."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            break
    return bytes(body)


def _parsed(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except _UNREADABLE:
        return None


def _inner(answer: Any) -> Json:
    """Return the part of an answer that tells the error, in whichever of the known shapes it comes."""
    inner = answer.get("error") or answer if isinstance(answer, dict) else answer
    if isinstance(inner, str):
        return {"message": inner}
    return inner if isinstance(inner, dict) else {}


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds after which a server wants to be asked again, a day at most, if it told."""
    told = headers.get("Retry-After", "")
    wait = None
    with suppress(ValueError):
        date = parsedate_to_datetime(told)
        wait = (date - datetime.now(UTC)).total_seconds() if date.tzinfo is not None else None
    with suppress(ValueError):
        wait = float(told)
    with suppress(ValueError):
        wait = float(headers.get("retry-after-ms", "")) / 1000
    return wait if wait is None else max(0.0, min(wait, _DAY_S))
