"""Steps that the cluster counts as done, and that left nothing: their pods were lost in the middle.

Argo before 3.4 takes a container that was ended by a signal for one that ended well. Then the step is green,
ML Metadata says RUNNING of it for good, and the next step fails in its driver, which finds no outputs of it.
The API starts no step again that counts as done.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from records.outcome import find_in
from runners.kubeflow.logs import Logs
from runners.kubeflow.steps import Step

_MISSING = re.compile(
    r'cannot find output (?:artifact|parameter) key "(?P<output>[^"]+)" in producer task "(?P<step>[^"]+)"'
)


@dataclass(frozen=True)
class Lost:
    """A step that counts as done and is not.

    Attributes:
        step: Its name.
        output: What is known to be missing; empty where nothing is.
    """

    step: str
    output: str = ""

    def __str__(self) -> str:
        left = f"left no {self.output}" if self.output else "had not ended"
        return f"{self.step} was counted as done and {left}: its pod was lost."


def find_lost(steps: Sequence[Step], logs: Logs) -> Lost | None:
    """The step of a run that has ended because of which it pushed nothing; None where there is none.

    Args:
        steps: Of the run.
        logs: Of the run.
    """
    done = [step for step in steps if step.state == "done"]
    for step in steps:
        if step.state != "failed":
            continue
        for line in logs.of_driver(step):
            match = _MISSING.search(line)
            if match and match["step"] in {other.name for other in done}:
                return Lost(match["step"], match["output"])
        if logs.has_pod(step) or logs.of(step):
            return None  # It began, and failed by itself.
    said = {step.name: find_in(log, step.name) for step in done if (log := logs.of(step))}
    if not any(said.values()):
        return None  # An image of before says it in no step.
    lost = (name for name, outcome in said.items() if outcome is None or outcome.exit_code)
    return next(map(Lost, lost), None)
