"""The split of new sessions, such that each class gets its share of eval as far as its sessions allow."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from data.photos.labels_file import LabelRow, get_session
from data.spans.split import Ends, hash_group
from edgeline.errors import UsageError

# The cost of a class that one split lacks, which is above that of any missed share.
_LACKING = 10.0


def assign_splits(
    rows: Sequence[LabelRow], earlier: Iterable[LabelRow], kept_splits: Mapping[str, str], fraction: float
) -> list[LabelRow]:
    """Returns the new rows with the split of their sessions; a known session keeps its split.

    Args:
        rows: The rows of the new span; a split that the source gives is taken as it is.
        earlier: The rows of all usable spans.
        kept_splits: The split of each session of any span; empty where the hash decides.
        fraction: Share of the examples of each class that eval should have.

    Raises UsageError if a session would be in two splits.
    """
    splits = _find_known_splits(rows, kept_splits, fraction)
    shares, new = _count_examples([*earlier, *rows], splits, fraction)
    by_hash = sorted(new, key=hash_group)
    # This order starts with the smallest sessions, which do the least harm to a class without eval examples.
    by_size = sorted(by_hash, key=lambda session: new[session].total())

    chosen = set[str]()
    for sessions, without in ((by_hash, 0.0), (by_size, _LACKING)):
        for session in sessions:
            if session not in chosen and shares.is_better_with(new[session], without):
                chosen.add(session)
                shares.in_eval.update(new[session])
    if not chosen and "eval" not in splits.values() and len(splits) + len(new) > 1:
        chosen.update(by_hash[:1])  # no class has two sessions, and a run needs an eval split

    splits |= {session: "eval" if session in chosen else "train" for session in new}
    hashed = {session for session, side in kept_splits.items() if not side}
    return [
        row if row.split or row.session_id in hashed else replace(row, split=splits[row.session_id])
        for row in rows
    ]


@dataclass
class _Shares:
    """The examples of each class that has several sessions, and those of them in eval."""

    total: Mapping[str, int]
    in_eval: Counter[str]
    fraction: float

    def is_better_with(self, session: Mapping[str, int], without: float) -> bool:
        """Tells whether eval is nearer to its shares with a session; see `_compute_cost` for `without`."""
        before = sum(self._compute_cost(label, self.in_eval[label], without) for label in session)
        after = sum(
            self._compute_cost(label, self.in_eval[label] + count, without)
            for label, count in session.items()
        )
        return after < before

    def _compute_cost(self, label: str, count: int, without: float) -> float:
        """Computes the distance of a class from its share, with `count` of its examples in eval.

        It is `without` more if eval has none, and `_LACKING` more if train has none.
        """
        if label not in self.total:
            return 0
        share = count / self.total[label]
        cost = abs(share - self.fraction)
        if share == 0:
            cost += without
        elif share == 1:
            cost += _LACKING
        return cost


def _find_known_splits(
    rows: Iterable[LabelRow], kept_splits: Mapping[str, str], fraction: float
) -> dict[str, str]:
    """Returns the splits of sessions that spans or the source give, or the hash. Raises UsageError."""
    ends = Ends()
    for session, side in kept_splits.items():
        ends = ends if side else ends.with_group(session)
    splits = {
        session: side or ("eval" if ends.in_eval(session, fraction) else "train")
        for session, side in kept_splits.items()
    }
    for row in rows:
        if row.split and splits.setdefault(row.session_id, row.split) != row.split:
            raise UsageError(
                f"The session {row.session_id!a} is in {splits[row.session_id]} and in {row.split}.",
                "A session must not be in both splits, or eval would overestimate the model.",
                "Correct its split, or name another session; nothing was imported.",
            )
    return splits


def _count_examples(
    rows: Iterable[LabelRow], splits: Mapping[str, str], fraction: float
) -> tuple[_Shares, dict[str, Counter[str]]]:
    """Counts the examples of each class, and those in each session that has no split yet.

    A class with a single session has no share.
    """
    total, in_eval = Counter[str](), Counter[str]()
    new: dict[str, Counter[str]] = defaultdict(Counter)
    sessions_of: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        session = get_session(row)
        sessions_of[row.label].add(session)
        total[row.label] += 1
        if session not in splits:
            new[session][row.label] += 1
        elif splits[session] == "eval":
            in_eval[row.label] += 1
    shared = {label: count for label, count in total.items() if len(sessions_of[label]) > 1}
    return _Shares(shared, in_eval, fraction), new
