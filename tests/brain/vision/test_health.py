"""What a camera is worth, told from small grey pictures alone."""

import io
import random
from typing import Any

from PIL import Image, ImageDraw, ImageFilter
import pytest

from brain_server.errors import DeviceError
from brain_server.protocol import Json
from brain_server.vision.health import Eye, Health, State, changed, has_moved, measured, sees
from brain_server.vision.pictures import grey
from tests.standins.mjpeg_camera import SIZE, jpeg, scene


def small(image: Image.Image) -> bytes:
    """Return what is judged of a picture."""
    return grey(jpeg(image))


def printer(progress: float = 0.0, status: str = "printing", **job: Any) -> Json:
    """Return what a printer shows."""
    return {"status": status, "job": {"started_at": "t", "progress": progress} | job}


def watched(*looks: tuple[float, Image.Image, Json]) -> Health:
    """Show an eye so many pictures and return what it thinks at the end."""
    eye = Eye()
    for at, image, shown in looks:
        eye.look(at, small(image), shown)
    return eye.health


def noisy(image: Image.Image, seed: int) -> Image.Image:
    """Return a picture as a sensor in bad light takes it."""
    chance = random.Random(seed)
    noise = Image.frombytes("L", (320, 240), chance.randbytes(320 * 240)).resize(SIZE)
    return Image.blend(image, noise.convert("RGB"), 0.06)


# -- one picture --------------------------------------------------------------------------------------


def test_a_picture_of_a_printer_is_fine() -> None:
    assert sees(measured(small(scene()))) == Health(state=State.OK)


@pytest.mark.parametrize(
    ("image", "health"),
    [
        (Image.new("RGB", SIZE, (3, 3, 4)), Health(state=State.DARK, reason="dark")),
        (
            Image.new("RGB", SIZE, (254, 254, 254)),
            Health(state=State.OBSTRUCTED, reason="overexposed"),
        ),
        (
            Image.new("RGB", SIZE, (120, 110, 100)),
            Health(state=State.OBSTRUCTED, reason="nothing_to_see"),
        ),
    ],
    ids=["a dark room", "the sun", "a hand before the lens"],
)
def test_a_picture_that_shows_nothing_is_told(image: Image.Image, health: Health) -> None:
    assert sees(measured(small(image))) == health


def test_a_lamp_in_a_dark_room_is_something_to_see() -> None:
    image = Image.new("RGB", SIZE, (3, 3, 4))
    ImageDraw.Draw(image).rectangle((200, 150, 400, 330), fill=(230, 230, 220))
    assert sees(measured(small(image))).state is State.OK


def test_a_dirty_lens_is_told_by_what_was_seen_before() -> None:
    blurred = scene().filter(ImageFilter.GaussianBlur(60))
    usual = measured(small(scene())).edges
    assert sees(measured(small(blurred))).state is State.OK
    assert sees(measured(small(blurred)), usual) == Health(state=State.OBSTRUCTED, reason="blurred")


@pytest.mark.parametrize(
    "image",
    [
        b"",
        b"no picture",
        jpeg(scene())[:900],
        b"\x89PNG\r\n\x1a\n" + bytes(40),
        b"GIF89a" + bytes(90),
    ],
)
def test_what_is_no_picture_is_refused(image: bytes) -> None:
    with pytest.raises(DeviceError) as caught:
        grey(image)
    assert caught.value.code == "bad_picture"


def test_a_picture_that_would_fill_the_memory_is_refused() -> None:
    bomb = Image.new("1", (9000, 9000))
    with pytest.raises(DeviceError) as caught:
        grey(_png(bomb))
    assert caught.value.code == "bad_picture"


def _png(image: Image.Image) -> bytes:
    made = io.BytesIO()
    image.save(made, "PNG")
    return made.getvalue()


# -- two pictures -------------------------------------------------------------------------------------


def test_a_head_elsewhere_is_a_change() -> None:
    assert changed(small(scene(1)), small(scene(2)))


def test_noise_is_no_change() -> None:
    assert not changed(small(noisy(scene(), 1)), small(noisy(scene(), 2)))


def test_another_quality_is_no_change() -> None:
    assert not changed(grey(jpeg(scene(), 95)), grey(jpeg(scene(), 40)))


@pytest.mark.parametrize(
    ("before", "after", "moved"),
    [
        (printer(1), printer(2), True),
        (printer(1, layer=3), printer(1, layer=4), True),
        (printer(1, filament_mm=3.0), printer(1, filament_mm=3.5), True),
        (printer(1, elapsed_s=3), printer(1, elapsed_s=99), False),
        (printer(1), printer(1), False),
        (printer(2), printer(1), False),
        (printer(1, status="paused"), printer(2), False),
        (printer(1), printer(2, status="completed"), False),
        (printer(1), printer(2, started_at="u"), False),
        ({}, {}, False),
        ({"status": "printing", "job": None}, printer(2), False),
    ],
)
def test_a_printer_has_moved_only_where_its_work_went_on(
    before: Json, after: Json, moved: bool
) -> None:
    assert has_moved(before, after) is moved


