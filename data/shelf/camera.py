"""The auditor's phone, which turns the flat picture of a bay into a JPEG file with EXIF."""

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


@dataclass(frozen=True)
class Camera:
    """The settings and conditions that stay the same during one walk down a lane."""

    orientation: int  # of EXIF: 1 or 3 in landscape, 6 or 8 in portrait
    light: float  # 0 (dusk, one lamp) to 1 (noon, skylights)
    softness: float  # 0 (sharp) to 1 (a shaky hand, a greasy lens)
    quality: int  # of the JPEG, 1 to 100
    roll: float = 0.0  # degrees by which its bracket hangs aslant

    @property
    def size(self) -> tuple[int, int]:
        """Returns width and height of the upright photo, in pixels."""
        return (SHORT_SIDE, LONG_SIDE) if self.orientation in (6, 8) else (LONG_SIDE, SHORT_SIDE)

    @property
    def scene_size(self) -> tuple[int, int]:
        """Returns width and height of the scene to draw, in scene pixels."""
        width, height = self.size
        return round(_SCENE_SCALE * width) + 2 * MARGIN, round(_SCENE_SCALE * height) + 2 * MARGIN


def _crop(scene: Image.Image, camera: Camera, rng: random.Random) -> Image.Image:
    """Crops the scene to the frame of a hand that is never quite still."""
    size = camera.size
    zoom = _SCENE_SCALE * rng.uniform(0.92, 1.02)
    width, height = zoom * size[0], zoom * size[1]
    left = (scene.width - width) / 2 + rng.uniform(-6, 6)
    top = (scene.height - height) / 2 + rng.uniform(-4, 4)
    turned = scene.rotate(camera.roll + rng.uniform(-2, 2), Image.Resampling.BILINEAR)
    return turned.resize(size, Image.Resampling.BILINEAR, (left, top, left + width, top + height))


def _expose(photo: Image.Image, light: float, rng: random.Random) -> Image.Image:
    """Adds light and sensor noise. Arithmetic is plain + - * /, so that every machine rounds alike."""
    pixels = np.asarray(photo, np.float32)
    height, width = pixels.shape[:2]
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    gain = (0.85 + 0.4 * light) * rng.uniform(0.95, 1.05)
    falloff = gain * (1 - 0.12 * (x * x + y * y) + rng.uniform(-0.12, 0.12) * x - rng.uniform(0, 0.2) * y)
    # The sum of four uniform bytes is close enough to a normal distribution, of variance 4 * 256**2 / 12.
    grain = np.frombuffer(rng.randbytes(4 * height * width), np.int8).reshape(4, height, width)
    noise = grain.sum(0, np.float32) * np.float32((1.5 + 3.0 * (1 - light)) / 147.8)
    lit = pixels * falloff.astype(np.float32)[..., None] + noise[..., None]
    return Image.fromarray(np.clip(np.rint(lit), 0, 255).astype(np.uint8))


def _make_exif(camera: Camera, moment: datetime, lane_number: int) -> Image.Exif:
    local = (moment + _LOCAL_TIME).strftime("%Y:%m:%d %H:%M:%S")
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Google", "Pixel 7a"
    exif[0x0112], exif[0x0132] = camera.orientation, local
    exif[_EXIF_IFD] = {0x9003: local, 0x9011: "+01:00"}
    exif[_GPS_IFD] = {
        1: "N",
        2: (51.0, 26.0, round(49.92 + 0.144 * lane_number, 2)),
        3: "E",
        4: (7.0, 16.0, 17.4),
        29: moment.strftime("%Y:%m:%d"),
    }
    return exif


def take_photo(
    scene: Image.Image, camera: Camera, moment: datetime, lane_number: int, rng: random.Random
) -> bytes:
    """Returns a JPEG file of the scene: pixels as the sensor has them, and EXIF with their orientation.

    Args:
        scene: An RGB picture of `camera.scene_size`.
        camera: The one of the session.
        moment: The time in UTC; EXIF has the local one too.
        lane_number: From 1; it gives the place in EXIF.
        rng: Moves the hand and draws the noise of the sensor.
    """
    photo = _crop(scene, camera, rng)
    photo = photo.filter(ImageFilter.GaussianBlur(0.2 + 0.5 * camera.softness + rng.uniform(0, 0.15)))
    photo = _expose(photo, camera.light, rng)
    turn = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    if camera.orientation in turn:
        photo = photo.transpose(turn[camera.orientation])
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=camera.quality, exif=_make_exif(camera, moment, lane_number))
    return file.getvalue()
