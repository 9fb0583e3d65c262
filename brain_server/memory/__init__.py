"""Memory: what people told, kept as rows, found by meaning, and shown to nobody else.

A memory belongs to a person or to the house. The rows are the truth; every index is made from them.
Without a model of meanings, or while it does not answer, a search goes by words and says so.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final

import msgspec

from brain_server.bus import Bus
from brain_server.capabilities import ALL_ON, Switches
from brain_server.commands import Caller, NoParams, Page, Params, Scope, as_page, command
from brain_server.errors import Conflict, Forbidden, InvalidRequest, KittyError, NotFound
from brain_server.memory.content import LONGEST, cleaned
from brain_server.memory.embedder import (
    Embedder as Embedder,
    Embeds as Embeds,
    Meaning as Meaning,
    Source as Source,
    Vector as Vector,
    from_blob,
)
from brain_server.memory.keeper import Keeper
from brain_server.memory.lexical import Lexicon, overlap
from brain_server.memory.rows import New as New, Rows
from brain_server.memory.vectors import (
    Hit,
    Point as Point,
    RowVectors,
    VectorStore as VectorStore,
)
from brain_server.observability import Tasks
from brain_server.protocol import Json
from brain_server.storage import Database

HOUSE: Final = "house"
CAPABILITY: Final = "memory"
BATCH: Final = 64
MOST: Final = 50_000
# A page of an export stays well below what an answer may have.
MOST_EXPORTED: Final = 512 * 1024
# An answer is chosen among so many times the wanted number of nearest memories.
WIDER: Final = 4
FEWEST: Final = 20
# How much the words themselves count beside the meaning: they tell printer A from printer B.
WORDS: Final = 0.25
FLOORS: Final[Mapping[str, float]] = {"hybrid": 0.3, "lexical": 0.2}
# A store that gives another score than the row is not the store of this row.
TOLERANCE: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """A memory that fits what was asked; ``score`` from 0 to 1, ``trust`` person, system or outside."""

    id: str
    text: str
    score: float
    source: str
    trust: str
    namespace: str
    created_at: float


class Remember(Params):
    """Something that a person wants remembered; shared with the house, or their own."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST)]
    shared: bool = False


class MemoriesPage(Page):
    """A part of what is remembered."""

    newest_first: bool = False


class Wanted(Params):
    """What a person looks for in their memory."""

    query: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST)]
    limit: Annotated[int, msgspec.Meta(ge=1, le=50)] = 10


class Forget(Params):
    """One memory, or with ``all`` every one of the person's own; what the house shares stays."""

    memory_id: str | None = None
    all: bool = False


class Enable(Params):
    """Whether anything is remembered and recalled for a person."""

    enabled: bool


class Rebuild(Params):
    """Compute missing vectors now, or with ``cancel`` stop doing so."""

    cancel: bool = False


