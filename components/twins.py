"""The leak that is left between the splits: eval examples that show what a train example shows."""

from collections.abc import Iterable

from components.example_shards import Look
from records.ingest import Twin, Twins


def find_twins(shards: Iterable[list[Look]]) -> Twins | None:
    """The eval examples with a near twin of the same label in train; None where nothing has a look.

    One of another label does not flatter the model.
    """
    from data.photos.likeness import as_looks, find_alike

    by_label: dict[str, dict[str, list[Look]]] = {}
    for shard in shards:
        for look in shard:
            by_label.setdefault(look.label, {"eval": [], "train": []})[look.split].append(look)
    if not by_label:
        return None
    found = []
    for splits in by_label.values():
        asked, all_of = len(splits["eval"]), splits["eval"] + splits["train"]
        twins = find_alike(as_looks([look.look for look in all_of]), asked).twins
        found += [Twin(all_of[n].place, all_of[twin].place) for n, twin in enumerate(twins) if twin >= 0]
    compared = sum(len(splits["eval"]) for splits in by_label.values())
    return Twins(compared, tuple(sorted(found, key=lambda twin: twin.example_id)))
