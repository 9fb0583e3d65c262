"""Settings: read once from argv, the environment and the app's options file, then frozen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
import json
import math
from pathlib import Path
import re
from typing import Any, Final

from brain_server.errors import InvalidRequest

ENV_PREFIX: Final = "KITTY_"
MOST_PORT: Final = 65_535
LOG_LEVELS: Final = ("debug", "info", "warning", "error", "critical")
MAY_BE_ZERO: Final = frozenset(
    {"budget_daily", "budget_monthly", "energy_price", "machine_price", "research_budget"}
)
SHARES: Final = frozenset({"budget_soft", "trace_sample"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that a person may set. Each field is also ``KITTY_<FIELD>`` and a key of options.json."""

    data_dir: Path = Path("data")
    host: str = "127.0.0.1"
    port: int = 8100
    # PostgreSQL for both databases, e.g. postgresql+psycopg://user:password@host/kitty. Empty: two SQLite files.
    database_url: str = ""
    # Where several brains share a PostgreSQL: seconds without a sign of life after which another one takes over.
    lease_ttl: float = 4.0
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
    # How many days print files are kept that nobody uses, and how many megabytes of them at most.
    artifact_days: int = 30
    artifacts_mb: int = 4096
    lockout_attempts: int = 5
    slow_query_ms: float = 250.0
    # What models may cost in a day and in a month, and the share from which on cheap ones are preferred.
    budget_daily: float = 1.0
    budget_monthly: float = 10.0
    budget_soft: float = 0.8
    currency: str = "EUR"
    # What a kilowatt-hour costs where no prices are told, and an hour of a printer. 0: not counted.
    energy_price: float = 0.0
    machine_price: float = 0.0
    # How many questions the models in the house answer at once.
    model_slots: int = 4
    # The hours of every day in which electricity is cheap, e.g. 22:00-06:00, where no prices are told.
    cheap_hours: str = ""
    # When only what is critical may ring, every day, e.g. 22:00-07:00 Europe/Berlin (UTC without a zone). Empty: never.
    quiet_hours: str = ""
    # What the weekly research may spend of the budget before anybody agreed to anything.
    research_budget: float = 0.0
    # A Qdrant server for the vectors of memory, e.g. http://qdrant:6333. Empty: they stay in the database.
    qdrant_url: str = ""
    qdrant_api_key: str = ""
    # How many megabytes of answers are kept for questions that come again.
    answers_mb: int = 32
    # The ONNX network that judges prints where a camera has no other: a name in <data_dir>/models, or a whole path.
    detector: str = ""
    # A Spoolman server that knows the spools, e.g. http://spoolman:7912, and how often it is asked. Empty: none.
    spoolman_url: str = ""
    spoolman_interval: float = 60.0
    # An MQTT broker that is told of events, e.g. mqtt://user:password@host, mqtts:// with TLS. Empty: none.
    mqtt_url: str = ""
    # What every topic there begins with, and the names of exchanges, streams and topics of the other broker.
    mqtt_prefix: str = "kitty"
    # Whether it is also told what people say, and whether it may ask devices for something.
    mqtt_content: bool = False
    mqtt_commands: bool = False
    # Another broker that is told of events: amqp(s)://, nats://, tls:// (NATS), kafka(s)://. Empty: none.
    broker_url: str = ""
    # How many days events are kept for those who come back to read them.
    outbox_days: int = 7
    # Where traces go, e.g. http://collector:4318, and the share of requests that is traced. Empty: nowhere.
    otlp_endpoint: str = ""
    trace_sample: float = 0.1

    @classmethod
    def load(
        cls, overrides: Mapping[str, Any], environ: Mapping[str, str], options: Path | None = None
    ) -> Settings:
        """Merge options file < environment < overrides.

        Raises InvalidRequest ``invalid_setting`` with the field named when a value has the wrong type.
        """
        merged = _read(options) if options is not None and options.is_file() else {}
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
                if merged.get(name) is not None
            }
        )

    def __post_init__(self) -> None:
        """Refuse what no brain could run with; InvalidRequest ``invalid_setting``."""
        if self.log_level.lower() not in LOG_LEVELS:
            levels = ", ".join(LOG_LEVELS)
            raise InvalidRequest(
                "invalid_setting", f"Setting log_level must be one of {levels}", field="log_level"
            )
        if not 0 <= self.port <= MOST_PORT:
            raise InvalidRequest(
                "invalid_setting", f"Setting port must be between 0 and {MOST_PORT}", field="port"
            )
        for item in fields(self):
            value = getattr(self, item.name)
            if (
                isinstance(value, int | float)
                and not isinstance(value, bool)
                and item.name != "port"
                and not 0 < value < math.inf
                and not (value == 0 and item.name in MAY_BE_ZERO)
            ):
                raise InvalidRequest(
                    "invalid_setting", f"Setting {item.name} must be above 0", field=item.name
                )
            if item.name in SHARES and value > 1:
                raise InvalidRequest(
                    "invalid_setting", f"Setting {item.name} must be at most 1", field=item.name
                )
        if not re.fullmatch("[A-Za-z0-9_-]{1,32}", self.mqtt_prefix):
            raise InvalidRequest(
                "invalid_setting",
                "Setting mqtt_prefix must be one word, e.g. kitty",
                field="mqtt_prefix",
            )
        if not re.fullmatch("[A-Z]{3}", self.currency):
            raise InvalidRequest(
                "invalid_setting",
                "Setting currency must be three letters, e.g. EUR",
                field="currency",
            )

    @property
    def shares_database(self) -> bool:
        """Whether other brains may use the same database, of which one at a time is awake."""
        return self.database_url.startswith("postgresql")

    @property
    def safety_url(self) -> str:
        """Return the address of the database that holds decisions and the audit chain."""
        return self.database_url or f"sqlite:///{self.data_dir / 'safety.db'}"

    @property
    def brain_url(self) -> str:
        """Return the address of the database that holds everything else."""
        return self.database_url or f"sqlite:///{self.data_dir / 'brain.db'}"


def _read(options: Path) -> dict[str, Any]:
    try:
        found = json.loads(options.read_text("utf-8"))
    except (OSError, ValueError) as err:
        raise InvalidRequest(
            "invalid_setting", f"{options} cannot be read", field="options"
        ) from err
    if not isinstance(found, dict):
        raise InvalidRequest(
            "invalid_setting", f"{options} must hold a JSON object", field="options"
        )
    return found


def _typed(name: str, value: Any, default: Any) -> Any:
    try:
        return _converted(value, default)
    except ValueError as err:
        kind = "path" if isinstance(default, Path) else type(default).__name__
        raise InvalidRequest(
            "invalid_setting", f"Setting {name} must be of type {kind}", field=name
        ) from err


def _converted(value: Any, default: Any) -> Any:
    match default:
        case bool():
            return _boolean(value)
        case Path() if isinstance(value, str | Path):
            return Path(value)
        case str() if isinstance(value, str):
            return value
        case int() if isinstance(value, int | str) and not isinstance(value, bool):
            return int(value)
        case float() if isinstance(value, int | float | str) and not isinstance(value, bool):
            return float(value)
        case _:
            raise ValueError


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
