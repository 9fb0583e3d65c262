"""One research at work: plan, search, read, report; each step is kept, so that nothing is done or paid twice.

A search engine is asked, pages are read, and models are asked without any tool: whatever a page says, there is
nothing that it could set in motion. What fails by the way is said in the report.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
from sqlalchemy import Connection

from brain_server.autonomy import research_rows as rows, research_words as words
from brain_server.autonomy.research_model import Answer, Wanted
from brain_server.autonomy.research_pages import Pages, is_settled
from brain_server.autonomy.research_parts import (
    CAPABILITY,
    LONGEST_QUESTION,
    SOURCE,
    UPDATED,
    Parts,
)
from brain_server.autonomy.research_text import (
    Finding,
    Quote,
    Source,
    addresses,
    chosen,
    excerpt,
    findings_of,
    quotes_of,
    sentences,
)
from brain_server.conversation.trust import Trust, shown, visible
from brain_server.errors import KittyError
from brain_server.fetch import MOST_TEXT
from brain_server.memory import HOUSE
from brain_server.memory.content import LONGEST
from brain_server.protocol import Json
from brain_server.providers import Message
from brain_server.schedule import Later, Run

MOST_PAGES: Final = 8
OF_HOST: Final = 2
PLAN_TOKENS: Final = 300
NOTE_TOKENS: Final = 1_200
REPORT_TOKENS: Final = 1_800
MOST_REPORTED: Final = 24_000
# How long one waits whose capability was switched off while it ran.
OFF: Final = 60.0


class Over(Exception):
    """The research was cancelled; nothing more of it may happen."""


class _Failed(Exception):
    """A step failed in a way that another try may mend; nothing of it is kept."""

    def __init__(self, error: KittyError) -> None:
        super().__init__(error.code)
        self.error = error


class Purse:
    """The money of one research, in its row."""

    def __init__(self, run: Run, row: Json, tell: Callable[[Json], None]) -> None:
        """Take the work, whose fence every change needs, and who is told of the cost."""
        self._run = run
        self._id = row["id"]
        self._tell = tell
        self.budget: int = row["budget_micro"]

    async def set_aside(self, micro: int) -> bool:
        """Set so much aside; False where the cap does not allow it; raises Over."""
        row = await self._run.write(lambda connection: rows.set_aside(connection, self._id, micro))
        if row is None:
            raise Over
        return bool(row["set_aside"])

    async def settle(self, micro: int, cost: int) -> None:
        """End what was set aside with what it cost."""
        row = await self._run.write(
            lambda connection: rows.settle(connection, self._id, micro, cost)
        )
        self._tell(row)


class Researching:
    """One research."""

    def __init__(self, parts: Parts, run: Run, row: Json) -> None:
        """Take what it works with, its piece of work and its row."""
        self._parts = parts
        self._run = run
        self._id: str = row["id"]
        self._question: str = row["question"]
        self._person: str | None = row["requested_by"]
        self._steps: list[Json] = row["steps"]
        self._purse = Purse(run, row, self._tell)
        self._pages = Pages(fetcher=parts.fetcher, privacy=parts.privacy)

    async def carry_out(self) -> Json:
        """Do what is left of it; raises Over, Later, and what no other step could make up for."""
        plan = await self._step("plan", "plan", "", self._plan, _told_queries)
        queries: list[str] = plan["queries"]
        found = await self._run.step("found", lambda: self._find(queries))
        await self._run.progress(0.2, f"{len(found['urls'])} pages")
        read = await self._run.step("pages", lambda: self._read_all(found["urls"]))
        sources = _sources(read["pages"])
        how = [plan, *read["pages"]]
        limits = [*_limits_found(found), *_limits_read(read)]
        if not sources:
            limits.append(words.limit("nothing_found"))
            return await self._finish([], sources, limits, None, error="nothing_found")
        await self._run.progress(0.9, "report")
        report = await self._step(
            "report", "report", "", lambda: self._report(sources), _told_findings
        )
        how.append(report)
        findings = [msgspec.convert(one, Finding) for one in report["findings"]]
        limits += _limits_written(report, findings)
        kept = await self._step(
            "remember",
            "remember",
            "",
            lambda: self._remember(findings, sources),
            lambda kept: kept.get("error"),
        )
        if "error" in kept:
            limits.append(words.limit("not_remembered", codes=[kept["error"]]))
        limits = [*_limits_asked(how), *limits]
        return await self._finish(findings, sources, limits, report["answered"])

    # -- the steps ------------------------------------------------------------------------------------

    async def _plan(self) -> Json:
        answer = await self._ask(
            lambda _room: words.plan(self._question), words.PLAN_SHAPE, PLAN_TOKENS
        )
        planned = [] if answer.value is None else answer.value["queries"]
        clean = (" ".join(shown(visible(one, words.LONGEST_QUERY)).split()) for one in planned)
        queries = list(dict.fromkeys(one for one in clean if one))
        return {"queries": queries or [visible(self._question, words.LONGEST_QUERY)]} | _how(answer)

    async def _find(self, queries: Sequence[str]) -> Json:
        """Search for each of the queries; raises the last error where none could be searched for."""
        groups: list[list[str]] = []
        errors: list[KittyError] = []
        for at, query in enumerate(queries, 1):
            try:
                found = await self._step(
                    f"search {at}", "search", query, self._searcher(query), _told_addresses
                )
            except _Failed as err:
                errors.append(err.error)
            else:
                groups.append(found["urls"])
        if errors and not groups:
            raise errors[-1]
        return {
            "urls": chosen(groups, most=MOST_PAGES, of_host=OF_HOST),
            "searches": len(queries),
            "failed": [err.code for err in errors],
        }

    def _searcher(self, query: str) -> Callable[[], Awaitable[Json]]:
        async def search() -> Json:
            try:
                found = await self._parts.search(query, "")
            except KittyError as err:
                raise _Failed(err) from err
            return {"urls": addresses(found)}

        return search

    async def _read_all(self, urls: Sequence[str]) -> Json:
        """Read the pages; raises the last error where none said anything and another try may help."""
        pages: list[Json] = []
        errors: list[KittyError] = []
        for at, url in enumerate(urls):
            await self._run.progress(0.2 + 0.7 * at / len(urls), f"page {at + 1} of {len(urls)}")
            try:
                page = await self._step(
                    f"read {at + 1}", "read", url, self._reader(url), _told_page
                )
            except _Failed as err:
                errors.append(err.error)
                page = {"error": err.error.code}
            pages.append(page)
        if errors and not any(page.get("quotes") for page in pages):
            raise errors[-1]
        return {"pages": pages}

    def _reader(self, url: str) -> Callable[[], Awaitable[Json]]:
        async def read() -> Json:
            try:
                page = await self._pages.read(url)
            except KittyError as err:
                if is_settled(err):
                    return {"error": err.code}
                raise _Failed(err) from err
            text = visible(page.text, MOST_TEXT)
            answer = await self._ask(
                lambda room: words.note(
                    self._question, page.url, excerpt(self._question, text, room)
                ),
                words.NOTE_SHAPE,
                NOTE_TOKENS,
            )
            if answer.value is None:
                quotes, dropped = await asyncio.to_thread(sentences, self._question, text), 0
            else:
                noted = answer.value["notes"]
                quotes, dropped = await asyncio.to_thread(quotes_of, noted, text)
            title = " ".join(shown(page.title or "").split()) or page.url
            return {
                "url": page.url,
                "title": title[: words.LONGEST_TITLE],
                "quotes": [{"claim": one.claim, "quote": one.quote} for one in quotes],
                "dropped": dropped,
            } | _how(answer)

        return read

    async def _report(self, sources: Sequence[Source]) -> Json:
        answer = await self._ask(
            lambda room: words.report(self._question, sources, room),
            words.REPORT_SHAPE,
            REPORT_TOKENS,
            most_shown=MOST_REPORTED,
        )
        written = answer.value or {"findings": [], "answered": None}
        findings, dropped = findings_of(written["findings"], sources)
        return {
            "findings": [msgspec.to_builtins(one) for one in findings],
            "answered": written["answered"],
            "dropped": dropped,
        } | _how(answer)

    async def _remember(self, findings: Sequence[Finding], sources: Sequence[Source]) -> Json:
        """Keep what was found where later questions find it, as words from outside."""
        text = words.remembered(self._question, findings, sources, LONGEST)
        person = self._person or HOUSE
        try:
            kept = await self._parts.memory.remember(person, text, SOURCE, Trust.OUTSIDE)
        except KittyError as err:
            return {"error": err.code}
        return {"memory_id": kept}

    async def _finish(
        self,
        findings: Sequence[Finding],
        sources: Sequence[Source],
        limits: Sequence[Json],
        answered: str | None,
        error: str | None = None,
    ) -> Json:
        now = self._parts.clock()
        day = datetime.fromtimestamp(now, UTC).date().isoformat()
        report = words.written(findings, sources, limits, answered)
        values: Json = {
            "status": "completed" if error is None else "failed",
            "report": f"{visible(self._question, LONGEST_QUESTION)}\n{day}\n\n{report}",
            "sources": [
                {"number": one.number, "url": one.url, "title": one.title} for one in sources
            ],
            "limits": list(limits),
            "answered": answered,
            "error": error,
        }

        def finish(connection: Connection) -> Json:
            return rows.finish(connection, self._id, now, values, sources)

        self._tell(await self._run.write(finish))
        return {"research_id": self._id, "sources": len(sources), "error": error}

    # -- what every step needs ------------------------------------------------------------------------

    async def _ask(
        self,
        build: Callable[[int], Sequence[Message]],
        shape: Json,
        max_tokens: int,
        **more: int,
    ) -> Answer:
        return await self._parts.readers.ask(
            Wanted(
                research_id=self._id,
                question=self._question,
                purse=self._purse,
                build=build,
                shape=shape,
                max_tokens=max_tokens,
                **more,
            )
        )

    async def _step(
        self,
        name: str,
        kind: str,
        what: str,
        do: Callable[[], Awaitable[Json]],
        told: Callable[[Json], str | None],
    ) -> Json:
        """Do a step, or take its result from an earlier try, for all to see; raises _Failed."""
        if not self._parts.switches.is_on(CAPABILITY):
            raise Later(OFF)
        was = next((one["status"] for one in self._steps if one["name"] == name), None)
        if was not in {"completed", "failed"}:
            await self._show(name, kind, what, "running", None)
        try:
            result = await self._run.step(name, do)
        except _Failed as err:
            await self._show(name, kind, what, "failed", err.error.code)
            raise
        status = "failed" if "error" in result else "completed"
        if was != status:
            await self._show(name, kind, what, status, result.get("error") or told(result))
        return result

    async def _show(self, name: str, kind: str, what: str, status: str, detail: str | None) -> None:
        shown_ = {
            "name": name,
            "kind": kind,
            "title": words.step(kind, what),
            "status": status,
            "detail": detail,
        }
        places = [at for at, one in enumerate(self._steps) if one["name"] == name]
        if places:
            self._steps[places[0]] = shown_
        else:
            self._steps.append(shown_)
        steps = list(self._steps)
        row = await self._run.write(lambda connection: rows.show(connection, self._id, steps))
        if row is None:
            raise Over
        self._tell(row)

    def _tell(self, row: Json) -> None:
        self._parts.bus.publish(UPDATED, rows.view(row))


# -- what is said of it -------------------------------------------------------------------------------


def _how(answer: Answer) -> Json:
    """Return how a model took part, to be told at the end."""
    return {
        "asked": answer.value is not None,
        "near": answer.is_near,
        "models_failed": answer.failed,
        "left_out": answer.left_out,
    }


def _sources(pages: Sequence[Json]) -> list[Source]:
    """Return the pages that say something, each once, numbered as the report cites them."""
    good = {page["url"]: page for page in reversed(pages) if page.get("quotes")}
    return [
        Source(
            number=number,
            url=page["url"],
            title=page["title"],
            quotes=tuple(msgspec.convert(one, Quote) for one in page["quotes"]),
        )
        for number, page in enumerate(reversed(good.values()), 1)
    ]


def _limits_asked(how: Sequence[Json]) -> list[Json]:
    """Return what is to be said of the models: that none was asked, or only those of the house, and why."""
    limits: list[Json] = []
    left_out = {code for one in how for code in one.get("left_out", ())}
    failed = {code for one in how for code in one.get("models_failed", ())}
    asked = [one for one in how if one.get("asked")]
    why = [words.WHY_FREE[code] for code in sorted(left_out & words.WHY_FREE.keys())]
    if not asked:
        limits.append(words.limit("no_model", why=f" ({why[0]})" if why else ""))
    if failed:
        limits.append(words.limit("model_failed", codes=failed))
    if "budget_reached" in left_out:
        limits.append(words.limit("budget_reached"))
    if asked and why and all(one["near"] for one in asked):
        limits.append(words.limit("house_only", why=why[0]))
    return limits


def _limits_found(found: Json) -> list[Json]:
    if not found["failed"]:
        return []
    failed = {"failed": len(found["failed"]), "all": found["searches"]}
    return [words.limit("searches_failed", **failed, codes=found["failed"])]


def _limits_read(read: Json) -> list[Json]:
    pages: list[Json] = read["pages"]
    errors = [page["error"] for page in pages if "error" in page]
    there = [page for page in pages if "error" not in page]
    silent = sum(not page["quotes"] for page in there)
    by_words = sum(not page["asked"] for page in there)
    dropped = sum(page["dropped"] for page in there)
    limits: list[Json] = []
    if errors:
        limits.append(words.limit("pages_unread", failed=len(errors), all=len(pages), codes=errors))
    if silent:
        limits.append(words.limit("pages_silent", count=silent))
    if 0 < by_words < len(there):
        limits.append(words.limit("pages_by_words", count=by_words))
    if dropped:
        limits.append(words.limit("quotes_dropped", count=dropped))
    return limits


def _limits_written(report: Json, findings: Sequence[Finding]) -> list[Json]:
    limits: list[Json] = []
    if report["dropped"]:
        limits.append(words.limit("findings_dropped", count=report["dropped"]))
    if any(one.doubts for one in findings):
        limits.append(words.limit("figures_doubted"))
    return limits


def _told_queries(plan: Json) -> str:
    return "; ".join(plan["queries"])


def _told_addresses(found: Json) -> str:
    return f"{len(found['urls'])} addresses"


def _told_page(page: Json) -> str:
    return f"{page['title']}: {len(page['quotes'])} quotes"


def _told_findings(report: Json) -> str:
    return f"{len(report['findings'])} findings"
