"""The tier that needs no model: what a plain sentence asks for, in microseconds, or that it is not certain.

What understands sentences is imported for the first of them.
"""

from typing import TYPE_CHECKING

from brain_server.conversation.rules.model import (
    Act,
    Ambiguous,
    Area,
    AskAudit,
    BadValue,
    Cancel,
    Chosen,
    Confirm,
    Help,
    Here,
    Home,
    Named,
    NeedsModel,
    NotFound,
    Pending,
    Person,
    Status,
    Understood,
    Unsupported,
)

if TYPE_CHECKING:
    from brain_server.conversation.rules.names import CompiledHome

__all__ = [
    "Act",
    "Ambiguous",
    "Area",
    "AskAudit",
    "BadValue",
    "Cancel",
    "Chosen",
    "Confirm",
    "Help",
    "Here",
    "Home",
    "Named",
    "NeedsModel",
    "NotFound",
    "Pending",
    "Person",
    "Status",
    "Understood",
    "Unsupported",
    "compile_home",
    "understand",
]


def compile_home(home: Home, code: str = "en") -> CompiledHome:
    """Take a home's names apart, for one language. Raises ModuleNotFoundError on an unknown one."""
    from brain_server.conversation.rules import names  # noqa: PLC0415 - 1 MB that only who speaks to KITTY needs

    return names.compile_home(home, code)


def understand(text: str, home: CompiledHome, here: Here) -> Understood:
    """Return what a sentence means in a home. Never raises; what is not certain needs a model."""
    from brain_server.conversation.rules import understanding  # noqa: PLC0415 - see above

    return understanding.understand(text, home, here)
