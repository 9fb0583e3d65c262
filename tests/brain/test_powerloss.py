"""Nothing acknowledged is lost when the power goes."""

import shutil

import pytest

from tests.bench.powerloss import measure


@pytest.fixture(autouse=True)
def _strace() -> None:
    """The rig watches a real process with strace."""
    assert shutil.which("strace"), "install strace: script/setup --services"


@pytest.mark.slow
@pytest.mark.service
@pytest.mark.timeout(120)
def test_a_power_loss_takes_nothing_that_was_acknowledged() -> None:
    """At any moment, with any choice of unsynced sectors lost, every acknowledged row is there."""
    found = measure(300, 20, durable=True)
    assert found == {
        "losses": 300,
        "lost": 0,
        "trials_with_loss": 0,
        "broken": 0,
        "chain_bad": 0,
    }


@pytest.mark.slow
@pytest.mark.service
@pytest.mark.timeout(120)
def test_the_rig_shows_the_loss_where_commits_are_not_synced() -> None:
    """The same with `synchronous=NORMAL` loses acknowledged rows, so the rig bites."""
    assert measure(50, 20, durable=False)["trials_with_loss"] > 0
