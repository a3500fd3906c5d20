import json
import re
from pathlib import Path

import numpy as np
import pytest
from tfx.types.standard_artifacts import ExampleAnomalies, Examples, Schema

from components.artifacts import Quarantine, Verdict
from components.data_validator import DataValidator
from components.import_schema_gen import ImportSchemaGen
from components.tfx_steps import ExampleValidator
from edgeline.errors import DataRefused
from edgeline.gates.settings import GateSettings
from edgeline.records.verdict import VERDICT
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
    """Returns what ingest writes of a week, without its pixels, which the gate does not read."""
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
    """Statistics, schema and anomalies of a window, as the steps before the gate put them out.

    `push` is a release store; None where nothing was pushed.
    """

    def __init__(self, examples, folder, push=None):
        self.statistics = count_statistics(examples, folder, push)
        self.schema = artifact(Schema, folder / "schema")
        text = Path(SHELF.schema).read_text()
        execute(ImportSchemaGen, {}, {"schema": self.schema}, folder, text=text)
        self.anomalies = artifact(ExampleAnomalies, folder / "anomalies")
        execute(
            ExampleValidator,
            {"statistics": self.statistics, "schema": self.schema},
            {"anomalies": self.anomalies},
            folder,
        )

    def judge(self, folder, quarantine=None, **settings):
        """The gate's verdict."""
        if quarantine is None:
            quarantine = what_ingest_counted(folder / "quarantine")
        verdict = artifact(Verdict, folder / "verdict")
        execute(
            DataValidator,
            {
                "statistics": self.statistics,
                "schema": self.schema,
                "anomalies": self.anomalies,
                "quarantine": quarantine,
            },
            {"verdict": verdict},
            folder,
            settings=Settings(gate=GateSettings(**settings)).of("DataValidator"),
            code="",
        )
        record = VERDICT.read(Path(verdict.uri))
        assert verdict.get_int_custom_property("passed") == int(record.passed)
        return record


def counted_span(number, rows=400, **rejected):
    span = {"name": f"span-{number:05d}", "number": number, "rows": rows, "rejected": rejected}
    return {**span, "accepted": rows - sum(rejected.values()), "content": f"content of {number}"}


def what_ingest_counted(folder, spans=(), **rejected):
    folder.mkdir(parents=True)
    spans = [*spans] or [counted_span(1), counted_span(2, **rejected)]
    counted = {"classes": dict(zip(LABELS, (280, 80, 40), strict=True)), "spans": spans}
    (folder / "ingest.json").write_text(json.dumps(counted))
    return artifact(Quarantine, folder)


@pytest.fixture(scope="session")
def calm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("calm")
    return Week(write_examples(folder / "examples", [*week(1, 0), *week(2, 1)]), folder)


@pytest.fixture(scope="session")
def strange(tmp_path_factory):
    """The newest span has a lane that nobody knows, many damaged goods, and half the light."""
    newest = week(2, 1, shares=(0.4, 0.2, 0.4), brightness=60.0, strange_lanes=7)
    folder = tmp_path_factory.mktemp("strange")
    return Week(write_examples(folder / "examples", [*week(1, 0), *newest]), folder)


def test_a_week_like_the_one_before_passes_without_a_warning(calm, tmp_path):
    verdict = calm.judge(tmp_path)
    assert (verdict.gate, verdict.result, verdict.warnings) == ("data", "pass", ())
    assert verdict.reasons == ("800 of 800 photos of 2 spans up to span-00002 were accepted.",)


def test_an_unknown_lane_shifted_labels_and_half_the_light_block_and_are_told(strange, tmp_path):
    verdict = strange.judge(tmp_path)
    assert verdict.result == "fail" and "brightness" in verdict.features
    (of_lane,) = (reason for reason in verdict.reasons if reason.startswith("lane_id"))
    assert "lane-77" in of_lane and "train and eval" in of_lane
    (of_label,) = (reason for reason in verdict.reasons if reason.startswith("label "))
    assert " by 0.300 " in of_label
    before, now = of_label.split("(at most 0.100 allowed): ")[1].split(" to ")
    assert "ok 70.0%" in before and "damaged 10.0%" in before
    assert "ok 40.0%" in now and "damaged 40.0%" in now


SIX = [counted_span(number) for number in range(1, 7)]


def pushed(folder, last):
    """A release store with a model in production that was made of the spans up to `last`."""
    spans = {span["name"]: span["content"] for span in SIX[:last]}
    data = Data(1, last, "f" * 8, spans)
    store.push(str(folder / "push"), "shelf", make_candidate(folder / "candidate", data=data))
    return folder / "push"


