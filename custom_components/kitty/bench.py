"""What the brain tells of the workshop only when it is asked: chances, quality and costs.

It is asked when something changed on which the answer depends, and only while an entity wants to know.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Final

from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback

from .client import BrainClient
from .const import LOGGER
from .coordinator import LINK_UP, KittyCoordinator, Snapshot
from .errors import BrainError, KittyError
from .origin import SYSTEM
from .protocol import Json, Kind
from .workshop import OPEN_JOBS, next_of

if TYPE_CHECKING:
    from . import KittyConfigEntry

# Changes come in flocks: a print ends, its costs are counted, the next one is planned.
CALM_S: Final = 2.0

type Question = tuple[tuple[str, ...], object, Callable[[], Awaitable[None]]]


class Bench:
    """Keeps the last answers, and asks anew when they may have changed."""

    def __init__(
        self,
        hass: HomeAssistant,
        entry: KittyConfigEntry,
        client: BrainClient,
        coordinator: KittyCoordinator,
    ) -> None:
        """Take the collaborators; nothing is asked before somebody listens."""
        self._hass = hass
        self._entry = entry
        self._client = client
        self._coordinator = coordinator
        self._listeners: list[Callable[[], None]] = []
        self._news = asyncio.Event()
        self._asked: dict[tuple[str, ...], object] = {}
        self._reviewed = 0
        self._started = False
        # By printer.
        self.quality: dict[str, Json] = {}
        self.chances: dict[str, Json] = {}
        self.costs: dict[str, Json] = {}

    @property
    def data(self) -> Snapshot:
        """Return what the brain tells unasked."""
        return self._coordinator.data

    @callback
    def async_listen(self, listener: Callable[[], None]) -> CALLBACK_TYPE:
        """Call the listener after each new answer; returns how to stop."""
        self._listeners.append(listener)
        if not self._started:
            self._started = True
            self._start()
        return lambda: self._listeners.remove(listener)

    @callback
    def _start(self) -> None:
        on_unload = self._entry.async_on_unload
        on_unload(self._coordinator.async_add_listener(self._news.set))
        on_unload(self._coordinator.async_listen(LINK_UP, self._on_link_up))
        on_unload(self._coordinator.async_listen("review.updated", self._on_review))
        self._entry.async_create_background_task(self._hass, self._run(), "kitty bench")
        self._news.set()

    @callback
    def _on_link_up(self, _data: Json) -> None:
        """Ask everything again: nobody knows what was judged meanwhile."""
        self._asked.clear()
        self._news.set()

    @callback
    def _on_review(self, _data: Json) -> None:
        self._reviewed += 1
        self._news.set()

    async def _run(self) -> None:
        while True:
            await self._news.wait()
            await asyncio.sleep(CALM_S)
            self._news.clear()
            if self.data.connected:
                await self._ask()

    async def _ask(self) -> None:
        """Ask what has to be asked anew; what cannot be asked now is asked with the next change."""
        for name, about, ask in self._questions(self.data):
            if name in self._asked and self._asked[name] == about:
                continue
            try:
                await ask()
            except BrainError as err:
                LOGGER.debug("The brain does not say %s: %s", name, err.code)
            except KittyError as err:
                LOGGER.debug("The brain cannot say %s now: %s", name, err.code)
                return
            self._asked[name] = about
            self._tell()

    def _questions(self, data: Snapshot) -> Iterator[Question]:
        """Yield each question: its name, what its answer depends on, and how it is asked."""
        ended = max((job.get("completed_at") or 0.0 for job in data.jobs.values()), default=0.0)
        yield ("quality",), (self._reviewed, ended), self._ask_quality
        for device_id, device in data.devices.items():
            if device["kind"] != Kind.PRINTER:
                continue
            row = next_of(data, device_id) or {}
            wish = {name: row[name] for name in ("artifact_id", "material") if row.get(name)}
            yield (
                ("chance", device_id),
                (wish, self._reviewed, ended),
                partial(self._ask_chance, device_id, wish),
            )
            if (job := last_job(data, device_id)) is not None:
                yield (
                    ("costs", device_id),
                    job,
                    partial(self._ask_costs, device_id, job["job_id"]),
                )

    async def _ask_quality(self) -> None:
        answer = await self._command("quality.list", {"limit": 1})
        self.quality = {row["device_id"]: row for row in answer["printers"]}

    async def _ask_chance(self, device_id: str, wish: Json) -> None:
        self.chances.pop(device_id, None)
        if wish:
            asked = {"device_id": device_id} | wish
            self.chances[device_id] = await self._command("predictions.get", asked)

    async def _ask_costs(self, device_id: str, job_id: str) -> None:
        answer = await self._command("costs.get", {"job_id": job_id})
        if answer["parts"]:
            self.costs[device_id] = answer

    async def _command(self, action: str, params: Json) -> Json:
        answer: Json = await self._client.command(action, params, caller=SYSTEM)
        return answer

    @callback
    def _tell(self) -> None:
        for listener in list(self._listeners):
            listener()


def last_job(data: Snapshot, device_id: str) -> Json | None:
    """Return the last print of a printer that is over, with what was counted of it so far."""
    over = [
        (review["ended_at"] or 0.0, {"job_id": review["job_id"]})
        for review in data.reviews.values()
        if review["device_id"] == device_id
    ]
    over += [
        (
            job.get("completed_at") or 0.0,
            {"job_id": job["id"]}
            | {name: job.get(name) for name in ("cost_micro", "used_g", "energy_wh")},
        )
        for job in data.jobs.values()
        if job["device_id"] == device_id and job["status"] not in OPEN_JOBS
    ]
    # Of two of the same time the one that tells more.
    return max(over, key=lambda one: (one[0], len(one[1])))[1] if over else None
