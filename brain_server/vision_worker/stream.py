"""One RTSP stream: decoded while it is open, so that the picture that is asked for is never an old one."""

from fractions import Fraction
import ssl
import threading
import time
from typing import Any, Final

import av
from av.codec import CodecContext
from av.error import FFmpegError, HTTPForbiddenError, HTTPUnauthorizedError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from brain_server.errors import DeviceError
from brain_server.vision_worker.wire import Seen

# No picture is sent larger than this, for the sake of whoever looks at it from outside.
MOST_WIDTH: Final = 1920
# How much of a stream libav looks at before the first picture, in microseconds.
ANALYZE_US: Final = "500000"
# Of JPEG, from 2 (best) to 31.
QUALITY: Final = 4


class Stream:
    """A thread that reads pictures, and keeps the newest."""

    def __init__(self, url: str, seconds: float, *, verify_ssl: bool) -> None:
        """Begin to open an address; nothing is waited for."""
        self._url = url
        self._seconds = seconds
        self._verify_ssl = verify_ssl
        self._fresh = threading.Condition()
        self._newest: VideoFrame | None = None
        self._count = 0
        self._failure: DeviceError | None = None
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def ended(self) -> bool:
        """Say whether nothing more comes."""
        return self._failure is not None

    def look(self, seconds: float) -> Seen:
        """Return a picture that arrived after this was asked; DeviceError when none does."""
        deadline = time.monotonic() + seconds
        with self._fresh:
            wanted = self._count + 1
            while self._count < wanted and self._failure is None:
                if not self._fresh.wait(deadline - time.monotonic()):
                    raise DeviceError("no_picture", "The camera did not answer in time")
            frame = self._newest
            if self._failure is not None or frame is None:
                raise self._failure or DeviceError("no_picture", "The camera sent no picture")
        return Seen(image=jpeg(frame))

    def _read(self) -> None:
        try:
            with av.open(self._url, options=self._options(), timeout=self._seconds) as container:
                for frame in container.decode(video=0):
                    with self._fresh:
                        self._newest, self._count = frame, self._count + 1
                        self._fresh.notify_all()
            self._fail(DeviceError("camera_failed", "The camera ended its stream"))
        except HTTPUnauthorizedError, HTTPForbiddenError:
            self._fail(
                DeviceError("invalid_auth", "The camera does not take this user or password")
            )
        # Its words are left out: they hold the address, and with it the password.
        except (FFmpegError, OSError, IndexError, ValueError) as err:
            kind = type(err).__name__
            self._fail(DeviceError("cannot_connect", f"The camera gives no video ({kind})"))

    def _fail(self, failure: DeviceError) -> None:
        with self._fresh:
            self._failure = failure
            self._fresh.notify_all()

    def _options(self) -> dict[str, str]:
        """Return what libav is told: TCP, for UDP loses pieces, and a limit to every wait."""
        options = {
            "rtsp_transport": "tcp",
            "timeout": str(round(self._seconds * 1e6)),
            "analyzeduration": ANALYZE_US,
        }
        if self._url.startswith("rtsps:"):
            options["tls_verify"] = "1" if self._verify_ssl else "0"
            if self._verify_ssl and (authorities := ssl.get_default_verify_paths().cafile):
                options["ca_file"] = authorities
        return options


def jpeg(frame: VideoFrame) -> bytes:
    """Return a frame as JPEG."""
    width = min(frame.width, MOST_WIDTH)
    height = round(frame.height * width / frame.width / 2) * 2
    encoder: Any = CodecContext.create("mjpeg", "w")
    assert isinstance(encoder, VideoCodecContext)  # noqa: S101 - so is mjpeg
    encoder.width, encoder.height = width, height
    encoder.pix_fmt = "yuvj420p"
    encoder.time_base = Fraction(1, 25)
    encoder.qmin = encoder.qmax = QUALITY
    small = frame.reformat(width=width, height=height, format="yuvj420p")
    small.pts = 0
    return b"".join(bytes(packet) for packet in (*encoder.encode(small), *encoder.encode(None)))
