"""What the peers' replicas of ``jobs`` have in common with ours: what they say, and what they do."""

import http.client
import os
import random
import threading
import time
from typing import Any

from sqlalchemy import create_engine, event, text

THIS: Any = threading.local()
EFFECT = text("INSERT INTO bench_effects (name) VALUES (:name)")


def say(word: str, name: str = "") -> None:
    """Write one line, whole or not at all, with a time that all processes share."""
    os.write(1, f"{word} {time.monotonic():.4f} {name}\n".encode())


def take_time(takes: list[float]) -> None:
    """Take some time."""
    time.sleep(random.uniform(*takes))  # by chance, as in a house


def call(port: int, name: str) -> int:
    """Do something to the world outside, each thread by a connection that it keeps."""
    if not hasattr(THIS, "line"):
        THIS.line = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        THIS.line.request("POST", "/", body=name.encode())
        answer = THIS.line.getresponse()
        answer.read()
    except OSError, http.client.HTTPException:
        del THIS.line
        raise
    return answer.status


def engine(url: str) -> Any:
    """Return the way to a database, as patient as SQLite lets it be."""
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True, pool_size=20)
    made = create_engine(url, connect_args={"timeout": 30})

    @event.listens_for(made, "connect")
    def _connected(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    return made
