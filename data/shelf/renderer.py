"""Renders weekly spans of shelf photos: the walks down lanes, their times, and the contents of each photo.

The seed and the number of the span decide everything, so the same two give the same bytes. Light, hands and
phones are spread evenly over a week's sessions instead of drawn one by one: sessions differ a lot, but whole
weeks hardly, so that a drift check finds nothing where nothing is wrong.
"""

import math
import multiprocessing
import random
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, time, timedelta, timezone
from pathlib import Path

from data.photos.labels_file import LabelRow, write_span
from data.shelf.camera import Camera, take_photo
from data.shelf.faults import FAULTS, ONE_PHOTO, spoil
from data.shelf.layout import LANES, make_lane
from data.shelf.scene import draw_bay
from data.spans.layout import Span, find_next_number
from data.spans.sample import assign_faults, check_arguments, find_monday
from edgeline.journal import format_utc
from edgeline.records.events import Counted, report

CLASS_SHARES = {"ok": 0.7, "misplaced": 0.2, "damaged": 0.1}
LABEL_NOISE = 0.01
PHOTOS_PER_SESSION = 10

_ORIENTATIONS = ((0.78, 1), (0.82, 3), (0.94, 6), (1.0, 8))
_ROUND_STARTS, _ROUND_HOURS, _WORKDAYS = 6, 11, 6
_NEW_LANES = 3

_Photo = tuple[LabelRow, bytes]


@dataclass(frozen=True)
class Session:
    """A walk down a lane, which one process renders."""

    seed: int
    span: int
    index: int
    lane: int
    starts: datetime
    camera: Camera
    contents: tuple[str, ...]  # the class that each photo shows
    labels: tuple[str, ...]  # as the auditor wrote them down
    faults: tuple[tuple[str, ...], ...]  # of each photo

    @property
    def id(self) -> str:
        """Returns the name of the session in labels; it differs from those of all other spans."""
        return f"s{self.span:05d}-{self.index:04d}"

    def photo(self, index: int) -> str:
        """Returns the name of the photo at a place, counted from 0."""
        return f"{self.id}-{index + 1:02d}.jpg"


def _draw_evenly(count: int, rng: random.Random) -> list[float]:
    """Returns a number from each of `count` equal parts of 0 to 1, shuffled."""
    values = [(index + rng.random()) / count for index in range(count)]
    rng.shuffle(values)
    return values


def _plan_classes(photos: int, label_shift: float, rng: random.Random) -> tuple[list[str], list[str]]:
    """Returns the classes that a week's photos show, in exact shares, and labels, some of them wrong."""
    damaged = round(photos * CLASS_SHARES["damaged"])
    misplaced = round(photos * CLASS_SHARES["misplaced"])
    contents = ["damaged"] * damaged + ["misplaced"] * misplaced + ["ok"] * (photos - damaged - misplaced)
    rng.shuffle(contents)
    mislabelled = rng.sample(range(photos), round(LABEL_NOISE * photos))
    undamaged = [index for index, label in enumerate(contents) if label != "damaged"]
    for index in rng.sample(undamaged, len(undamaged))[: round(label_shift * len(undamaged))]:
        contents[index] = "damaged"
    labels = list(contents)
    for index in mislabelled:
        labels[index] = rng.choice([name for name in CLASS_SHARES if name != contents[index]])
    return contents, labels


