"""The app's files as those read them who decide whether it can be installed."""

from collections.abc import Iterator, Mapping
from pathlib import Path
import re
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

ROOT: Final = Path(__file__).parents[2]
ADDON: Final = ROOT / "addon"
CONFIG: Final[dict[str, Any]] = yaml.safe_load((ADDON / "config.yaml").read_text("utf-8"))

# What one option of the schema may be, in the Supervisor's own words.
RANGE: Final = r"(?:\((?:[\d.]+)?,(?:[\d.]+)?\))?"
OPTION: Final = re.compile(
    rf"^(?:bool|email|url|port|str{RANGE}|password{RANGE}|int{RANGE}|float{RANGE}|match\(.+\)|list\(.+\))\??$"
)
# Keys with a default, which the linter of the app store wants gone when they say no more than that.
DEFAULTS: Final[dict[str, Any]] = (
    dict.fromkeys(
        (
            *(
                "advanced",
                "audio",
                "auth_api",
                "auto_uart",
                "devicetree",
                "docker_api",
                "full_access",
                "gpio",
            ),
            *(
                "hassio_api",
                "homeassistant_api",
                "host_dbus",
                "host_ipc",
                "host_network",
                "host_pid",
                "host_uts",
            ),
            *(
                "ingress",
                "ingress_stream",
                "journald",
                "kernel_modules",
                "legacy",
                "realtime",
                "stdin",
                "tmpfs",
            ),
            *("uart", "udev", "usb", "video"),
        ),
        False,
    )
    | dict.fromkeys(("apparmor", "init", "panel_admin"), True)
    | {
        "backup": "hot",
        "boot": "auto",
        "hassio_role": "default",
        "ingress_port": 8099,
        "options": {},
        "panel_icon": "mdi:puzzle",
        "schema": {},
        "stage": "stable",
        "startup": "application",
        "timeout": 10,
        "ulimits": {},
    }
)
TEXT: Final = {
    *("name", "version", "slug", "description", "url", "homeassistant", "image"),
    *("panel_icon", "panel_title", "backup_pre", "backup_post"),
}
LISTS: Final = {"arch", "discovery", "services", "backup_exclude", "breaking_versions"}
MAPS: Final = {"options", "schema", "ports"}
REQUIRED: Final = {"name", "version", "slug", "description", "arch"}
PATTERNS: Final = {
    "slug": r"[-_.A-Za-z0-9]+",
    "image": r"([a-zA-Z\-.:\d{}]+/)*?([\-\w{}]+)/([\-\w{}]+)",
    "version": r"\d+\.\d+\.\d+",
    "homeassistant": r"\d{4}\.\d+\.\d+",
}


def mistakes(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield why the Supervisor or the linter of the app store would not take a configuration."""
    yield from (f"{key} is missing" for key in sorted(REQUIRED - config.keys()))
    for key, value in config.items():
        if key in DEFAULTS and value == DEFAULTS[key] and type(value) is type(DEFAULTS[key]):
            yield f"{key} says its default"
        elif problem := _shape(key, value):
            yield f"{key}: {problem}"
    yield from _together(config)
    yield from _options(config.get("options", {}), config.get("schema", {}))


def _shape(key: str, value: Any) -> str | None:
    if key in TEXT:
        fits = isinstance(value, str) and re.fullmatch(PATTERNS.get(key, "(?s).+"), value)
    elif key in LISTS:
        fits = isinstance(value, list) and all(isinstance(one, str) for one in value)
    elif key in MAPS:
        fits = isinstance(value, dict)
    elif isinstance(DEFAULTS.get(key), bool):
        fits = isinstance(value, bool)
    elif key == "timeout":
        fits = isinstance(value, int) and 10 <= value <= 300
    elif key == "ingress_port":
        fits = isinstance(value, int) and 0 < value <= 65535
    elif key in DEFAULTS:
        fits = isinstance(value, str)
    else:
        return "there is no such key, or nobody should use it any more"
    return None if fits else f"{value!r} does not fit"


def _together(config: Mapping[str, Any]) -> Iterator[str]:
    if set(config.get("arch", ())) - {"amd64", "aarch64"}:
        yield "arch: neither amd64 nor aarch64"
    if any(
        not re.fullmatch("(mqtt|mysql):(provide|want|need)", one)
        for one in config.get("services", ())
    ):
        yield "services: no such service"
    if config.get("backup") == "cold" and {"backup_pre", "backup_post"} & config.keys():
        yield "backup: cold has neither pre nor post"
    if not urlsplit(config.get("url", "https://there")).scheme:
        yield "url: no address"
    for port, outside in config.get("ports", {}).items():
        if not re.fullmatch(r"\d+/(tcp|udp)", str(port)) or not isinstance(outside, int | None):
            yield f"ports: {port}"


def _options(options: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    for name, kind in schema.items():
        if not isinstance(kind, str) or not OPTION.match(kind):
            yield f"schema: {name}"
        elif kind.endswith("?") and name in options:
            yield f"options: {name} may be left out and has a default"
        elif not kind.endswith("?") and name not in options:
            yield f"options: {name} has no default"
    yield from (f"options: {name} is in no schema" for name in options.keys() - schema.keys())


PRIVILEGES: Final = {
    *("BPF", "CHECKPOINT_RESTORE", "DAC_READ_SEARCH", "NET_ADMIN", "NET_RAW"),
    *("PERFMON", "SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "SYS_RAWIO"),
}


def rating(config: Mapping[str, Any], *, profile: bool) -> int:
    """Return the security rating that the app store shows, from 1 to 8, by the Supervisor's published rule."""
    if config.get("docker_api") or config.get("full_access"):
        return 1
    points = 5
    if not config.get("apparmor", True):
        points -= 1
    elif profile:
        points += 1
    closed = not config.get("host_network") and not any(config.get("ports", {}).values())
    if config.get("ingress") or closed:
        points += 2
    elif config.get("auth_api"):
        points += 1
    if PRIVILEGES & set(config.get("privileged", ())) or config.get("kernel_modules"):
        points -= 1
    points -= {"manager": 1, "admin": 2}.get(config.get("hassio_role", "default"), 0)
    points -= bool(config.get("host_network")) + 2 * bool(config.get("host_pid"))
    points -= bool(config.get("host_uts")) and "SYS_ADMIN" in config.get("privileged", ())
    return max(min(8, points), 1)
