"""The split of new sessions, such that each class gets its share of eval as far as its sessions allow."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

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
    earlier = list(earlier)
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
    total, in_eval = Counter(row.label for row in (*earlier, *rows)), Counter[str]()
    new: dict[str, Counter[str]] = defaultdict(Counter)
    sessions_of: dict[str, set[str]] = defaultdict(set)
    for row in (*earlier, *rows):
        session = get_session(row)
        sessions_of[row.label].add(session)
        if session not in splits:
            new[session][row.label] += 1
        elif splits[session] == "eval":
            in_eval[row.label] += 1
    total = Counter({label: count for label, count in total.items() if len(sessions_of[label]) > 1})

    def cost(counts: Mapping[str, int], without: float) -> float:
        """Returns the distance of a session's classes from their shares, with `counts` of them in eval."""
        missed = {label: abs(counts[label] / total[label] - fraction) for label in counts if label in total}
        lacking = {0.0: without, 1.0: _LACKING}
        return sum(share + lacking.get(counts[label] / total[label], 0.0) for label, share in missed.items())

    chosen = set[str]()
    by_hash = sorted(new, key=hash_group)
    # This order starts with the smallest sessions, which do the least harm to a class without eval examples.
    by_size = sorted(by_hash, key=lambda session: new[session].total())
    for sessions, without in ((by_hash, 0.0), (by_size, _LACKING)):
        for session in sessions:
            before = {label: in_eval[label] for label in new[session]}
            after = {label: in_eval[label] + count for label, count in new[session].items()}
            if session not in chosen and cost(after, without) < cost(before, without):
                chosen.add(session)
                in_eval.update(new[session])
    if not chosen and "eval" not in splits.values() and len(splits) + len(new) > 1:
        chosen.update(by_hash[:1])  # no class has two sessions, and a run needs an eval split
    splits |= {session: "eval" if session in chosen else "train" for session in new}
    hashed = {session for session, side in kept_splits.items() if not side}
    return [
        row if row.split or row.session_id in hashed else replace(row, split=splits[row.session_id])
        for row in rows
    ]
