"""What every research works with, and how it is called; what carries one out is imported when there is one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from brain_server.autonomy.research_model import Readers
from brain_server.bus import Bus
from brain_server.capabilities import ALL_ON, Switches
from brain_server.conversation.search import Search
from brain_server.fetch import Fetcher
from brain_server.memory import Memory
from brain_server.routing.privacy import Privacy

CAPABILITY: Final = "research"
UPDATED: Final = "research.updated"
SOURCE: Final = "research"
LONGEST_QUESTION: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What every research works with."""

    bus: Bus
    clock: Callable[[], float]
    search: Search
    fetcher: Fetcher
    privacy: Privacy
    readers: Readers
    memory: Memory
    switches: Switches = ALL_ON
