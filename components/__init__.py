"""Our TFX components, one a file, each a thin shell around one of the rooms below.

A component is a function under TFX's `@component`, whose body is its stages by name. One that goes on from a
component of TFX's is a class with an executor of ours: Transform, Tuner and Evaluator.

A parameter means the same in all of them: `workload` is a `Workload`, `settings` the settings that the
component reads, and `recorded` those of the run, all as JSON; `code` is the digest of the code that it runs,
which keys its cache; `push` is the root of the release store, a folder or URL, and `model_name` the model's
name in it; `data` is the folder of spans or its URL; `run` is the run's id, and never part of a larger text:
on a cluster it is filled in when the run begins.

MLMD names our artifact types `components.Verdict` and the like, and TFX imports them by that name. They are
attributes of this package, which imports TFX only when one of them is asked for.
"""

from typing import Any

_ARTIFACT_TYPES = ("AcceptedData", "Quarantine", "Verdict", "EdgeModels", "RunReportPage")


def __getattr__(name: str) -> Any:
    if name in _ARTIFACT_TYPES:
        from components import artifacts

        return getattr(artifacts, name)
    raise AttributeError(f"module 'components' has no attribute {name!r}")
