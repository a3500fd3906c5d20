import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from edgeline.records.run import Step
from edgeline.release import store as store_of_releases
from edgeline.release import upkeep
from edgeline.report import archive
from edgeline.store.locations import locate
from edgeline.workspace.runs import read_all
from tests.edgeline.release.candidates import make_candidate, make_key, vouch
from tests.edgeline.report.runs import a_run
from tests.outputs import write_run


@pytest.fixture
def workspace(tmp_path, make_run):
    """Writes two runs of one model without their pages."""
    for name, outcome in (("20261005-091233", "pushed"), ("20261012-091233", "failed")):
        start = f"{name[:4]}-{name[4:6]}-{name[6:8]}T09:12:33Z"
        run = make_run(
            id=name,
            outcome=outcome,
            exit_code=int(outcome == "failed"),
            started_at=start,
            version=1,
            steps=(Step("ExampleGen", "failed", 1.0),),
        )
        write_run(tmp_path / "workspace", run)
    return tmp_path / "workspace"


@pytest.fixture
def report(call, workspace):
    return partial(call, "report", "--workspace", workspace)


def test_it_makes_the_page_where_it_is_missing_and_prints_its_path(call, report, workspace, monkeypatch):
    page = workspace / "runs" / "20261012-091233" / "report.html"
    monkeypatch.chdir(workspace.parent)
    assert call("report", "--workspace", workspace.name) == (0, f"{page}\n", "")
    assert "The run failed in ExampleGen" in page.read_text()
    page.write_text("as it was")
    assert report("20261012-091233") == (0, f"{page}\n", "")
    assert page.read_text() == "as it was"
    document = json.loads(report("latest", "--json")[1])
    assert (document["run"], document["facts"]["run"]["outcome"]) == ("20261012-091233", "failed")
    assert document["report"] == str(page)


def test_a_page_from_before_the_run_had_ended_is_made_again(report, workspace):
    page = workspace / "runs" / "20261005-091233" / "report.html"
    page.write_text("early")
    report("20261005-091233")
    assert "early" not in page.read_text()
    (folder, run), _ = read_all(workspace)
    folder.write(replace(run, outcome="running", host="elsewhere"))
    page.write_text("early")
    report("20261005-091233")
    assert "early" not in page.read_text()


def test_the_index_has_a_row_for_every_run_and_links_where_there_is_a_page(report, workspace):
    page = workspace / "runs" / "index-shelf.html"
    early = workspace / "runs" / "20261005-091233" / "report.html"
    early.write_text("from before the run was killed")
    assert report("--index") == (0, f"{page}\n", "")
    assert "20261005-091233/report.html" not in page.read_text()
    early.unlink()
    report("20261005-091233")
    report("--index")
    assert 'href="20261005-091233/report.html"' in page.read_text()
    assert "20261012-091233" in page.read_text() and 'href="20261012-091233' not in page.read_text()
    rows = json.loads(report("--index", "--json")[1])["runs"]
    assert [(row["run"], row["outcome"]) for row in rows] == [
        ("20261005-091233", "pushed"),
        ("20261012-091233", "failed"),
    ]


@pytest.fixture(params=["folder", "bucket"])
def store(request, tmp_path):
    """Writes the store of a cluster, with the records of three runs."""
    place = str(tmp_path / "push") if request.param == "folder" else request.getfixturevalue("bucket")
    for number in (1, 2, 3):
        facts = a_run(id=f"{number}{number}-uuid", started_at=f"2026-10-0{number}T03:00:00Z")
        archive.write(locate(place) / "runs" / "shelf" / facts.run.id, facts, f"<p>run {number}")
    return place


def test_the_page_of_a_run_on_a_cluster_comes_from_its_store(report, store):
    code, out, _ = report("--store", store)
    assert code == 0 and Path(out.strip()).read_text() == "<p>run 3"
    code, out, _ = report("11-uuid", "--store", store)
    assert code == 0 and Path(out.strip()).read_text() == "<p>run 1"
    assert json.loads(report("11-uuid", "--store", store, "--json")[1])["facts"]["run"]["id"] == "11-uuid"


