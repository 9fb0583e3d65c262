"""What a brain answers while it stands by: that it is alive, that it is not the one, and nothing else."""

import errno
import logging
import time
from typing import Final
import uuid

from aiohttp import web

from brain_server.errors import InvalidRequest, Unavailable

_LOGGER = logging.getLogger(__name__)

RETRY_AFTER: Final = 1


async def listen(runner: web.AppRunner, host: str, port: int) -> int:
    """Serve at an address; returns the port. Unavailable ``port_in_use``, InvalidRequest ``invalid_setting``."""
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as err:
        if err.errno == errno.EADDRINUSE:
            raise Unavailable("port_in_use", f"Port {port} is in use", port=port) from err
        raise InvalidRequest(
            "invalid_setting", f"Cannot listen on {host}:{port}: {err.strerror}", field="host"
        ) from err
    found: int = runner.addresses[0][1]
    _LOGGER.info("Listening on %s:%d", host, found)
    return found


class Standby:
    """Serves HTTP where the brain will."""

    def __init__(self, host: str, port: int) -> None:
        """Say where; nothing is open yet."""
        self._host = host
        self._port = port
        app = web.Application()
        app.router.add_get("/health", self._live)
        app.router.add_get("/ready", self._not_ready)
        app.router.add_get("/awake", self._not_ready)
        app.router.add_route("*", "/{path:.*}", self._refuse)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)

    async def open(self) -> int:
        """Listen; returns the port, which may have been any."""
        return await listen(self._runner, self._host, self._port)

    async def close(self) -> None:
        """Make way for the brain itself."""
        await self._runner.cleanup()

    async def _live(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _not_ready(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "standby"}, status=503, headers=_again())

    async def _refuse(self, _request: web.Request) -> web.Response:
        trace = uuid.uuid4().hex
        err = Unavailable("standby", "This brain stands by", retry_after=RETRY_AFTER)
        body = {
            "status": "error",
            "error": err.as_dict() | {"trace_id": trace},
            "metadata": {"request_id": trace, "timestamp": time.time()},
        }
        return web.json_response(body, status=err.status, headers=_again())


def _again() -> dict[str, str]:
    return {"Retry-After": str(RETRY_AFTER)}
