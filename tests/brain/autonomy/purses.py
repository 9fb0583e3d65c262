"""Purses that are slow: what happens while one is open."""

import asyncio
from typing import Any

import pytest


def slow_purse(
    monkeypatch: pytest.MonkeyPatch, kind: type, step: str
) -> tuple[asyncio.Event, asyncio.Event]:
    """Hold up a step of every purse of a kind; returns what is set when it is there, and what lets it go on.

    What is set aside is so by then, what is settled is not.
    """
    at_it, go_on = asyncio.Event(), asyncio.Event()
    real = getattr(kind, step)

    async def slow(purse: Any, *given: int) -> Any:
        if step == "settle":
            at_it.set()
            await go_on.wait()
        done = await real(purse, *given)
        at_it.set()
        await go_on.wait()
        return done

    monkeypatch.setattr(kind, step, slow)
    return at_it, go_on
