"""Tokens: 256 random bits, kept only as SHA-256, with a scope, an optional end, and rotation."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
import hashlib
import logging
import os
from pathlib import Path
import secrets
from typing import Annotated, Final, Literal

import msgspec
from sqlalchemy import Connection, bindparam, delete, insert, select, update

from brain_server.commands import Caller, NoParams, Page, Params, Scope, command, paged
from brain_server.errors import (
    Conflict,
    Forbidden,
    InvalidRequest,
    NotFound,
    TooMany,
    Unauthorized,
    Unavailable,
)
from brain_server.protocol import Json
from brain_server.storage import Database
from brain_server.storage.tables import new_id, tokens

_LOGGER = logging.getLogger(__name__)

ROTATION_OVERLAP: Final = 3600.0
# When a revoked token ended: its row stays, so that no setting brings it back.
REVOKED: Final = 0.0
LOOK_AGAIN: Final = 1.0
NOTE_USES_EVERY: Final = 60.0


class NewToken(Params):
    """A token to make."""

    name: Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9_-]{0,63}$")]
    scope: Literal["read", "control", "admin", "integration"]


class TokenId(Params):
    """One token."""

    token_id: str


@dataclass(slots=True)
class _Token:
    """A token that is known, and what it may still ask for."""

    id: str
    name: str
    scope: Scope
    expires_at: float | None
    last_used: float | None
    allowance: float
    refilled: float
    # What of ``last_used`` is stored.
    noted: float | None

    def ended(self, now: float) -> bool:
        """Tell whether its time is over."""
        return self.expires_at is not None and self.expires_at <= now


class Tokens:
    """Knows every token and how much each may still ask for in this second."""

    def __init__(
        self, database: Database, clock: Callable[[], float], *, rate: float, burst: int
    ) -> None:
        """Take the database and the requests per second, and at once, that one token may make."""
        self._db = database
        self._clock = clock
        self._rate = rate
        self._burst = float(burst)
        self._known: dict[str, _Token] = {}  # by digest
        self._by_id: dict[str, _Token] = {}
        self._revoked: set[str] = set()  # digests
        # By id: what was revoked, and is not known to be stored; it can be revoked again.
        self._unstored: set[str] = set()
        self._read_at = 0.0
        self._looking = asyncio.Lock()

    async def load(self, chosen: str, path: Path) -> None:
        """Read the tokens; with none yet, make the first one, of scope integration.

        ``chosen`` is the text that a person chose as a setting: it takes the place of the one chosen
        before, but a revoked one stays revoked. Without, one is made up and written to ``path`` (0600).
        """
        await self._read()
        if _digest(chosen) in self._revoked:
            _LOGGER.warning("The token of the setting was revoked and stays so; choose another")
        elif chosen:
            await self._choose(chosen)
        elif not self._known:
            made = secrets.token_urlsafe(32)
            await asyncio.to_thread(_write_private, path, made)
            await self._add("first", Scope.INTEGRATION, made)

    async def of_file(self, path: Path) -> str:
        """Return the token in a file that only we may read; a new one of scope integration when it has ended."""
        text = await asyncio.to_thread(
            lambda: path.read_text("ascii").strip() if path.exists() else ""
        )
        token = self._known.get(_digest(text))
        if token is None or token.ended(self._clock()):
            text = secrets.token_urlsafe(32)
            await self._add("app", Scope.INTEGRATION, text)
            await asyncio.to_thread(_write_private, path, text)
        return text

    async def look_up(self, header: str | None) -> None:
        """Learn of tokens that another process made, when one is shown that is not known.

        Whoever shows wrong ones makes the database be read once in a second and not more often.
        """
        digest = _shown(header)
        if digest is None or digest in self._known:
            return
        # Who comes while the database is read waits for what is found.
        async with self._looking:
            # A clock that was set back must not put this off.
            due = abs(self._clock() - self._read_at) >= LOOK_AGAIN
            if due and digest not in self._known:
                await self._read()

    def caller(self, header: str | None) -> Caller:
        """Return who sends this Authorization header.

        Raises Unauthorized ``invalid_token`` and TooMany ``rate_limited``.
        """
        token = self._known.get(_shown(header) or "")
        now = self._clock()
        if token is None or token.ended(now):
            raise _ended()
        elapsed = max(0.0, now - token.refilled)
        token.allowance = min(self._burst, token.allowance + elapsed * self._rate)
        token.refilled = now
        if token.allowance < 1:
            raise TooMany("rate_limited", "Too many requests; wait", retry_after=1)
        token.allowance -= 1
        token.last_used = now
        return Caller(token=token.id, scope=token.scope, name=token.name)

    def alive(self, token_id: str) -> bool:
        """Tell whether a token still counts, for a connection that was opened with it."""
        token = self._by_id.get(token_id)
        return token is not None and not token.ended(self._clock())

    def check(self, caller: Caller) -> None:
        """Raise Unauthorized ``invalid_token`` for a caller whose token has ended since it was shown."""
        if not self.alive(caller.token):
            raise _ended()

    @command("tokens.list", Scope.ADMIN, read_only=True)
    async def list(self, _caller: Caller, params: Page) -> Json:
        """List the tokens, without their text."""
        items = [
            {
                "id": token.id,
                "name": token.name,
                "scope": token.scope.name.lower(),
                "expires_at": token.expires_at,
                "last_used": token.last_used,
            }
            for token in self._known.values()
        ]
        return paged(items, params)

    @command("tokens.create", Scope.ADMIN)
    async def create(self, caller: Caller, params: NewToken) -> Json:
        """Make a token of at most one's own scope; its text is shown this once."""
        if caller.scope < Scope[params.scope.upper()]:
            raise Forbidden(
                "scope_required", f"This needs a token of scope {params.scope}", scope=params.scope
            )
        made = secrets.token_urlsafe(32)
        token_id = await self._add(params.name, Scope[params.scope.upper()], made)
        return {"id": token_id, "token": made}

    @command("tokens.rotate", Scope.READ)
    async def rotate(self, caller: Caller, _params: NoParams) -> Json:
        """Replace one's own token; the old one works for another hour."""
        made = secrets.token_urlsafe(32)
        self.check(caller)
        old = self._by_id[caller.token]
        if old.expires_at is not None:
            raise _rotated()
        row, until = self._row(old.name, old.scope, made), self._clock() + ROTATION_OVERLAP

        def work(connection: Connection) -> bool:
            # Once, and not what was revoked meanwhile: it would live on.
            same = (tokens.c.id == old.id, tokens.c.expires_at.is_(None))
            ending = update(tokens).where(*same).values(expires_at=until)
            if connection.execute(ending).rowcount == 0:
                return False
            connection.execute(insert(tokens).values(row))
            return True

        if not await self._db.write(work):
            raise _rotated()
        old.expires_at = until
        self._remember(row)
        return {"id": row["id"], "token": made}

    @command("tokens.revoke", Scope.ADMIN)
    async def revoke(self, _caller: Caller, params: TokenId) -> Json:
        """End a token at once."""
        digests = [key for key, token in self._known.items() if token.id == params.token_id]
        if not digests and params.token_id not in self._unstored:
            raise NotFound("token_not_found", "There is no such token")
        if self._last_integration(params.token_id):
            raise InvalidRequest("last_token", "Home Assistant would be locked out")
        for digest in digests:
            self._revoked.add(digest)
            self._unstored.add(params.token_id)
            del self._known[digest], self._by_id[params.token_id]
        await self._db.write(
            lambda connection: connection.execute(
                update(tokens).where(tokens.c.id == params.token_id).values(expires_at=REVOKED)
            )
        )
        self._unstored.discard(params.token_id)
        return {}

    async def keep_uses(self) -> None:
        """Store now and then when tokens were last used, for ever; no request waits for it."""
        while True:
            await asyncio.sleep(NOTE_USES_EVERY)
            await self.note_uses()

    async def note_uses(self) -> None:
        """Store when tokens were last used, all in one transaction; what cannot be stored can wait."""
        news = [one for one in self._by_id.values() if one.last_used != one.noted]
        if not news:
            return
        used = [one.last_used for one in news]
        rows = [{"key": one.id, "at": at} for one, at in zip(news, used, strict=True)]
        same = tokens.c.id == bindparam("key")
        query = update(tokens).where(same).values(last_used=bindparam("at"))
        try:
            await self._db.write(lambda connection: connection.execute(query, rows))
        except Unavailable as err:
            _LOGGER.warning("When tokens were used is not stored: %s", err.code)
            return
        for one, at in zip(news, used, strict=True):
            one.noted = at

    def _last_integration(self, token_id: str) -> bool:
        now = self._clock()
        ids = [one.id for one in self._known.values() if one.scope is Scope.INTEGRATION]
        return token_id in ids and not any(
            one != token_id and not self._by_id[one].ended(now) for one in ids
        )

    async def _read(self) -> None:
        """Learn every stored token that is not known yet."""
        try:
            rows = await self._db.read(
                lambda connection: connection.execute(select(tokens)).mappings().all()
            )
        finally:
            self._read_at = self._clock()
        for row in rows:
            if row["expires_at"] == REVOKED:
                self._revoked.add(row["digest"])
            elif row["digest"] not in self._known and row["digest"] not in self._revoked:
                self._remember(dict(row))

    async def _choose(self, text: str) -> None:
        """Make this the token of the setting, and end the one that was; in one transaction."""
        row = self._row("first", Scope.INTEGRATION, text) | {"from_setting": True}
        mine = tokens.c.digest == row["digest"]

        def work(connection: Connection) -> list[str]:
            others = (tokens.c.from_setting, tokens.c.digest != row["digest"])
            alive = (*others, tokens.c.expires_at.is_distinct_from(REVOKED))
            gone = list(connection.execute(select(tokens.c.digest).where(*alive)).scalars())
            connection.execute(delete(tokens).where(*alive))
            if not connection.execute(
                update(tokens).where(mine).values(from_setting=True)
            ).rowcount:
                connection.execute(insert(tokens).values(row))
            return gone

        for digest in await self._db.write(work):
            _LOGGER.info("The token of the setting has changed; the old one has ended")
            del self._by_id[self._known.pop(digest).id]
        if row["digest"] not in self._known:
            self._remember(row)

    def _row(self, name: str, scope: Scope, text: str) -> Json:
        return {
            "id": new_id(),
            "name": name,
            "scope": scope.name.lower(),
            "digest": _digest(text),
            "created_at": self._clock(),
            "expires_at": None,
            "last_used": None,
        }

    async def _add(self, name: str, scope: Scope, text: str) -> str:
        row = self._row(name, scope, text)
        await self._db.write(lambda connection: connection.execute(insert(tokens).values(row)))
        self._remember(row)
        return str(row["id"])

    def _remember(self, row: Json) -> None:
        # Found by a look and revoked before the one who stored it heard that it is stored.
        if row["digest"] in self._revoked:
            return
        self._known[row["digest"]] = self._by_id[row["id"]] = _Token(
            id=row["id"],
            name=row["name"],
            scope=Scope[row["scope"].upper()],
            expires_at=row["expires_at"],
            last_used=row["last_used"],
            allowance=self._burst,
            refilled=self._clock(),
            noted=row["last_used"],
        )


def _ended() -> Unauthorized:
    return Unauthorized("invalid_token", "A valid token is needed")


def _rotated() -> Conflict:
    return Conflict("already_rotated", "This token has been replaced; use the new one")


def _write_private(path: Path, token: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(token + "\n")


def _shown(header: str | None) -> str | None:
    """Return the digest of the token in an Authorization header."""
    scheme, _, text = (header or "").partition(" ")
    return _digest(text) if scheme.lower() == "bearer" else None


def _digest(token: str) -> str:
    # A header may hold bytes that are no UTF-8; they stand for no token, which is all that matters.
    return hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()
