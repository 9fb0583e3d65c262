"""The driver in ``docs/DRIVERS.md``: found where it is dropped, and put through the table."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
import re
import sys
from typing import Any, Self

from aiohttp import web
import pytest

from brain_server import drivers
from brain_server.drivers import Driver
from brain_server.protocol import Json
from tests.brain.drivers.conformance import CHECKS, Check, cases
from tests.brain.drivers.rigs import Rig
from tests.standins.pronto import BYTES_PER_S, Pronto
from tests.standins.proxy import Proxy

PAGE = Path(__file__).parents[3] / "docs" / "DRIVERS.md"


class ProntoRig(Rig):
    """The printer of the page, behind a proxy."""

    name = "pronto"
    driver = Driver
    features = frozenset({"fault", "network", "key"})
    heads = {"print_start": b"POST /start", "print_pause": b"POST /hold"}

    def __init__(self, pronto: Pronto, proxy: Proxy) -> None:
        """Use this printer through this proxy."""
        self.pronto = pronto
        self.proxy = proxy
        self._key = pronto.key

    @classmethod
    @asynccontextmanager
    async def open(cls, server: Any) -> AsyncIterator[Self]:
        """Give a new printer."""
        del server
        pronto = Pronto()
        runner = web.AppRunner(pronto.app(), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            async with Proxy.to(runner.addresses[0][1]) as proxy:
                yield cls(pronto, proxy)
        finally:
            await runner.cleanup()

    @property
    def options(self) -> Json:
        """Return the address of the proxy and the key."""
        return {"url": self.proxy.url, "api_key": self._key}

    def print_file(self, *, seconds: float, warm_up: bool = False) -> bytes:
        """Return as many bytes as print for so long."""
        del warm_up
        return bytes(round(seconds * BYTES_PER_S))

    async def fault(self) -> str:
        """Break the printer."""
        self.pronto.break_down()
        return "Thermal runaway"

    async def guest(self) -> Json:
        """Return the printer's own options: it has one key only."""
        return self.options

    async def revoke(self) -> None:
        """Change that key."""
        self.pronto.key = "another"


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[Driver]:
    """Drop the page's only Python block among the drivers, and discover it."""
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    (tmp_path / "pronto.py").write_text(code)
    monkeypatch.setattr(drivers, "__path__", [*drivers.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "brain_server.drivers.pronto", raising=False)
    return drivers.discover()["pronto"]


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("rig", "check"), cases(ProntoRig), indirect=["rig"])
async def test_the_driver_of_the_page_does_what_every_driver_must(
    rig: Rig, check: Check, example: type[Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    """See ``conformance.py``."""
    monkeypatch.setattr(type(rig), "driver", example)
    await check.run(rig)


def test_the_page_names_every_driver_and_every_type_of_option() -> None:
    """A reader finds what there is."""
    page = PAGE.read_text()
    folder = Path(drivers.__file__).parent
    names = {path.stem for path in folder.iterdir() if not path.name.startswith("_")}
    assert all(f"`{name}`" in page for name in names)
    assert all(f"`{kind.name}`" in page for kind in drivers.OptionType)


def test_the_page_promises_nothing_that_is_not_checked() -> None:
    """The example goes through at least the printing and the network part of the table."""
    fit = [check for check in CHECKS if check.needs <= ProntoRig.features]
    assert len(fit) >= 20
