import json
import re
from pathlib import Path

import numpy as np
import pytest
from tfx.components import ExampleValidator
from tfx.types.standard_artifacts import ExampleAnomalies, Examples, Schema

from components.artifacts import Quarantine, Verdict
from components.data_validator import DataValidator
from components.import_schema_gen import ImportSchemaGen
from edgeline.errors import DataRefused
from edgeline.gates.settings import GateSettings
from edgeline.records.verdict import SHIFTS, VERDICT
from edgeline.records.verdict import Verdict as Found
from edgeline.release import store
from edgeline.release.manifest import Data
from pipeline.settings import Settings
from tests.components.steps import LABELS, SHELF, admit, artifact, count_statistics, execute
from tests.edgeline.release.candidates import make_candidate
from tests.examples import serialize, write_records

pytestmark = pytest.mark.e2e

SHARES = (0.7, 0.2, 0.1)


def week(span, newest, photos=400, shares=SHARES, brightness=120.0, strange_lanes=0):
    """Yields the examples of a week as ingest writes them, without pixels, which the gate ignores."""
    rng = np.random.default_rng(span)
    labels = np.repeat(LABELS, (np.array(shares) * photos).round().astype(int))
    for n, label in enumerate(labels):
        lane = "lane-77" if n < strange_lanes else f"lane-{n % 40 + 1:02d}"
        yield {
            "label": str(label),
            "lane_id": lane,
            "session_id": f"{span}-{lane}",
            "captured_at": "2026-10-05T09:12:33Z",
            "photo_id": f"span-{span:05d}/{n}.jpg",
            **{"span": span, "newest_span": newest, "width": 640, "height": 480, "byte_size": 40_000 + n},
            **{"brightness": rng.normal(brightness, 15), "sharpness": rng.normal(300, 40)},
        }


def write_examples(folder, photos):
    rows = list(photos)
    contents = {f"span-{number:05d}": f"content of {number}" for number in (row["span"] for row in rows)}
    examples = artifact(Examples, folder, spans=json.dumps(contents))
    examples.split_names, examples.span = '["train", "eval"]', rows[-1]["span"]
    for split in ("train", "eval"):
        write_records(folder / f"Split-{split}" / "data_tfrecord-00000-of-00001.gz", map(serialize, rows))
    return examples


class Week:
    """The outputs of the steps before the gate for a window: statistics, schema and anomalies.

    `push` is a release store; None if nothing was pushed.
    """

    def __init__(self, examples, folder, push=None):
        self.statistics = count_statistics(examples, folder, push)
        self.schema = artifact(Schema, folder / "schema")
        text = Path(SHELF.schema).read_text()
        execute(ImportSchemaGen, {}, {"schema": self.schema}, folder, text=text)
        self.anomalies = artifact(ExampleAnomalies, folder / "anomalies")
        inputs = {"statistics": self.statistics, "schema": self.schema}
        execute(ExampleValidator, inputs, {"anomalies": self.anomalies}, folder)

    def judge(self, folder, quarantine=None, **settings):
        """Runs the gate; returns its verdict."""
        if quarantine is None:
            quarantine = write_counts(folder / "quarantine")
        verdict = artifact(Verdict, folder / "verdict")
        execute(
            DataValidator,
            {**vars(self), "quarantine": quarantine},
            {"verdict": verdict},
            folder,
            settings=Settings(gate=GateSettings(**settings)).of("DataValidator"),
            code="",
        )
        record = VERDICT.read(Path(verdict.uri))
        assert verdict.get_int_custom_property("passed") == int(record.passed)
        return record


def count_span(number, rows=400, **rejected):
    span = {"name": f"span-{number:05d}", "number": number, "rows": rows, "rejected": rejected}
    return {**span, "accepted": rows - sum(rejected.values()), "content": f"content of {number}"}


def write_counts(folder, spans=(), **rejected):
    folder.mkdir(parents=True)
    spans = [*spans] or [count_span(1), count_span(2, **rejected)]
    counts = {"classes": dict(zip(LABELS, (280, 80, 40), strict=True)), "spans": spans}
    (folder / "ingest.json").write_text(json.dumps(counts))
    return artifact(Quarantine, folder)


