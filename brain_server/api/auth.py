"""Tokens: 256 random bits, kept only as SHA-256, with a scope, an optional end, and rotation."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
import hashlib
import os
from pathlib import Path
import secrets
from typing import Annotated, Final, Literal

import msgspec
from sqlalchemy import delete, insert, select, update

from brain_server.commands import Caller, NoParams, Page, Params, Scope, command, paged
from brain_server.errors import (
    Conflict,
    Forbidden,
    InvalidRequest,
    NotFound,
    TooMany,
    Unauthorized,
)
from brain_server.protocol import Json
from brain_server.storage import Database
from brain_server.storage.tables import new_id, tokens

ROTATION_OVERLAP: Final = 3600.0


class NewToken(Params):
    """A token to make."""

    name: Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9_-]{0,63}$")]
    scope: Literal["read", "control", "admin", "integration"]


class TokenId(Params):
    """One token."""

    token_id: str


@dataclass(slots=True)
class _Token:
    id: str
    name: str
    scope: Scope
    expires_at: float | None
    allowance: float
    refilled: float

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

    async def load(self, first: str, path: Path) -> None:
        """Read the tokens; with none yet, make the first one, of scope integration.

        ``first`` is its text if the person chose one, else it is made up and written to ``path`` (0600).
        """
        rows = await self._db.read(
            lambda connection: connection.execute(select(tokens)).mappings().all()
        )
        for row in rows:
            self._remember(dict(row))
        if first and _digest(first) not in self._known:
            await self._add("first", Scope.INTEGRATION, first)
        elif not rows and not first:
            made = secrets.token_urlsafe(32)
            await asyncio.to_thread(_write_private, path, made)
            await self._add("first", Scope.INTEGRATION, made)

    def caller(self, header: str | None) -> Caller:
        """Return who sends this Authorization header.

        Raises Unauthorized ``invalid_token`` and TooMany ``rate_limited``.
        """
        scheme, _, text = (header or "").partition(" ")
        token = self._known.get(_digest(text)) if scheme.lower() == "bearer" else None
        now = self._clock()
        if token is None or token.ended(now):
            raise Unauthorized("invalid_token", "A valid token is needed")
        elapsed = max(0.0, now - token.refilled)
        token.allowance = min(self._burst, token.allowance + elapsed * self._rate)
        token.refilled = now
        if token.allowance < 1:
            raise TooMany("rate_limited", "Too many requests; wait", retry_after=1)
        token.allowance -= 1
        return Caller(token=token.id, scope=token.scope, name=token.name)

    def alive(self, token_id: str) -> bool:
        """Tell whether a token still counts, for a connection that was opened with it."""
        token = self._by_id.get(token_id)
        return token is not None and not token.ended(self._clock())

    @command("tokens.list", Scope.ADMIN, read_only=True)
    async def list(self, _caller: Caller, params: Page) -> Json:
        """List the tokens, without their text."""
        items = [
            {
                "id": token.id,
                "name": token.name,
                "scope": token.scope.name.lower(),
                "expires_at": token.expires_at,
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
        old = self._by_id[caller.token]
        if old.expires_at is not None:
            raise Conflict("already_rotated", "This token has been replaced; use the new one")
        token_id = await self._add(old.name, old.scope, made)
        old.expires_at = self._clock() + ROTATION_OVERLAP
        await self._db.write(
            lambda connection: connection.execute(
                update(tokens).where(tokens.c.id == old.id).values(expires_at=old.expires_at)
            )
        )
        return {"id": token_id, "token": made}

    @command("tokens.revoke", Scope.ADMIN)
    async def revoke(self, _caller: Caller, params: TokenId) -> Json:
        """End a token at once."""
        digests = [key for key, token in self._known.items() if token.id == params.token_id]
        if not digests:
            raise NotFound("token_not_found", "There is no such token")
        if self._last_integration(params.token_id):
            raise InvalidRequest("last_token", "Home Assistant would be locked out")
        del self._known[digests[0]], self._by_id[params.token_id]
        await self._db.write(
            lambda connection: connection.execute(
                delete(tokens).where(tokens.c.id == params.token_id)
            )
        )
        return {}

    def _last_integration(self, token_id: str) -> bool:
        now = self._clock()
        ids = [one.id for one in self._known.values() if one.scope is Scope.INTEGRATION]
        return token_id in ids and not any(
            one != token_id and not self._by_id[one].ended(now) for one in ids
        )

    async def _add(self, name: str, scope: Scope, text: str) -> str:
        row: Json = {
            "id": new_id(),
            "name": name,
            "scope": scope.name.lower(),
            "digest": _digest(text),
            "created_at": self._clock(),
            "expires_at": None,
        }
        await self._db.write(lambda connection: connection.execute(insert(tokens).values(row)))
        self._remember(row)
        return str(row["id"])

    def _remember(self, row: Json) -> None:
        self._known[row["digest"]] = self._by_id[row["id"]] = _Token(
            id=row["id"],
            name=row["name"],
            scope=Scope[row["scope"].upper()],
            expires_at=row["expires_at"],
            allowance=self._burst,
            refilled=self._clock(),
        )


def _write_private(path: Path, token: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(token + "\n")


def _digest(token: str) -> str:
    # A header may hold bytes that are no UTF-8; they stand for no token, which is all that matters.
    return hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()
