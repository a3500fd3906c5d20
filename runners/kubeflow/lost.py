"""Steps that the cluster counts as done, and that left nothing: their pods were lost in the middle.

Argo before 3.4 takes a container that was ended by a signal for one that ended well. Then the step is green,
ML Metadata says RUNNING of it for good, and the next step fails in its driver, which finds no outputs of it.
The API starts no step again that counts as done.
"""

import re
from collections.abc import Sequence

from records.outcome import find_in
from runners.kubeflow.logs import Logs
from runners.kubeflow.steps import Step

_MISSING = re.compile(
    r'cannot find output (?:artifact|parameter) key "(?P<output>[^"]+)" in producer task "(?P<step>[^"]+)"'
)


def find_lost(steps: Sequence[Step], logs: Logs) -> str | None:
    """Because of which step a run that has ended pushed nothing, in a sentence; None where there is none."""
    done = {step.name: step for step in steps if step.state == "done"}
    for step in (step for step in steps if step.state == "failed"):
        for line in logs.of_driver(step):
            if (match := _MISSING.search(line)) and match["step"] in done:
                return _sentence(match["step"], f"left no {match['output']}")
        if logs.has_pod(step) or logs.of(step):
            return None  # It began, and failed by itself.
    said = {name: find_in(log, name) for name, step in done.items() if (log := logs.of(step))}
    if not any(said.values()):
        return None  # An image of before says it in no step.
    lost = (name for name, outcome in said.items() if outcome is None or outcome.exit_code)
    return next((_sentence(name, "had not ended") for name in lost), None)


def _sentence(step: str, left: str) -> str:
    return f"{step} was counted as done and {left}: its pod was lost."
