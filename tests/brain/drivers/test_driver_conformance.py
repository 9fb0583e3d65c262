"""Every driver of a printer, put through the one table of what a driver must do."""

import pytest

from tests.brain.drivers.conformance import Check, cases
from tests.brain.drivers.rig_bambu import BambuRig
from tests.brain.drivers.rig_moonraker import MoonrakerRig
from tests.brain.drivers.rig_prusalink import PrusaLinkRig
from tests.brain.drivers.rigs import DemoRig, OctoPrintRig, Rig


@pytest.mark.parametrize(
    ("rig", "check"),
    cases(DemoRig, OctoPrintRig, MoonrakerRig, BambuRig, PrusaLinkRig),
    indirect=["rig"],
)
async def test_the_driver_does_what_every_driver_must(rig: Rig, check: Check) -> None:
    """See ``conformance.py``."""
    await check.run(rig)
