from dataclasses import replace
from pathlib import Path

import pytest

from edgeline.records.edge import EDGE_FILES, EdgeFiles, Variant
from edgeline.records.evaluation import (
    LABEL_ISSUES,
    METRICS,
    PHOTO_DRIFT,
    GroupShare,
    LabelIssues,
    Metrics,
    PhotoDrift,
)
from edgeline.records.ingest import INGEST, Ingest, Span
from edgeline.records.training import Estimate
from edgeline.report import archive
from edgeline.workspace.details import describe_details, read_details
from edgeline.workspace.runs import RunFolder
from tests.edgeline.report.runs import a_run
from tests.outputs import leave

BY_MACHINE = Metrics(
    {"overall": {"all": {"example_count": 400, "accuracy": 0.9}}},
    group="machine",
    estimates={"overall": {"all": Estimate(400, 4, 0.9, 0.55, 0.99)}},
    worst_groups=(GroupShare("m-3", 100, 0.7), GroupShare("m-1", 100, 0.9)),
)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def list_details(folder: RunFolder, width: int = 80) -> list[str]:
    run = folder.read()
    assert run is not None
    return list(describe_details(read_details(folder, run), width))


def test_quarantined_photos_are_counted_by_span_and_the_file_with_reasons_is_named(folder: RunFolder) -> None:
    spans = (
        Span("span-00001", 1, rows=10),
        Span("span-00002", 2, rows=12, rejected={"corrupt": 2, "duplicate": 1}),
    )
    ingest = Ingest({"train": 15, "eval": 4}, {"ok": 11, "damaged": 8}, spans)
    leave(folder, "ExampleGen", "quarantine", INGEST, ingest)
    place = folder.path / "ExampleGen" / "quarantine"
    assert list_details(folder) == [
        "Photos: 15 train, 4 eval (11 ok, 8 damaged)",
        "  span-00002: 3 of 12 quarantined: 2 corrupt, 1 duplicate",
        f"  each with its reason: {place}/quarantine.csv",
    ]


def test_an_early_page_hides_nothing_of_a_run_that_goes_on(folder: RunFolder) -> None:
    early = a_run(id=folder.path.name, outcome="running")
    assert early.data is not None
    folder.write(replace(early.run, host="elsewhere"))
    archive.write(folder.path, replace(early, data=replace(early.data, splits={})), "<p>early")
    leave(folder, "ExampleGen", "quarantine", INGEST, Ingest({"train": 15}, {"ok": 15}, ()))
    assert list_details(folder)[0] == "Photos: 15 train (15 ok)"


def test_a_run_whose_artifacts_were_removed_has_its_details_and_no_path_is_made_up(
    folder: RunFolder,
) -> None:
    facts = a_run(id=folder.path.name, artifacts=())
    folder.write(facts.run)
    archive.write(folder.path, facts, "<p>")
    text = "\n".join(list_details(folder))
    assert "  each with its reason: quarantine.csv, which is gone" in text
    assert "listed in label_issues.csv, which is gone" in text and "None" not in text


def test_accuracy_by_slice_stands_beside_that_of_production(folder: RunFolder) -> None:
    now = {"overall": {"all": {"example_count": 40, "accuracy": 0.9}}, "class": {}}
    before = {"overall": {"all": {"example_count": 40, "accuracy": 0.85}}}
    leave(folder, "ModelValidator", "evaluation", METRICS, Metrics(now, before))
    (line,) = [line for line in list_details(folder) if "overall" in line]
    assert line.split() == ["overall", "all", "40", "-", "0.900", "0.769", "to", "0.960", "0.850"]


def test_each_figure_has_its_number_of_groups_and_the_worst_groups_are_listed(folder: RunFolder) -> None:
    leave(folder, "ModelValidator", "evaluation", METRICS, replace(BY_MACHINE, out_of_fold=BY_MACHINE))
    lines = [line.split() for line in list_details(folder)]
    overall = ["overall", "all", "400", "4", "0.900", "0.550", "to", "0.990", "-"]
    worst = [["machine", "m-3", "100", "-", "0.700"], ["machine", "m-1", "100", "-", "0.900"]]
    assert lines[0][:5] == ["Accuracy", "out", "of", "fold", "count"]
    assert lines[4][:5] == ["Accuracy", "by", "slice", "count", "machines"]
    for table in (lines[1:4], lines[5:8]):
        assert table[0] == overall and [line[:5] for line in table[1:]] == worst


def test_a_narrow_table_leaves_out_the_groups(folder: RunFolder) -> None:
    worst = (GroupShare("a-machine-with-a-long-name", 100, 0.7),)
    leave(folder, "ModelValidator", "evaluation", METRICS, replace(BY_MACHINE, worst_groups=worst))
    wide, narrow = (list_details(folder, width) for width in (80, 60))
    assert "machines" in wide[0] and "machines" not in narrow[0]
    assert max(map(len, narrow)) <= 60 < max(map(len, wide)) <= 80
    assert narrow[1].split() == ["overall", "all", "400", "0.900", "0.550", "to", "0.990", "-"]


def test_every_edge_file_is_listed_with_the_default_marked(folder: RunFolder) -> None:
    known = a_run().edge
    assert known is not None
    fp16 = Variant("fp16", "model_fp16.tflite", measured=known.default_measured)
    int8 = Variant("int8", None, ("It could not be converted.",))
    leave(folder, "EdgeValidator", "verdict", EDGE_FILES, EdgeFiles("fp16", 40, (fp16, int8)))
    (line,) = [line for line in list_details(folder) if "(default)" in line]
    assert line.split() == ["fp16", "0.39", "0.920", "0.990", "1.0e-03", "0.30", "(default)"]
    assert "  int8       could not be converted" in list_details(folder)


def test_suspect_labels_and_photos_unlike_earlier_ones_are_counted_with_their_list(
    folder: RunFolder,
) -> None:
    issues = LabelIssues(2_400, ("the network",), 84, (), "Labels of train are not judged.")
    leave(folder, "ModelValidator", "evaluation", LABEL_ISSUES, issues)
    place = folder.path / "ModelValidator" / "evaluation"
    PHOTO_DRIFT.write(place, PhotoDrift("span-00008", 300, 0.21, 0.166, 0.262))
    lines = list_details(folder)
    assert f"Suspect labels: 84 of 2,400, listed in {place}/label_issues.csv" in lines
    assert "Labels of train are not judged." in lines
    assert any(line.startswith("21.0 % of 300 photos of span-00008 are unlike") for line in lines)
