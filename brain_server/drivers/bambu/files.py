"""Files on a Bambu printer, by its FTP inside TLS from the first byte; everything here blocks."""

from collections.abc import Callable
from contextlib import ExitStack, suppress
import ftplib
import socket
import ssl
from typing import IO, Any, Final

from brain_server.drivers.bambu.trust import Trust, untrusted
from brain_server.errors import DeviceError

TIMEOUT_S: Final = 30.0
# More letters than the names of all the files that fit on a card.
_MOST_NAMES: Final = 4 * 1024 * 1024
# What no printer starts, for a file that is not yet all there.
_UNFINISHED: Final = ".part"
_LOGIN_REFUSED: Final = "530"
_UNKNOWN_COMMAND: Final = frozenset({"500", "502"})
_FULL: Final = frozenset({"452", "552"})
_NOTHING_THERE: Final = frozenset({"450", "550"})


class Ftps(ftplib.FTP_TLS):
    """One session with the printer's FTP server, which ``break_off`` ends from another thread."""

    def __init__(self, known: Trust) -> None:
        """Speak TLS as the trust says; no I/O yet."""
        super().__init__(context=known.context(), timeout=TIMEOUT_S)
        # With TLS 1.3 there would be something unread when a data connection is closed after a file, and
        # TCP would throw away the end of the file with it.
        self.context.maximum_version = ssl.TLSVersion.TLSv1_2
        self._known = known
        self._data: ssl.SSLSocket | None = None
        self._aborted = False

    def within[T](self, host: str, port: int, user: str, code: str, work: Callable[[Ftps], T]) -> T:
        """Log in, do the work and hang up.

        Raises DeviceError ``cannot_connect``, ``invalid_auth`` or ``upload_failed``, or InvalidRequest.
        """
        try:
            self._open(host, port, user, code)
            return work(self)
        except ssl.SSLCertVerificationError as err:
            raise untrusted() from err
        except ftplib.Error as err:
            if _code(err) == _LOGIN_REFUSED:
                words = "The printer does not accept the access code"
                raise DeviceError("invalid_auth", words) from err
            raise DeviceError("device_refused", f"The printer's answer was: {err}") from err
        except ftplib.all_errors as err:
            raise DeviceError("cannot_connect", "The printer's files cannot be reached") from err
        finally:
            self.close()

    def put(self, name: str, content: IO[bytes], size: int) -> None:
        """Store a file so that nothing of this name is there until all of it is."""
        part = f"{name}{_UNFINISHED}"
        try:
            self._store(part, content, size)
            try:
                self._rename(part, name)
            except ftplib.error_perm as err:
                if _code(err) not in _UNKNOWN_COMMAND:
                    raise
                self._remove(part)
                content.seek(0)
                part = name
                self._store(part, content, size)
        except ftplib.all_errors as err:
            self._remove(part)
            full = isinstance(err, ftplib.Error) and _code(err) in _FULL
            words = "The printer's card is full" if full else "The file did not reach the printer"
            raise DeviceError("upload_failed", words) from err

    def names(self) -> list[str]:
        """Return the names in the root folder."""
        try:
            self.voidcmd("TYPE A")
            with (
                self.transfercmd("NLST") as data,
                # A line that breaks may do so in the middle of a letter.
                data.makefile("r", encoding=self.encoding, errors="replace") as told,
            ):
                text = told.read(_MOST_NAMES + 1)
            if len(text) > _MOST_NAMES:
                raise ftplib.error_temp("451 The list of files has no end")  # noqa: S321 - inside TLS
            self.voidresp()
        except ftplib.Error as err:
            # Some servers say of an empty folder that there is none.
            if _code(err) not in _NOTHING_THERE:
                raise
            return []
        return [line.rpartition("/")[2] for line in text.splitlines()]

    def break_off(self) -> None:
        """End whatever goes on, from a thread that does not wait for it any more."""
        self._aborted = True
        for sock in (self._data, self.sock):
            if sock is not None:
                with suppress(OSError):
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[ssl.SSLSocket, Any]:
        """Open a data connection in the TLS session of the first one: others are refused."""
        plain, size = ftplib.FTP.ntransfercmd(self, cmd, rest)  # noqa: S321 - inside TLS
        control = self.sock
        session = control.session if isinstance(control, ssl.SSLSocket) else None
        self._data = self._wrap(plain, session)
        return self._data, size

    def _open(self, host: str, port: int, user: str, code: str) -> None:
        """Connect and log in; the code is said only to the printer itself."""
        self.host = host
        plain = socket.create_connection((host, port), TIMEOUT_S)
        self.af = plain.family
        self.sock = self._wrap(plain, None)
        self.file = self.sock.makefile("r", encoding=self.encoding, errors="replace")
        self.welcome = self.getresp()
        self.login(user, code, secure=False)
        self.prot_p()

    def _wrap(self, plain: socket.socket, session: ssl.SSLSession | None) -> ssl.SSLSocket:
        with ExitStack() as unless_good:
            unless_good.callback(plain.close)
            sock = self.context.wrap_socket(plain, server_hostname=self.host, session=session)
            unless_good.callback(sock.close)
            self._known.check(sock.getpeercert(binary_form=True))
            self._stop_if_aborted()
            unless_good.pop_all()
        return sock

    def _store(self, name: str, content: IO[bytes], size: int) -> None:
        """Send a file. TLS is not ended in form after it: the printer never answers to that."""
        self.voidcmd("TYPE I")
        try:
            with self.transfercmd(f"STOR {name}") as data:
                while chunk := content.read(65536):
                    self._stop_if_aborted()
                    data.sendall(chunk)
        except OSError:
            # The server may have said why it hung up.
            with suppress(OSError, EOFError):
                self.voidresp()
            raise
        self.voidresp()
        if self.size(name) != size:
            raise ftplib.error_temp("451 The file is not whole")  # noqa: S321 - inside TLS

    def _rename(self, part: str, name: str) -> None:
        try:
            self.rename(part, name)
        except ftplib.error_perm as err:
            if _code(err) in _UNKNOWN_COMMAND:
                raise
            # It may be that there is a file of this name already.
            self._remove(name)
            self.rename(part, name)

    def _remove(self, name: str) -> None:
        with suppress(*ftplib.all_errors):
            self.delete(name)

    def _stop_if_aborted(self) -> None:
        if self._aborted:
            raise ConnectionAbortedError


def _code(err: ftplib.Error) -> str:
    return str(err)[:3]
