"""A Spoolman as its users see it: the parts of its REST API, version 1, that spools go through."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

type Json = dict[str, Any]


class FakeSpoolman:
    """Vendors, filaments and spools in memory.

    ``down`` takes no request, ``lost`` carries requests that change something out and loses the answer,
    ``answer`` is said instead of anything, ``gate`` holds the answer to what changes something.
    """

    def __init__(self) -> None:
        """Start with nothing."""
        self.vendors: dict[int, Json] = {}
        self.filaments: dict[int, Json] = {}
        self.spools: dict[int, Json] = {}
        self.asked: list[str] = []
        self.down = False
        self.lost = False
        self.pages = True
        self.answer: web.Response | None = None
        self.refuse: dict[str, web.Response] = {}
        self.gate: asyncio.Event | None = None
        self.url = ""
        self._runner: web.AppRunner
        self._port = 0

    @property
    def changes(self) -> list[str]:
        """Return the requests that change something."""
        return [line for line in self.asked if not line.startswith("GET")]

    def add(self, **told: Any) -> int:
        """Add a spool as its user does: of a filament of its own."""
        filament = {"material": "PLA", "density": 1.24, "diameter": 1.75, "weight": 1000.0}
        filament |= {name: told.pop(name) for name in list(told) if name in _OF_FILAMENT}
        if "vendor" in filament:
            filament["vendor_id"] = self._insert(self.vendors, {"name": filament.pop("vendor")})
        number = self._insert(self.filaments, filament)
        return self._insert(self.spools, {"filament_id": number, "used_weight": 0.0} | told)

    def use(self, spool: int, grams: float) -> None:
        """Use some of a spool, as another program does."""
        row = self.spools[spool]
        row["used_weight"] = max(0.0, row["used_weight"] + grams)

    def left(self, spool: int) -> float:
        """Return the grams that are left."""
        return float(self._spool(spool)["remaining_weight"])

    async def start(self) -> None:
        """Listen; on the same port as before."""
        app = web.Application(middlewares=[self._guard])
        at = "/api/v1"
        app.router.add_get(f"{at}/spool", self._find_spools)
        app.router.add_post(f"{at}/spool", self._add_spool)
        app.router.add_get(f"{at}/spool/{{id}}", self._get_spool)
        app.router.add_put(f"{at}/spool/{{id}}/use", self._use)
        app.router.add_get(f"{at}/filament", self._find_filaments)
        app.router.add_post(f"{at}/filament", self._add_filament)
        app.router.add_get(f"{at}/vendor", self._find_vendors)
        app.router.add_post(f"{at}/vendor", self._add_vendor)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self._port}"

    async def stop(self) -> None:
        """Be gone; what is stored stays."""
        await self._runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        line = f"{request.method} {request.path.removeprefix('/api/v1')}"
        self.asked.append(line)
        assert request.transport is not None
        if self.down:
            request.transport.close()
            raise web.HTTPServiceUnavailable
        if line in self.refuse:
            return _copy(self.refuse[line])
        if self.answer is not None:
            return _copy(self.answer)
        response: web.StreamResponse = await handler(request)
        if request.method != "GET":
            if self.gate is not None:
                await self.gate.wait()
            if self.lost:
                request.transport.close()
        return response

    async def _find_spools(self, request: web.Request) -> web.Response:
        archived = request.query.get("allow_archived") == "true"
        return self._page(
            request,
            [
                self._spool(number)
                for number, row in self.spools.items()
                if archived or not row.get("archived")
            ],
        )

    async def _find_filaments(self, request: web.Request) -> web.Response:
        return self._page(request, [self._filament(number) for number in self.filaments])

    async def _find_vendors(self, request: web.Request) -> web.Response:
        return self._page(request, list(self.vendors.values()))

    def _page(self, request: web.Request, found: list[Json]) -> web.Response:
        found.sort(key=lambda one: one["id"])
        if self.pages:
            offset = int(request.query.get("offset", "0"))
            found = found[offset : offset + int(request.query.get("limit", "1000000"))]
        return web.json_response(found)

    async def _get_spool(self, request: web.Request) -> web.Response:
        return web.json_response(self._spool(self._known(request)))

    async def _use(self, request: web.Request) -> web.Response:
        number = self._known(request)
        self.use(number, (await request.json())["use_weight"])
        return web.json_response(self._spool(number))

    async def _add_spool(self, request: web.Request) -> web.Response:
        body = await request.json()
        _limit(body, "location", "lot_nr")
        if body["filament_id"] not in self.filaments:
            return _said(404, f"No filament with ID {body['filament_id']} found.")
        number = self._insert(self.spools, {"used_weight": 0.0} | body)
        return web.json_response(self._spool(number))

    async def _add_filament(self, request: web.Request) -> web.Response:
        body = await request.json()
        _limit(body, "name", "material")
        if body["density"] <= 0 or body["diameter"] <= 0:
            return web.json_response({"detail": "greater than 0"}, status=422)
        return web.json_response(self._filament(self._insert(self.filaments, body)))

    async def _add_vendor(self, request: web.Request) -> web.Response:
        body = await request.json()
        _limit(body, "name")
        return web.json_response(self.vendors[self._insert(self.vendors, body)])

    def _known(self, request: web.Request) -> int:
        number = int(request.match_info["id"])
        if number not in self.spools:
            text = f'{{"message":"No spool with ID {number} found."}}'
            raise web.HTTPNotFound(text=text, content_type="application/json")
        return number

    @staticmethod
    def _insert(table: dict[int, Json], row: Json) -> int:
        number = max(table, default=0) + 1
        registered = {"id": number, "registered": "2026-11-21T08:00:00Z", "extra": {}}
        table[number] = registered | row
        return number

    def _filament(self, number: int) -> Json:
        row = dict(self.filaments[number])
        vendor = self.vendors.get(row.pop("vendor_id", 0))
        return row if vendor is None else row | {"vendor": vendor}

    def _spool(self, number: int) -> Json:
        row = dict(self.spools[number])
        filament = self._filament(row.pop("filament_id"))
        full = row.get("initial_weight", filament.get("weight"))
        weights = {} if full is None else {"initial_weight": full}
        if full is not None:
            weights["remaining_weight"] = max(0.0, full - row["used_weight"])
        return {"archived": False} | row | weights | {"filament": filament, "used_length": 0.0}


_OF_FILAMENT = {
    "name",
    "vendor",
    "material",
    "density",
    "diameter",
    "weight",
    "color_hex",
    "multi_color_hexes",
    "filament_price",
}


def _limit(body: Json, *names: str) -> None:
    """Refuse texts that are too long, as the real one does."""
    if any(len(body.get(name) or "") > 64 for name in names):
        raise web.HTTPUnprocessableEntity(text='{"detail":"at most 64 characters"}')


def _said(status: int, message: str) -> web.Response:
    return web.json_response({"message": message}, status=status)


def _copy(said: web.Response) -> web.Response:
    return web.Response(status=said.status, body=said.body, headers=said.headers)


@asynccontextmanager
async def spoolman() -> AsyncIterator[FakeSpoolman]:
    """Serve for the time of a block."""
    made = FakeSpoolman()
    await made.start()
    try:
        yield made
    finally:
        await made.stop()