def test_in_the_first_window_each_week_is_compared_with_the_others(tmp_path):
    """The fifth has many damaged goods and half the light; a good one comes after it."""
    weeks = [*week(1, 0), *week(2, 0), *week(3, 0), *week(4, 0)]
    weeks += [*week(5, 0, shares=(0.4, 0.2, 0.4), brightness=60.0), *week(6, 1)]
    window = what_ingest_counted(tmp_path / "q", spans=SIX)
    verdict = Week(write_examples(tmp_path / "examples", weeks), tmp_path).judge(tmp_path, window)
    assert verdict.spans == ("span-00005",) and set(verdict.features) == {"label", "brightness"}
    assert all("of span-00005 " in reason for reason in verdict.reasons)


@pytest.fixture(scope="session")
def three_weeks(tmp_path_factory):
    """The second with a lane that nobody knows, in eval alone, the third with less light."""
    weeks = [*week(1, 0), *week(2, 0, strange_lanes=40), *week(3, 1, brightness=103.0)]
    folder = tmp_path_factory.mktemp("three") / "examples"
    examples = write_examples(folder, weeks)
    known = [row for row in weeks if row["lane_id"] != "lane-77"]
    write_records(folder / "Split-train" / "data_tfrecord-00000-of-00001.gz", map(serialize, known))
    return examples


def counted_in_three(folder, **rejected):
    spans = [counted_span(1), counted_span(2, **rejected), counted_span(3)]
    return what_ingest_counted(folder, spans=spans)


def test_of_several_weeks_that_are_judged_the_one_at_fault_is_blamed(three_weeks, tmp_path):
    """Production was made of the first week only, as after a pause."""
    judged = Week(three_weeks, tmp_path, pushed(tmp_path, 1))
    verdict = judged.judge(tmp_path / "1", counted_in_three(tmp_path / "q"))
    assert "lane_id breaks the schema" in verdict.reasons[0] and verdict.spans == ("span-00002",)
    corrupt = counted_in_three(tmp_path / "corrupt", corrupt=360)
    verdict = judged.judge(tmp_path / "2", corrupt, severity={"schema": "off"})
    assert verdict.spans == ("span-00002",)
    assert verdict.reasons[0].startswith("360 of 400 photos of span-00002 were quarantined (90.0%")


def test_the_week_after_production_is_blamed_for_nothing_before_it_and_warned_of_its_light(
    three_weeks, tmp_path
):
    """A week of production, which is not judged again, breaks a schema that is narrower by now."""
    newest = Week(three_weeks, tmp_path, pushed(tmp_path, 2))
    window = counted_in_three(tmp_path / "q")
    verdict = newest.judge(tmp_path / "1", window)
    assert "lane_id breaks the schema" in verdict.reasons[0] and verdict.spans == ()
    verdict = newest.judge(tmp_path / "2", window, severity={"schema": "off"})
    (warning,) = verdict.warnings
    assert verdict.passed and warning.startswith("brightness of span-00003 ")
    # The means of 400 draws with a deviation of 15 are within 3 of 120 and 103.
    assert re.search(r"from mean 1[12]\d(\.\d)? .* to mean 10\d(\.\d)? ", warning)


def test_the_first_span_has_nothing_to_be_compared_with(tmp_path):
    first = Week(write_examples(tmp_path / "examples", week(1, 1, photos=100)), tmp_path)
    verdict = first.judge(tmp_path)
    assert verdict.passed and verdict.warnings == ()
    assert json.loads((tmp_path / "verdict" / "drift.json").read_text()) == []


@pytest.mark.parametrize("result", ["pass", "no_baseline"])
def test_a_window_that_passed_is_let_in(result, tmp_path):
    VERDICT.write(tmp_path / "found", Found("data", result, ("Fine.",)))
    inputs, accepted = admit(tmp_path)
    # With a copy of all that it was judged by, under the names that the report has for it.
    assert {copy.name: VERDICT.read(copy).result for copy in Path(accepted.uri).iterdir()} == dict.fromkeys(
        inputs, result
    )


@pytest.mark.parametrize(
    ("data", "records", "details", "place"),
    [
        ("/weeks of May", "", "`edgeline show latest --workload shelf`", "'/weeks of May'"),
        (
            "/claims/data/shelf",
            "/claims/push/runs/shelf",
            "`edgeline report latest --workload shelf --store DIR`",
            "DIR",
        ),
        (
            "s3://bucket/data",
            "s3://no-such/push/runs/shelf",
            "`edgeline report latest --workload shelf --store s3://no-such/push`",
            "s3://bucket/data",
        ),
    ],
)
def test_what_a_refusal_prints_can_be_typed_outside_of_a_pod_too(
    data, records, details, place, tmp_path, monkeypatch
):
    monkeypatch.setattr("components.data_gate.leave_record", lambda *_: None)
    VERDICT.write(tmp_path / "found", Found("data", "fail", ("Dark.", "Few."), spans=("span-00002",)))
    with pytest.raises(DataRefused) as refused:
        admit(tmp_path, data=data, records=records, model_name="shelf", recorded="{}")
    assert (refused.value.found, refused.value.why) == ("Dark. Few.", "Nothing was trained.")
    exclude = f"`edgeline data exclude span-00002 --reason R --data {place}`"
    assert details in refused.value.do and exclude in refused.value.do
