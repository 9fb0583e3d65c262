"""The integration's end of the socket, as far as devices need it."""

from collections.abc import Callable
from typing import Any

from brain_server.errors import KittyError, Unavailable
from brain_server.protocol import Json

type Answer = Json | BaseException | Callable[[Json], Json]


class FakeLink:
    """Answers what a test laid ready, by method, and remembers what it was asked."""

    def __init__(self, **answers: Answer) -> None:
        """Lay answers ready; ``execute`` stands for ``ha.execute``."""
        self.answers: dict[str, Answer] = {f"ha.{name}": found for name, found in answers.items()}
        self.asked: list[tuple[str, Json]] = []
        self.timeouts: dict[str, float] = {}
        self.up = True

    async def call(self, method: str, params: Json, *, timeout: float) -> Json:  # noqa: ASYNC109 - as the link has it
        """Answer; Unavailable while the link is down."""
        self.asked.append((method, params))
        self.timeouts[method] = timeout
        if not self.up:
            raise Unavailable("home_assistant_offline", "Home Assistant is not connected")
        answer: Any = self.answers[method]
        if isinstance(answer, BaseException):
            raise answer
        found: Json = answer(params) if callable(answer) else answer
        return found

    def count(self, method: str) -> int:
        """Return how often something was asked."""
        return sum(asked == method for asked, _ in self.asked)


class Refused(KittyError):
    """What the link raises when Home Assistant answers with an error."""

    status = 502
