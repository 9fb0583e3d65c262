"""A web server that says whatever a test wants."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(**routes: Handler | web.Response) -> AsyncIterator[str]:
    """Serve for the time of a block: by path, ``api_version`` for ``/api/version``; gives the URL."""

    async def answer(request: web.Request) -> web.StreamResponse:
        found = routes.get(request.path.strip("/").replace("/", "_"), routes.get("anything"))
        if found is None:
            raise web.HTTPNotFound
        if isinstance(found, web.Response):
            # A response can be sent once only.
            return web.Response(status=found.status, body=found.body, headers=found.headers)
        return await found(request)

    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
