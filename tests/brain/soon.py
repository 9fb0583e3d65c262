"""How long tests wait for what must come: most of the time that one may take, which is more on a shared machine."""

import os
from typing import Final

# script/test gives a test more time where all of them run, beside another part.
SOON: Final = 0.8 * float(os.environ.get("PYTEST_TIMEOUT", "10"))
