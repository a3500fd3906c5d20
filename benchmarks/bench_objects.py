"""Objects photographed several times: `python -m benchmarks.bench_objects DIR [--photos DIR] [--seed N]`.

Renders sets below DIR, imports each with thumbnails alone and with what a network sees, and prints a row for
each: `torn` of the objects with several photos (on both sides of the split), `own` of the eval photos (their
object is in train), `false` of all photos (in one session with another object), and `seen` of the eval photos
that have a photo of their object in train where photos are split without regard to objects, as a run looks
for them; `others` of the rest, that it takes for twins too.

The sets: surfaces with scratches, by their exposures; rendered things, two and two alike but for their
marks, in other places before three backgrounds, and the same by running number; and where `--photos` names a
folder of other photos, parts of these, each cut, turned and lit otherwise.
"""

import argparse
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from data.importers.importing import import_photos
from data.photos.labels_file import PhotoSpan, read_labels
from data.photos.likeness import stack_looks
from data.photos.rare_parts import compute_features
from data.photos.same_object import SURE, find_same
from data.photos.thumbnails import read_look
from data.spans.layout import find_spans
from trainer_module.networks.photo_features import describe_photo

SIDE = 256
# Label, object, name of the file, and its content as JPEG.
Photo = tuple[str, int, str, bytes]