class Memory:
    """Remembers and recalls."""

    def __init__(
        self,
        database: Database,
        embedder: Embedder,
        bus: Bus,
        tasks: Tasks,
        clock: Callable[[], float],
        store: VectorStore | None = None,
        *,
        switches: Switches = ALL_ON,
    ) -> None:
        """Take the database, the model of meanings, another store of vectors where there is one, and the switches."""
        self._switches = switches
        self._rows = Rows(database)
        self._embedder = embedder
        self._tasks = tasks
        self._clock = clock
        self._words = Lexicon(self._rows.texts)
        self._exact = RowVectors(self._rows.vectors, self._rows.count_vectors, self._damaged)
        self._store = store or self._exact
        self._keeper = Keeper(
            self._rows, embedder, self._exact, self._store, bus=bus, tasks=tasks, clock=clock
        )
        self._counts: Counter[str] = Counter()
        # What is being stored just now.
        self._coming: Counter[str] = Counter()
        self._off: set[str] = set()
        self._running: asyncio.Task[None] | None = None
        # Called with the namespace in which something was remembered or forgotten.
        self.listeners: list[Callable[[str], None]] = []

    async def start(self) -> None:
        """Learn what there is, and begin to keep the index true to it."""
        counts, self._off = await asyncio.gather(self._rows.counts(), self._rows.off())
        self._counts = Counter(counts)
        self._running = self._tasks.keep_up("memory", self._keeper.run)

    async def stop(self) -> None:
        """End the work in the background and let go of the other store."""
        if self._running is not None:
            await self._keeper.finish()
            self._running.cancel()
            await asyncio.wait([self._running])
        await self._store.close()

    def wake(self) -> None:
        """Look at once whether the model of meanings is another one now."""
        self._keeper.wake()

    def require(self) -> None:
        """Raise Unavailable ``capability_off`` while nothing is remembered and recalled."""
        self._switches.require(CAPABILITY)

    async def health(self) -> str | None:
        """Say what memory does without right now."""
        if self._keeper.lost is not None:
            return f"{self._keeper.lost}; memory searches its own rows"
        if self._embedder.trouble is not None:
            return f"{self._embedder.trouble}; memory searches by words"
        return None

    # -- remembering ----------------------------------------------------------------------------------

    async def remember(
        self,
        namespace: str,
        text: str,
        source: str,
        trust: str,
        conversation_id: str | None = None,
        *,
        teller: str | None = None,
    ) -> str:
        """Remember a text and return its id; one that is there already keeps its own.

        ``teller`` is who tells it, where it is shared.

        Raises InvalidRequest ``not_memorable``, Conflict ``memory_off`` or ``memory_full``, Unavailable
        ``capability_off``.
        """
        new = New(text=cleaned(text), source=source, trust=trust, conversation_id=conversation_id)
        self._room(namespace, 1, teller)
        return (await self._add(namespace, [new], teller))[0]

    async def remember_many(self, namespace: str, new: Sequence[New]) -> list[str | None]:
        """Remember many texts, in few writes; None for each that must not be remembered."""
        self._room(namespace, len(new))
        ids: list[str | None] = [None] * len(new)
        good: dict[int, New] = {}
        for at, one in enumerate(new):
            try:
                good[at] = replace(one, text=cleaned(one.text))
            except InvalidRequest:
                continue
        places = list(good)
        for at in range(0, len(places), BATCH):
            part = places[at : at + BATCH]
            added = await self._add(namespace, [good[place] for place in part])
            for place, entry in zip(part, added, strict=True):
                ids[place] = entry
        return ids

    async def _add(
        self, namespace: str, new: Sequence[New], teller: str | None = None
    ) -> list[str]:
        """Store in one write, with the vectors as far as there are any."""
        vectors = await self._embedder.embed_many([one.text for one in new], keep=False)
        given = [replace(one, vector=vector) for one, vector in zip(new, vectors, strict=True)]
        # To its end, though its time is over: what is stored is found.
        return await self._tasks.see_through("memories", self._store_new(namespace, given, teller))

    async def _store_new(self, namespace: str, new: Sequence[New], teller: str | None) -> list[str]:
        # Once more: the vectors took their time, and the person may have switched memory off meanwhile.
        self._room(namespace, len(new), teller)
        self._coming[namespace] += len(new)
        try:
            added = await self._rows.add(namespace, new, self._clock())
        finally:
            self._coming[namespace] -= len(new)
        fresh = [(entry, one) for one, (entry, is_new) in zip(new, added, strict=True) if is_new]
        self._counts[namespace] += len(fresh)
        points = []
        for entry, one in fresh:
            await self._words.add(namespace, entry, one.text)
            if one.vector is not None:
                points.append(Point(id=entry, namespace=namespace, vector=one.vector))
        if points:
            await self._keeper.put(points)
        self._keeper.came(one.vector for _, one in fresh)
        self._changed(namespace)
        return [entry for entry, _ in added]

    def _room(self, namespace: str, more: int, teller: str | None = None) -> None:
        """Raise where nothing may be remembered, or nothing more."""
        self.require()
        if not self._off.isdisjoint({namespace, teller}):
            raise Conflict("memory_off", "This person does not want to be remembered")
        if self._counts[namespace] + self._coming[namespace] + more > MOST:
            raise Conflict("memory_full", f"There are {MOST} memories already", most=MOST)

    def _changed(self, namespace: str) -> None:
        for listener in self.listeners:
            listener(namespace)

    # -- recalling ------------------------------------------------------------------------------------

    async def recall(
        self,
        namespaces: Collection[str],
        meaning: Meaning,
        limit: int = 5,
        floor: float | None = None,
    ) -> list[Recalled]:
        """Return what fits best, best first; nothing while memory is off, for everybody or for one of these.

        ``floor`` is the least score; without it, one that suits the way of searching.
        """
        if not self._is_open(namespaces):
            return []
        found, _ = await self._find(namespaces, meaning, limit, floor)
        # Once more: that took its time, and the person may have switched memory off meanwhile.
        return found if self._is_open(namespaces) else []

    def _is_open(self, namespaces: Collection[str]) -> bool:
        return self._switches.is_on(CAPABILITY) and self._off.isdisjoint(namespaces)

    async def _find(
        self, namespaces: Collection[str], meaning: Meaning, limit: int, floor: float | None
    ) -> tuple[list[Recalled], str]:
        """Return what fits, and by which way it was found: ``hybrid`` or ``lexical``."""
        filled = [one for one in namespaces if self._counts[one] > 0]
        if not filled:
            return [], self._method
        vector = await meaning.vector()
        wide = max(FEWEST, limit * WIDER)
        if vector is None:
            scores, rows = await self._by_words(filled, meaning.text, wide)
            method = "lexical"
        else:
            # Before the search: a vector that comes during it is not in what is found.
            had_all = self._keeper.complete == vector.embedder
            scores, rows = await self._near(filled, vector, wide)
            has = overlap(meaning.text, {entry: row["text"] for entry, row in rows.items()})
            scores = {
                entry: (1 - WORDS) * scores[entry] + WORDS * part for entry, part in has.items()
            }
            if not had_all or self._keeper.complete != vector.embedder:
                await self._also_by_words(filled, meaning.text, wide, scores, rows)
            method = "hybrid"
        least = FLOORS[method] if floor is None else floor
        best = sorted(rows, key=lambda entry: (scores[entry], entry), reverse=True)
        found = [_recalled(rows[entry], scores[entry]) for entry in best[:limit]]
        return [one for one in found if one.score >= least], method

    async def _near(
        self, namespaces: Collection[str], vector: Vector, limit: int
    ) -> tuple[dict[str, float], dict[str, Json]]:
        """Return the nearest by the store that is set up; by the rows where it fails or is wrong."""
        if self._keeper.is_mirrored:
            try:
                hits = await self._store.search(namespaces, vector, limit)
            except KittyError as err:
                self._keeper.behind(err.message)
            else:
                rows = await self._rows.fetch([hit.id for hit in hits], namespaces, vectors=True)
                if _agree(hits, rows, vector):
                    return dict(hits), rows
                self._keeper.behind()
        while True:
            scores = dict(await self._exact.search(namespaces, vector, limit))
            rows = await self._rows.fetch(scores, namespaces)
            if len(rows) == len(scores):
                return scores, rows
            # Forgotten during the search, or while their vectors were on the way: they take nobody's place.
            await self._exact.remove(scores.keys() - rows.keys())

    async def _by_words(
        self, namespaces: Collection[str], text: str, limit: int
    ) -> tuple[dict[str, float], dict[str, Json]]:
        """Return what is found by its words."""
        while True:
            scores = dict(await self._words.search(namespaces, text, limit))
            rows = await self._rows.fetch(scores, namespaces)
            if len(rows) == len(scores):
                return scores, rows
            # Forgotten during the search, or while their words were on the way: they take nobody's place.
            for namespace in namespaces:
                await self._words.remove(namespace, scores.keys() - rows.keys())

    async def _also_by_words(
        self,
        namespaces: Collection[str],
        text: str,
        limit: int,
        scores: dict[str, float],
        rows: dict[str, Json],
    ) -> None:
        """Add what is found by its words while vectors are missing."""
        by_words, found = await self._by_words(namespaces, text, limit)
        more = found.keys() - rows.keys()
        rows |= {entry: found[entry] for entry in more}
        scores |= {entry: by_words[entry] for entry in more}

    def _damaged(self, ids: Collection[str]) -> None:
        self._keeper.damaged(ids)

    @property
    def _method(self) -> str:
        without = self._embedder.name is None or self._embedder.trouble is not None
        return "lexical" if without else "hybrid"

    def count(self) -> int:
        """Return how many memories there are, of everybody."""
        return self._counts.total()

    async def latest(self, namespace: str, limit: int) -> list[str]:
        """Return the texts that were remembered last, newest first."""
        return await self._rows.latest(namespace, limit)

    async def drop(self, namespace: str, ids: Collection[str] | None = None) -> int:
        """Forget some memories of a namespace, or all of them; returns how many there were."""
        return await self._forget((namespace,), ids)

    # -- commands: only for one's own -----------------------------------------------------------------

    @command("memory.remember", Scope.CONTROL, capability=CAPABILITY)
    async def tell(self, caller: Caller, params: Remember) -> Json:
        """Remember a text for the caller, or for the whole house."""
        person = _person(caller)
        self._room(person, 0)
        namespace = HOUSE if params.shared else person
        told = self.remember(namespace, params.text, "said", "person", teller=person)
        return {"id": await told}

    @command("memory.list", Scope.CONTROL, read_only=True)
    async def list(self, caller: Caller, params: MemoriesPage) -> Json:
        """List the caller's memories and those of the house, oldest first if nothing else is said."""
        spaces = (_person(caller), HOUSE)
        rows = await self._rows.page(spaces, params, newest_first=params.newest_first)
        return as_page([_view(row) for row in rows], params)

    @command("memory.search", Scope.CONTROL, read_only=True, capability=CAPABILITY)
    async def search(self, caller: Caller, params: Wanted) -> Json:
        """Search the caller's memories and those of the house."""
        meaning = Meaning(params.query, self._embedder)
        namespaces = (_person(caller), HOUSE)
        found, method = await self._find(namespaces, meaning, params.limit, None)
        return {"items": [_found(one) for one in found], "method": method}

    @command("memory.forget", Scope.CONTROL)
    async def forget(self, caller: Caller, params: Forget) -> Json:
        """Forget one memory of the caller or of the house, or all of the caller's."""
        person = _person(caller)
        if params.all == (params.memory_id is not None):
            raise InvalidRequest("invalid_params", "Give memory_id or all", reason="memory_id, all")
        if params.all:
            return {"forgotten": await self._forget((person,), None)}
        if not (gone := await self._forget((person, HOUSE), [str(params.memory_id)])):
            raise NotFound("memory_not_found", "There is no such memory")
        return {"forgotten": gone}

    @command("memory.export", Scope.CONTROL, read_only=True)
    async def export(self, caller: Caller, params: Page) -> Json:
        """Return all that is kept of the caller's own memories, page by page."""
        rows = await self._rows.page((_person(caller),), params)
        size = 0
        for at, row in enumerate(rows):
            size += len(msgspec.json.encode(row))
            if size > MOST_EXPORTED and at > 0:
                cut = Page(limit=at, fields=params.fields)
                return as_page(rows, cut)
        return as_page(rows, params)

    @command("memory.status", Scope.CONTROL, read_only=True)
    async def status(self, caller: Caller, _params: NoParams) -> Json:
        """Tell how much is remembered for the caller and the house, and how it is searched."""
        person = _person(caller)
        name = self._embedder.name
        missing = 0 if name is None else await self._rows.count_missing(name)
        return {
            "enabled": person not in self._off,
            "own": self._counts[person],
            "house": self._counts[HOUSE],
            "most": MOST,
            "embedder": name,
            "method": self._method,
            "backend": (self._store if self._keeper.is_mirrored else self._exact).name,
            "rebuilt_at": self._keeper.rebuilt_at,
            "missing": missing,
            "progress": self._keeper.view(),
            "trouble": await self.health(),
        }

    @command("memory.enable", Scope.CONTROL)
    async def enable(self, caller: Caller, params: Enable) -> Json:
        """Switch memory on or off for the caller; what was remembered stays until it is forgotten."""
        # To its end, though its time is over: what is stored is what is in force.
        turning = self._turn(_person(caller), on=params.enabled)
        await self._tasks.see_through("memory of a person", turning)
        return {"enabled": params.enabled}

    async def _turn(self, person: str, *, on: bool) -> None:
        await self._rows.set_off(person, self._clock(), off=not on)
        if on:
            self._off.discard(person)
        else:
            self._off.add(person)
        self._changed(person)

    @command("memory.rebuild", Scope.ADMIN, capability=CAPABILITY)
    async def rebuild(self, _caller: Caller, params: Rebuild) -> Json:
        """Compute the vectors that are missing now, or stop doing so; memory then goes by words for these."""
        if params.cancel:
            self._keeper.stop()
        else:
            self._keeper.resume()
        return {"progress": self._keeper.view()}

    async def _forget(self, namespaces: Collection[str], ids: Collection[str] | None) -> int:
        # To its end, though its time is over: what is forgotten is so everywhere.
        return await self._tasks.see_through("forgetting", self._forget_all(namespaces, ids))

    async def _forget_all(self, namespaces: Collection[str], ids: Collection[str] | None) -> int:
        gone = await self._rows.forget(namespaces, ids)
        if not gone:
            return 0
        await self._keeper.remove([row["id"] for row in gone])
        await self._embedder.forget([row["text"] for row in gone])
        for row in gone:
            self._counts[row["namespace"]] -= 1
        for namespace in {row["namespace"] for row in gone}:
            await self._words.remove(
                namespace, [row["id"] for row in gone if row["namespace"] == namespace]
            )
            self._changed(namespace)
        return len(gone)


