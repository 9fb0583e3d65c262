"""What a conversation remembers: what was talked about, and the question that waits for an answer."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from .resolve import Resolution

REMEMBERED: Final = 200
ANSWER_WITHIN: Final = 120.0
FOCUS_FOR: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """Steps that wait for the answer to a question about one of them."""

    steps: tuple[Resolution, ...]
    asked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What the last turn of a conversation left behind, and for whom."""

    user_id: str | None
    at: float
    focus: tuple[str, ...] = ()
    pending: Pending | None = None


class Memory:
    """Keeps the last turn of each conversation for a while; another person finds nothing."""

    def __init__(self) -> None:
        """Start without conversations."""
        self._turns: OrderedDict[str, Turn] = OrderedDict()

    def recall(self, conversation_id: str | None, user_id: str | None, now: float) -> Turn:
        """Return what is still valid of the last turn; an empty one where nothing is."""
        turn = self._turns.get(conversation_id or "")
        if turn is None or turn.user_id != user_id or now - turn.at > FOCUS_FOR:
            return Turn(user_id=user_id, at=now)
        if turn.pending is not None and now - turn.at > ANSWER_WITHIN:
            return Turn(user_id=user_id, at=turn.at, focus=turn.focus)
        return turn

    def keep(self, conversation_id: str | None, turn: Turn) -> None:
        """Keep a turn as the last one of its conversation."""
        if conversation_id is None:
            return
        self._turns[conversation_id] = turn
        self._turns.move_to_end(conversation_id)
        while len(self._turns) > REMEMBERED:
            self._turns.popitem(last=False)

    def forget(self, conversation_id: str) -> None:
        """Forget a conversation that is over."""
        self._turns.pop(conversation_id, None)
