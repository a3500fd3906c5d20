import pytest

from edgeline.records.run import Step
from edgeline.records.verdict import Finding, Verdict
from edgeline.report.facts import Facts
from edgeline.report.next_steps import list_next_steps
from edgeline.workspace import closing
from edgeline.workspace.runs import RunFolder


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "runs" / "20261005-091233"
    path.mkdir(parents=True)
    return RunFolder(path)


@pytest.mark.parametrize("width", [40, 80])
def test_the_table_of_times_fits_and_adds_up(make_run, width):
    steps = (Step("ExampleGen", "cached", 0.5), Step("Trainer", "done", 60.0), Step("Pusher", "queued"))
    run = make_run(steps=steps, start_seconds=20.0, seconds=90.0)

    lines = list(closing.format_times(run, width))

    assert all(len(line) <= width for line in lines)
    assert "start" in lines[1] and "22 %" in lines[1]
    assert "Trainer" in lines[3] and "1 min 00 s" in lines[3] and "67 %" in lines[3]
    assert "between and after" in lines[4][:19] or width == 40
    assert "1 min 30 s" in lines[-1]
    assert not any("Pusher" in line for line in lines)
    lines = list(closing.format_times(make_run(steps=steps), width))
    assert [line.split()[0] for line in lines] == ["Where", "ExampleGen", "Trainer"]


def test_the_last_lines_repeat_warnings_and_reasons_and_after_a_push_name_predict(folder, make_run):
    folder.log.write_text("noise")
    run = make_run(
        outcome="held",
        version=2,
        reasons=("Accuracy is 0.8.",),
        warnings=("span-00007 is dark.",),
    )

    assert [line for line, _ in closing.describe_end(run, folder, None)] == [
        "Warnings",
        "  - span-00007 is dark.",
        "Held back: the model was trained and not pushed; version 2 stayed in production.",
        "  - Accuracy is 0.8.",
        f"Log: {folder.log}",
    ]
    lines = [line for line, _ in closing.describe_end(make_run(outcome="pushed", version=3), folder, None)]
    assert lines[-1] == "Try it: edgeline predict FILE --workload shelf"


def test_a_run_ends_with_the_same_next_steps_as_its_page(folder, make_run):
    finding = Finding("Accuracy is 0.8.", "evaluation.beat_majority=false", "overall")
    facts = Facts(make_run(outcome="held"), gates=(Verdict.of("evaluation", [finding]),))

    lines = [line for line, _ in closing.describe_end(facts.run, folder, facts)]

    steps = list_next_steps(facts)
    first = lines.index("Next")
    assert lines[first + 1 : first + 1 + len(steps)] == [f"  - {step}" for step in steps] and len(steps) == 2
