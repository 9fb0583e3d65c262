"""What the app asks of the Supervisor, and what it makes of each answer."""

from collections.abc import AsyncIterator
import logging
import socket

import pytest

from brain_server.addon.supervisor import Supervisor
from tests.standins.supervisor import FakeSupervisor

TOKEN = "a-token-of-this-start"


@pytest.fixture
async def fake() -> AsyncIterator[FakeSupervisor]:
    """Return a Supervisor on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as at:
        async with FakeSupervisor(TOKEN).serving(at) as serving:
            yield serving


async def test_an_announcement_is_heard(fake: FakeSupervisor) -> None:
    """As the service that Home Assistant's integration listens to."""
    assert await Supervisor(TOKEN, fake.url).announce({"host": "here", "port": 8100})
    assert fake.messages == [{"service": "kitty", "config": {"host": "here", "port": 8100}}]


@pytest.mark.parametrize(
    ("told", "url"),
    [
        (
            {"username": "addons", "password": "p@ss/word:1"},
            "mqtt://addons:p%40ss%2Fword%3A1@broker:1883",
        ),
        ({"username": "addons", "password": ""}, "mqtt://addons@broker:1883"),
        ({}, "mqtt://broker:1883"),
        ({"ssl": True, "port": 8883}, "mqtts://broker:8883"),
    ],
)
async def test_the_broker_is_an_address(
    fake: FakeSupervisor, told: dict[str, object], url: str
) -> None:
    """With whatever there is in a password."""
    fake.broker = {"host": "broker", "port": 1883, "ssl": False} | told
    assert await Supervisor(TOKEN, fake.url).broker() == url


async def test_a_house_without_a_broker_has_none(
    fake: FakeSupervisor, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has the Supervisor's own words."""
    with caplog.at_level(logging.WARNING):
        assert await Supervisor(TOKEN, fake.url).broker() is None
    assert "refused /services/mqtt: Service not enabled" in caplog.text


async def test_a_wrong_token_is_a_refusal(fake: FakeSupervisor) -> None:
    """And nothing breaks."""
    assert not await Supervisor("an old one", fake.url).announce({})
    assert fake.refused == ["POST /discovery"]


async def test_an_answer_that_is_none_is_a_refusal(fake: FakeSupervisor) -> None:
    """Of something between us and the Supervisor."""
    fake.down = True
    assert not await Supervisor(TOKEN, fake.url).announce({})


async def test_a_supervisor_that_is_away_is_waited_for_by_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is told in the log, without the token."""
    with socket.create_server(("127.0.0.1", 0)) as at:
        port = at.getsockname()[1]
    with caplog.at_level(logging.WARNING):
        assert not await Supervisor(TOKEN, f"http://127.0.0.1:{port}").announce({})
    assert "does not answer /discovery" in caplog.text
    assert TOKEN not in caplog.text
