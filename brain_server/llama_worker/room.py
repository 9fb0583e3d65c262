"""Whether a model has room: what it needs against what this machine, or this container, has left."""

from dataclasses import dataclass
import math
from pathlib import Path
from typing import Final

from brain_server.errors import ProviderError
from brain_server.llama_worker import gguf

MB: Final = 1024 * 1024
# What a model takes beside its file: work space, and the process itself.
OVERHEAD: Final = 1.1
# Contexts that people choose from.
CONTEXTS: Final = (131_072, 65_536, 32_768, 16_384, 8_192, 4_096, 2_048, 1_024)
_NO_LIMIT: Final = 1 << 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What a model needs with a context that it can have, and the largest that has room (0: none)."""

    model: str
    architecture: str
    context: int
    most_context: int
    needs_mb: int
    free_mb: int
    fits: bool


def fits(path: Path, context: int, *, eyes: Path | None = None, root: Path = Path("/")) -> Advice:
    """Say whether a model has room with this context; ``model_missing``, ``provider_invalid``."""
    metadata = gguf.read(path)
    files = metadata.file_bytes + (gguf.read(eyes).file_bytes if eyes else 0)
    free = free_bytes(root)
    fixed = files * OVERHEAD

    def need(tokens: int) -> float:
        return fixed + tokens * metadata.token_bytes

    limit = metadata.context_length or max(context, CONTEXTS[0])
    context = min(context, limit)
    possible = [tokens for tokens in (limit, *CONTEXTS) if tokens <= limit]
    return Advice(
        model=path.name,
        architecture=metadata.architecture,
        context=context,
        most_context=max((tokens for tokens in possible if need(tokens) <= free), default=0),
        needs_mb=math.ceil(need(context) / MB),
        free_mb=free // MB,
        fits=need(context) <= free,
    )


def require(path: Path, context: int, *, eyes: Path | None = None, root: Path = Path("/")) -> None:
    """Raise ``model_too_large``, with the figures, when a model has no room."""
    advice = fits(path, context, eyes=eyes, root=root)
    if not advice.fits:
        raise too_large(advice)


def too_large(advice: Advice) -> ProviderError:
    """Return the error that tells what a model needs and what there is."""
    return ProviderError(
        "model_too_large",
        f"The model {advice.model} needs {advice.needs_mb} MB and {advice.free_mb} MB are free",
        model=advice.model,
        needs_mb=advice.needs_mb,
        free_mb=advice.free_mb,
        most_context=advice.most_context,
    )


def free_bytes(root: Path = Path("/")) -> int:
    """Return the memory that can be had without swapping: of the machine, or less in a container."""
    available = _NO_LIMIT
    for line in _lines(root / "proc/meminfo"):
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            available = int(rest.split()[0]) * 1024
    return min(available, *(_left(place) for place in _groups(root)))


def _groups(root: Path) -> list[Path]:
    """Return the control groups above this process, of version 2, and the one of version 1."""
    top = root / "sys/fs/cgroup"
    own = next(
        (line[3:] for line in _lines(root / "proc/self/cgroup") if line.startswith("0::")), "/"
    )
    place = top / own.strip("/")
    above = [group for group in (place, *place.parents) if group.is_relative_to(top)]
    return [*above, top, top / "memory"]


def _left(group: Path) -> int:
    """Return what a control group still allows; a page of a file can be given back at once."""
    for limit, used, kept in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        most, now = _number(group / limit), _number(group / used)
        if most is not None and now is not None:
            stats = dict(line.split(" ", 1) for line in _lines(group / "memory.stat"))
            return max(0, most - now + int(stats.get(kept, 0)))
    return _NO_LIMIT


def _number(path: Path) -> int | None:
    text = "".join(_lines(path))
    return int(text) if text.isdecimal() else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("ascii").splitlines()
    except OSError:
        return []
