"""Privacy: what may leave the house, by kind and by area. What stays in the house is not judged.

Everything that would go to somebody else's machine is a *piece*. The most specific rule decides about it.
Two things no rule can allow: what belongs to somebody else than the one who asks, and what looks like a
secret. A piece that is not needed is left out; when a needed one may not leave, nothing does.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
import re
from typing import Annotated, Final

import msgspec
from sqlalchemy import Connection

from brain_server.commands import Caller, NoParams, Params, Scope, command
from brain_server.errors import Forbidden, InvalidRequest
from brain_server.observability import redact
from brain_server.protocol import Json
from brain_server.routing import stored
from brain_server.storage import Database

_KEY: Final = "privacy"
MOST_RULES: Final = 500


class Kind(StrEnum):
    """What a piece is about."""

    CAMERA = "camera"
    LOCATION = "location"
    PRESENCE = "presence"
    CALENDAR = "calendar"
    MESSAGES = "messages"
    MEMORY = "memory"
    DEVICE_STATE = "device_state"
    NAMES = "names"
    PROMPT = "prompt"


# Pictures and who is where stay in the house until somebody allows it.
PRIVATE: Final = frozenset({Kind.CAMERA, Kind.LOCATION, Kind.PRESENCE})
# What decides beside the kinds.
OFFLINE: Final = "offline_mode"
REFUSED: Final = "privacy_refused"
OF_OTHERS: Final = "of_others"
SECRET: Final = "secret"  # noqa: S105 - the name of a rule
# Beside what a log would blot out: keys by their form, and words that are said to be secret.
_KEYS: Final = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\b(?:sk|pk|rk)-[\w-]{16,}|\bgh[pousr]_\w{20,}|\bAKIA[0-9A-Z]{16}\b"
    r"|\beyJ[\w-]{10,}\.[\w-]+\.[\w-]+"
    r"|(?i:\b(?:password|passphrase|passcode|pin|code)\s+(?:is|are)\b[\s:]*(?=\S*\d)\S{4,})"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Something that would leave: a kind that is not known never does.

    ``needed``: without it the question makes no sense, as the picture of "what is on this picture?".
    """

    kind: str
    area_id: str | None = None
    needed: bool = True
    of_other: bool = False
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether the question may go, which pieces must stay behind, and what decided that."""

    allowed: bool
    reason: str | None = None
    rule: str | None = None
    area_id: str | None = None
    dropped: tuple[Piece, ...] = ()


class Rule(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Whether a kind may leave, everywhere or in one area."""

    kind: Kind
    allow: bool
    area_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None


class SetPrivacy(Params):
    """New rules, which replace those before; what no rule names is as it was at first."""

    rules: Annotated[list[Rule], msgspec.Meta(max_length=MOST_RULES)] | None = None
    offline_mode: bool | None = None


class Privacy:
    """Judges what may leave."""

    def __init__(self, database: Database, notify: Callable[[str, Json], object]) -> None:
        """Take the database of the rules and the bus; :meth:`load` before the first question."""
        self._db = database
        self._notify = notify
        self.offline_mode = False
        self._rules: Mapping[tuple[str, str | None], bool] = {}
        self._use({})

    async def load(self) -> None:
        """Read the rules that are stored."""
        found = await self._db.read(lambda connection: stored.load(connection, _KEY))
        self._use(found or {})

    def judge(self, *, leaves_house: bool, pieces: Iterable[Piece]) -> Verdict:
        """Say whether a question may go to a model, and what must be left out."""
        known = tuple(pieces)
        if not leaves_house:
            secrets = (piece for piece in known if not piece.needed and _is_secret(piece))
            return Verdict(allowed=True, dropped=tuple(secrets))
        if self.offline_mode:
            return Verdict(allowed=False, reason=OFFLINE)
        kept_in = {piece: rule for piece in known if (rule := self._against(piece)) is not None}
        for piece, rule in kept_in.items():
            if piece.needed:
                return Verdict(allowed=False, reason=REFUSED, rule=rule, area_id=piece.area_id)
        return Verdict(allowed=True, dropped=tuple(kept_in))

    def refusal(self, *, leaves_house: bool, pieces: Iterable[Piece]) -> str | None:
        """Return the code of the error that :meth:`check` would raise, None when it would not."""
        return self.judge(leaves_house=leaves_house, pieces=pieces).reason

    def check(self, *, leaves_house: bool, pieces: Iterable[Piece]) -> tuple[Piece, ...]:
        """Return the pieces that must be left out.

        Raises Forbidden ``offline_mode``, or ``privacy_refused`` with the rule and the area.
        """
        verdict = self.judge(leaves_house=leaves_house, pieces=pieces)
        if verdict.reason == OFFLINE:
            raise Forbidden("offline_mode", "Nothing may leave the house now")
        if verdict.reason == REFUSED:
            raise Forbidden(
                "privacy_refused",
                f"This may not leave the house: {verdict.rule}",
                rule=verdict.rule,
                area_id=verdict.area_id,
            )
        return verdict.dropped

    def _against(self, piece: Piece) -> str | None:
        """Return the rule that keeps a piece in the house, None when it may leave."""
        if _is_secret(piece):
            return SECRET
        if piece.of_other:
            return OF_OTHERS
        everywhere = self._rules.get((piece.kind, None), False)
        return None if self._rules.get((piece.kind, piece.area_id), everywhere) else piece.kind

    def _use(self, value: Json) -> None:
        self.offline_mode = value.get("offline_mode", False)
        first = {(kind.value, None): kind not in PRIVATE for kind in Kind}
        changed = {
            (rule["kind"], rule.get("area_id")): rule["allow"] for rule in value.get("rules", ())
        }
        self._rules = first | changed

    def _view(self) -> Json:
        return {
            "offline_mode": self.offline_mode,
            "rules": [
                {"kind": kind, "area_id": area_id, "allow": allow}
                for (kind, area_id), allow in sorted(
                    self._rules.items(), key=lambda item: (item[0][0], item[0][1] or "")
                )
            ],
        }

    # -- commands -------------------------------------------------------------------------------------

    @command("privacy.get", Scope.READ, read_only=True)
    async def get(self, _caller: Caller, _params: NoParams) -> Json:
        """Return the rules that are in force, those for every kind and those for areas."""
        return self._view()

    @command("privacy.set", Scope.ADMIN)
    async def set(self, _caller: Caller, params: SetPrivacy) -> Json:
        """Replace the rules or turn the offline mode on or off; InvalidRequest ``duplicate``."""
        changed: Json = {}
        if params.rules is not None:
            changed["rules"] = msgspec.to_builtins(_once_each(params.rules))
        if params.offline_mode is not None:
            changed["offline_mode"] = params.offline_mode

        def work(connection: Connection) -> Json:
            value = (stored.load(connection, _KEY) or {}) | changed
            stored.store(connection, _KEY, value)
            return value

        async def put() -> None:
            self._use(await self._db.write(work))
            self._notify("privacy.updated", self._view())

        # To its end, though its time is over: what is stored is what is in force.
        await asyncio.shield(put())
        return self._view()


def _once_each(rules: list[Rule]) -> list[Rule]:
    seen: set[tuple[str, str | None]] = set()
    for rule in rules:
        if (rule.kind, rule.area_id) in seen:
            raise InvalidRequest(
                "duplicate", f"The rules name {rule.kind} twice", field="rules", value=rule.kind
            )
        seen.add((rule.kind, rule.area_id))
    return rules


def _is_secret(piece: Piece) -> bool:
    return bool(_KEYS.search(piece.text)) or redact(piece.text) != piece.text