# -- frozen -------------------------------------------------------------------------------------------


def test_the_same_picture_of_a_moving_printer_is_frozen() -> None:
    looks = [(at * 25.0, scene(), printer(at)) for at in range(4)]
    assert watched(*looks) == Health(state=State.FROZEN, reason="no_change")


@pytest.mark.parametrize("place", [(8, 6), (440, 460)])
def test_a_clock_in_the_picture_does_not_hide_that_it_is_frozen(place: tuple[int, int]) -> None:
    looks = []
    for at in range(4):
        image = scene()
        draw = ImageDraw.Draw(image)
        draw.text(
            place, f"2026-11-21 10:{at * 7:02}:{at * 13:02}", fill=(255, 255, 255), font_size=22
        )
        looks.append((at * 25.0, image, printer(at)))
    assert watched(*looks).state is State.FROZEN


def test_noise_does_not_hide_that_it_is_frozen() -> None:
    looks = [(at * 25.0, noisy(scene(), at), printer(at)) for at in range(4)]
    assert watched(*looks).state is State.FROZEN


def test_a_moving_head_is_never_frozen() -> None:
    looks = [(at * 25.0, scene(at), printer(at)) for at in range(12)]
    assert watched(*looks).state is State.OK


def test_a_still_picture_of_an_idle_printer_is_not_frozen() -> None:
    looks = [(at * 25.0, scene(), printer(0, status="idle")) for at in range(12)]
    assert watched(*looks).state is State.OK


def test_a_still_picture_of_a_printer_that_tells_no_progress_is_not_called_frozen() -> None:
    looks = [(at * 25.0, scene(), printer(5)) for at in range(12)]
    assert watched(*looks).state is State.OK


def test_a_pause_in_between_proves_nothing() -> None:
    looks = [
        (at * 25.0, scene(), printer(at, status="paused" if at == 2 else "printing"))
        for at in range(4)
    ]
    assert watched(*looks).state is State.OK


def test_a_short_while_is_not_enough() -> None:
    looks = [(at * 5.0, scene(), printer(at)) for at in range(6)]
    assert watched(*looks).state is State.OK


def test_a_camera_that_moves_again_is_well_again() -> None:
    frozen = [(at * 25.0, scene(), printer(at)) for at in range(4)]
    again = [(at * 25.0, scene(at), printer(at)) for at in range(4, 6)]
    assert watched(*frozen, *again).state is State.OK


def test_a_freeze_of_a_whole_night_is_remembered_in_little() -> None:
    eye = Eye()
    for at in range(200):
        eye.look(at * 25.0, small(scene()), printer(at / 4))
    assert len(eye._same) <= 30
    assert eye.health.state is State.FROZEN


# -- agreement ----------------------------------------------------------------------------------------

DARK = Image.new("RGB", SIZE, (3, 3, 4))


def test_the_first_look_says_something_at_once() -> None:
    assert Eye().health.state is State.UNKNOWN
    assert watched((0.0, scene(), {})).state is State.OK


def test_one_dark_picture_is_a_flash_in_reverse() -> None:
    looks = [(float(at), DARK if at == 3 else scene(at), {}) for at in range(6)]
    assert watched(*looks).state is State.OK


def test_three_dark_pictures_are_a_dark_room() -> None:
    looks = [(float(at), DARK if at >= 3 else scene(at), {}) for at in range(6)]
    assert watched(*looks).state is State.DARK


def test_looks_that_do_not_agree_change_nothing() -> None:
    flat = Image.new("RGB", SIZE, (120, 110, 100))
    images = [scene(), DARK, DARK, flat, DARK, DARK, flat]
    assert watched(*((float(at), image, {}) for at, image in enumerate(images))).state is State.OK


def test_light_again_is_believed_after_two_looks() -> None:
    eye = Eye()
    for at in range(3):
        eye.look(at, small(DARK), {})
    eye.look(4, small(scene()), {})
    assert eye.health.state is State.DARK
    eye.look(5, small(scene()), {})
    assert eye.health.state is State.OK


def test_a_camera_that_gives_no_picture_is_unreachable() -> None:
    eye = Eye()
    eye.look(0, small(scene()), {})
    for _ in range(2):
        eye.failed("no_picture")
    assert eye.health.state is State.OK
    assert eye.failed("no_picture") == Health(state=State.UNREACHABLE, reason="no_picture")


def test_dust_that_settles_is_told_from_a_scene_without_edges() -> None:
    eye = Eye()
    for at in range(6):
        eye.look(at, small(scene(at)), {})
    for at in range(3):
        eye.look(10 + at, small(scene(at).filter(ImageFilter.GaussianBlur(60))), {})
    assert eye.health == Health(state=State.OBSTRUCTED, reason="blurred")
