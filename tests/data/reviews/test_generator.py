import csv
from collections import Counter

from data.reviews.generator import LABELS, generate, write_week
from data.settings import DataSettings
from data.spans.source import Rejected
from data.texts.source import open_source
from edgeline.records.workload import Workload

WORKLOAD = Workload(
    "text", "", "trainer_module.workloads.texts", "data.texts.source", labels=tuple(LABELS.values())
)


def texts_of(rows):
    return [row["text"] for row in rows]


def test_the_same_seed_gives_the_same_bytes_week_by_week(tmp_path):
    spans = [generate(tmp_path / name, weeks=2, per_week=40, seed=3, faults={}) for name in ("one", "two")]
    contents = [[(span.path / "reviews.csv").read_bytes() for span in of] for of in spans]
    assert contents[0] == contents[1]
    assert contents[0][0] != contents[0][1]
    assert [span.number for span in generate(tmp_path / "one", weeks=1, per_week=5, seed=3, faults={})] == [3]


def test_a_week_without_faults_is_read_whole(tmp_path):
    (span,) = generate(tmp_path, weeks=1, per_week=300, seed=3, faults={})
    items = list(open_source(WORKLOAD, DataSettings()).rows(span))
    assert len(items) == 300 and not any(isinstance(item, Rejected) for item in items)
    assert {item.content[1] for item in items} == {"app", "web", "mail"}
    assert {item.label for item in items} == {"negative", "positive"}


def test_faults_that_are_rejected_hit_their_shares(tmp_path):
    reasons = {name: name for name in ("unlabelled", "unknown-label", "empty", "control-character")}
    reasons["huge"] = "oversized"
    (span,) = generate(tmp_path, weeks=1, per_week=100, seed=3, faults=dict.fromkeys(reasons, 0.1))
    items = open_source(WORKLOAD, DataSettings()).rows(span)
    found = Counter(item.reason for item in items if isinstance(item, Rejected))
    assert found == dict.fromkeys(reasons.values(), 10)


def test_a_duplicate_is_typed_otherwise_and_found_by_its_digest(tmp_path):
    (span,) = generate(tmp_path, weeks=1, per_week=100, seed=3, faults={"duplicate": 0.1})
    source = open_source(WORKLOAD, DataSettings())
    digests = [source.example(span, row).digest for row in source.rows(span)]
    assert len(digests) == 110
    assert len(set(digests)) <= 100
    assert len(set(texts_of(csv.DictReader((span.path / "reviews.csv").open(encoding="utf-8"))))) >= 105


def test_drift_changes_what_it_is_named_for_and_nothing_else():
    clean = write_week(1, 200, 3, {})
    mean = sum(len(text.split()) for text in texts_of(clean)) / 200
    longer = write_week(1, 200, 3, {"length-shift": 0.3})
    assert sum(len(text.split()) for text in texts_of(longer)) / 200 > 1.5 * mean
    known = {word for text in texts_of(clean) for word in text.lower().split()}
    for fault in ("vocabulary-drift", "unknown-tokens"):
        words = [
            word for text in texts_of(write_week(1, 200, 3, {fault: 0.3})) for word in text.lower().split()
        ]
        assert sum(word not in known for word in words) / len(words) > 0.08
    shifted = write_week(1, 200, 3, {"label-shift": 0.5})
    positive = [sum(row["label"] == "positive" for row in rows) / 200 for rows in (clean, shifted)]
    assert positive[0] - positive[1] > 0.2
