"""A whole brain whose public web is one port of this machine: ``PORT serve --data-dir …``.

Nothing else of it is another: the web is reached as ever, but every name leads to that port.
"""

from collections.abc import Sequence
import sys

from brain_server.__main__ import main
from brain_server.fetch import Fetcher


async def _here(_host: str, _port: int) -> Sequence[str]:
    return ["127.0.0.1"]


if __name__ == "__main__":
    port, *arguments = sys.argv[1:]
    defaults = Fetcher.__init__.__kwdefaults__
    assert defaults is not None
    defaults |= {"ports": {int(port)}, "resolve": _here, "allow": lambda at: at.is_loopback}
    sys.exit(main(arguments))
