import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from edgeline.release import store as releases
from edgeline.report import archive
from edgeline.store.locations import locate
from tests.edgeline.release.candidates import make_candidate
from tests.edgeline.report.runs import a_run, a_slice
from tests.outputs import write_run

FIRST, SECOND, THIRD = "20261005-091233", "20261012-091233", "20261019-091233"


def a_worse_run(run: str):
    facts = a_run(id=run, outcome="held", reasons=("Accuracy is 0.75 on 400 eval examples. " * 3,))
    assert facts.evaluation
    settings = {"trainer": {"epochs": 3}, "seed": 20, "note": "long " * 40}
    slices = (a_slice("overall", "all", 300, 400), a_slice("class", "ok", 60, 100))
    return replace(
        facts, run=replace(facts.run, settings=settings), evaluation=replace(facts.evaluation, slices=slices)
    )


@pytest.fixture
def workspace(tmp_path):
    """Writes two runs that pushed and one that was held back."""
    root = tmp_path / "workspace"
    for number, run in enumerate((FIRST, SECOND, THIRD), start=1):
        facts = a_worse_run(run) if run == THIRD else a_run(id=run)
        folder = write_run(root, replace(facts.run, number=number, push=str(tmp_path / "push")))
        archive.write(folder.path, facts, "<p>page")
        if run != THIRD:
            releases.push(
                str(tmp_path / "push"), "shelf", make_candidate(tmp_path / run, run, size=100, run=run)
            )
    return root


@pytest.fixture
def diff(call, workspace):
    return partial(call, "diff", "--workspace", workspace)


def test_two_runs_side_by_side_fit_80_columns_and_leave_a_page(diff, workspace):
    code, out, err = diff("production", "latest")
    page = workspace / "runs" / f"diff-{SECOND}-{THIRD}.html"
    assert (code, err) == (0, "") and out.endswith(f"Page: {page}\n")
    lines = out.splitlines()[:-1]
    assert max(map(len, lines)) <= 80
    assert [line.split() for line in lines if line.startswith("* trainer.epochs")] == [
        ["*", "trainer.epochs", "16", "3"]
    ]
    [overall] = (line for line in lines if line.startswith("all "))
    assert overall.split()[-2:] == ["\u221217.5", "worse"]
    assert "Accuracy is 0.75 on 400 eval examples." in out
    # A setting that does not fit beside the other one is there in full.
    assert sum(line.count("long") for line in lines) == 40
    # Both pages can be clicked.
    assert page.read_text().count(f'href="{SECOND}/report.html"') == 1


def test_the_comparison_is_printed_although_its_page_cannot_be_written(diff, workspace):
    (workspace / "runs" / f"diff-{SECOND}-{THIRD}.html").mkdir()
    code, out, err = diff("production", "latest")
    assert code == 0 and "trainer.epochs" in out and "Page: " not in out
    assert f"{THIRD}.html was not written: " in err
    code, out, _ = diff("production", "latest", "--json")
    assert code == 0 and json.loads(out)["report"] is None


def test_as_json_it_has_slices_with_intervals_and_every_difference(diff):
    document = json.loads(diff(FIRST, THIRD, "--json")[1])
    assert (document["first"]["run"], document["second"]["outcome"]) == (FIRST, "held")
    overall = document["slices"][0]
    assert overall["verdict"] == "worse" and overall["difference"] == pytest.approx(-0.175)
    assert overall["second"]["low"] < overall["second"]["accuracy"] < overall["second"]["high"]
    assert {"what": "trainer.epochs", "before": "16", "now": "3"} in document["sections"]["Settings"]
    assert Path(document["report"]).is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope", "latest"], "There is no run 'nope'"),
        ([FIRST], "Missing argument 'RUN'"),
        (["20261005-091234", "latest"], f"Did you mean {FIRST}?"),
        (["latest", "production", "--workload", "crates"], "has no run of crates"),
    ],
)
def test_a_run_that_is_not_there_is_bad_usage(diff, arguments, message):
    code, out, err = diff(*arguments)
    assert (code, out) == (2, "") and message in err and len(err.splitlines()) <= 3


def test_runs_of_two_models_or_another_workspace_are_not_compared(diff, workspace, make_run, tmp_path):
    write_run(workspace, make_run(id="20261020-091233", workload="crates", outcome="failed"))
    code, _, err = diff(FIRST, "20261020-091233")
    assert code == 2 and "belongs to shelf, run 20261020-091233 to crates" in err
    candidate = make_candidate(tmp_path / "other", "other", size=100, run="of-another-machine")
    releases.push(str(tmp_path / "push"), "shelf", candidate)
    code, _, err = diff("production", FIRST, "--workload", "shelf")
    assert code == 2 and "'of-another-machine', which pushed the release in production, in" in err


@pytest.fixture
def store(tmp_path):
    """Writes the store of a cluster, with a release and the records of two runs."""
    place = str(tmp_path / "cluster")
    releases.push(place, "shelf", make_candidate(tmp_path / "c", "c", size=100, run="11-uuid"))
    for number, facts in enumerate((a_run(id="11-uuid"), a_worse_run("22-uuid"))):
        facts = replace(facts, run=replace(facts.run, number=number))
        archive.write(locate(place) / "runs" / "shelf" / facts.run.id, facts, f"<p>run {number}")
    return place


def test_runs_of_a_cluster_are_compared_from_its_store(diff, store, workspace):
    code, out, err = diff("production", "latest", "--store", store)
    page = workspace / "reports" / "shelf" / "diff-11-uuid-22-uuid.html"
    assert (code, err) == (0, "") and out.endswith(f"Page: {page}\n")
    links = [part.split('"')[0] for part in page.read_text().split('href="')[2:]]
    pages = [(page.parent / link.removeprefix("file://")).read_text() for link in links]
    assert pages == ["<p>run 0", "<p>run 1"]
    code, _, err = diff("latest", "44-uuid", "--store", store)
    assert code == 2 and "There is no record of a run '44-uuid'" in err
