"""A real RTSP camera: GStreamer's own server with H.264 of a moving test picture, as a process.

Runs under Debian's Python, which has GStreamer's bindings: ``script/setup --services`` installs them.
"""

from pathlib import Path
import subprocess
import sys
from typing import Final

PYTHON: Final = Path("/usr/bin/python3")
BINDINGS: Final = "*/girepository-1.0/GstRtspServer-1.0.typelib"


def is_installed() -> bool:
    """Tell whether this machine has the server."""
    return PYTHON.exists() and any(Path("/usr/lib").glob(BINDINGS))


def serve(port: int, user: str, password: str, certificate: str) -> None:
    """Serve ``/live`` until killed; with a user, only to that user; with a certificate, over TLS."""
    import gi  # type: ignore[import-not-found]  # noqa: PLC0415 - only Debian's own Python has it

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import Gio, GLib, Gst, GstRtspServer  # type: ignore[import-not-found]  # noqa: PLC0415 - see above

    Gst.init(None)
    server = GstRtspServer.RTSPServer.new()
    server.set_address("127.0.0.1")
    server.set_service(str(port))
    factory = GstRtspServer.RTSPMediaFactory.new()
    factory.set_launch(
        "( videotestsrc is-live=true pattern=ball ! video/x-raw,width=640,height=480,framerate=15/1 "
        "! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 ! rtph264pay name=pay0 pt=96 )"
    )
    factory.set_shared(True)
    if user or certificate:
        auth = GstRtspServer.RTSPAuth.new()
        if certificate:
            auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(certificate))
        if user:
            token = GstRtspServer.RTSPToken()
            token.set_string("media.factory.role", "viewer")
            auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
        server.set_auth(auth)
    if user:
        allowed = "viewer, media.factory.access=true, media.factory.construct=true"
        factory.add_role_from_structure(Gst.Structure.from_string(allowed)[0])
    server.get_mount_points().add_factory("/live", factory)
    server.attach(None)
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    GLib.MainLoop().run()


class RtspCamera:
    """One camera; its methods block."""

    def __init__(self, user: str = "", password: str = "", certificate: str = "") -> None:
        """Choose a port."""
        from tests.standins.server import free_port  # noqa: PLC0415 - Debian's Python runs this file without the tests

        self.port = free_port()
        scheme = "rtsps" if certificate else "rtsp"
        self.url = f"{scheme}://127.0.0.1:{self.port}/live"
        self._command = [PYTHON, __file__, str(self.port), user, password, certificate]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it listens."""
        self.process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"listening\n"

    def kill(self) -> None:
        """End it without a word."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None


if __name__ == "__main__":
    serve(int(sys.argv[1]), *sys.argv[2:5])
