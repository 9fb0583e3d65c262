"""rank_bm25 on the same texts: how long a search takes, and what it finds. Runs in the peers' environment."""

import json
import re
import sys
import time

import numpy as np
from rank_bm25 import BM25Okapi  # type: ignore[import-not-found]  # lives in the environment of peers


def words(text: str) -> list[str]:
    """Return small words, as the package's own example does, without marks."""
    return re.findall(r"\w+", text.lower())


def main() -> None:
    """Read {"texts", "queries", "most"}; write the milliseconds and the best places of each query."""
    given = json.load(sys.stdin)
    index = BM25Okapi([words(text) for text in given["texts"]])
    times, found = [], []
    for query in given["queries"]:
        started = time.perf_counter()
        scores = index.get_scores(words(query))
        best = np.argsort(-scores, kind="stable")[: given["most"]]
        times.append((time.perf_counter() - started) * 1000)
        found.append([int(place) for place in best if scores[place] > 0])
    print(json.dumps({"ms": times, "found": found}))


if __name__ == "__main__":
    main()