def _plan_rounds(seed: int) -> list[int]:
    """Returns all lanes in the order of the rounds; light (odd) and dark (even) goods alternate."""
    rng = random.Random(f"rounds {seed}")
    odd, even = (rng.sample(range(first, LANES + 1, 2), LANES // 2) for first in (1, 2))
    return [number for pair in zip(odd, even, strict=True) for number in pair]


def plan_week(
    span: int, photos: int, seed: int, faults: Mapping[str, float], roll: float = 0.0
) -> list[Session]:
    """Returns all sessions of a span's week, in the order of their starts; `roll` is that of the cameras.

    Args:
        span: The number of the span; the rounds of the lanes go on from one to the next.
        photos: The number of photos before duplicates.
        seed: With the number of the span, it decides everything.
        faults: Rates by name, 0..1; those of one photo are only assigned here.
        roll: The degrees by which the brackets of all cameras hang aslant.
    """
    rng = random.Random(f"week {seed} {span}")
    count = max(1, round(photos / PHOTOS_PER_SESSION))
    sizes = [photos // count + (index < photos % count) for index in range(count)]
    contents, labels = _plan_classes(photos, faults.get("label-shift", 0.0), rng)
    traits = [_draw_evenly(count, rng) for _ in range(5)]
    rounds = _plan_rounds(seed)
    lanes = [rounds[((span - 1) * count + index) % LANES] for index in range(count)]
    drill = random.Random(f"faults {seed} {span}")
    spoiled = assign_faults(faults, ONE_PHOTO, drill.sample(range(photos), photos))
    for index in drill.sample(range(count), count)[: math.ceil(faults.get("new-lane", 0.0) * count)]:
        lanes[index] = LANES + 1 + index % _NEW_LANES
    minutes = sorted(traits[0])
    sessions, first = [], 0
    for index, size in enumerate(sizes):
        _, turn, light, softness, quality = (trait[index] for trait in traits)
        last = first + size
        day, hour = divmod(minutes[index] * _WORKDAYS, 1)
        starts = datetime.combine(find_monday(span), time(_ROUND_STARTS), timezone.utc) + timedelta(
            days=int(day), seconds=round(hour * _ROUND_HOURS * 3600)
        )
        daylight = 1 - (2 * hour - 1) ** 2
        camera = Camera(
            orientation=next(value for share, value in _ORIENTATIONS if turn <= share),
            light=0.6 * daylight + 0.4 * light,
            softness=softness,
            quality=round(62 + 30 * quality),
            roll=roll,
        )
        faults_of = tuple(tuple(spoiled.get(photo, ())) for photo in range(first, last))
        products, names = tuple(contents[first:last]), tuple(labels[first:last])
        sessions.append(Session(seed, span, index, lanes[index], starts, camera, products, names, faults_of))
        first = last
    return sessions


def render_session(session: Session) -> list[_Photo]:
    """Renders all photos of one session, with their rows and faults."""
    home = make_lane(session.lane)
    moment = session.starts
    photos = []
    for index, (content, label, faults) in enumerate(
        zip(session.contents, session.labels, session.faults, strict=True)
    ):
        rng = random.Random(f"photo {session.seed} {session.id} {index}")
        moment += timedelta(seconds=rng.randint(6, 25))
        scene = draw_bay(home, session.camera.scene_size, content, rng)
        jpeg = take_photo(scene, session.camera, moment, session.lane, rng)
        name = session.photo(index)
        row = LabelRow(name, label, home.id, session.id, format_utc(moment))
        copies = []
        for fault in faults:
            if fault == "duplicate":
                copies.append(spoil(fault, row, jpeg, rng))
            else:
                row, jpeg = spoil(fault, row, jpeg, rng)
        photos += [(row, jpeg), *copies]
    return photos


def _render_sessions(
    sessions: list[Session], pool: ProcessPoolExecutor | None, count: int, total: int
) -> Iterator[_Photo]:
    rendered = pool.map(render_session, sessions) if pool else map(render_session, sessions)
    for session, photos in zip(sessions, rendered, strict=True):
        yield from photos
        count += len(session.contents)
        report(Counted("photos", count, total))


def generate(
    data_dir: Path,
    *,
    weeks: int,
    per_week: int,
    seed: int,
    faults: Mapping[str, float],
    workers: int = 1,
    roll: float = 0.0,
) -> list[Span]:
    """Renders weekly spans, see `data/spans/sample.py`, in as many processes as there are workers.

    Args:
        data_dir: The folder of spans.
        weeks: The number of spans.
        per_week: The number of photos of each, before duplicates.
        seed: With the number of the span, it decides every byte.
        faults: Rates by name, 0..1.
        workers: The number of processes; with 1, this one renders.
        roll: The degrees by which the brackets of all cameras hang aslant.
    """
    check_arguments(faults, FAULTS, weeks=weeks, per_week=per_week, seed=seed, workers=workers)
    first = find_next_number(data_dir, weeks)
    total = weeks * per_week
    spans: list[Span] = []
    # Spawned, so that it is safe beside the threads of a TensorFlow that the caller may have loaded.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) if workers > 1 else nullcontext() as pool:
        for week in range(weeks):
            sessions = plan_week(first + week, per_week, seed, faults, roll)
            spans.append(write_span(data_dir, _render_sessions(sessions, pool, week * per_week, total)))
    return spans
