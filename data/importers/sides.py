"""The split of new sessions: each class gets its share of eval, as far as its sessions can be parted."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from data.photos.labels_file import LabelRow, session_of
from data.spans.split import Ends, group_position
from errors import UsageError

# Worse than any share that is missed: a class that one of the splits lacks.
_LACKING = 10.0


def with_splits(
    rows: Sequence[LabelRow], known: Iterable[LabelRow], kept: Mapping[str, str], fraction: float
) -> list[LabelRow]:
    """New rows with the split of each session; one that is known keeps its own.

    Args:
        rows: Of the new span; a split that the source says is taken as it is.
        known: Of all spans that count.
        kept: The split of each session of any span, empty where the hash decides.
        fraction: Share of the examples of each class that eval should have.

    Raises:
        UsageError: A session would be in two splits.
    """
    known = list(known)
    ends = Ends()
    for session, side in kept.items():
        ends = ends if side else ends.with_group(session)
    sides = {
        session: side or ("eval" if ends.in_eval(session, fraction) else "train")
        for session, side in kept.items()
    }
    for row in rows:
        if row.split and sides.setdefault(row.session_id, row.split) != row.split:
            raise UsageError(
                f"The session {row.session_id!a} is in {sides[row.session_id]} and in {row.split}.",
                "One session must not be in both, or eval would flatter the model.",
                "Correct its split, or name another session; nothing was imported.",
            )
    total, taken = Counter(row.label for row in (*known, *rows)), Counter[str]()
    new: dict[str, Counter[str]] = defaultdict(Counter)
    several: dict[str, set[str]] = defaultdict(set)
    for row in (*known, *rows):
        session = session_of(row)
        several[row.label].add(session)
        if session not in sides:
            new[session][row.label] += 1
        elif sides[session] == "eval":
            taken[row.label] += 1
    total = Counter({label: count for label, count in total.items() if len(several[label]) > 1})

    def cost(counts: Mapping[str, int], without: float) -> float:
        """How far the classes of a session are from their shares, with so many of them in eval."""
        missed = {label: abs(counts[label] / total[label] - fraction) for label in counts if label in total}
        lacking = {0.0: without, 1.0: _LACKING}
        return sum(share + lacking.get(counts[label] / total[label], 0.0) for label, share in missed.items())

    chosen = set[str]()
    by_hash = sorted(new, key=group_position)
    # The smallest last: they do least harm where a class would have none.
    by_size = sorted(by_hash, key=lambda session: new[session].total())
    for sessions, without in ((by_hash, 0.0), (by_size, _LACKING)):
        for session in sessions:
            before = {label: taken[label] for label in new[session]}
            after = {label: taken[label] + count for label, count in new[session].items()}
            if session not in chosen and cost(after, without) < cost(before, without):
                chosen.add(session)
                taken.update(new[session])
    if not chosen and "eval" not in sides.values() and len(sides) + len(new) > 1:
        chosen.update(by_hash[:1])  # no class has two sessions, and a run needs an eval split
    sides |= {session: "eval" if session in chosen else "train" for session in new}
    hashed = {session for session, side in kept.items() if not side}
    return [
        row if row.split or row.session_id in hashed else replace(row, split=sides[row.session_id])
        for row in rows
    ]
