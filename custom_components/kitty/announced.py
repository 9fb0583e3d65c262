"""What printers announce of themselves, read without trust: where each is, and by what it is known again.

OctoPrint, Moonraker and PrusaLink are heard by Home Assistant (mDNS), printers of Prusa also by their
network hardware (DHCP). Bambu printers broadcast something like SSDP, which Home Assistant's own listener
drops: no address of a description, no UUID. So those are heard here.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
import re
from typing import Any, Final, Self, override

from homeassistant.config_entries import ConfigSubentry
from homeassistant.core import HomeAssistant
from homeassistant.helpers.service_info.dhcp import DhcpServiceInfo
from homeassistant.helpers.service_info.zeroconf import ZeroconfServiceInfo
from yarl import URL

from .const import CONF_DRIVER, CONF_FOUND_AS, CONF_OPTIONS, LOGGER, SUBENTRY_DEVICE

BAMBU_PORT: Final = 2021
BAMBU_TYPE: Final = "urn:bambulab-com:device:3dprinter:1"
# Whoever floods the network with invented printers fills no memory.
HEARD_MAX: Final = 64

_SERIAL: Final = re.compile(r"[0-9A-Z]{10,20}")
_NAME_MAX: Final = 60
# Under which name of its text record each server tells where below its address it answers.
_PATHS: Final = {"octoprint": "path", "moonraker": "route_prefix", "prusalink": "path"}
# PrusaLink also announces itself as an OctoPrint, for old slicers.
_IMPOSTOR: Final = "PrusaLink"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A printer that announced itself: ``key`` is what makes it one and the same for its driver."""

    driver: str
    key: str
    name: str
    hosts: frozenset[str]
    port: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def unique_id(self) -> str:
        """Return by what a card for this printer is known."""
        return f"{self.driver}:{self.key}"

    @property
    def address(self) -> str:
        """Return where it is, for people."""
        return self.options.get("url") or self.options["host"]

    @classmethod
    def from_zeroconf(cls, info: ZeroconfServiceInfo) -> Self | None:
        """Read an announcement of mDNS; None for one that is about something else."""
        driver = info.type.removeprefix("_").partition(".")[0]
        name = info.name.removesuffix(f".{info.type}")
        if driver not in _PATHS or info.port is None:
            return None
        if driver != "prusalink" and name.startswith(_IMPOSTOR):
            return None
        hostname = info.hostname.rstrip(".").lower()
        path = "/" + str(info.properties.get(_PATHS[driver]) or "").strip("/")
        url = URL.build(scheme="http", host=info.host, port=info.port, path=path)
        return cls(
            driver=driver,
            key=str(info.properties.get("uuid") or f"{hostname}:{info.port}"),
            name=name[:_NAME_MAX],
            hosts=frozenset({info.host, hostname, *info.addresses}),
            port=info.port,
            options={"url": str(url).rstrip("/")},
        )

    @classmethod
    def from_dhcp(cls, info: DhcpServiceInfo) -> Self:
        """Read the address that a printer of Prusa was given."""
        return cls(
            driver="prusalink",
            key=info.macaddress,
            name=info.hostname[:_NAME_MAX] or "Prusa",
            hosts=frozenset({info.ip, info.hostname, f"{info.hostname}.local"}),
            options={"url": f"http://{info.ip}"},
        )

    @classmethod
    def from_broadcast(cls, data: bytes, host: str) -> Self | None:
        """Read what came from a host on the port of Bambu printers; None where it is none of them."""
        lines = data.decode("utf-8", "replace").splitlines()[1:]
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (x.partition(":") for x in lines)
        }
        serial = headers.get("usn", "")
        if headers.get("nt") != BAMBU_TYPE or not _SERIAL.fullmatch(serial):
            return None
        name = headers.get("devname.bambu.com") or f"Bambu Lab {serial[-4:]}"
        return cls(
            driver="bambu",
            key=serial,
            name=name[:_NAME_MAX],
            hosts=frozenset({host}),
            options={"host": host, "serial": serial},
        )

    def is_known_by(self, subentry: ConfigSubentry) -> bool:
        """Tell whether this device was added as what is announced, wherever it is now."""
        if subentry.subentry_type != SUBENTRY_DEVICE:
            return False
        serial = self.options.get("serial")
        return subentry.data.get(CONF_FOUND_AS) == self.unique_id or (
            serial is not None and subentry.unique_id == f"{self.driver}:{serial}"
        )

    def moved(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of a device with the announced address in the place of its old one."""
        if "url" not in options:
            return {**options, **self.options}
        old, new = URL(options["url"]), URL(self.options["url"])
        if (old.host or "").lower() in self.hosts and self.port in (None, old.port):
            return dict(options)
        url = old.with_host(new.host or "").with_port(self.port or old.explicit_port)
        return {**options, "url": str(url)}

    def is_at(self, subentry: ConfigSubentry) -> bool:
        """Tell whether a server of this kind was added at this very address."""
        if subentry.data.get(CONF_DRIVER) != self.driver or "url" not in self.options:
            return False
        url = URL(subentry.data[CONF_OPTIONS]["url"])
        at_host = (url.host or "").lower() in self.hosts
        return at_host and self.port in (None, url.port)


class Announcements(asyncio.DatagramProtocol):
    """Hears the broadcasts of Bambu printers; each is told once for each address it has."""

    def __init__(self, tell: Callable[[Found], None]) -> None:
        """Take whom to tell."""
        self._tell = tell
        self._heard: dict[str, str] = {}

    @override
    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """Tell of a printer that is new, or has moved."""
        found = Found.from_broadcast(data, str(addr[0]))
        if found is None or self._heard.get(found.key) == found.address:
            return
        self._heard[found.key] = found.address
        while len(self._heard) > HEARD_MAX:
            del self._heard[next(iter(self._heard))]
        self._tell(found)


async def async_hear(hass: HomeAssistant, tell: Callable[[Found], None]) -> None:
    """Hear broadcasts until cancelled; where the port is taken, printers are added by hand."""
    try:
        transport, _protocol = await hass.loop.create_datagram_endpoint(
            lambda: Announcements(tell),
            local_addr=("0.0.0.0", BAMBU_PORT),  # noqa: S104 - a broadcast comes to no one address
            reuse_port=True,
            allow_broadcast=True,
        )
    except OSError as err:
        LOGGER.info("Bambu printers are not found by themselves: port %d: %s", BAMBU_PORT, err)
        return
    try:
        await asyncio.Event().wait()
    finally:
        transport.close()
