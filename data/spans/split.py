"""The split into train and eval: by hash of the session, so that no session is in both.

Photos of one walk down a lane share light, angle and shelf; were they in both splits, eval would flatter
the model.
"""

import hashlib
from collections.abc import Iterable

from errors import DataRefused


def session_position(session_id: str) -> float:
    """Where a session lies in [0, 1), the same in every window, week and machine."""
    digest = hashlib.sha256(b"split:" + session_id.encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def eval_sessions(session_ids: Iterable[str], eval_fraction: float) -> frozenset[str]:
    """The sessions that belong to the eval split.

    These are the sessions whose position is below `eval_fraction`. Where few sessions leave one split empty,
    the session with the lowest position goes to eval, or the one with the highest to train.

    Args:
        session_ids: Sessions of the window; repeats are fine.
        eval_fraction: Share of sessions, in (0, 1).

    Raises:
        DataRefused: All photos are of one session.
    """
    sessions = sorted(set(session_ids), key=lambda session: (session_position(session), session))
    if len(sessions) < 2:
        raise DataRefused(
            f"All photos belong to one session ({', '.join(sessions) or 'none'}).",
            "They cannot be split: photos of one session must not be in both train and eval.",
            "Give each walk its own session_id in labels.csv, or leave the cell empty where photos are not"
            " related.",
        )
    chosen = [session for session in sessions if session_position(session) < eval_fraction]
    return frozenset(chosen[: len(sessions) - 1] or sessions[:1])
