"""Print files come through the brain to their printer; no name leaves the folder that is meant."""

import asyncio
from collections.abc import AsyncIterator
import gzip
import io
from urllib.parse import quote

import pytest

from brain_server.api import rest as rest_module
from tests.brain.api.test_paths import raw
from tests.brain.home import TOKEN, Home, Rest, until

CHUNK = b"G1 X10.5 Y20.25 E0.125 ; wall\n" * 2048
BAD_NAMES = [
    "..",
    ".",
    "...",
    " ",
    " .. ",
    "../secret",
    "../../etc/passwd",
    "/etc/passwd",
    "a/b.gcode",
    "..\\secret",
    "C:\\secret",
    "a\\b.gcode",
    "a\x00.gcode",
    "a\n.gcode",
    "\u202egpj.gcode",
    "x" * 256,
]


async def printer_of(home: Home) -> tuple[object, str]:
    """Add a printer; returns it and the start of the address of its files."""
    printer = await home.puppet("mk4", "printer")
    return printer, f"/api/v1/devices/{printer.context.device_id}/files/"


async def test_a_file_arrives_at_the_printer_as_it_was_sent(home: Home, rest: Rest) -> None:
    """Byte for byte, and the answer names it."""
    printer, path = await printer_of(home)
    content = CHUNK * 20
    answer = await rest.call("PUT", f"{path}benchy.gcode", data=io.BytesIO(content))
    assert (answer.status, answer.data["file"]) == (201, "benchy.gcode")
    assert printer.stored == {"benchy.gcode": content}
    listed = await home.command("devices.files", {"device_id": printer.context.device_id})
    assert listed["items"] == ["benchy.gcode"]


async def test_a_file_may_have_any_name_that_is_one(home: Home, rest: Rest) -> None:
    """Spaces, dots and letters of any language."""
    printer, path = await printer_of(home)
    names = ["part 1.gcode", "Möbel_v2..gcode", ".hidden.gcode", "日本.gcode", "a;b.gcode", "%2e.g"]
    for name in names:
        answer = await rest.call("PUT", f"{path}{quote(name, safe='')}", data=b"G28")
        assert (answer.status, answer.data["file"]) == (201, name)
    assert set(printer.stored) == set(names)


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
async def test_a_name_that_leads_elsewhere_is_refused(home: Home, name: str) -> None:
    """However it is spelled, nothing is stored."""
    printer, path = await printer_of(home)
    token = f"Authorization: Bearer {TOKEN}"
    encoded = quote(name, safe="")
    for spelled in {encoded, encoded.replace(".", "%2e")}:
        status, _ = await raw(home.brain, path + spelled, token, "Content-Length: 0", method="PUT")
        assert status in {400, 404}
    assert printer.stored == {}


async def test_a_name_is_decoded_once(home: Home) -> None:
    """Two dots that were encoded twice are a name with signs of percent in it."""
    printer, path = await printer_of(home)
    token = f"Authorization: Bearer {TOKEN}"
    address = f"{path}%252e%252e%252fx.gcode"
    await raw(home.brain, address, token, "Content-Length: 3", method="PUT", body=b"G28")
    assert list(printer.stored) == ["%2e%2e%2fx.gcode"]


async def test_a_file_goes_to_the_printer_when_it_is_here_whole(home: Home, rest: Rest) -> None:
    """What is in it is known before any printer gets any of it."""
    printer, path = await printer_of(home)
    more = asyncio.Event()

    async def parts() -> AsyncIterator[bytes]:
        yield CHUNK
        await more.wait()
        yield CHUNK

    size = {"Content-Length": str(2 * len(CHUNK))}
    sending = asyncio.get_running_loop().create_task(
        rest.call("PUT", f"{path}slow.gcode", data=parts(), headers=size)
    )
    await until(lambda: home.brain.dispatcher.running, "the upload")
    assert printer.stored == {}
    more.set()
    assert (await sending).status == 201
    assert printer.stored == {"slow.gcode": CHUNK * 2}


async def test_a_file_that_is_too_large_is_refused_before_it_is_sent(home: Home) -> None:
    """The size that is announced is enough to say no."""
    printer, path = await printer_of(home)
    length = f"Content-Length: {rest_module.MAX_UPLOAD + 1}"
    token = f"Authorization: Bearer {TOKEN}"
    status, body = await raw(home.brain, f"{path}x.gcode", token, length, method="PUT")
    assert (status, b"too_large" in body) == (413, True)
    assert printer.stored == {}


async def test_a_file_of_unknown_size_is_refused(home: Home, rest: Rest) -> None:
    """A size must be told, as for every device that has little room."""
    printer, path = await printer_of(home)

    async def parts() -> AsyncIterator[bytes]:
        yield CHUNK

    answer = await rest.call("PUT", f"{path}x.gcode", data=parts())
    assert (answer.status, answer.code) == (411, "length_required")
    assert printer.stored == {}


async def test_a_file_that_unpacks_to_more_than_is_allowed_is_refused(
    home: Home, rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What counts is what arrives at the printer."""
    printer, path = await printer_of(home)
    monkeypatch.setattr(rest_module, "MAX_UPLOAD", 1024 * 1024)
    packed = gzip.compress(bytes(2 * 1024 * 1024))
    answer = await rest.call(
        "PUT", f"{path}x.gcode", data=packed, headers={"Content-Encoding": "gzip"}
    )
    assert (answer.status, answer.code) == (413, "too_large")
    assert printer.stored == {}


async def test_a_file_that_breaks_off_is_not_stored(home: Home) -> None:
    """Half a print is worse than none."""
    printer, path = await printer_of(home)
    _, writer = await asyncio.open_connection("127.0.0.1", home.brain.port)
    head = f"PUT {path}x.gcode HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
    writer.write(f"{head}Content-Length: 100000\r\n\r\nhalf".encode())
    await writer.drain()
    await until(lambda: home.brain.dispatcher.running, "the upload")
    writer.transport.abort()
    await until(lambda: not home.brain.dispatcher.running, "its end")
    assert printer.stored == {}


async def test_a_file_for_nobody_is_refused(rest: Rest) -> None:
    """There is no such printer."""
    answer = await rest.call("PUT", "/api/v1/devices/none/files/x.gcode", data=b"G28")
    assert (answer.status, answer.code) == (404, "device_not_found")


async def test_a_device_that_takes_no_files_says_so(home: Home, rest: Rest) -> None:
    """A lamp has no memory."""
    device = await home.add("demo", kind="light", name="Lamp")
    answer = await rest.call("PUT", f"/api/v1/devices/{device}/files/x.gcode", data=b"G28")
    assert (answer.status, answer.code) == (502, "not_supported")


async def test_who_may_only_read_cannot_send_a_file(home: Home) -> None:
    """A file is the first half of a print."""
    printer, path = await printer_of(home)
    async with Rest(home.brain, await home.token("read")) as reader:
        answer = await reader.call("PUT", f"{path}x.gcode", data=b"G28")
    assert (answer.status, answer.code) == (403, "scope_required")
    assert printer.stored == {}


async def test_the_brain_takes_no_files_while_it_goes_down(home: Home, rest: Rest) -> None:
    """An upload is a command like the others."""
    _, path = await printer_of(home)
    home.brain.dispatcher.draining = True
    answer = await rest.call("PUT", f"{path}x.gcode", data=b"G28")
    assert (answer.status, answer.code) == (503, "shutting_down")
