"""What the app's page says, in each language that it speaks."""

import json
from pathlib import Path
import re
from typing import Final

LANGUAGES: Final[dict[str, dict[str, str]]] = json.loads(
    Path(__file__).with_suffix(".json").read_text("utf-8")
)
FIRST: Final = "en"


def language_of(accepted: str) -> str:
    """Return the language of a person by the Accept-Language header of their browser."""
    words = (word.lower() for word in re.findall(r"[a-zA-Z]{2}(?=[-,; ]|$)", accepted))
    return next((word for word in words if word in LANGUAGES), FIRST)
