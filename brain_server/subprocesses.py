"""Processes of our own beside the brain, for what may crash, take long or eat memory."""

import asyncio
from asyncio.subprocess import DEVNULL, Process
import os
from pathlib import Path
import socket
import sys
from typing import Any, Final

_ROOT: Final = Path(__file__).parents[1]


async def start(module: str, *arguments: str, **pipes: Any) -> Process:
    """Run one of our modules; OSError where there are no more processes, files or memory.

    It gets nothing of the brain's own settings, of which one is a token, and no Ctrl-C, which is for the brain.
    """
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", module, *arguments),
        cwd=_ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("KITTY_")},
        start_new_session=True,
        **pipes,
    )


async def start_on_line(
    module: str, *, stderr: int = DEVNULL
) -> tuple[Process, asyncio.StreamReader, asyncio.StreamWriter]:
    """Run one of our modules on the other end of a line, whose number it is told; errors as in ``start``.

    The line is there before the process, so that whoever puts a process away can always hang up on it.
    """
    mine, theirs = socket.socketpair()
    with theirs:
        reader, writer = await asyncio.open_connection(sock=mine)
        number = theirs.fileno()
        try:
            process = await start(
                module,
                str(number),
                pass_fds=(number,),
                stdin=DEVNULL,
                stdout=DEVNULL,
                stderr=stderr,
            )
        except BaseException:
            writer.close()
            raise
    return process, reader, writer
