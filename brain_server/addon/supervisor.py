"""The two things that this app asks of the Supervisor: to announce it, and where the MQTT broker is."""

import logging
from typing import Any, Final
from urllib.parse import quote

from aiohttp import ClientError, ClientSession, ClientTimeout

from brain_server.protocol import Json

_LOGGER = logging.getLogger(__name__)

ADDRESS: Final = "http://supervisor"
# Who the Supervisor knows us as, and what Home Assistant's integration listens to.
SERVICE: Final = "kitty"
TIMEOUT: Final = ClientTimeout(total=10)


class Supervisor:
    """Speaks with the Supervisor, which gives each app its own token at every start."""

    def __init__(self, token: str, address: str = ADDRESS) -> None:
        """Take the token; it is kept here and in no environment."""
        self._token = token
        self._address = address

    async def announce(self, config: Json) -> bool:
        """Tell Home Assistant where this brain is; False when the Supervisor did not take it."""
        found = await self._ask("POST", "/discovery", {"service": SERVICE, "config": config})
        return found is not None

    async def broker(self) -> str | None:
        """Return the address of the house's MQTT broker with our name and password; None when there is none."""
        found = await self._ask("GET", "/services/mqtt")
        if found is None:
            return None
        scheme = "mqtts" if found.get("ssl") else "mqtt"
        names = [str(found[part]) for part in ("username", "password") if found.get(part)]
        who = ":".join(quote(name, safe="") for name in names)
        return f"{scheme}://{who}{'@' if who else ''}{found['host']}:{found['port']}"

    async def _ask(self, method: str, path: str, body: Json | None = None) -> Json | None:
        """Return the data of an answer; None, and a line in the log, when it was none or a refusal."""
        headers = {"Authorization": f"Bearer {self._token}"}
        try:
            # A session of its own: it is used a few times in the life of the process.
            async with (
                ClientSession(self._address, timeout=TIMEOUT, headers=headers) as session,
                session.request(method, path, json=body) as answer,
            ):
                found: Any = await answer.json()
        except (ClientError, TimeoutError, ValueError) as err:
            _LOGGER.warning(
                "The Supervisor does not answer %s: %s", path, str(err) or type(err).__name__
            )
            return None
        if not isinstance(found, dict) or found.get("result") != "ok":
            reason = found.get("message") if isinstance(found, dict) else found
            _LOGGER.warning("The Supervisor refused %s: %s", path, reason)
            return None
        data: Json = found.get("data") or {}
        return data
