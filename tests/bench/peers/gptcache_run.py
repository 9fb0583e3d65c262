"""GPTCache with SQLite and faiss on vectors that it is given. Runs in the peers' environment."""

from contextlib import redirect_stdout
import json
from pathlib import Path
import sys
import tempfile
import time
from typing import Any

from gptcache import Cache  # type: ignore[import-not-found]  # lives in the environment of peers
from gptcache.adapter.api import get, put  # type: ignore[import-not-found]  # lives in the environment of peers
from gptcache.manager import (  # type: ignore[import-not-found]  # lives in the environment of peers
    CacheBase,
    VectorBase,
    get_data_manager,
)
from gptcache.similarity_evaluation.distance import (  # type: ignore[import-not-found]  # lives in the environment of peers
    SearchDistanceEvaluation,
)
import numpy as np


def cache_of(folder: str, vectors: dict[str, Any], width: int) -> Any:
    """Return a cache with its default threshold."""
    manager = get_data_manager(
        CacheBase("sqlite", sql_url=f"sqlite:///{folder}/c.db"),
        VectorBase("faiss", dimension=width, index_path=f"{folder}/c.index"),
        max_size=10_000_000,
    )
    made = Cache()
    made.init(
        embedding_func=lambda text, **_: vectors[text],
        data_manager=manager,
        similarity_evaluation=SearchDistanceEvaluation(),
        pre_embedding_func=lambda data, **_: data["prompt"],
    )
    return made


def sizes(given: Any) -> dict[str, Any]:
    """Return the milliseconds of lookups, by size and kind of question."""
    figures = {}
    for size in given["sizes"]:
        chance = np.random.default_rng(1)
        width = given["width"]
        stored = chance.standard_normal((size, width)).astype(np.float32)
        stored /= np.linalg.norm(stored, axis=1, keepdims=True)
        texts = [f"question {at}" for at in range(size)]
        vectors = dict(zip(texts, stored, strict=True))
        vectors |= {f"again {at}": stored[at] for at in range(given["count"])}
        for at in range(given["count"]):
            other = chance.standard_normal(width).astype(np.float32)
            vectors[f"other {at}"] = other / np.linalg.norm(other)
        with tempfile.TemporaryDirectory() as folder:
            made = cache_of(folder, vectors, width)
            made.data_manager.import_data(texts, ["answer"] * size, list(stored), [None] * size)
            figures[str(size)] = {
                kind: [timed(made, f"{word} {at}") for at in range(given["count"])]
                for kind, word in (("exact", "question"), ("similar", "again"), ("miss", "other"))
            }
    return figures


def timed(made: Any, text: str) -> float:
    """Return the milliseconds of one lookup."""
    started = time.perf_counter()
    get(text, cache_obj=made)
    return (time.perf_counter() - started) * 1000


def judged(given: Any) -> list[bool]:
    """Return for each pair whether the second question gets the answer of the first."""
    vectors = {text: np.asarray(one, dtype=np.float32) for text, one in given["vectors"].items()}
    hits = []
    for one, other in given["pairs"]:
        with tempfile.TemporaryDirectory() as folder:
            made = cache_of(folder, vectors, given["width"])
            put(one, "answer", cache_obj=made)
            hits.append(get(other, cache_obj=made) is not None)
    return hits


def main() -> None:
    """Read what to do, and write what came of it as the last line."""
    given = json.load(sys.stdin)
    with redirect_stdout(sys.stderr):
        done = sizes(given) if "sizes" in given else judged(given)
    sys.stdout.write(json.dumps(done) + "\n")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