def _person(caller: Caller) -> str:
    """Return whose memory it is; Forbidden ``person_needed`` for a program."""
    if caller.user_id is None or caller.user_id == HOUSE:
        raise Forbidden(
            "person_needed", "Memory and conversations belong to a person, and nobody is named"
        )
    return caller.user_id


def _view(row: Json) -> Json:
    """Return a row as its person sees it."""
    shown = {name: value for name, value in row.items() if name != "namespace"}
    return shown | {"shared": row["namespace"] == HOUSE}


def _found(one: Recalled) -> Json:
    return {
        "id": one.id,
        "text": one.text,
        "score": round(one.score, 4),
        "source": one.source,
        "trust": one.trust,
        "shared": one.namespace == HOUSE,
        "created_at": one.created_at,
    }


def _recalled(row: Json, score: float) -> Recalled:
    return Recalled(
        id=row["id"],
        text=row["text"],
        score=score,
        source=row["source"],
        trust=row["trust"],
        namespace=row["namespace"],
        created_at=row["created_at"],
    )


def _agree(hits: Sequence[Hit], rows: Mapping[str, Json], near: Vector) -> bool:
    """Tell whether another store says of every hit what its row says."""
    for hit in hits:
        row = rows.get(hit.id)
        vector = from_blob(near.embedder, row["vector"] or b"") if row is not None else None
        if row is None or vector is None or row["embedder"] != near.embedder:
            return False
        if len(vector.values) != len(near.values):
            return False
        if abs(float(vector.values @ near.values) - hit.score) > TOLERANCE:
            return False
    return True
