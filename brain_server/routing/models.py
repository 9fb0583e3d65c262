"""The models and tool servers that there are: stored, made, checked, removed.

What a person types in as a key is kept here and never shown again.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
import logging
from pathlib import Path
import time
from typing import Annotated, Any, Final
from weakref import WeakValueDictionary

from aiohttp import ClientSession
import msgspec
from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from brain_server.breaker import Breaker
from brain_server.bus import Bus
from brain_server.capabilities import ALL_ON, Switches
from brain_server.commands import Caller, NoParams, Params, Scope, command
from brain_server.errors import Conflict, InvalidRequest, KittyError, NotFound, ProviderError
from brain_server.observability import Tasks
from brain_server.plugins import OptionType, checked, described, said
from brain_server.protocol import Json
from brain_server.providers import (
    ModelProvider,
    Provider,
    ProviderContext,
    TierName,
    ToolServer,
    Use,
    discover,
)
from brain_server.storage import Database
from brain_server.storage.tables import new_id, providers

_LOGGER = logging.getLogger(__name__)

# The capability of models whose makers are told what they are asked.
FAR: Final = "models.far"
CHECK_TIMEOUT: Final = 10.0
WATCHED_EVERY: Final = 300.0
SMOOTHING: Final = 0.3
# What comes all at once, as the wish for a tool does, tells nothing of how fast a model writes.
SHORTEST_WRITING: Final = 0.1
ORDER: Final = tuple(TierName)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One configured provider. Prices are for a million tokens; None: not known."""

    id: str
    provider: str
    name: str
    tier: TierName
    uses: frozenset[Use]
    options: Mapping[str, Any]
    price_in: float | None
    price_out: float | None
    enabled: bool

    @property
    def leaves_house(self) -> bool:
        """Tell whether what it is asked goes to somebody else's machine."""
        return self.tier is not TierName.LOCAL

    @property
    def is_free(self) -> bool:
        """Tell whether it can be asked without a budget."""
        return self.tier is TierName.LOCAL or (self.price_in == 0 and self.price_out == 0)


class Model:
    """A provider that runs, its circuit breaker and how it was when it was last looked at."""

    def __init__(self, row: Row, provider: Provider, breaker: Breaker) -> None:
        """Take the row and what was made for it."""
        self.row = row
        self.provider = provider
        self.breaker = breaker
        self.trouble: Json | None = None
        self.context: int | None = None
        # A running mean of how fast it writes.
        self.tokens_per_second: float | None = None

    @property
    def capability(self) -> str:
        """Return which switch it is under, where it leaves the house."""
        return "search" if isinstance(self.provider, ToolServer) else FAR

    @property
    def words(self) -> ModelProvider | None:
        """Return the provider if it is one of words."""
        return self.provider if isinstance(self.provider, ModelProvider) else None

    def view(self) -> Json:
        """Return the provider as clients see it: no secret, and where each stands."""
        row = self.row
        secret = {one.name for one in self.provider.options if one.type is OptionType.SECRET}
        return {
            "id": row.id,
            "provider": row.provider,
            "name": row.name,
            "tier": row.tier.value,
            "uses": sorted(row.uses),
            "options": {
                name: ("***" if value else None) if name in secret else value
                for name, value in row.options.items()
            },
            "price_in": row.price_in,
            "price_out": row.price_out,
            "enabled": row.enabled,
            "context": self.context,
            "trouble": self.trouble,
            "tokens_per_second": self.tokens_per_second,
            "breaker": self.breaker.view(),
        }


class Kinds(Params):
    """In which language the forms are wanted."""

    language: str = "en"


class Put(Params):
    """A provider to store. A secret that is left out, or ``***``, stays as it was."""

    provider: str
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    options: dict[str, Any]
    provider_id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")] | None = None
    tier: TierName | None = None
    uses: list[Use] | None = None
    price_in: Annotated[float, msgspec.Meta(ge=0)] | None = None
    price_out: Annotated[float, msgspec.Meta(ge=0)] | None = None
    enabled: bool = True


class Advise(Params):
    """A model file, by path or by its name in the folder of models, and how many tokens it should hold."""

    model: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
    context: Annotated[int, msgspec.Meta(ge=256, le=1_048_576)] = 8_192


