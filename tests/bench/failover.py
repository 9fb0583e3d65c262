"""How long nobody answers when the brain that is awake is lost, and what is lost with it.

``python -m tests.bench.failover [--times N] [--json FILE]``: two real brains on a real PostgreSQL behind a real
HAProxy. A client talks all the time; what is not acknowledged within a second it says again, by the same request id.
"""

import argparse
import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
import itertools
import json
from pathlib import Path
import signal
import sys
import tempfile
import time
from typing import Final

from aiohttp import ClientError, ClientSession, ClientTimeout, WSMsgType

from brain_server.protocol import Json
from brain_server.settings import Settings
from tests.brain.cluster.brains import Pair
from tests.brain.home import TOKEN, until
from tests.standins.postgres import Postgres

TIMES: Final = 20
WAYS: Final = {"killed": signal.SIGKILL, "stopped": signal.SIGTERM, "paused": signal.SIGSTOP}
# A pause takes as long as the lease, each time the same.
SHARE: Final = {"killed": 1.0, "stopped": 0.5, "paused": 0.25, "database": 0.15}
PAUSE: Final = 0.01
SETTLE: Final = 1.5
LONG: Final = 30.0
CONVERSATION: Final = "failover"
SNAPSHOT: Final = '"type":"snapshot"'


class Talker:
    """Says one numbered sentence after the other, each once, whatever happens to the brains."""

    def __init__(self, session: ClientSession) -> None:
        """Take a session that leads to whoever is awake."""
        self._session = session
        self._numbers = itertools.count(1)
        self.answered: list[float] = []
        self.said: list[str] = []
        self.again = 0
        self.stopping = False

    async def talk(self) -> None:
        """Go on until told to stop."""
        while not self.stopping:
            self.said.append(f"sentence {next(self._numbers)}")
            await self._say(self.said[-1])
            self.answered.append(time.monotonic())
            await asyncio.sleep(PAUSE)  # the pause between two of them

    async def _say(self, text: str) -> None:
        """Say something, and return when it is known to be kept."""
        params = {"text": text, "conversation_id": CONVERSATION, "once": True}
        while await self._act("conversation.process", params, text) is None:
            await asyncio.sleep(PAUSE)  # the pause between two of them
            self.again += 1

    async def kept(self) -> Counter[str] | None:
        """Return how often the conversation holds each sentence, None when nobody can tell."""
        found: Counter[str] = Counter()
        params: Json = {"conversation_id": CONVERSATION, "limit": 1000}
        while True:
            page = await self._act("conversation.messages", params)
            if page is None:
                return None
            found.update(one["text"] for one in page["items"] if one["role"] == "user")
            if page["cursor"] is None:
                return found
            params["cursor"] = page["cursor"]

    async def _act(self, action: str, params: Json, name: str = "look") -> Json | None:
        """Run a command under the name of its request; None when nobody knows what became of it."""
        try:
            body, headers = {"action": action, "params": params}, {"X-Request-ID": name}
            async with self._session.post("/api/v1/actions", json=body, headers=headers) as answer:
                data: Json | None = (await answer.json())["data"] if answer.status == 200 else None
                return data
        except ClientError, TimeoutError:
            return None

    def gap(self, since: float) -> float:
        """Return the longest time without an answer since a moment."""
        known = [at for at in self.answered if at > since - SETTLE]
        return max(later - earlier for earlier, later in itertools.pairwise(known))


async def listen(session: ClientSession, snapshots: list[float]) -> None:
    """Hold a WebSocket to whoever is awake, and note when it has everything there is."""
    while True:
        with suppress(ClientError, TimeoutError):
            async with session.ws_connect("/ws") as socket:
                await socket.send_str(json.dumps({"type": "subscribe", "id": 1}))
                async for message in socket:
                    is_text = message.type is WSMsgType.TEXT
                    snapshots += [time.monotonic()] * (is_text and SNAPSHOT in message.data)
        await asyncio.sleep(PAUSE)  # the pause between two of them


class Trial:
    """Loses the brain that is awake again and again, and has it back as the one that stands by."""

    def __init__(self, pair: Pair, server: Postgres, session: ClientSession) -> None:
        """Take the brains, their database and a session that leads to whoever is awake."""
        self._pair = pair
        self._server = server
        self._awake, self._other = pair.first, pair.second
        self._talker = Talker(session)
        self._session = session
        self._snapshots: list[float] = []
        self._gaps: dict[str, list[float]] = {}
        self._sockets: dict[str, list[float]] = {}

    async def run(self, times: int) -> Json:
        """Return the figures."""
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(listen(self._session, self._snapshots))
            talking = group.create_task(self._talker.talk())
            for how, share in SHARE.items():
                for _ in range(max(1, round(times * share))):
                    await self._once(how)
            self._talker.stopping = True
            await talking
            listening.cancel()
        kept = await self._talker.kept() or Counter()
        return {
            "messages": len(self._talker.said),
            "said_again": self._talker.again,
            "lost": sum(kept[text] == 0 for text in self._talker.said),
            "doubled": sum(kept[text] > 1 for text in self._talker.said),
            "no_answer_s": {how: _spread(found) for how, found in self._gaps.items()},
            "no_socket_s": {how: _spread(found) for how, found in self._sockets.items()},
        }

    async def _once(self, how: str) -> None:
        await asyncio.sleep(SETTLE)  # the house is quiet again
        started = time.monotonic()
        if how == "database":
            await asyncio.to_thread(self._server.restart)
        else:
            self._awake.signal(WAYS[how])
            await self._other.said()
            await until(lambda: self._snapshots[-1] > started, "a snapshot", LONG)
            self._sockets.setdefault(how, []).append(self._snapshots[-1] - started)
        done = time.monotonic()
        await until(lambda: self._talker.answered[-1] > done, "an answer", LONG)
        await asyncio.sleep(2 * PAUSE)  # the pause between two of them
        self._gaps.setdefault(how, []).append(self._talker.gap(started))
        if how in WAYS:
            if how == "paused":
                self._awake.signal(signal.SIGCONT)
            await self._awake.ended()
            await self._awake.start()
            self._awake, self._other = self._other, self._awake


def _spread(found: Sequence[float]) -> Json:
    ordered = sorted(found)
    return {
        "times": len(ordered),
        "p50": round(ordered[len(ordered) // 2], 3),
        "most": round(ordered[-1], 3),
    }


async def measure(times: int) -> Json:
    """Lose brains so often and return the figures."""
    server = Postgres()
    try:
        await asyncio.to_thread(server.start)
        url = await asyncio.to_thread(server.new_database)
        with tempfile.TemporaryDirectory() as folder:
            async with Pair(url, Path(folder), str(Settings().lease_ttl)) as pair:
                address = f"http://127.0.0.1:{pair.front.port}"
                headers = {"Authorization": f"Bearer {TOKEN}"}
                limit = ClientTimeout(total=None, sock_read=1.0, sock_connect=1.0)
                async with ClientSession(address, headers=headers, timeout=limit) as session:
                    return await Trial(pair, server, session).run(times)
    finally:
        await asyncio.to_thread(server.stop)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and, when asked, write the figures; exit 1 when something was lost or doubled."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--times", type=int, default=TIMES)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(argv)
    found = asyncio.run(measure(given.times))
    print(json.dumps(found, indent=1))
    if given.json is not None:
        given.json.write_text(json.dumps(found))
    return 1 if found["lost"] or found["doubled"] else 0


if __name__ == "__main__":
    sys.exit(main())
