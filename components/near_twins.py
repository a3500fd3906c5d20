"""Near twins across the splits, in memory that does not grow with the photos.

Eval photos are compared with all of train of their label, up to so many of a label. Shards are by digest, so
the first ones are a random sample, and have all that the EdgeValidator reads.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from components.example_shards import Look
from records.ingest import Twin, Twins

# 5,000 photos of a label tell a share to 1.4 points. Of the others so many are compared with them at once:
# 500 MB, and one comparison where there are no more.
_MOST_ASKED, _AT_ONCE = 5_000, 20_000


@dataclass
class _Label:
    """The photos of one label."""

    asked: list[Look] = field(default_factory=list)
    waiting: list[Look] = field(default_factory=list)  # of train, to be compared with these
    found: dict[str, str] = field(default_factory=dict)  # a twin in train of each that has one

    def compare(self) -> None:
        from data.photos.likeness import as_looks
        from data.photos.rare_parts import as_features
        from data.photos.same_object import SURE, find_same

        if not self.asked:
            self.waiting = []
        if not self.waiting:
            return
        looks = [look.look for look in (*self.asked, *self.waiting)]
        twins = find_same(as_looks(looks), as_features(looks), len(self.asked), least=SURE).twins
        for number, twin in enumerate(twins):
            if twin >= 0:
                self.found.setdefault(self.asked[number].place, self.waiting[twin - len(self.asked)].place)
        self.waiting = []


def find_twins(shards: Callable[[], Iterable[list[Look]]]) -> Twins | None:
    """The eval examples with a near twin of the same label in train; None where nothing has a look.

    One of another label does not flatter the model. `shards` gives the looks of each shard, in order, each
    time anew.
    """
    labels: dict[str, _Label] = {}
    there = 0
    for shard in shards():
        for look in shard:
            asked = labels.setdefault(look.label, _Label()).asked
            if look.split == "eval":
                there += 1
                if len(asked) < _MOST_ASKED:
                    asked.append(look)
    if not labels:
        return None
    for shard in shards():
        for look in shard:
            if look.split == "train":
                label = labels[look.label]
                label.waiting.append(look)
                if len(label.waiting) == _AT_ONCE:
                    label.compare()
    for label in labels.values():
        label.compare()
    found = sorted(twin for label in labels.values() for twin in label.found.items())
    compared = sum(len(label.asked) for label in labels.values())
    return Twins(compared, tuple(Twin(*twin) for twin in found), there)
