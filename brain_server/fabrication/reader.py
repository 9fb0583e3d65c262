"""The process that reads one print file: it may hang, eat memory or crash without the brain noticing much.

``python -m brain_server.fabrication.reader facts|preview FILE PICTURE [PLATE]`` prints one line of JSON: what
it found out, or why the file is none. The best picture goes to PICTURE.
"""

from dataclasses import asdict
import json
import os
from pathlib import Path
import resource
import sys
from typing import Any, Final

from brain_server.fabrication.archive import BROKEN, opened
from brain_server.fabrication.gcode import Scan, best_picture, facts_of
from brain_server.fabrication.moves import Moves
from brain_server.fabrication.preview import draw

CPU_S: Final = 120
MEMORY: Final = 1024**3
NICE: Final = 10


def limit() -> None:
    """Give this process little, and make it the first to go when memory runs out."""
    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    Path("/proc/self/oom_score_adj").write_text("500", "ascii")


def examine(mode: str, path: Path, picture: Path, plate: int | None = None) -> dict[str, Any]:
    """Return the kind and the facts of a file and write its picture; ``{"error"}`` where it is none."""
    try:
        with opened(path, plate) as source:
            moves = Moves(keep=mode == "preview")
            scan = Scan(source, moves)
            scan.run()
            if not moves.commands:
                return {"error": "no G-code in it"}
            image = best_picture(scan.pictures)
            if moves.segments is not None:
                image = draw(moves.segments)
            if image is not None:
                picture.write_bytes(image)
            return {"kind": source.kind, "facts": asdict(facts_of(source, scan))}
    except BROKEN as err:
        return {"error": str(err)[:200] or type(err).__name__}


def main(arguments: list[str]) -> None:
    """Read one file and print what it is."""
    mode, path, picture, *plate = arguments
    limit()
    found = examine(mode, Path(path), Path(picture), int(plate[0]) if plate else None)
    sys.stdout.write(json.dumps(found, allow_nan=False))


if __name__ == "__main__":
    main(sys.argv[1:])
