"""Models of meanings that need no weights: words and their parts, hashed into a few directions."""

import asyncio
from collections.abc import Sequence
import hashlib
import re

import numpy as np

from brain_server.errors import KittyError
from brain_server.memory import Source
from brain_server.memory.lexical import stem

WIDTH = 128


def hashed(text: str, width: int = WIDTH, salt: str = "") -> list[float]:
    """Return a vector in which texts that share words, or parts of words, lie near each other."""
    found = np.zeros(width, dtype=np.float64)
    for word in re.findall(r"\w+", text.casefold()):
        root = stem(word)
        parts = [f"<{root}>"] * 3 + [f"<{root}>"[at : at + 3] for at in range(len(root))]
        for part in parts:
            digest = hashlib.blake2b(f"{salt}{part}".encode(), digest_size=8).digest()
            place = int.from_bytes(digest[:4]) % width
            found[place] += 1.0 if digest[4] & 1 else -1.0
    length = float(np.linalg.norm(found))
    return list(found / length) if length else [1.0] + [0.0] * (width - 1)


class Hashing:
    """A model that counts how often it is asked; ``error`` is raised, ``given`` said instead."""

    def __init__(self, name: str = "house/hashing", width: int = WIDTH, salt: str = "") -> None:
        """Take the name, and what makes its space another one."""
        self.name = name
        self.width = width
        self.salt = salt
        self.asked: list[list[str]] = []
        self.error: KittyError | None = None
        self.given: list[Sequence[float]] | None = None
        self.bad_words: set[str] = set()
        self.gate = asyncio.Event()
        self.gate.set()

    async def embed(self, texts: Sequence[str]) -> list[Sequence[float]]:
        """Return one vector for each text."""
        self.asked.append(list(texts))
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        if self.given is not None:
            return self.given
        if any(word in text for word in self.bad_words for text in texts):
            raise KittyError("provider_failed", "It does not like a word")
        return [hashed(text, self.width, self.salt) for text in texts]

    def source(self) -> Source:
        """Return the model as it is set up."""
        return Source(name=self.name, model=self)
