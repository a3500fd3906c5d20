import pytest

from edgeline.records.json_file import encode
from edgeline.records.run import Step
from edgeline.report.facts import About, Facts
from edgeline.workspace.runs import RunFolder


@pytest.fixture
def workspace(tmp_path, make_run):
    """A workspace with one run in it, which was held back."""
    return make_workspace(tmp_path / "workspace", make_run)


def make_workspace(workspace, make_run, **values):
    run = make_run(
        outcome="held",
        exit_code=3,
        seconds=95.0,
        ended_at="2026-10-05T09:15:00Z",
        steps=(Step("ExampleGen", "done", 5.0), Step("Trainer", "done", 60.0)),
        reasons=("Accuracy is 0.8 on 400 eval examples; at least 0.850 is needed.",),
        warnings=("span-00007 is dark.",),
        details="edgeline show latest",
        **{"push": str(workspace / "push"), **values},
    )
    folder = RunFolder(workspace / "runs" / run.id)
    folder.path.mkdir(parents=True)
    folder.write(run)
    (folder.path / "report.html").write_text("<!DOCTYPE html>")
    facts = Facts(About(run.id, "shelf", outcome="held"))
    (folder.path / "facts.json").write_bytes(encode(facts))
    return workspace
