"""Signed webhooks, as the Standard Webhooks specification has them, to where an administrator said.

The address may be in the house, and never this machine's own services or those that only a cloud's inside has.
"""

import asyncio
import base64
from collections.abc import Callable
import hashlib
import hmac
from http import HTTPStatus
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
import secrets
import socket
from typing import Final

from aiohttp import ClientError, ClientSession, DummyCookieJar, TCPConnector
from yarl import URL

from brain_server import __version__
from brain_server.errors import InvalidRequest, ProviderError, Unavailable
from brain_server.fetch import Address, Pinned, Resolve, addresses, is_public, parsed

TIMEOUT: Final = 20.0
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - how a secret begins
_SECRET_BYTES: Final = 32
_LAN: Final = tuple(
    ip_network(one)
    for one in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)
# Within the networks above, and yet the inside of a cloud.
_METADATA: Final = frozenset(
    ip_address(one) for one in ("100.100.100.200", "fd00:ec2::254", "fd20:ce::254")
)


class Webhooks:
    """Sends what is signed to one address after the other."""

    def __init__(
        self,
        *,
        own_port: int = 0,
        resolve: Resolve | None = None,
        allow: Callable[[Address], bool] | None = None,
    ) -> None:
        """Take the port on which this brain itself listens; the rest is for tests, which have no network."""
        self._own_port = own_port
        self._resolve = resolve
        self._allow = allow or is_allowed

    def check(self, url: str) -> None:
        """Refuse what is no web address, or shows at once that it may not be asked."""
        host = parsed(url).raw_host or ""
        try:
            address = ip_address(host)
        except ValueError:
            return  # a name is looked up when something is sent
        if not self._allow(address):
            raise _refused()

    async def send(
        self, url: str, secret: str, *, message_id: str, body: bytes, now: float
    ) -> None:
        """Post a signed body once.

        Raises InvalidRequest ``url_refused`` and ``webhook_gone``, which no further try changes, and
        Unavailable ``webhook_failed``, with ``http_status`` where there was an answer.
        """
        timestamp = str(int(now))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"KITTY/{__version__}",
            "webhook-id": message_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": sign(secret, message_id, timestamp, body),
        }
        try:
            async with asyncio.timeout(TIMEOUT):
                status = await self._post(parsed(url), headers, body)
        except (TimeoutError, ClientError, OSError, ProviderError) as err:
            reason = str(err) if isinstance(err, ProviderError) else type(err).__name__
            raise _failed(reason) from err
        if status == HTTPStatus.GONE:
            raise InvalidRequest("webhook_gone", "The receiver wants no more webhooks")
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise _failed(f"status {status}", http_status=status)

    async def _post(self, url: URL, headers: dict[str, str], body: bytes) -> int:
        found = await addresses(url, self._resolve)
        if not all(self._allow(one) and not self._is_own(one, url.port) for one in found):
            raise _refused()
        connector = TCPConnector(
            resolver=Pinned(found), use_dns_cache=False, force_close=True, limit=1
        )
        async with (
            ClientSession(connector=connector, cookie_jar=DummyCookieJar()) as session,
            session.post(url, data=body, headers=headers, allow_redirects=False) as response,
        ):
            return response.status

    def _is_own(self, address: Address, port: int | None) -> bool:
        return port == self._own_port and _is_here(address)


def sign(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    """Return the signature of a message: HMAC-SHA256 of its id, its time and its body."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(signed.digest()).decode()}"


def new_secret() -> str:
    """Return a secret that nobody knows yet."""
    key = base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
    return f"{SECRET_PREFIX}{key}"


def is_allowed(address: Address) -> bool:
    """Tell whether an address is of the public web or of the house, and not of this machine alone."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address in _METADATA:
        return False
    return is_public(address) or any(address in network for network in _LAN)


def _is_here(address: Address) -> bool:
    """Tell whether an address is this machine's: it then speaks to itself from there."""
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    try:
        # Connecting a datagram socket sends nothing; it only says which of our addresses would speak.
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.setblocking(False)
            probe.connect((str(address), 9))
            return ip_address(probe.getsockname()[0]) == address
    except OSError:
        return False


def _refused() -> InvalidRequest:
    return InvalidRequest("url_refused", "This address may not be asked", reason="address")


def _failed(reason: str, **fields: int) -> Unavailable:
    return Unavailable(
        "webhook_failed", f"The receiver did not take it: {reason}", reason=reason, **fields
    )
