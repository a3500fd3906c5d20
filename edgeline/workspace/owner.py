"""The keys of whoever owns a release store, as the settings of its last run and the environment name them."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from edgeline.errors import EdgelineError, UsageError
from edgeline.records.run import Run
from edgeline.release.signing import Keys, list_public_keys, load_signing_key
from edgeline.workspace.runs import find_push


def load_keys(last: Run | None, root: str, workspace: Path, path: str | None = None) -> Keys:
    """Loads the private key of an owner, and the public keys that the last run trusted beside it.

    Args:
        last: The last run; its settings count if it pushed to `root`. None if there is none.
        root: The release store, or its URL.
        workspace: That of the run, below which a run without a destination pushes.
        path: The file of the private key; by default that of the last run, or else of the environment.

    Raises:
        UsageError: A key cannot be read.
    """
    push = _find_settings(last, root, workspace)
    return {
        "key": load_signing_key(path or push.get("key")),
        "trusted": tuple(push.get("trusted_keys") or ()),
    }


def load_own_keys(last: Run | None, root: str, workspace: Path, path: str | None = None) -> Keys:
    """Loads keys as `load_keys` does, of which one must be private.

    Args:
        last: As in `load_keys`.
        root: As in `load_keys`.
        workspace: As in `load_keys`.
        path: As in `load_keys`.

    Raises:
        UsageError: A key cannot be read, or there is no private key.
    """
    keys = load_keys(last, root, workspace, path)
    if keys["key"] is None:
        raise UsageError(
            "No key is set.",
            "Without one nothing can be signed.",
            "Pass --key FILE, the private key; `edgeline keys new` makes one.",
        )
    return keys


def find_public_keys(last: Run | None, root: str, workspace: Path) -> tuple[str, ...]:
    """Returns the public keys that phones of this owner trust, the oldest first, as far as they are known.

    Args:
        last: As in `load_keys`; of a key that cannot be read, none are known.
        root: As in `load_keys`.
        workspace: As in `load_keys`.
    """
    with suppress(EdgelineError, OSError):
        return list_public_keys(load_keys(last, root, workspace))
    return ()


def _find_settings(last: Run | None, root: str, workspace: Path) -> Mapping[str, Any]:
    """Returns the settings of the last run's push if it went there: of another place, they say nothing."""
    if last is None or find_push(last, workspace) != root:
        return {}
    push: Mapping[str, Any] = last.settings.get("push", {})
    return push
