"""The auditor's phone: from the flat picture of a bay to a JPEG file with EXIF."""

import io
import random
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from PIL import Image, ImageFilter

from data.shelf.scene import MARGIN

LONG_SIDE, SHORT_SIDE = 192, 144
_SCENE_SCALE = 1.12  # Scene pixels in one pixel of the photo.
_LOCAL_TIME = timedelta(hours=1)

# EXIF tag numbers: CIPA DC-008 (Exif 2.32), tables 3 to 15.
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_PHONES = (
    ("Samsung", "SM-A546B", "A546BXXU7CXA1", 1.8, 5.5),
    ("Google", "Pixel 7a", "HDR+ 1.0.540104767zd", 1.89, 5.43),
    ("Apple", "iPhone 13", "17.4.1", 1.6, 5.1),
    ("Zebra Technologies", "TC58", "13-20-12.00", 1.8, 4.7),
)


@dataclass(frozen=True)
class Camera:
    """What stays the same during one walk down a lane.

    Attributes:
        phone: Which of the phones.
        orientation: EXIF orientation: 1 or 3 in landscape, 6 or 8 in portrait.
        light: 0 (dusk, one lamp) to 1 (noon, skylights).
        softness: 0 (sharp) to 1 (a shaky hand, a greasy lens).
        yaw: -1 to 1: how far the auditor stands to the left or right of what is photographed.
        pitch: -1 to 1: from above or from below.
        quality: JPEG quality, 1 to 100.
    """

    phone: int
    orientation: int
    light: float
    softness: float
    yaw: float
    pitch: float
    quality: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright photo, in pixels."""
        return (SHORT_SIDE, LONG_SIDE) if self.orientation in (6, 8) else (LONG_SIDE, SHORT_SIDE)

    @property
    def scene_size(self) -> tuple[int, int]:
        """Width and height of the scene to draw, in scene pixels."""
        width, height = self.size
        return round(_SCENE_SCALE * width) + 2 * MARGIN, round(_SCENE_SCALE * height) + 2 * MARGIN


def _project(scene: Image.Image, camera: Camera, rng: random.Random) -> Image.Image:
    """A pinhole camera in front of the shelf; the eight numbers are Pillow's for Transform.PERSPECTIVE."""
    width, height = camera.size
    yaw = 0.0011 * camera.yaw + rng.uniform(-2e-4, 2e-4)
    pitch = 0.0009 * camera.pitch + rng.uniform(-2e-4, 2e-4)
    roll, zoom = rng.uniform(-0.03, 0.03), _SCENE_SCALE * rng.uniform(0.92, 1.02)
    x, y = width / 2, height / 2
    at_x = scene.width / 2 + rng.uniform(-6, 6)
    at_y = scene.height / 2 + rng.uniform(-4, 4)
    one = 1 - yaw * x - pitch * y
    rows = (
        (at_x * yaw + zoom, at_x * pitch - zoom * roll, at_x * one - zoom * (x - roll * y)),
        (at_y * yaw + zoom * roll, at_y * pitch + zoom, at_y * one - zoom * (y + roll * x)),
    )
    numbers = [value / one for row in rows for value in row] + [yaw / one, pitch / one]
    return scene.transform(
        camera.size, Image.Transform.PERSPECTIVE, numbers, Image.Resampling.BILINEAR, fillcolor=(40, 40, 42)
    )


def _expose(photo: Image.Image, camera: Camera, rng: random.Random) -> Image.Image:
    """Light, glare and sensor noise. Arithmetic is plain + - * /, so that every machine rounds alike."""
    pixels = np.asarray(photo, np.float32)
    height, width = pixels.shape[:2]
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    gain = (0.85 + 0.4 * camera.light) * rng.uniform(0.95, 1.05)
    falloff = gain * (1 - 0.12 * (x * x + y * y) + rng.uniform(-0.12, 0.12) * x - rng.uniform(0, 0.2) * y)
    warmth = 0.08 * (0.5 - camera.light)
    lit = pixels * falloff.astype(np.float32)[..., None] * np.array([1 + warmth, 1, 1 - warmth], np.float32)
    if rng.random() < 0.12:
        wide, tall = rng.uniform(4, 16), rng.uniform(4, 16)
        spot = wide * (x - rng.uniform(-0.8, 0.8)) ** 2 + tall * (y - rng.uniform(-0.8, 0.8)) ** 2
        lit += (rng.uniform(40, 110) / (1 + spot) ** 2).astype(np.float32)[..., None]
    # Four uniform bytes added up are near enough to a normal distribution, of variance 4 * 256**2 / 12.
    grain = np.frombuffer(rng.randbytes(4 * height * width), np.int8).reshape(4, height, width)
    sigma = 1.5 + 3.0 * (1 - camera.light)
    lit += (grain.sum(0, np.float32) * np.float32(sigma / 147.8))[..., None]
    return Image.fromarray(np.clip(np.rint(lit), 0, 255).astype(np.uint8))


def _degrees(value: float) -> tuple[float, float, float]:
    minutes, seconds = divmod(round(value * 3600, 2), 60)
    return float(minutes // 60), float(minutes % 60), round(seconds, 2)


def _exif(camera: Camera, size: tuple[int, int], taken: datetime, lane_number: int) -> Image.Exif:
    make, model, software, f_number, focal_length = _PHONES[camera.phone]
    local = (taken + _LOCAL_TIME).strftime("%Y:%m:%d %H:%M:%S")
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0131] = make, model, software
    exif[0x0112] = camera.orientation
    exif[0x011A], exif[0x011B], exif[0x0128] = 72.0, 72.0, 2
    exif[0x0132] = local
    exif[_EXIF_IFD] = {
        0x829A: round(1 / (30 + round(170 * camera.light)), 4),  # ExposureTime, seconds
        0x829D: f_number,
        0x8827: 100 + 50 * round(14 * (1 - camera.light)),  # PhotographicSensitivity
        0x9000: b"0232",
        0x9003: local,
        0x9004: local,
        0x9011: "+01:00",
        0x9209: 16,  # Flash: off
        0x920A: focal_length,
        0xA001: 1,
        0xA002: size[0],
        0xA003: size[1],
    }
    exif[_GPS_IFD] = {
        0: b"\x02\x03\x00\x00",
        1: "N",
        2: _degrees(51.4472 + 0.00004 * lane_number),
        3: "E",
        4: _degrees(7.2715),
        7: (float(taken.hour), float(taken.minute), float(taken.second)),
        29: taken.strftime("%Y:%m:%d"),
    }
    return exif


def take_photo(
    scene: Image.Image, camera: Camera, taken: datetime, lane_number: int, rng: random.Random
) -> bytes:
    """A JPEG file of the scene: pixels as the sensor holds them, EXIF that says how to turn them upright.

    Args:
        scene: RGB picture of `camera.scene_size`.
        camera: The session's camera.
        taken: When, in UTC.
        lane_number: Decides the GPS position.
        rng: Decides what differs between two photos of one session.
    """
    photo = _project(scene, camera, rng)
    photo = photo.filter(ImageFilter.GaussianBlur(0.2 + 0.5 * camera.softness + rng.uniform(0, 0.15)))
    photo = _expose(photo, camera, rng)
    turn = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    if camera.orientation in turn:
        photo = photo.transpose(turn[camera.orientation])
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=camera.quality, exif=_exif(camera, photo.size, taken, lane_number))
    return file.getvalue()