@pytest.fixture(scope="session")
def calm_week(tmp_path_factory):
    folder = tmp_path_factory.mktemp("calm")
    return Week(write_examples(folder / "examples", [*week(1, 0), *week(2, 1)]), folder)


@pytest.fixture(scope="session")
def strange_week(tmp_path_factory):
    """Makes a window whose newest span has an unknown lane, many damaged goods, and half the light."""
    newest = week(2, 1, shares=(0.4, 0.2, 0.4), brightness=60.0, strange_lanes=7)
    folder = tmp_path_factory.mktemp("strange")
    return Week(write_examples(folder / "examples", [*week(1, 0), *newest]), folder)


def test_a_week_like_the_one_before_passes_without_a_warning(calm_week, tmp_path):
    verdict = calm_week.judge(tmp_path)
    assert (verdict.gate, verdict.result, verdict.warnings) == ("data", "pass", ())
    assert verdict.reasons == ("800 of 800 photos of 2 spans up to span-00002 were accepted.",)


def test_an_unknown_lane_shifted_labels_and_half_the_light_block_and_are_named(strange_week, tmp_path):
    verdict = strange_week.judge(tmp_path)
    assert verdict.result == "fail" and "brightness" in verdict.features
    (lane_reason,) = (reason for reason in verdict.reasons if reason.startswith("lane_id"))
    assert "lane-77" in lane_reason and "train and eval" in lane_reason
    (label_reason,) = (reason for reason in verdict.reasons if reason.startswith("label "))
    assert " by 0.300 " in label_reason
    before, now = label_reason.split("(at most 0.100 allowed): ")[1].split(" to ")
    assert "ok 70.0%" in before and "damaged 10.0%" in before
    assert "ok 40.0%" in now and "damaged 40.0%" in now


SIX = [count_span(number) for number in range(1, 7)]


def push_release(folder, last):
    """Pushes a model that was trained on the spans up to `last`; returns the release store."""
    spans = {span["name"]: span["content"] for span in SIX[:last]}
    data = Data(1, last, "f" * 8, spans)
    store.push(str(folder / "push"), "shelf", make_candidate(folder / "candidate", data=data))
    return folder / "push"


def test_each_week_of_the_first_window_is_compared_with_the_others(tmp_path):
    """The fifth week has many damaged goods and half the light; the sixth one is good."""
    weeks = [*week(1, 0), *week(2, 0), *week(3, 0), *week(4, 0)]
    weeks += [*week(5, 0, shares=(0.4, 0.2, 0.4), brightness=60.0), *week(6, 1)]
    counts = write_counts(tmp_path / "q", spans=SIX)
    verdict = Week(write_examples(tmp_path / "examples", weeks), tmp_path).judge(tmp_path, counts)
    assert verdict.spans == ("span-00005",) and set(verdict.features) == {"label", "brightness"}
    assert all("of span-00005 " in reason for reason in verdict.reasons)


@pytest.fixture(scope="session")
def three_weeks(tmp_path_factory):
    """Writes three spans: the second has an unknown lane, in eval alone, the third has less light."""
    weeks = [*week(1, 0), *week(2, 0, strange_lanes=40), *week(3, 1, brightness=103.0)]
    folder = tmp_path_factory.mktemp("three") / "examples"
    examples = write_examples(folder, weeks)
    known = [row for row in weeks if row["lane_id"] != "lane-77"]
    write_records(folder / "Split-train" / "data_tfrecord-00000-of-00001.gz", map(serialize, known))
    return examples


def write_three_counts(folder, **rejected):
    spans = [count_span(1), count_span(2, **rejected), count_span(3)]
    return write_counts(folder, spans=spans)


