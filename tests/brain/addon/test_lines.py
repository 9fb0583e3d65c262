"""The lines of the log that the page shows: kept whatever is logged, by whom and when."""

import logging

import pytest

from brain_server.addon.lines import Lines


def record(text: str, *values: object) -> logging.LogRecord:
    """Return a line of the log as a logger hands it on."""
    return logging.LogRecord("brain_server.x", logging.INFO, __file__, 1, text, values, None)


def test_a_line_that_cannot_be_written_breaks_nobody_who_logs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is said where such mistakes are said, and the next is kept."""
    lines = Lines()
    lines.handle(record("%d spools", "three"))
    lines.handle(record("%d spools", 3))
    assert [line.text for line in lines.newest(logging.DEBUG)] == ["3 spools"]
    assert "Logging error" in capsys.readouterr().err


def test_what_is_logged_while_the_lines_are_read_breaks_nothing() -> None:
    """Other threads do not wait for the page."""
    lines = Lines()
    for number in range(3):
        lines.handle(record(f"line {number}"))

    class Nosy(int):
        """A level that is asked for while somebody logs."""

        def __le__(self, _other: int) -> bool:
            lines.handle(record("meanwhile"))
            return True

    assert [line.text for line in lines.newest(Nosy())] == ["line 2", "line 1", "line 0"]
