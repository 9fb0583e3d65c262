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
from brain_server.errors import InvalidRequest, NotFound, TooMany, Unauthorized
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
        self._known: dict[str, _Token] = {}

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
        if token is None or (token.expires_at is not None and token.expires_at <= now):
            raise Unauthorized("invalid_token", "A valid token is needed")
        elapsed = max(0.0, now - token.refilled)
        token.allowance = min(self._burst, token.allowance + elapsed * self._rate)
        token.refilled = now
        if token.allowance < 1:
            raise TooMany("rate_limited", "Too many requests; wait", retry_after=1)
        token.allowance -= 1
        return Caller(token=token.id, scope=token.scope, name=token.name)

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
    async def create(self, _caller: Caller, params: NewToken) -> Json:
        """Make a token; its text is shown this once."""
        made = secrets.token_urlsafe(32)
        token_id = await self._add(params.name, Scope[params.scope.upper()], made)
        return {"id": token_id, "token": made}

    @command("tokens.rotate", Scope.READ)
    async def rotate(self, caller: Caller, _params: NoParams) -> Json:
        """Replace one's own token; the old one works for another hour."""
        made = secrets.token_urlsafe(32)
        old = next(token for token in self._known.values() if token.id == caller.token)
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
        del self._known[digests[0]]
        await self._db.write(
            lambda connection: connection.execute(
                delete(tokens).where(tokens.c.id == params.token_id)
            )
        )
        return {}

    def _last_integration(self, token_id: str) -> bool:
        keep = [one.id for one in self._known.values() if one.scope is Scope.INTEGRATION]
        return keep == [token_id]

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
        self._known[row["digest"]] = _Token(
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
    return hashlib.sha256(token.encode()).hexdigest()
