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
    """Loads the private key in a file, else that of the last run if it pushed there, or of the environment.

    With it come the public keys that this run trusted beside it. Raises UsageError if a key cannot be read.
    """
    push = _find_settings(last, root, workspace)
    return {
        "key": load_signing_key(path or push.get("key")),
        "trusted": tuple(push.get("trusted_keys") or ()),
    }


def load_own_keys(last: Run | None, root: str, workspace: Path, path: str | None = None) -> Keys:
    """Loads keys as `load_keys` does. Raises UsageError if there is no private key, too."""
    keys = load_keys(last, root, workspace, path)
    if keys["key"] is None:
        raise UsageError(
            "No key is set.",
            "Without one nothing can be signed.",
            "Pass --key FILE, the private key; `edgeline keys new` makes one.",
        )
    return keys


def find_public_keys(last: Run | None, root: str, workspace: Path) -> tuple[str, ...]:
    """Returns the public keys that phones of this owner trust, the oldest first, as far as they are known."""
    with suppress(EdgelineError, OSError):
        return list_public_keys(load_keys(last, root, workspace))
    return ()


def _find_settings(last: Run | None, root: str, workspace: Path) -> Mapping[str, Any]:
    """Returns the settings of the last run's push if it went there: of another place, they say nothing."""
    if last is None or find_push(last, workspace) != root:
        return {}
    push: Mapping[str, Any] = last.settings.get("push", {})
    return push
