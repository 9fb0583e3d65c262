"""A road to a server that can be slow, be cut, lead nowhere, lose the answers, or lead to somebody else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Self


class Proxy:
    """Forwards TCP connections to a port of this machine, as well or as badly as a test wants."""

    def __init__(self, target: int) -> None:
        """Lead to this port, fast and whole."""
        self.target = target
        self.latency = 0.0
        self.dead = False
        # What begins like this arrives, and its answer never comes back.
        self.swallow: bytes | None = None
        # What is answered here to whatever is asked, instead of by the server.
        self.answer: bytes | None = None
        # After how many bytes of a request the line breaks.
        self.breaks_after: int | None = None
        self.attempts = 0
        self._attempt = asyncio.Condition()
        self.heads: list[bytes] = []
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @classmethod
    @asynccontextmanager
    async def to(cls, target: int) -> AsyncIterator[Self]:
        """Open a proxy to a port for the time of a block."""
        proxy = cls(target)
        await proxy.open()
        try:
            yield proxy
        finally:
            await proxy.close()

    @property
    def url(self) -> str:
        """Return the address of this end."""
        return f"http://127.0.0.1:{self.port}"

    async def open(self) -> None:
        """Listen, on the same port as before if there was one."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Refuse connections and drop those there are."""
        if self._server is not None:
            self._server.close()
            self.cut()
            await self._server.wait_closed()
            self._server = None

    def cut(self) -> None:
        """Drop all connections, as a pulled cable does."""
        for writer in list(self._writers):
            writer.transport.abort()

    def count(self, head: bytes) -> int:
        """Return how many connections began like this."""
        return sum(seen.startswith(head) for seen in self.heads)

    async def attempted(self, times: int) -> None:
        """Wait until so many connections were tried."""
        async with self._attempt:
            await self._attempt.wait_for(lambda: self.attempts >= times)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with self._attempt:
            self.attempts += 1
            self._attempt.notify_all()
        self._writers.add(writer)
        try:
            if not self.dead:
                await self._forward(reader, writer)
        except OSError:
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.read(65536)
        self.heads.append(head)
        if self.answer is not None:
            writer.write(self.answer)
            await writer.drain()
            return
        answers, onward = await asyncio.open_connection("127.0.0.1", self.target)
        self._writers.add(onward)
        lost = self.swallow is not None and head.startswith(self.swallow)
        try:
            await asyncio.sleep(self.latency)
            onward.write(head)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, onward, lost=False, before=len(head)))
                both.create_task(self._pump(answers, writer, lost=lost))
        finally:
            self._writers.discard(onward)
            onward.transport.abort()

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        *,
        lost: bool,
        before: int | None = None,
    ) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                if before is not None and self.breaks_after is not None:
                    before += len(data)
                    if before > self.breaks_after:
                        self.cut()
                        return
                await asyncio.sleep(self.latency)
                if not lost:
                    sink.write(data)
                    await sink.drain()
        # A lost answer leaves the asker waiting on an open line.
        if not lost:
            sink.transport.close()