def test_the_index_of_a_store_has_all_runs(report, store, workspace):
    report("22-uuid", "--store", store)
    code, out, _ = report("--index", "--store", store)
    page = workspace / "reports" / "shelf" / "index.html"
    assert (code, out) == (0, f"{page}\n")
    links = re.findall(r'href="([^"]+)">\d\d-uuid</|href="([^"]+)">[^<]+-uuid</', page.read_text())
    pages = [(page.parent / "".join(link).removeprefix("file://")).read_text() for link in links]
    assert pages == ["<p>run 3", "<p>run 2", "<p>run 1"]


@pytest.mark.parametrize("store", ["bucket"], indirect=True)
def test_a_page_that_was_fetched_during_the_run_is_fetched_again(report, store):
    early = a_run(id="44-uuid", outcome="running", started_at="2026-10-04T03:00:00Z")
    archive.write(locate(store) / "runs" / "shelf" / "44-uuid", early, "<p>early")
    report("--index", "--store", store)
    whole = replace(early, run=replace(early.run, outcome="pushed"))
    archive.write(locate(store) / "runs" / "shelf" / "44-uuid", whole, "<p>whole")
    assert Path(report("44-uuid", "--store", store)[1].strip()).read_text() == "<p>whole"


def test_the_index_marks_what_people_did_to_production(report, tmp_path, workspace):
    root = str(tmp_path / "elsewhere")
    for name in ("one", "two"):
        store_of_releases.push(root, "shelf", make_candidate(tmp_path / name, name, size=100))
    store_of_releases.rollback(root, "shelf", "two is worse at night")
    for folder, _ in read_all(workspace):
        folder.write(replace(folder.read(), push=root))
    archive.write(workspace / "runs" / "20261005-091233", a_run(), "<p>")
    page = Path(report("--index")[1].strip()).read_text()
    assert 'rollback from version 2 to 1</td><td class="muted">two is worse at night' in page
    assert "Version 1 of shelf is in production: rollback from version" in page
    store_of_releases.push(root, "shelf", make_candidate(tmp_path / "three", "three", size=100))
    before = Path(report("--index")[1].strip()).read_text()
    assert list(upkeep.collect_releases(root, "shelf", 1)) == [2]
    vouch(root, make_key())
    upkeep.rotate(root, "shelf", make_key(), make_key(2))
    assert Path(report("--index")[1].strip()).read_text() == before


def test_an_index_is_made_where_the_history_of_releases_cannot_be_read(report, workspace):
    for folder, _ in read_all(workspace):
        folder.write(replace(folder.read(), push="nosuch://bucket/push"))
    code, out, err = report("--index")
    assert code == 0 and Path(out.strip()).is_file()
    assert err.startswith("The history of releases cannot be read") and "nosuch://" in err


def test_a_store_without_records_or_without_the_run_is_bad_usage(report, store, tmp_path):
    for arguments in (["--store", tmp_path / "empty"], ["44-uuid", "--store", store]):
        code, out, err = report(*arguments)
        assert (code, out) == (2, "") and len(err.splitlines()) == 3


def test_one_of_several_models_has_to_be_named(report, tmp_path):
    for model in ("shelf", "crates"):
        archive.write(tmp_path / "runs" / model / "1", a_run(workload=model), f"<p>{model}")
    code, _, err = report("--store", tmp_path)
    assert code == 2 and "has the models crates, shelf" in err and "with --workload" in err
    assert report("--store", tmp_path, "--workload", "shelf")[0] == 0


def test_a_run_that_ended_before_its_page_was_written_has_its_facts(call, tmp_path):
    folder = tmp_path / "runs" / "shelf" / "44-uuid"
    archive.write(folder, a_run(), "<p>")
    (folder / archive.PAGE).unlink()
    code, out, err = call("report", "latest", "--store", tmp_path)
    assert (code, out) == (1, "") and "has no page" in err and "--json" in err
