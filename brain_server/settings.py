"""Settings: read once from argv, the environment and the app's options file, then frozen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
import json
from pathlib import Path
from typing import Any

from brain_server.errors import InvalidRequest

ENV_PREFIX = "KITTY_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that a person may set. Each field is also ``KITTY_<FIELD>`` and a key of options.json."""

    data_dir: Path = Path("data")
    host: str = "127.0.0.1"
    port: int = 8100
    # PostgreSQL for both databases, e.g. postgresql+psycopg://user:password@host/kitty. Empty: two SQLite files.
    database_url: str = ""
    # A first token of scope `integration`; empty: one is made and written to <data_dir>/token.
    token: str = ""
    log_level: str = "info"
    debug: bool = False
    request_rate: float = 100.0
    request_burst: int = 200
    max_requests: int = 200
    max_clients: int = 1100
    client_queue: int = 512
    session_ttl: float = 3600.0
    telemetry_days: int = 30
    lockout_attempts: int = 5
    slow_query_ms: float = 250.0

    @classmethod
    def load(
        cls, overrides: Mapping[str, Any], environ: Mapping[str, str], options: Path | None = None
    ) -> Settings:
        """Merge options file < environment < overrides.

        Raises InvalidRequest ``invalid_setting`` with the field named when a value has the wrong type.
        """
        merged: dict[str, Any] = {}
        if options is not None and options.is_file():
            merged |= json.loads(options.read_text("utf-8"))
        merged |= {
            key.removeprefix(ENV_PREFIX).lower(): value
            for key, value in environ.items()
            if key.startswith(ENV_PREFIX)
        }
        merged |= {key: value for key, value in overrides.items() if value is not None}
        known = {item.name: item.default for item in fields(cls)}
        return cls(
            **{
                name: _typed(name, merged[name], default)
                for name, default in known.items()
                if name in merged
            }
        )

    @property
    def safety_url(self) -> str:
        """Return the address of the database that holds decisions and the audit chain."""
        return self.database_url or f"sqlite:///{self.data_dir / 'safety.db'}"

    @property
    def brain_url(self) -> str:
        """Return the address of the database that holds everything else."""
        return self.database_url or f"sqlite:///{self.data_dir / 'brain.db'}"


def _typed(name: str, value: Any, default: Any) -> Any:
    convert = (
        _boolean
        if isinstance(default, bool)
        else Path
        if isinstance(default, Path)
        else type(default)
    )
    try:
        return convert(str(value) if isinstance(value, bool) else value)
    except (TypeError, ValueError) as err:
        kind = "path" if isinstance(default, Path) else type(default).__name__
        raise InvalidRequest(
            "invalid_setting", f"Setting {name} must be of type {kind}", field=name
        ) from err


def _boolean(value: Any) -> bool:
    match str(value).lower():
        case "true" | "1" | "yes" | "on":
            return True
        case "false" | "0" | "no" | "off":
            return False
        case _:
            raise ValueError


def split_options(arguments: Sequence[str]) -> dict[str, str]:
    """Return ``--name value`` and ``--name=value`` pairs as settings; InvalidRequest for anything else."""
    known = {item.name for item in fields(Settings)}
    found: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        name = name.replace("-", "_")
        if not word.startswith("--") or name not in known or (not equals and not rest):
            raise InvalidRequest("invalid_argument", f"Unknown argument {word}", field=word)
        found[name] = value if equals else rest.pop(0)
    return found