def render_things(rng: np.random.Generator, count: int, numbered: bool) -> Iterator[Photo]:
    """Renders things in pairs with the same shape and colour, but different marks."""
    backgrounds = [rng.uniform(60, 200, 3) + rng.normal(0, 30, (8, 8, 3)) for _ in range(3)]
    for thing in range(count):
        if thing % 2 == 0:
            waves, colour = rng.uniform(0, 1, 4), tuple(map(int, rng.integers(60, 220, 3)))
        picture = _render_thing(rng, waves, colour)
        for view in range(rng.integers(2, 6)):
            background = np.clip(backgrounds[rng.integers(3)], 0, 255).astype(np.uint8)
            photo = Image.fromarray(background).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            side = int(200 * rng.uniform(0.8, 1.15))
            turned = picture.rotate(rng.uniform(-15, 15), Image.Resampling.BICUBIC).resize((side, side))
            left, top = map(int, rng.integers(-20, 60, 2))
            photo.paste(turned, (left, top), turned)
            name = f"IMG_{thing * 10 + view:05}" if numbered else f"{rng.integers(2**60):x}-"
            yield "ab"[thing // 2 % 2], thing, name, _light(photo, rng)


def _render_thing(rng: np.random.Generator, waves: Any, colour: tuple[int, ...]) -> Image.Image:
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    radii = 60 * (
        1
        + 0.25 * waves[0] * np.cos(2 * angles + 6 * waves[1])
        + 0.15 * waves[2] * np.cos(3 * angles + 6 * waves[3])
    )
    picture, marks = Image.new("RGBA", (200, 200)), Image.new("RGBA", (200, 200))
    outline = np.stack([100 + radii * np.cos(angles), 100 + radii * np.sin(angles)], 1)
    ImageDraw.Draw(picture).polygon([tuple(point) for point in outline], (*colour, 255))
    for _ in range(rng.integers(4, 10)):
        (x, y), size = rng.uniform(50, 150, 2), rng.uniform(4, 22)
        ImageDraw.Draw(marks).ellipse((x, y, x + size, y + size), (*map(int, rng.integers(0, 255, 3)), 255))
    inside = Image.composite(marks.getchannel("A"), Image.new("L", (200, 200)), picture.getchannel("A"))
    picture.paste(marks, (0, 0), inside)
    return picture


def vary_photos(rng: np.random.Generator, folder: Path, count: int) -> Iterator[Photo]:
    """Varies given photos several times: cut to 60 to 100 % of a side, turned by up to 12 degrees, lit."""
    paths = sorted(folder.rglob("*.jpg"))
    for thing, number in enumerate(rng.choice(len(paths), count, replace=False)):
        whole = Image.open(paths[number]).convert("RGB").resize((400, 400))
        for _ in range(rng.integers(2, 6)):
            side = int(320 * rng.uniform(0.6, 1))
            left, top = 40 + rng.integers(0, 321 - side, 2)
            turned = whole.rotate(rng.uniform(-12, 12), Image.Resampling.BICUBIC)
            photo = turned.crop((left, top, left + side, top + side)).resize((SIDE, SIDE))
            yield paths[number].parent.name, thing, f"{rng.integers(2**60):x}-", _light(photo, rng)


def render_surfaces(rng: np.random.Generator, count: int) -> Iterator[Photo]:
    """Renders machined surfaces with grain, stains and scratches, each shifted a little and lit otherwise."""
    for thing in range(count):
        height, width = map(int, rng.integers(220, 421, 2))
        marks = Image.fromarray(rng.normal(120, 4, (3, 3)).astype(np.float32))
        marks = marks.resize((width, height), Image.Resampling.BICUBIC)
        for _ in range(rng.poisson(3)):
            ends = [tuple(point) for point in rng.uniform(0, (width, height), (2, 2))]
            ImageDraw.Draw(marks).line(ends, float(rng.uniform(80, 150)), int(rng.integers(1, 4)))
        surface = np.asarray(marks) + rng.normal(0, rng.uniform(2, 6), (height, width))
        for _ in range(rng.integers(2, 7)):
            top, left = rng.integers(0, 21, 2)
            seen = surface[top : top + height - 20, left : left + width - 20]
            y, x = np.ogrid[-1 : 1 : seen.shape[0] * 1j, -1 : 1 : seen.shape[1] * 1j]
            seen = seen * (1 + rng.normal(0, 0.05) * x + rng.normal(0, 0.05) * y)
            seen += rng.normal(0, rng.uniform(1, 5), seen.shape)
            photo = Image.fromarray(seen.clip(0, 255).astype(np.uint8)).convert("RGB")
            yield "ab"[thing % 2], thing, f"{rng.integers(2**60):x}-", _light(photo, rng)


def _light(photo: Image.Image, rng: np.random.Generator) -> bytes:
    pixels = (np.asarray(photo) / 255) ** np.exp(rng.uniform(-0.35, 0.35))
    pixels = pixels * np.exp(rng.uniform(-0.3, 0.3)) * np.exp(rng.normal(0, 0.06, 3))
    file = io.BytesIO()
    Image.fromarray((pixels.clip(0, 1) * 255).astype(np.uint8)).save(file, "JPEG", quality=85)
    return file.getvalue()


def measure(folder: Path, photos: list[Photo], describe: Any) -> str:
    """Imports one set and returns its row."""
    things = {}
    for label, thing, name, content in photos:
        path = folder / "source" / label / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        things[content] = thing
    import_photos(folder / "source", folder / "data", describe=describe)
    (span,) = map(PhotoSpan.of, find_spans(folder / "data"))
    rows = [(things[span.read(row.photo)], row) for row in read_labels(span)]
    of_thing: dict[int, list[Any]] = {}
    of_session: dict[str, set[int]] = {}
    for thing, row in rows:
        of_thing.setdefault(thing, []).append(row)
        of_session.setdefault(row.session_id, set()).add(thing)
    several = [mates for mates in of_thing.values() if len(mates) > 1]
    torn = sum(len({row.split for row in mates}) > 1 for mates in several)
    trained = {thing for thing, row in rows if row.split == "train"}
    judged = [thing for thing, row in rows if row.split == "eval"]
    own = sum(thing in trained for thing in judged)
    false = sum(len(of_session[row.session_id]) > 1 for _, row in rows)
    seen, paired, others, single = _count_twins(photos, describe)
    return (
        f"torn {torn} of {len(several)}, own {own} of {len(judged)}, false {false} of {len(rows)},"
        f" seen {seen} of {paired}, others {others} of {single}"
    )


def _count_twins(photos: list[Photo], describe: Any) -> tuple[int, int, int, int]:
    """Returns `seen` and its total, `others` and its total, for a split without regard to objects."""
    in_eval = np.random.default_rng(0).random(len(photos)) < 0.2
    seen = paired = others = single = 0
    looks = []
    for *_, content in photos:
        own_look, pixels = read_look(content) or (b"", b"")
        looks.append(own_look + (describe(pixels) if describe else b""))
    for label in {photo[0] for photo in photos}:
        of_label = np.array([photo[0] == label for photo in photos])
        evaluated, trained = np.flatnonzero(of_label & in_eval), np.flatnonzero(of_label & ~in_eval)
        some = [looks[number] for number in (*evaluated, *trained)]
        twins = find_same(stack_looks(some), compute_features(some), len(evaluated), least=SURE).twins
        known = {photos[number][1] for number in trained}
        has = np.array([photos[number][1] in known for number in evaluated], bool)
        seen, paired = seen + int((has & (twins >= 0)).sum()), paired + int(has.sum())
        others, single = others + int((~has & (twins >= 0)).sum()), single + int((~has).sum())
    return seen, paired, others, single


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR", help="where the sets are written")
    parser.add_argument("--photos", type=Path, help="further photos, one folder per label")
    parser.add_argument("--seed", type=int, default=1, help="seed of the sets (1)")
    arguments = parser.parse_args()
    folder, seed = arguments.folder, arguments.seed
    sets = {
        "surfaces": list(render_surfaces(np.random.default_rng(seed + 2), 168)),
        "things": list(render_things(np.random.default_rng(seed), 168, numbered=False)),
        "numbered": list(render_things(np.random.default_rng(seed + 1), 168, numbered=True)),
    }
    if arguments.photos:
        sets["parts"] = list(vary_photos(np.random.default_rng(seed), arguments.photos, 168))
    for name, photos in sets.items():
        for how, describe in (("thumbnails", None), ("network", describe_photo)):
            print(f"{name:9} {how:10} {measure(folder / name / how, photos, describe)}", flush=True)


if __name__ == "__main__":
    main()
