"""The search for near twins across the splits, in memory that does not grow with the photos.

Eval photos, up to a limit per label, are compared with all train photos of their label. Shards are by digest,
so the first ones are a random sample, and contain all examples that the EdgeValidator reads.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from components.ingest.example_shards import Look
from edgeline.records.ingest import Twin, Twins

# 5,000 photos of a label tell a share to 1.4 points. They are compared with 20,000 train photos at once:
# 500 MB.
_MOST_QUERIES, _AT_ONCE = 5_000, 20_000
# The features of this many train photos are kept for simple models; 928 bytes each.
_MOST_TRAINED = 20_000


@dataclass
class _Label:
    """The photos of one label."""

    queries: list[Look] = field(default_factory=list)  # of eval
    waiting: list[Look] = field(default_factory=list)  # of train, to be compared with the queries
    twins: dict[str, str] = field(default_factory=dict)  # place of a twin in train, by place of the query

    def compare(self) -> None:
        from data.photos.likeness import stack_looks
        from data.photos.rare_parts import compute_features
        from data.photos.same_object import SURE, find_same

        waiting, self.waiting = self.waiting, []
        if not (self.queries and waiting):
            return
        looks = [look.look for look in (*self.queries, *waiting)]
        count = len(self.queries)
        twins = find_same(stack_looks(looks), compute_features(looks), count, least=SURE).twins
        for number, twin in enumerate(twins):
            if twin >= 0:
                self.twins.setdefault(self.queries[number].place, waiting[twin - count].place)


def find_twins(shards: Callable[[], Iterable[list[Look]]]) -> Twins | None:
    """Finds the eval examples with a near twin of the same label in train; None if no example has a look.

    A near twin of another label does not flatter the model. Each call of `shards` yields the looks of all
    shards in order.
    """
    labels: dict[str, _Label] = {}
    eval_count = 0
    for shard in shards():
        for look in shard:
            queries = labels.setdefault(look.label, _Label()).queries
            if look.split == "eval":
                eval_count += 1
                if len(queries) < _MOST_QUERIES:
                    queries.append(look)
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
    twins = sorted(chain.from_iterable(label.twins.items() for label in labels.values()))
    compared = sum(len(label.queries) for label in labels.values())
    return Twins(compared, tuple(Twin(*twin) for twin in twins), eval_count)


def select_looks(shards: Iterable[list[Look]]) -> Iterator[tuple[str, bytes]]:
    """Yields id and look of all eval photos, and of a random sample of train photos."""
    trained = 0
    for look in chain.from_iterable(shards):
        trained += look.split == "train"
        if look.split == "eval" or trained <= _MOST_TRAINED:
            yield look.place, look.look
