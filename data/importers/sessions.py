"""Sessions of new photos: photos that show the same object share one, where the source names none."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from data.photos.labels_file import LabelRow, get_session
from data.photos.likeness import stack_looks
from data.photos.rare_parts import compute_features
from data.photos.same_object import find_same

# Most seconds, and most file numbers, between one photo of a burst and the next; one or two may be deleted.
_SECONDS, _STEPS = 5, 3


@dataclass(frozen=True)
class NewPhoto:
    """A photo on its way into a span."""

    row: LabelRow  # as it will be written, unless it joins the session of others
    where: str  # its place, for messages
    name: str  # of its file, with the folder; empty if it has none
    look: bytes | None  # None if it cannot be opened, or the source names its session
    taken_at: str | None  # as its phone or the source wrote it, ISO 8601


def group_photos(
    photos: Sequence[NewPhoto], earlier: Sequence[tuple[LabelRow, bytes]]
) -> tuple[list[LabelRow], tuple[tuple[str, ...], ...], tuple[str, ...]]:
    """Gives each photo without a session that of its near twin in an earlier span, or one with its group.

    Only photos of one label are joined. Where the source has splits, only photos of one split are joined, and
    earlier spans are not searched.

    Returns:
        The rows of all photos in their order, with their sessions; new sessions of several photos, as the
        places of these; and the places of the photos that joined a session of an earlier span.
    """
    rows = [photo.row for photo in photos]
    groups = list[tuple[str, ...]]()
    joined = list[str]()
    kinds: dict[tuple[str, str], list[int]] = defaultdict(list)
    for number, photo in enumerate(photos):
        if photo.look is not None:
            kinds[photo.row.label, photo.row.split].append(number)

    for (label, split), numbers in kinds.items():
        others = [] if split else [item for item in earlier if item[0].label == label]
        for members, twin in _find_alike([photos[number] for number in numbers], others):
            same = [numbers[place] for place in members]
            where = [photos[number].where for number in same]
            if twin is not None:
                joined += where
            elif len(same) > 1:
                groups.append(tuple(where))
            session = get_session(twin or rows[same[0]])
            for number in same:
                rows[number] = replace(rows[number], session_id=session)
    return rows, tuple(groups), tuple(joined)


def _find_alike(
    photos: Sequence[NewPhoto], earlier: Sequence[tuple[LabelRow, bytes]]
) -> Iterator[tuple[list[int], LabelRow | None]]:
    """Yields photos of the same object, as places, with the row of an earlier photo of it if there is one."""
    looks = [photo.look or b"" for photo in photos] + [look for _, look in earlier]
    alike = find_same(stack_looks(looks), compute_features(looks), len(photos), _pair_neighbours(photos))
    members: dict[int, list[int]] = defaultdict(list)
    for place, group in enumerate(alike.groups[: len(photos)]):
        members[int(group)].append(place)
    for places in members.values():
        twins = [int(alike.twins[place]) for place in places if alike.twins[place] >= 0]
        yield places, earlier[twins[0] - len(photos)][0] if twins else None


def _pair_neighbours(photos: Sequence[NewPhoto]) -> NDArray[np.int64]:
    """Pairs photos taken one after the other, by their times or by the running numbers of their files.

    Returns:
        Places in `photos`, shape [pairs, 2].
    """
    timed, numbered = [], []
    for place, photo in enumerate(photos):
        if photo.taken_at and ":" in photo.taken_at:  # a date without a time shows no burst
            with suppress(ValueError, OverflowError):  # the source may have any text there
                moment = datetime.fromisoformat(photo.taken_at.replace("Z", "+00:00"))
                timed.append(("", moment.timestamp(), place))
        if match := re.fullmatch(r"(.*?)(\d{1,15})(\D*)", photo.name, re.DOTALL):
            numbered.append((f"{match[1]}\0{match[3]}", float(match[2]), place))
    pairs = []
    for ordered, most in ((sorted(timed), _SECONDS), (sorted(numbered), _STEPS)):
        for first, second in pairwise(ordered):
            if first[0] == second[0] and second[1] - first[1] <= most:
                pairs.append((first[2], second[2]))
    return np.array(pairs, np.int64).reshape(-1, 2)