class ProviderId(Params):
    """One provider."""

    provider_id: str


class Models:
    """Keeps one live provider for each row of its table."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        tasks: Tasks,
        session: ClientSession,
        data_dir: Path,
        clock: Callable[[], float] = time.time,
        *,
        switches: Switches = ALL_ON,
    ) -> None:
        """Take the database, the bus, the task keeper, the HTTP session, where files lie, and what is switched on."""
        self._switches = switches
        self._db = database
        self._bus = bus
        self._tasks = tasks
        self._session = session
        self._data_dir = data_dir
        self._clock = clock
        self._kinds: Mapping[str, type[Provider]] = {}
        self._live: dict[str, Model] = {}
        self._changing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def start(self) -> None:
        """Make every stored provider; none of them connects before it is needed."""
        self._kinds = await asyncio.to_thread(discover)
        rows = await self._db.read(lambda connection: list(connection.execute(select(providers))))
        await asyncio.to_thread(lambda: [self._kinds.get(stored.provider) for stored in rows])
        for stored in rows:
            row = _row(stored._mapping)  # noqa: SLF001 - SQLAlchemy's name for a row as a mapping
            if row.provider in self._kinds:
                self._live[row.id] = self._make(row)
            else:
                _LOGGER.error("%s: there is no provider %s", row.name, row.provider)

    async def stop(self) -> None:
        """Close every provider."""
        for model in self._live.values():
            await model.provider.close()

    # -- choosing -------------------------------------------------------------------------------------

    def all(self) -> list[Model]:
        """Return every provider, near and free first."""
        return sorted(
            self._live.values(),
            key=lambda model: (
                ORDER.index(model.row.tier),
                model.row.price_out or 0.0,
                model.row.name.casefold(),
            ),
        )

    def get(self, provider_id: str) -> Model:
        """Return one; NotFound ``provider_not_found``."""
        if (model := self._live.get(provider_id)) is None:
            raise _not_found()
        return model

    def of_use(self, use: Use) -> list[Model]:
        """Return the enabled models for a use, near and free first."""
        return [
            model
            for model in self.all()
            if model.row.enabled and model.words is not None and use in model.row.uses
        ]

    def has_far(self) -> bool:
        """Tell whether there is a model outside the house at all."""
        return any(model.row.leaves_house and model.capability == FAR for model in self.all())

    def tool_servers(self) -> list[tuple[Model, ToolServer]]:
        """Return the enabled servers of tools."""
        return [
            (model, model.provider)
            for model in self.all()
            if model.row.enabled and isinstance(model.provider, ToolServer)
        ]

    def named(self, words: str) -> Model | None:
        """Return the model that people mean by a name: of the row, its model or its maker."""
        wanted = words.casefold()
        for model in self.all():
            known = (
                model.row.name,
                model.provider.title,
                str(model.row.options.get("model") or ""),
            )
            if any(wanted in name.casefold() for name in known if name):
                return model
        return None

    # -- commands -------------------------------------------------------------------------------------

    @command("providers.kinds", Scope.READ, read_only=True)
    async def kinds(self, _caller: Caller, params: Kinds) -> Json:
        """List the kinds of providers and the form of each."""
        return {"items": await asyncio.to_thread(self._described, params.language)}

    def _described(self, language: str) -> Sequence[Json]:
        return [
            {
                "name": name,
                "title": said(kind.title, language),
                "tier": kind.tier.value,
                "uses": sorted(kind.uses),
                "options": described(kind.options, language),
            }
            for name, kind in sorted(self._kinds.items())
        ]

    @command("providers.list", Scope.READ, read_only=True)
    async def list(self, _caller: Caller, _params: NoParams) -> Json:
        """List the providers that are set up, without their secrets."""
        return {"items": [model.view() for model in self.all()]}

    @command("providers.check", Scope.CONTROL)
    async def check(self, _caller: Caller, params: ProviderId) -> Json:
        """Look whether a provider is there and has what is expected of it."""
        model = self.get(params.provider_id)
        await self._look(model)
        return model.view()

    @command("providers.warm", Scope.CONTROL)
    async def warm(self, _caller: Caller, _params: NoParams) -> Json:
        """Let the models of the house get ready, because somebody is about to speak."""
        near = [model for model in self.of_use(Use.TOOLS) if not model.row.leaves_house]
        for model in near[:1]:
            if model.words is not None:
                self._tasks.start(f"warm {model.row.id}", self._warmed(model, model.words))
        return {"warming": [model.row.id for model in near[:1]]}

    async def _warmed(self, model: Model, provider: ModelProvider) -> None:
        try:
            await provider.warm()
        except KittyError as err:
            self.failed(model, err)

    @command("providers.advise", Scope.ADMIN, read_only=True)
    async def advise(self, _caller: Caller, params: Advise) -> Json:
        """Tell whether a model file fits into the memory, with the figures and the largest context that would."""

        def look() -> Json:
            from brain_server.llama_worker.room import fits  # noqa: PLC0415 - only who asks for advice needs it
            from brain_server.providers.llama_cpp import place  # noqa: PLC0415 - a provider, on first use

            return asdict(fits(place(self._data_dir, params.model), params.context))

        return await asyncio.to_thread(look)

    @command("providers.put", Scope.ADMIN)
    async def put(self, _caller: Caller, params: Put) -> Json:
        """Store a provider, new or changed, after looking whether it works."""
        if params.provider_id is None:
            return await self._put(params)
        # One after the other: a change without the key keeps the key of the change before.
        async with self._changing.setdefault(params.provider_id, asyncio.Lock()):
            return await self._put(params)

    async def _put(self, params: Put) -> Json:
        if (kind := await asyncio.to_thread(self._kinds.get, params.provider)) is None:
            raise InvalidRequest(
                "unknown_provider", "There is no such provider", provider=params.provider
            )
        old = self._live.get(params.provider_id or "")
        if params.provider_id is not None and old is None:
            raise _not_found()
        kept = {
            one.name: old.row.options.get(one.name)
            for one in kind.options
            if old is not None
            and old.row.provider == params.provider
            and one.type is OptionType.SECRET
            and params.options.get(one.name) in (None, "", "***")
        }
        tier = params.tier or kind.tier
        # What people tell goes to a model elsewhere only when somebody wants just that.
        usual = kind.uses if tier is TierName.LOCAL else kind.uses - {Use.EMBEDDING}
        row = Row(
            id=params.provider_id or new_id(),
            provider=params.provider,
            name=params.name,
            tier=tier,
            uses=frozenset(usual if params.uses is None else params.uses),
            options=checked(kind.options, params.options | kept),
            price_in=params.price_in,
            price_out=params.price_out,
            enabled=params.enabled,
        )
        if not row.uses <= kind.uses:
            raise InvalidRequest("invalid_option", "It cannot be used for that", field="uses")
        model = self._make(row)
        try:
            await self._look(model)
            _refuse_wrong_key(model)
        except BaseException:
            await model.provider.close()
            raise
        # To its end, though its time is over: what is stored is what is asked.
        keeping = self._keep(model, new=old is None)
        await self._tasks.see_through(f"provider {row.id}", keeping)
        return model.view()

    async def _keep(self, model: Model, *, new: bool) -> None:
        try:
            await self._store(model.row, new=new)
        except BaseException:
            await model.provider.close()
            raise
        # Not the one of before: it may have been changed, too, while this one was looked at.
        replaced = self._live.get(model.row.id)
        self._live[model.row.id] = model
        if replaced is not None:
            await replaced.provider.close()
        self._changed(model)

    @command("providers.remove", Scope.ADMIN)
    async def remove(self, _caller: Caller, params: ProviderId) -> Json:
        """Remove a provider and its secret."""
        number = self.get(params.provider_id).row.id
        await self._tasks.see_through(f"removal of provider {number}", self._drop(number))
        return {}

    async def _drop(self, number: str) -> None:
        same = providers.c.id == number
        await self._db.write(lambda connection: connection.execute(delete(providers).where(same)))
        if (gone := self._live.pop(number, None)) is not None:
            await gone.provider.close()
        self._bus.publish("provider.removed", {"id": number})

    # -- health ---------------------------------------------------------------------------------------

    async def health(self) -> str | None:
        """Say which providers are ill, by what they last said."""
        ill = [
            f"{model.row.name}: {model.trouble['message']}"
            for model in self.all()
            if model.trouble is not None and self._is_wanted(model)
        ]
        return "; ".join(ill) or None

    def failed(self, model: Model, err: KittyError) -> None:
        """Note why a provider did not answer, for its health; only what is the provider's own doing."""
        if isinstance(err, ProviderError) and err.code != "context_exceeded":
            self._trouble(model, err)

    def worked(self, model: Model, tokens: int | None = None, seconds: float = 0.0) -> None:
        """Note that a provider answered, and how fast it wrote."""
        if tokens and seconds >= SHORTEST_WRITING:
            now, before = tokens / seconds, model.tokens_per_second
            mean = now if before is None else before + SMOOTHING * (now - before)
            model.tokens_per_second = round(mean, 1)
        self._trouble(model, None)

    async def watch(self) -> None:
        """Look at every provider now and then, so that its health is known before it is needed."""
        while True:
            await asyncio.sleep(WATCHED_EVERY)
            for model in self.all():
                is_there = self._live.get(model.row.id) is model
                if is_there and model.breaker.is_ready and self._is_wanted(model):
                    await self._look(model)

    def _is_wanted(self, model: Model) -> bool:
        """Tell whether a provider may be asked for anything: nobody looks at one that is switched off."""
        return model.row.enabled and (
            not model.row.leaves_house or self._switches.is_on(model.capability)
        )

    async def _look(self, model: Model) -> None:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT):
                info = await model.provider.check()
        except ProviderError as err:
            self._trouble(model, err)
        except TimeoutError:
            self._trouble(model, ProviderError("provider_unreachable", "It does not answer"))
        else:
            model.context = info.context
            self._trouble(model, None)

    def _trouble(self, model: Model, err: KittyError | None) -> None:
        now = None if err is None else err.as_dict()
        before, model.trouble = model.trouble, now
        if (before and before["code"]) != (now and now["code"]):
            if now is not None:
                _LOGGER.warning("%s: %s", model.row.name, now["message"])
            self._changed(model)

    # -- the rows -------------------------------------------------------------------------------------

    def _make(self, row: Row) -> Model:
        kind = self._kinds[row.provider]
        provider = kind(
            ProviderContext(
                provider_id=row.id,
                options=row.options,
                session=self._session,
                data_dir=self._data_dir,
                uses=row.uses,
            )
        )
        made = Model(row, provider, Breaker(row.name))
        made.breaker.on_change = lambda: self._changed(made)
        return made

    def _changed(self, model: Model) -> None:
        if self._live.get(model.row.id) is not model:
            return  # replaced or removed meanwhile: who follows the providers must not see it again
        self._bus.publish("provider.updated", model.view())

    async def _store(self, row: Row, *, new: bool) -> None:
        values: dict[str, Any] = {
            "provider": row.provider,
            "name": row.name,
            "tier": row.tier.value,
            "uses": sorted(row.uses),
            "options": dict(row.options),
            "price_in": row.price_in,
            "price_out": row.price_out,
            "enabled": row.enabled,
        }

        def work(connection: Connection) -> None:
            if new:
                values.update(id=row.id, created_at=self._clock())
                connection.execute(insert(providers).values(values))
                return
            same = update(providers).where(providers.c.id == row.id).values(values)
            if connection.execute(same).rowcount == 0:  # removed while it was looked at
                raise _not_found()

        try:
            await self._db.write(work)
        except IntegrityError as err:
            raise Conflict("name_taken", "Another provider has this name", name=row.name) from err


def _not_found() -> NotFound:
    return NotFound("provider_not_found", "There is no such provider")


def _refuse_wrong_key(model: Model) -> None:
    """What is not there now may be there later; a key that is wrong will not become right."""
    if model.trouble is not None and model.trouble["code"] == "provider_auth":
        raise ProviderError("provider_auth", model.trouble["message"])


def _row(stored: Mapping[Any, Any]) -> Row:
    known = {name: stored[name] for name in ("id", "provider", "name", "price_in", "price_out")}
    return Row(
        **known,
        tier=TierName(stored["tier"]),
        uses=frozenset(Use(one) for one in stored["uses"]),
        options=stored["options"],
        enabled=bool(stored["enabled"]),
    )
