"""What ails the brain, by name and with its cure; and a bundle for whoever helps, where a person wants one."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, fields
import platform
from typing import Final

from sqlalchemy import Connection, func, select

from brain_server import __version__, metrics
from brain_server.commands import Caller, NoParams, Scope, command
from brain_server.errors import Forbidden
from brain_server.observability import OFF, Health, counters, redact
from brain_server.protocol import Json
from brain_server.settings import Settings
from brain_server.storage import Database
from brain_server.storage.tables import decisions, messages, outbox, work

HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
# So many different questions in a row with one and the same answer of a model.
SAME: Final = 5
# Fewer answers than this say nothing of a habit.
LEAST_ANSWERS: Final = 50
LEAST_TIMED: Final = 10
FEWEST_HITS: Final = 0.01
SLOW_MS: Final = 5000.0
# So many starts in ten minutes are no updates.
STARTS: Final = 4
STARTS_WITHIN: Final = 600.0
MOST_MEMORY: Final = 2 * 1024**3
STATUS: Final = "agent_status_change"

_FAR: Final = "Look at the log for the part that is named, and at docs/TROUBLESHOOTING.md"
_CURES: Final = {
    "brain_database": "Free space on the disk; if a table is missing, restore a backup",
    "broker": "Check that the event broker runs and that broker_url is right; events wait meanwhile",
    "home_assistant": "Check that Home Assistant runs and that the entry of KITTY is loaded there",
    "memory": "Check the Qdrant server or the model for finding memories; memory works by words meanwhile",
    "models": "Open the repair of the model that is named: key, address, model or memory",
    "mqtt": "Check that the MQTT broker runs and that mqtt_url is right; events wait meanwhile",
    "safety_database": "Free space on the disk; nothing dangerous is allowed until it can be written",
    "schedule": "Run the job that is named by kitty.run_job and look why it did not run by itself",
    "spoolman": "Check that Spoolman runs and that spoolman_url is right",
    "tasks": "Restart the brain, and send the log line of the task that broke",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A symptom that has a name: what was seen, and what to do."""

    code: str
    detail: str
    cure: str

    def as_dict(self) -> Json:
        """Return it as it goes over the wire."""
        return {"code": self.code, "detail": self.detail, "cure": self.cure}


class Diagnosis:
    """Looks at the parts and at what has happened lately; it changes nothing."""

    def __init__(
        self,
        database: Database,
        health: Health,
        settings: Settings,
        clock: Callable[[], float],
        is_on: Callable[[str], bool],
    ) -> None:
        """Take where things are written down, the health of the parts, and what is switched on."""
        self._db = database
        self._health = health
        self._settings = settings
        self._clock = clock
        self._is_on = is_on
        # What is looked at only when somebody asks.
        self._more = Health()
        self._more.add("cache", self._cache, is_on=lambda: is_on("cache"))
        self._more.add("queue", self._queue)
        self._more.add("metrics", self._metrics)

    @command("system.diagnose", Scope.READ, read_only=True)
    async def diagnose(self, _caller: Caller, _params: NoParams) -> Json:
        """Check every part, tell how long each took, and name what ails the brain with its cure."""
        checks = await self._checks()
        return {"checks": checks, "findings": await self._findings(checks)}

    @command("system.support", Scope.ADMIN, read_only=True)
    async def support(self, caller: Caller, params: NoParams) -> Json:
        """Return what helps somebody who helps, without secrets; Forbidden ``support_off`` unless debug is set."""
        if not self._settings.debug:
            raise Forbidden("support_off", "Support bundles are switched off")
        return {
            "made_at": self._clock(),
            "version": __version__,
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
            "memory_mb": round(await asyncio.to_thread(metrics.resident) / 1024**2, 1),
            "tasks": len(asyncio.all_tasks()),
            "counters": dict(sorted(counters.items())),
            "settings": _harmless(self._settings),
            "rows": await self._db.read(self._rows),
            **_redacted(await self.diagnose(caller, params)),
        }

    async def _checks(self) -> list[Json]:
        """Return all checks, those of the parts first."""
        parts, more = await asyncio.gather(self._health.run(), self._more.run())
        return parts + more

    async def _cache(self) -> str | None:
        """Say nothing: what was answered can be counted, or it raises."""
        await self._db.read(lambda connection: _answered(connection, self._clock() - DAY))
        return None

    async def _queue(self) -> str | None:
        """Say how much work was given up."""
        given_up = await self._db.read(_dead)
        return f"{given_up} pieces of work were given up" if given_up else None

    async def _metrics(self) -> str | None:
        """Say nothing: the figures can be written out, or it raises."""
        await asyncio.to_thread(metrics.render, {})
        return None

    def _rows(self, connection: Connection) -> Json:
        """Return how much there is of everything."""
        return {
            name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in sorted(self._db.metadata.tables.items())
        }

    async def _findings(self, checks: list[Json]) -> list[Json]:
        """Return what has a name, the gravest first."""
        now = self._clock()
        ill = [part for part in checks if not part["ok"] and part["name"] != "queue"]
        found = [
            Finding(
                code="part_ill",
                detail=f"{part['name']}: {part['detail']}",
                cure=_CURES.get(part["name"], _FAR),
            )
            for part in ill
        ]
        found += await self._db.read(lambda connection: self._lately(connection, now))
        return [
            one.as_dict() for one in (*found, *_memory(await asyncio.to_thread(metrics.resident)))
        ]

    def _lately(self, connection: Connection, now: float) -> list[Finding]:
        """Return what shows in what was written down."""
        return [
            *_restarts(connection, now),
            *_lost(connection),
            *_same_reply(connection, now),
            *_slow(connection, now),
            *(_misses(connection, now) if self._is_on("cache") else ()),
        ]


