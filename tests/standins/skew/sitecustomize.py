"""Sets the clock of a Python program wrong: put this folder on its path, and say by how much in KITTY_SKEW_S."""

import os
import time

_real, _off = time.time, float(os.environ.get("KITTY_SKEW_S", "0"))
time.time = lambda: _real() + _off
