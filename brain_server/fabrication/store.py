"""Print files on the disk, by the SHA-256 of what they contain, and the child process that reads them."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
import errno
import hashlib
import json
import os
from pathlib import Path
import re
import time
from typing import IO, Any, Final, Literal
import uuid

from brain_server import subprocesses
from brain_server.errors import InvalidRequest, NotFound, TooMany, Unavailable
from brain_server.observability import Tasks
from brain_server.protocol import Json

# How long the child may take; it is killed then.
READ_S: Final = 180.0
# Who was told that another picture is being drawn may come again after so long.
DRAW_AGAIN_S: Final = 5
_CHUNK: Final = 256 * 1024
_WRITE: Final = 1024 * 1024
_NAME: Final = re.compile("[0-9a-f]{64}")
_HALF: Final = ".part"
# What broke off is left for so long, for the case that it did not.
_HALF_S: Final = 3600.0

type Kind = Literal["thumbnail", "preview"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spooled:
    """A file that arrived whole and has no place yet."""

    path: Path
    sha256: str
    size: int


class Store:
    """Keeps files and their pictures in one folder; no name from outside ever becomes a path."""

    def __init__(self, folder: Path, tasks: Tasks) -> None:
        """Take the folder, which is made when it is needed, and the task keeper."""
        self.folder = folder.absolute()
        self._tasks = tasks
        # One file is read at a time: whoever sends many must not take all the processors.
        self._reading = asyncio.Lock()
        # By the name of the picture: what is being drawn, and why something cannot be.
        self._drawing: dict[str, asyncio.Task[None]] = {}
        self._undrawable: dict[str, str | None] = {}

    def path(self, sha256: str) -> Path:
        """Return where a file lies."""
        return self.folder / sha256

    def picture(self, sha256: str, kind: Kind, plate: int | None = None) -> Path:
        """Return where a picture of a file, or of a plate that is not its first, lies."""
        return self.folder / f"{sha256}{'' if plate is None else f'.{plate}'}.{kind}"

    async def spool(self, content: AsyncIterator[bytes]) -> Spooled:
        """Write what comes in to the disk; nothing is left of it when it breaks off."""
        half = self.folder / f"{uuid.uuid4().hex}{_HALF}"
        digest, size = hashlib.sha256(), 0
        making = asyncio.get_running_loop().run_in_executor(None, _create, half)
        try:
            file = await asyncio.shield(making)
            try:
                buffer = bytearray()
                async for chunk in content:
                    digest.update(chunk)
                    size += len(chunk)
                    buffer += chunk
                    if len(buffer) >= _WRITE:
                        await asyncio.to_thread(file.write, bytes(buffer))
                        buffer.clear()
                await asyncio.to_thread(_finish, file, bytes(buffer))
            finally:
                await asyncio.to_thread(file.close)
        except BaseException as err:
            # Whoever goes away while it is made would leave it behind, and open.
            await asyncio.wait([making])
            if making.exception() is None:
                await asyncio.to_thread(making.result().close)
            await asyncio.to_thread(half.unlink, missing_ok=True)
            if isinstance(err, OSError) and err.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise Unavailable("no_space", "There is no space left for this file") from err
            raise
        return Spooled(path=half, sha256=digest.hexdigest(), size=size)

    async def keep(self, spooled: Spooled) -> None:
        """Give a file its place, in one step."""
        await asyncio.to_thread(spooled.path.replace, self.path(spooled.sha256))

    async def drop(self, spooled: Spooled) -> None:
        """Forget a file that has no place."""
        await asyncio.to_thread(spooled.path.unlink, missing_ok=True)

    async def facts(self, spooled: Spooled, kind: str) -> Json:
        """Return the facts of a file; InvalidRequest ``unsupported_file`` where it is none of that kind."""
        picture = self.picture(spooled.sha256, "thumbnail")
        found: Json = (await self._read("facts", spooled.path, picture, kind))["facts"]
        return found

    async def facts_of_plate(self, sha256: str, plate: int | None) -> Json:
        """Return the facts of one plate of a file that is kept; InvalidRequest ``unsupported_file``."""
        picture = self.picture(sha256, "thumbnail", plate)
        found: Json = (await self._read("facts", self.path(sha256), picture, plate=plate))["facts"]
        return found

    async def draw(self, sha256: str, plate: int | None = None, *, waits: bool = True) -> None:
        """Draw the tool path of a file, once; it goes on when the one who asked for it goes away.

        TooMany ``drawing_busy`` for one who does not wait while something else is drawn; InvalidRequest
        ``unsupported_file``.
        """
        picture = self.picture(sha256, "preview", plate)
        name = picture.name
        if name not in self._undrawable and not await asyncio.to_thread(picture.exists):
            if name not in self._drawing:
                if self._drawing and not waits:
                    words = "Another picture is being drawn; try again"
                    raise TooMany("drawing_busy", words, retry_after=DRAW_AGAIN_S)
                task = self._tasks.start(f"draw {name}", self._draw(sha256, picture, plate))
                self._drawing[name] = task
                task.add_done_callback(lambda _task: self._drawing.pop(name, None))
            await asyncio.shield(self._drawing[name])
        if (why := self._undrawable.get(name)) is not None:
            raise _unsupported(why)

    async def _draw(self, sha256: str, picture: Path, plate: int | None) -> None:
        why: str | None = None
        try:
            await self._read("preview", self.path(sha256), picture, plate=plate)
        except InvalidRequest as err:
            why = str(err.fields["reason"])
        if not await asyncio.to_thread(picture.exists):
            self._undrawable[picture.name] = why
        if not await asyncio.to_thread(self.path(sha256).exists):  # removed while it was drawn
            await asyncio.to_thread(picture.unlink, missing_ok=True)
            self._undrawable.pop(picture.name, None)

    async def _read(
        self,
        mode: str,
        path: Path,
        picture: Path,
        kind: str | None = None,
        *,
        plate: int | None = None,
    ) -> dict[str, Any]:
        async with self._reading:
            half = picture.with_name(f"{uuid.uuid4().hex}{_HALF}")
            try:
                found = await _child(mode, path, half, plate)
                if "error" in found:
                    raise _unsupported(str(found["error"]))
                must_be(found["kind"], kind or found["kind"])
                if await asyncio.to_thread(half.exists):
                    await asyncio.to_thread(half.replace, picture)
            finally:
                await asyncio.to_thread(half.unlink, missing_ok=True)
        return found

    async def chunks(self, sha256: str) -> AsyncIterator[bytes]:
        """Yield a file; NotFound ``file_missing`` where its content was removed."""
        try:
            file = await asyncio.to_thread(self.path(sha256).open, "rb")
        except FileNotFoundError as err:
            raise NotFound("file_missing", "The content of this file was removed") from err
        try:
            while chunk := await asyncio.to_thread(file.read, _CHUNK):
                yield chunk
        finally:
            await asyncio.to_thread(file.close)

    async def image(self, sha256: str, kind: Kind, plate: int | None = None) -> bytes:
        """Return a picture of a file; NotFound ``no_picture_of_file``."""
        try:
            return await asyncio.to_thread(self.picture(sha256, kind, plate).read_bytes)
        except FileNotFoundError as err:
            raise NotFound("no_picture_of_file", "There is no such picture of this file") from err

    async def has_picture(self, sha256: str) -> bool:
        """Tell whether the slicer left a picture."""
        return await asyncio.to_thread(self.picture(sha256, "thumbnail").exists)

    async def present(self) -> dict[str, int]:
        """Return the size of every file that is here."""
        return await asyncio.to_thread(self._present)

    def _present(self) -> dict[str, int]:
        if not self.folder.is_dir():
            return {}
        with os.scandir(self.folder) as found:
            return {one.name: one.stat().st_size for one in found if _NAME.fullmatch(one.name)}

    async def old(self) -> set[str]:
        """Return which files, or pictures of one, have been here for so long that whoever brought them has finished."""
        return await asyncio.to_thread(self._old)

    def _old(self) -> set[str]:
        found = [(one.name.partition(".")[0], _is_old(one)) for one in self.folder.glob("*")]
        young = {sha256 for sha256, is_old in found if not is_old}
        return {sha256 for sha256, _ in found if _NAME.fullmatch(sha256)} - young

    async def remove(self, sha256: str) -> None:
        """Remove a file and its pictures."""
        await asyncio.to_thread(_unlink, self.folder, sha256)
        # Last: until the file is gone, it can be found that it cannot be drawn.
        for name in [one for one in self._undrawable if one.startswith(sha256)]:
            del self._undrawable[name]

    async def tidy(self) -> None:
        """Remove what broke off, also when the process ended in the middle of it."""
        await asyncio.to_thread(self._tidy)

    def _tidy(self) -> None:
        for half in self.folder.glob(f"*{_HALF}"):
            if _is_old(half):
                half.unlink(missing_ok=True)


def _is_old(path: Path) -> bool:
    """Tell whether whoever wrote a file has finished, or given up; of one that is gone by now: not."""
    try:
        return time.time() - path.stat().st_mtime > _HALF_S
    except FileNotFoundError:
        return False


def _create(path: Path) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("xb")


def _finish(file: IO[bytes], rest: bytes) -> None:
    file.write(rest)
    file.flush()
    os.fsync(file.fileno())


def _unlink(folder: Path, sha256: str) -> None:
    (folder / sha256).unlink(missing_ok=True)
    for picture in folder.glob(f"{sha256}.*"):
        picture.unlink(missing_ok=True)


def must_be(found: str, told: str) -> None:
    """Refuse, as ``unsupported_file``, what is another kind than its name says."""
    if found != told:
        raise InvalidRequest(
            "unsupported_file",
            f"This is no file that can be printed: its name does not fit {found}",
            reason="other content",
        )


def _unsupported(reason: str) -> InvalidRequest:
    return InvalidRequest(
        "unsupported_file", f"This is no file that can be printed: {reason}", reason=reason
    )


async def _child(mode: str, path: Path, picture: Path, plate: int | None) -> dict[str, Any]:
    """Let a process of its own read a file; whatever happens to it, the file is then none."""
    process = await subprocesses.start(
        "brain_server.fabrication.reader",
        *(mode, str(path), str(picture)),
        *(() if plate is None else (str(plate),)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None  # noqa: S101 - asked for above
    try:
        async with asyncio.timeout(READ_S):
            said = await process.stdout.read(-1)
            await process.wait()
        found = json.loads(said)
    except (TimeoutError, ValueError) as err:
        raise _unsupported("it cannot be read") from err
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return found if isinstance(found, dict) else {"error": "it cannot be read"}
