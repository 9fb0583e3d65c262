"""No spelling of a path gets past the token, or to anything that is not a route."""

import asyncio
from pathlib import Path
import re

import pytest

from brain_server.app import Brain
from tests.brain.home import TOKEN, Home, running

GUARDED = [
    "/api/v1/devices.list",
    "/api/v1/tokens.list",
    "/api/v1/openapi.json",
    "/api/v1/actions",
    "/api/v1/devices/x/files/y.gcode",
    "/api/v1/files",
    "/stats",
    "/ws",
    "/debug/memory",
    "/debug/profile",
]
# Each makes of the path of a guarded route another spelling of it.
TRICKS = {
    "up from health": "/health/..{path}",
    "up, encoded": "/health/%2e%2e{path}",
    "up, half encoded": "/health/.%2e{path}",
    "up, encoded twice": "/health/%252e%252e{path}",
    "up, slash encoded": "/health%2f..{path}",
    "up, from the root": "/..{path}",
    "two slashes": "/{path}",
    "three slashes": "//{path}",
    "a dot": "/.{path}",
    "an encoded dot": "/%2e{path}",
    "a backslash": "\\{path}",
    "up with backslashes": "/health\\..\\..{path}",
    "encoded backslash": "/health%5c..{path}",
    "a semicolon": "/health;{path}",
    "a semicolon behind": "{path};/health",
    "a question": "/health?{path}",
    "a number sign": "{path}%23/health",
    "a zero byte": "{path}%00/health",
    "a zero byte before": "/health%00{path}",
    "a newline": "/health%0a{path}",
    "overlong": "/health/%c0%ae%c0%ae{path}",
    "full width": "/health/%ef%bc%8e%ef%bc%8e{path}",
    "absolute": "http://127.0.0.1{path}",
    "absolute elsewhere": "http://elsewhere.example{path}",
    "behind a slash": "{path}/",
    "behind two dots": "{path}/..",
    "upper case": "{upper}",
}


async def raw(
    brain: Brain, path: str, *headers: str, method: str = "GET", body: bytes = b""
) -> tuple[int, bytes]:
    """Send a request line byte for byte; returns status and body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", brain.port)
    lines = [f"{method} {path} HTTP/1.1", "Host: brain", "Connection: close", *headers, "", ""]
    writer.write("\r\n".join(lines).encode("latin-1") + body)
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = re.search(r"content-length: (\d+)", head)
    answer = await reader.readexactly(int(length[1])) if length and method != "HEAD" else b""
    writer.close()
    return int(head.split()[1]), answer


@pytest.mark.parametrize("trick", TRICKS.values(), ids=TRICKS)
async def test_no_spelling_of_a_path_needs_no_token(brain: Brain, trick: str) -> None:
    """Each is refused, or is plainly the open page that says nothing."""
    for path in GUARDED:
        spelled = trick.format(path=path, upper=path.upper())
        for method in ("GET", "POST", "PUT"):
            status, body = await raw(brain, spelled, method=method)
            nothing = (status, body) == (200, b'{"status": "ok"}') and "?" in spelled
            assert nothing or status in {400, 401, 404, 405}, (method, spelled, status)


@pytest.mark.parametrize("trick", TRICKS.values(), ids=TRICKS)
async def test_no_spelling_of_a_path_opens_more_to_a_small_token(home: Home, trick: str) -> None:
    """A token that may read does not get to what is for admins."""
    token = f"Authorization: Bearer {await home.token('read')}"
    for path in ("/api/v1/tokens.list", "/debug/memory"):
        spelled = trick.format(path=path, upper=path.upper())
        status, body = await raw(home.brain, spelled, token)
        nothing = (status, body) == (200, b'{"status": "ok"}') and "?" in spelled
        assert nothing or status in {400, 403, 404}, (spelled, status)


async def test_health_says_nothing_to_a_stranger(brain: Brain) -> None:
    """No name, no version, no device, whoever asks."""
    assert await raw(brain, "/health") == (200, b'{"status": "ok"}')
    assert await raw(brain, "/ready") == (200, b'{"status": "ok"}')


async def test_only_health_needs_no_token(brain: Brain) -> None:
    """Every route but two asks who is there, before it looks at anything else."""
    for method in ("GET", "HEAD", "POST", "PUT"):
        for path in GUARDED[:7]:
            status, _ = await raw(brain, path, "Content-Length: 0", method=method)
            assert status in {401, 405}, (method, path, status)


@pytest.mark.parametrize(
    "header",
    [
        "Authorization: Basic dXNlcjpwYXNz",
        f"Authorization: {TOKEN}",
        f"Authorization: Bearer  {TOKEN}",
        f"Authorization: Bearer {TOKEN} extra",
        f"Authorization: Bearer {TOKEN.upper()}",
        "Authorization: Bearer \xff\xfe",
        "Authorization: Bearer \xed\xa0\x80",
        "Authorization:",
        f"X-Remote-User-Id: {TOKEN}",
        f"Cookie: token={TOKEN}",
    ],
)
async def test_what_is_not_exactly_a_token_is_none(brain: Brain, header: str) -> None:
    """Neither another scheme nor bytes that are no text get in, and nothing breaks."""
    assert (await raw(brain, "/api/v1/devices.list", header))[0] == 401


async def test_a_token_in_the_address_is_none(brain: Brain) -> None:
    """Addresses end up in logs."""
    assert (await raw(brain, f"/api/v1/devices.list?token={TOKEN}"))[0] == 401


async def test_debugging_cannot_be_found_where_it_is_off(tmp_path: Path) -> None:
    """The same answer as for a page that never was."""
    token = f"Authorization: Bearer {TOKEN}"
    async with running(tmp_path) as brain:
        statuses = [(await raw(brain, f"/debug/{page}", token))[0] for page in ("memory", "no")]
    assert statuses == [404, 404]
