"""What parameters of the inventory's commands look like."""

from typing import Annotated, Final

import msgspec

# Something that can be seen, and nothing that controls a terminal or a database.
_PRINTABLE: Final = r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$"

type Id = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
type Text = Annotated[
    str,
    msgspec.Meta(min_length=1, max_length=255, pattern=_PRINTABLE),
]
type Word = Annotated[
    str,
    msgspec.Meta(min_length=1, max_length=32, pattern=_PRINTABLE),
]
type Grams = Annotated[float, msgspec.Meta(ge=0, le=100_000)]
type Some = Annotated[float, msgspec.Meta(gt=0, le=100_000)]
type Full = Annotated[float, msgspec.Meta(ge=1, le=100_000)]
type Length = Annotated[float, msgspec.Meta(gt=0, le=100_000_000)]
type Money = Annotated[float, msgspec.Meta(ge=0, le=1_000_000)]
