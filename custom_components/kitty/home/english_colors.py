"""The English names of colours."""

from typing import Final

from .lexicon import word_set

COLORS: Final = word_set(
    "red green blue yellow orange purple pink white violet cyan magenta turquoise teal lime gold indigo "
    "lavender salmon coral maroon navy olive aqua beige crimson brown fuchsia peach mint black rose "
    "amber lilac khaki tan plum orchid tomato chocolate silver gray ivory"
)