def _restarts(connection: Connection, now: float) -> list[Finding]:
    """Return whether the brain begins again and again."""
    told = connection.execute(
        select(outbox.c.data).where(
            outbox.c.name == STATUS, outbox.c.created_at >= now - STARTS_WITHIN
        )
    ).scalars()
    starts = sum(data["data"]["status"] == "online" for data in told)
    if starts < STARTS:
        return []
    return [
        Finding(
            code="restart_loop",
            detail=f"The brain has started {starts} times in ten minutes",
            cure="Look at the last lines of its log before each start: memory that ran out, a port that is "
            "taken, a setting that is refused",
        )
    ]


def _lost(connection: Connection) -> list[Finding]:
    """Return whether something that was to be done or told was given up."""
    given_up = _dead(connection)
    if not given_up:
        return []
    return [
        Finding(
            code="messages_lost",
            detail=f"{given_up} pieces of work were given up after all tries",
            cure="kitty.get_work with status dead says why; kitty.retry_dead_letter tries them again",
        )
    ]


def _same_reply(connection: Connection, now: float) -> list[Finding]:
    """Return whether models answer different questions with the same words."""
    by_model = decisions.c.provider_id.is_not(None) | decisions.c.cached
    query = (
        select(decisions.c.request_id)
        .where(decisions.c.created_at >= now - DAY, by_model)
        .order_by(decisions.c.id.desc())
        .limit(SAME * 4)
    )
    requests = list(dict.fromkeys(connection.execute(query).scalars()))[:SAME]
    rows = connection.execute(
        select(messages.c.role, messages.c.text).where(messages.c.request_id.in_(requests))
    ).all()
    asked = {text.casefold().strip() for role, text in rows if role == "user"}
    replies = [text for role, text in rows if role == "assistant"]
    if len(asked) < SAME or len(replies) < SAME or len(set(replies)) > 1:
        return []
    return [
        Finding(
            code="same_reply",
            detail=f"The last {len(replies)} different questions had one and the same answer",
            cure="Clear the kept answers with kitty.clear_cache; if it stays, the model is broken: look at its "
            "entry, and try another",
        )
    ]


def _slow(connection: Connection, now: float) -> list[Finding]:
    """Return whether answers take longer than anybody waits for."""
    query = select(decisions.c.latency_ms, decisions.c.tier).where(
        decisions.c.created_at >= now - DAY, decisions.c.cached.is_(False)
    )
    timed = sorted((float(ms), str(tier)) for ms, tier in connection.execute(query))
    if len(timed) < LEAST_TIMED:
        return []
    worst, tier = timed[len(timed) * 19 // 20]
    if worst <= SLOW_MS:
        return []
    return [
        Finding(
            code="slow_answers",
            detail=f"One answer in twenty takes longer than {worst / 1000:.1f} s, those of the tier {tier}",
            cure="Use a smaller model or one with a GPU, let it be warmed up, or let fewer questions reach it: "
            "docs/ROUTING.md",
        )
    ]


def _misses(connection: Connection, now: float) -> list[Finding]:
    """Return whether hardly any question finds a kept answer."""
    answers, cached = _answered(connection, now - DAY)
    if answers < LEAST_ANSWERS or cached >= answers * FEWEST_HITS:
        return []
    return [
        Finding(
            code="cache_misses",
            detail=f"Of {answers} questions for models in a day {cached} found a kept answer",
            cure="That is as it should be where all of them differ. Else raise answers_mb, and give KITTY a "
            "model for finding memories, by which questions are known again that are asked in other words",
        )
    ]


def _memory(resident: int) -> list[Finding]:
    """Return whether the process has grown too large."""
    if resident <= MOST_MEMORY:
        return []
    return [
        Finding(
            code="memory_high",
            detail=f"The brain uses {resident / 1024**3:.1f} GB of memory",
            cure="Restart it; if it grows again, set debug and send what /debug/memory says. Models of the "
            "house run in a process of their own and do not count here",
        )
    ]


def _answered(connection: Connection, since: float) -> tuple[int, int]:
    """Return how many answers models gave since then, and how many of them were kept ones."""
    by_model = decisions.c.provider_id.is_not(None) | decisions.c.cached
    rows = connection.execute(
        select(decisions.c.cached, func.count())
        .where(decisions.c.created_at >= since, by_model)
        .group_by(decisions.c.cached)
    ).all()
    found = {bool(cached): int(count) for cached, count in rows}
    return sum(found.values()), found.get(True, 0)


def _dead(connection: Connection) -> int:
    """Return how much work was given up."""
    query = select(func.count()).select_from(work).where(work.c.status == "dead")
    return int(connection.execute(query).scalar_one())


def _harmless(settings: Settings) -> Json:
    """Return the settings: switches and numbers as they are, of words only whether there are any."""
    values = {item.name: getattr(settings, item.name) for item in fields(settings)}
    return {
        name: value if isinstance(value, bool | int | float) else bool(str(value))
        for name, value in values.items()
    }


def _redacted(told: Json) -> Json:
    """Return a diagnosis in whose words no secret stands."""
    checks = [
        part if part["detail"] in (None, OFF) else part | {"detail": redact(part["detail"])}
        for part in told["checks"]
    ]
    findings = [one | {"detail": redact(one["detail"])} for one in told["findings"]]
    return {"checks": checks, "findings": findings}