def test_the_gate_blames_the_one_of_several_weeks_that_is_at_fault(three_weeks, tmp_path):
    """Production was trained on the first week, as after a pause."""
    window = Week(three_weeks, tmp_path, push_release(tmp_path, 1))
    verdict = window.judge(tmp_path / "1", write_three_counts(tmp_path / "q"))
    assert "lane_id breaks the schema" in verdict.reasons[0] and verdict.spans == ("span-00002",)
    corrupt = write_three_counts(tmp_path / "corrupt", corrupt=360)
    verdict = window.judge(tmp_path / "2", corrupt, severity={"schema": "off"})
    assert verdict.spans == ("span-00002",)
    assert verdict.reasons[0].startswith("360 of 400 photos of span-00002 were quarantined (90.0%")


def test_a_new_week_is_not_blamed_for_earlier_weeks_and_its_light_is_a_warning(three_weeks, tmp_path):
    """A week of production is not judged again, though it breaks a schema that is narrower by now."""
    window = Week(three_weeks, tmp_path, push_release(tmp_path, 2))
    counts = write_three_counts(tmp_path / "q")
    verdict = window.judge(tmp_path / "1", counts)
    assert "lane_id breaks the schema" in verdict.reasons[0] and verdict.spans == ()
    verdict = window.judge(tmp_path / "2", counts, severity={"schema": "off"})
    (warning,) = verdict.warnings
    assert verdict.passed and warning.startswith("brightness of span-00003 ")
    # The means of 400 draws with a deviation of 15 are within 3 of 120 and 103.
    assert re.search(r"from mean 1[12]\d(\.\d)? .* to mean 10\d(\.\d)? ", warning)


def test_the_first_span_has_nothing_to_be_compared_with(tmp_path):
    window = Week(write_examples(tmp_path / "examples", week(1, 1, photos=100)), tmp_path)
    verdict = window.judge(tmp_path)
    assert verdict.passed and verdict.warnings == ()
    assert json.loads((tmp_path / "verdict" / "drift.json").read_text()) == []


@pytest.mark.parametrize("result", ["pass", "no_baseline"])
def test_a_window_that_passed_is_let_in(result, tmp_path):
    VERDICT.write(tmp_path / "found", Found("data", result, ("Fine.",)))
    inputs, accepted = admit(tmp_path)
    # Copies of all inputs of the verdict are in the output, under the names that the report uses.
    assert {copy.name: VERDICT.read(copy).result for copy in Path(accepted.uri).iterdir()} == dict.fromkeys(
        inputs, result
    )


@pytest.mark.parametrize(
    ("records", "details"),
    [
        ("", "`edgeline show latest --workload shelf`"),
        ("/claims/push/runs/shelf", "`edgeline report latest --workload shelf --store DIR`"),
        ("s3://no/push/runs/shelf", "`edgeline report latest --workload shelf --store s3://no/push`"),
    ],
)
def test_a_refusal_names_the_command_for_its_report_which_says_what_to_do(
    records, details, tmp_path, monkeypatch
):
    monkeypatch.setattr("components.data_gate.leave_record", lambda *_: None)
    VERDICT.write(tmp_path / "found", Found("data", "fail", ("Dark.", "Few."), spans=("span-00002",)))
    with pytest.raises(DataRefused) as caught:
        admit(tmp_path, data="/data", records=records, model_name="shelf", recorded="{}")
    assert (caught.value.found, caught.value.why) == ("Dark. Few.", "Nothing was trained.")
    assert details in caught.value.do


def test_a_week_whose_two_columns_swapped_places_is_refused_by_their_names(tmp_path):
    newest = [{**row, "brightness": row["sharpness"], "sharpness": row["brightness"]} for row in week(2, 1)]
    examples = write_examples(tmp_path / "examples", [*week(1, 0), *newest])
    window = Week(examples, tmp_path)
    measured = SHIFTS.read(Path(window.statistics.uri, "Split-train"))
    assert [(shift.kind, shift.columns) for shift in measured] == [("swapped", ("brightness", "sharpness"))]
    verdict = window.judge(tmp_path, severity={"large_drift": "off", "schema": "off"})
    assert verdict.reasons == (
        "brightness and sharpness of span-00002 have swapped places: each is distributed as the other was in"
        " the spans before.",
    )
