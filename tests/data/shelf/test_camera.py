"""The camera writes the file that a phone would have saved."""

import io
import random
from dataclasses import replace
from datetime import datetime, timezone

import numpy as np
import pytest
from PIL import Image, ImageOps

from data.shelf.camera import Camera, take_photo

LANDSCAPE = Camera(orientation=1, light=0.8, softness=0.3, quality=90)
TAKEN = datetime(2026, 10, 5, 9, 12, 33, tzinfo=timezone.utc)


def shoot(camera: Camera) -> Image.Image:
    """Takes a photo of a scene that is white above and black below."""
    scene = Image.new("RGB", camera.scene_size, (0, 0, 0))
    scene.paste((255, 255, 255), (0, 0, scene.width, scene.height // 2))
    return Image.open(io.BytesIO(take_photo(scene, camera, TAKEN, 7, random.Random(1))))


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_orientation_tag_turns_the_pixels_upright(orientation: int) -> None:
    camera = replace(LANDSCAPE, orientation=orientation)
    photo = shoot(camera)
    assert photo.size == (192, 144)
    assert photo.getexif()[0x0112] == orientation
    upright = ImageOps.exif_transpose(photo)
    assert upright.size == camera.size == ((144, 192) if orientation in (6, 8) else (192, 144))
    gray = np.asarray(upright.convert("L"), np.float32)
    assert gray[: len(gray) // 3].mean() > 150 > 50 > gray[-len(gray) // 3 :].mean()
