"""Brings notifications where they should go: a piece of work for each and each of its channels.

What fails is tried again after growing waits. What is delivered twice, because nobody saw the first one
arrive, has the same id: Home Assistant and receivers of webhooks take it once.
"""

from collections.abc import Callable
from datetime import UTC, datetime
import json
from typing import Final

from sqlalchemy import Connection

from brain_server.capabilities import ALL_ON, Switches
from brain_server.errors import InvalidRequest, KittyError, NotFound, Unavailable
from brain_server.house import HomeAssistantLink
from brain_server.notify import rows, words
from brain_server.notify.quiet import Quiet
from brain_server.notify.rows import KIND, PUSH, WAITS, Letter
from brain_server.notify.webhook import Webhooks
from brain_server.protocol import Json
from brain_server.schedule.worker import Kind, Later, Run
from brain_server.storage import Database

CONCURRENCY: Final = 8
TIMEOUT: Final = 90.0
# 5 s, 10 s, 20 s, ... a quarter of an hour: an hour in all.
TRIES: Final = 12
FIRST_WAIT: Final = 5.0
MOST_WAIT: Final = 900.0
HOUSE_TIMEOUT: Final = 60.0
# How soon it is looked again whether Home Assistant is back, or a switch is on.
LOOK_AGAIN: Final = 15.0
MOST_AGE: Final = 7 * 86_400.0
WEBHOOK: Final = "webhook"
SLACK: Final = "slack"


class Courier:
    """Delivers; :attr:`kind` is what a worker must know."""

    def __init__(
        self,
        database: Database,
        link: HomeAssistantLink,
        webhooks: Webhooks,
        clock: Callable[[], float],
        *,
        quiet: Quiet | None = None,
        switches: Switches = ALL_ON,
        first_wait: float = FIRST_WAIT,
    ) -> None:
        """Take the roads, the hours in which only what is critical goes, and the switches."""
        self._db = database
        self._link = link
        self.webhooks = webhooks
        self._clock = clock
        self._quiet = quiet
        self._switches = switches
        self.kind = Kind(
            name=KIND,
            run=self._run,
            concurrency=CONCURRENCY,
            timeout=TIMEOUT,
            tries=TRIES,
            first_wait=first_wait,
            most_wait=MOST_WAIT,
            blocked=lambda: None if switches.is_on("notifications") else "notifications",
        )

    async def send(self, letter: Letter) -> Json:
        """Send once, now; returns what is known of how it arrived."""
        channel = letter.channel
        assert channel is not None  # noqa: S101 - whoever sends has looked
        is_webhook = channel["type"] == WEBHOOK
        self._switches.require("webhooks" if is_webhook else "notifications")
        if is_webhook:
            body = webhook_body(letter)
            url, secret = channel["target"], channel["secret"]
            now = self._clock()
            await self.webhooks.send(url, secret, message_id=letter.id, body=body, now=now)
            return {}
        return await self._to_house(letter, channel)

    async def _run(self, run: Run) -> Json:
        delivery_id = str(run.payload["delivery_id"])
        letter = await self._db.read(lambda connection: rows.letter(connection, delivery_id))
        if letter is None or letter.status == "sent":
            return {}
        try:
            self._check(letter)
            known = await self.send(letter)
        except KittyError as err:
            await run.write(self._noting(letter, err, last=run.tries >= TRIES))
            if err.code in WAITS:
                raise Later(LOOK_AGAIN) from err
            raise
        now = self._clock()
        await run.write(lambda connection: rows.arrived(connection, now, letter.id, known))
        return {"channel_id": letter.channel and letter.channel["id"]}

    def _check(self, letter: Letter) -> None:
        """Refuse what should no longer be sent; Later for what should not be sent yet."""
        row, now = letter.notification, self._clock()
        if now - row["created_at"] > MOST_AGE:
            raise InvalidRequest("notification_expired", "It is too old to be of use")
        channel = letter.channel
        if channel is None or not channel["enabled"]:
            raise NotFound("channel_not_found", "There is no such channel, or it is off")
        if channel["type"] == WEBHOOK and not self._switches.is_on("webhooks"):
            raise Later(LOOK_AGAIN)
        until = self._quiet.until(now) if self._quiet and row["severity"] != "critical" else None
        if until is not None:
            raise Later(until - now)

    def _noting(
        self, letter: Letter, err: KittyError, *, last: bool
    ) -> Callable[[Connection], None]:
        now, status = self._clock(), err.fields.get("http_status")
        over = err.code not in WAITS and (last or isinstance(err, InvalidRequest | NotFound))
        return lambda connection: rows.failed(
            connection, now, letter.id, err.code, http_status=status, over=over
        )

    async def _to_house(self, letter: Letter, channel: Json) -> Json:
        """Have Home Assistant show it on phones, or hand it to one of its notifiers."""
        row = letter.notification
        text = {"title": row["title"], "message": row["message"]}
        if channel["type"] == SLACK:
            text = {name: words.without_mentions(part) for name, part in text.items()}
        asked: Json = {
            "delivery_id": letter.id,
            "notification_id": row["id"],
            "key": row["key"],
            "target": None if channel["id"] == PUSH else channel["target"],
            "severity": row["severity"],
            "user_id": row["user_id"],
            "actions": rows.shown(row["actions"]),
            **text,
        }
        try:
            answer = await self._link.call("ha.notify", asked, timeout=HOUSE_TIMEOUT)
        except TimeoutError as err:
            raise Unavailable("no_answer", "Home Assistant does not answer") from err
        told = answer.get("told")
        return {"told": told} if isinstance(told, list) else {}


def webhook_body(letter: Letter) -> bytes:
    """Return what a webhook says: the same bytes each time."""
    row = letter.notification
    named = ("id", "key", "severity", "title", "message", "data", "created_at")
    said = {
        "type": "kitty.notification",
        "timestamp": datetime.fromtimestamp(row["created_at"], UTC).isoformat(),
        "data": {name: row[name] for name in named},
    }
    return json.dumps(said, separators=(",", ":")).encode()
