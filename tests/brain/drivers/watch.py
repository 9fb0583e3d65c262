"""A driver at work, and everything that it publishes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from itertools import groupby
from typing import Any
from uuid import uuid4

from aiohttp import ClientSession

from brain_server.drivers import (
    Driver,
    DriverContext,
    HomeAssistantLink,
    Observation,
    Order,
    Outcome,
)
from brain_server.errors import Unavailable
from brain_server.protocol import Json, OnlineState


class NoHomeAssistant:
    """A link that is down."""

    async def call(self, method: str, params: Json, *, timeout: float) -> Json:  # noqa: ASYNC109 - as the link has it
        """Say so."""
        del method, params, timeout
        raise Unavailable("home_assistant_offline", "Home Assistant is not connected")


class Watch:
    """What a driver published, and the means to wait for more."""

    driver: Driver

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.seen: list[Observation] = []
        self.times: list[float] = []
        self._news = asyncio.Event()

    def publish(self, observation: Observation) -> None:
        """Take an observation."""
        self.seen.append(observation)
        self.times.append(asyncio.get_running_loop().time())
        self._news.set()

    @property
    def state(self) -> Json:
        """Return the state that was published last."""
        return self.seen[-1].state if self.seen else {}

    @property
    def statuses(self) -> list[str | None]:
        """Return what the printer was seen doing, one after the other."""
        return [status for status, _ in groupby(seen.state.get("status") for seen in self.seen)]

    async def until(self, tells: Callable[[Observation], Any], within: float = 60) -> Observation:
        """Return the first observation, beginning with the last one, that tells this."""
        start = max(len(self.seen) - 1, 0)
        try:
            async with asyncio.timeout(within):
                while True:
                    for observation in self.seen[start:]:
                        if tells(observation):
                            return observation
                    start = len(self.seen)
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            told = "\n".join(map(str, self.seen[-10:]))
            raise AssertionError(f"Not seen within {within:g} s, but:\n{told}") from None

    async def status(self, *wanted: str) -> Observation:
        """Wait for one of these statuses."""
        return await self.until(lambda seen: seen.state.get("status") in wanted)

    async def online(self) -> Observation:
        """Wait until the device answers."""
        return await self.until(lambda seen: seen.online is OnlineState.ONLINE)

    async def offline(self) -> Observation:
        """Wait until the device is gone."""
        return await self.until(lambda seen: seen.online is OnlineState.OFFLINE)

    async def order(self, intent: str, **params: Any) -> Outcome | None:
        """Send an order."""
        return await self.driver.execute(
            Order(command_id=uuid4().hex, intent=intent, params=params)
        )

    async def done(self, intent: str, **params: Any) -> Observation:
        """Send an order and wait for the observation that proves it done, by the driver's word."""
        order = Order(command_id=uuid4().hex, intent=intent, params=params)
        before = self.state
        assert await self.driver.execute(order) is None
        return await self.until(lambda seen: self.driver.confirms(order, before, seen.state))


def build(
    driver: type[Driver],
    options: Mapping[str, Any],
    session: ClientSession,
    *,
    publish: Callable[[Observation], None] = lambda _seen: None,
    home_assistant: HomeAssistantLink | None = None,
    last_state: Json | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Driver:
    """Make a driver with everything around it that a test does not care for."""
    return driver(
        DriverContext(
            device_id="device-1",
            options=options,
            publish=publish,
            session=session,
            home_assistant=home_assistant or NoHomeAssistant(),
            now=now,
            last_state=last_state or {},
        )
    )


@asynccontextmanager
async def watching(
    driver: type[Driver], options: Mapping[str, Any], **around: Any
) -> AsyncIterator[Watch]:
    """Run a driver for the time of a block."""
    watch = Watch()
    async with ClientSession() as session:
        watch.driver = build(driver, options, session, publish=watch.publish, **around)
        run = asyncio.get_running_loop().create_task(watch.driver.run())
        try:
            yield watch
        finally:
            run.cancel()
            with suppress(asyncio.CancelledError):
                await run
