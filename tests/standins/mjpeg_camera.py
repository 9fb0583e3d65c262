"""A camera with a web server: one picture, or a stream of pictures that are drawn anew each time."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
import hashlib
import io
import re
from typing import Final, Self

from aiohttp import web
from PIL import Image, ImageDraw

SIZE: Final = (640, 480)
REALM: Final = "camera"
NONCE: Final = "dcd98b7102dd2f0e8b11d0f600bfb0c093"


def jpeg(image: Image.Image, quality: int = 85) -> bytes:
    """Return a drawing as a camera sends it."""
    made = io.BytesIO()
    image.save(made, "JPEG", quality=quality)
    return made.getvalue()


def scene(step: int = 0, *, spaghetti: bool = False, clock: str = "") -> Image.Image:
    """Draw a printer at work; with each step its head is elsewhere."""
    image = Image.new("RGB", SIZE, (60, 66, 72))
    draw = ImageDraw.Draw(image)
    draw.rectangle((60, 330, 580, 400), fill=(30, 30, 34))
    for at in range(80, 580, 40):
        draw.line((at, 330, at, 400), fill=(90, 90, 96), width=2)
    draw.rectangle((250, 250, 390, 330), fill=(220, 120, 40))
    left = 80 + step * 47 % 440
    draw.rectangle((left, 150, left + 70, 235), fill=(200, 205, 210))
    draw.rectangle((left + 28, 235, left + 42, 250), fill=(240, 200, 40))
    if spaghetti:
        for loop in range(14):
            x, y = 180 + loop * 37 % 260, 200 + loop * 29 % 130
            draw.arc(
                (x, y, x + 90, y + 60), loop * 31, loop * 31 + 290, fill=(220, 120, 40), width=5
            )
    if clock:
        draw.text((8, 6), clock, fill=(255, 255, 255))
    return image


class MjpegCamera:
    """One camera. Change what it shows, or how it misbehaves, at any time."""

    def __init__(self) -> None:
        """Show a printer at work to everybody."""
        self.picture: Callable[[], bytes] = lambda: jpeg(scene())
        self.user = ""
        self.password = ""
        self.digest = False
        self.sends_length = True
        # Nothing more is sent after the headers.
        self.hangs = False
        self.breaks_off = False
        self.every_s = 0.02
        self.asked: list[str] = []
        self.authorized: list[str] = []
        self.open = 0
        self.port = 0

    @classmethod
    @asynccontextmanager
    async def serving(cls) -> AsyncIterator[Self]:
        """Serve ``/picture.jpg`` and ``/stream`` for the time of a block."""
        camera = cls()
        app = web.Application()
        app.router.add_get("/picture.jpg", camera._one)
        app.router.add_get("/stream", camera._stream)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        camera.port = runner.addresses[0][1]
        try:
            yield camera
        finally:
            await runner.cleanup()

    @property
    def url(self) -> str:
        """Return its address."""
        return f"http://127.0.0.1:{self.port}"

    def _check(self, request: web.Request) -> None:
        """Refuse whoever does not know the password, in the way that this camera asks for it."""
        given = request.headers.get("Authorization", "")
        self.asked.append(request.path)
        self.authorized.append(given)
        if not self.user:
            return
        basic = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        if self.digest:
            if self._knows(request, given):
                return
            challenge = f'Digest realm="{REALM}", nonce="{NONCE}", qop="auth"'
        elif given == f"Basic {basic}":
            return
        else:
            challenge = f'Basic realm="{REALM}"'
        raise web.HTTPUnauthorized(headers={"WWW-Authenticate": challenge})

    def _knows(self, request: web.Request, given: str) -> bool:
        fields = dict(re.findall(r'(\w+)="?([^",]+)"?', given.removeprefix("Digest ")))
        if fields.get("username") != self.user:
            return False
        secret = _md5(f"{self.user}:{REALM}:{self.password}")
        what = _md5(f"{request.method}:{fields['uri']}")
        parts = (secret, NONCE, fields["nc"], fields["cnonce"], fields["qop"], what)
        return fields["response"] == _md5(":".join(parts))

    async def _one(self, request: web.Request) -> web.StreamResponse:
        self._check(request)
        if self.hangs:
            await asyncio.sleep(60)
        image = self.picture()
        response = web.StreamResponse(headers={"Content-Type": "image/jpeg"})
        response.content_length = len(image)
        await response.prepare(request)
        await response.write(image[: len(image) // 2] if self.breaks_off else image)
        if self.breaks_off and request.transport is not None:
            request.transport.close()
        return response

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        self._check(request)
        kind = "multipart/x-mixed-replace; boundary=frame"
        response = web.StreamResponse(headers={"Content-Type": kind})
        await response.prepare(request)
        self.open += 1
        try:
            while True:
                image = self.picture()
                length = f"Content-Length: {len(image)}\r\n" if self.sends_length else ""
                head = f"--frame\r\nContent-Type: image/jpeg\r\n{length}\r\n"
                if self.breaks_off:
                    await response.write(head.encode() + image[: len(image) // 2])
                    return response
                await response.write(head.encode() + image + b"\r\n")
                await asyncio.sleep(60 if self.hangs else self.every_s)
        except ConnectionResetError:
            return response
        finally:
            self.open -= 1


def _md5(words: str) -> str:
    return hashlib.md5(words.encode(), usedforsecurity=False).hexdigest()
