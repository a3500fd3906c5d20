"""Our TFX components, one a file, each a thin shell around a room below.

MLMD names our artifact types `components.Verdict` and the like, and TFX imports them by that name, so they
are found here without importing TFX before they are asked for.
"""

from typing import Any

_ARTIFACT_TYPES = ("Quarantine", "Verdict", "EdgeModels", "RunReportPage")


def __getattr__(name: str) -> Any:
    if name in _ARTIFACT_TYPES:
        from components import artifacts

        return getattr(artifacts, name)
    raise AttributeError(f"module 'components' has no attribute {name!r}")
