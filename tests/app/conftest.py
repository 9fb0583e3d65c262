"""The image, the network of the apps, and the app in it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
import shutil
from typing import Any

import pytest
import pytest_asyncio

from tests.app import lab
from tests.app.container import CACHE, ROOT, RUN, Container, Image, output, unpacked
from tests.standins.supervisor import FakeSupervisor

SYS_ADMIN = 21
PROGRAMS = ("buildah", "mmdebstrap", "crun", "ip", "tini-static", "unshare")


@dataclass(slots=True)
class App:
    """The app in its container, and the Supervisor that it speaks with."""

    container: Container
    supervisor: FakeSupervisor
    message: dict[str, Any]
    seconds: float


@asynccontextmanager
async def booted(image: Image, data: Path, **options: Any) -> AsyncIterator[App]:
    """Boot the app on a folder and wait until it has announced itself; it is gone after the block."""
    container = Container(image, data)
    container.options |= options
    supervisor = FakeSupervisor(container.token)
    supervisor.broker = {
        "host": lab.GATEWAY,
        "port": 1883,
        "ssl": False,
        "username": "addons",
        "password": "p@ss",
    }
    async with supervisor.serving(lab.listening(lab.SUPERVISOR, 80)):
        loop = asyncio.get_running_loop()
        started = loop.time()
        await asyncio.to_thread(container.start)
        try:
            message = await supervisor.announced()
            yield App(container, supervisor, message, loop.time() - started)
        except TimeoutError:
            raise TimeoutError(container.log.read_text("utf-8", "replace")[-4000:]) from None
        finally:
            await asyncio.to_thread(container.clean)


@pytest.fixture(scope="session")
def image() -> Iterator[Image]:
    """Build the image, which is short when nothing has changed, and unpack it."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing or not _rules_the_machine():
        pytest.skip(f"needs root and {', '.join(PROGRAMS)}: script/setup --app")
    shutil.rmtree(RUN, ignore_errors=True)
    with unpacked(output(str(ROOT / "script/app")).splitlines()[-1]) as found, lab.network():
        yield found
    shutil.rmtree(RUN, ignore_errors=True)


def _rules_the_machine() -> bool:
    """Tell whether this process may mount and make networks, which root in a container may not."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    (rights,) = [int(line.split()[1], 16) for line in lines if line.startswith("CapEff:")]
    return bool(rights & 1 << SYS_ADMIN)


@pytest.fixture
def data(request: pytest.FixtureRequest) -> Iterator[Path]:
    """Return an empty folder for /data, where the brain's user can go."""
    folder = CACHE / "data" / request.node.name[:60]
    shutil.rmtree(folder, ignore_errors=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def app(image: Image) -> AsyncIterator[App]:
    """Return one app for all tests of a file that only look at it: two would have the same address."""
    folder = CACHE / "data" / "shared"
    shutil.rmtree(folder, ignore_errors=True)
    async with booted(image, folder) as found:
        yield found
    shutil.rmtree(folder, ignore_errors=True)
