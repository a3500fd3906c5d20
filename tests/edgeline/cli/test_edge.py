"""Times of the files of a release, which stand beside it."""

import json

from edgeline.release import store
from edgeline.store.locations import locate
from tests.edgeline.phone import releases
from tests.edgeline.release.candidates import make_candidate


def test_times_are_kept_beside_the_releases_of_a_bucket_too(bucket, tmp_path, call):
    releases.push(f"{bucket}/push", tmp_path, "row")
    code, out, _ = call("edge", "bench", "--json", "--store", f"{bucket}/push", "--workload", "row")
    assert code == 0
    document = json.loads(out)
    assert set(document["files"]) == {"fp32", "int8"} and document["machine"]["cpu"]
    for speed in document["files"].values():
        assert 0 < speed["latency"]["p50_ms"] <= speed["latency"]["p99_ms"] and speed["cold_start_ms"] > 0
        assert set(speed["preparation_ms"]) == {"preprocess"}
    (file,) = locate(f"{bucket}/push/edge/row/benchmarks").iterdir()
    assert json.loads(file.read_bytes()) == document
    assert store.verify(f"{bucket}/push", "row") == []


def test_a_release_that_cannot_be_timed_here_or_was_never_pushed_is_bad_usage(tmp_path, call):
    code, _, err = call("edge", "bench", "--store", tmp_path, "--workload", "shelf")
    assert code == 2 and "has no model 'shelf'" in err
    store.push(tmp_path / "push", "shelf", make_candidate(tmp_path / "candidate"))
    code, _, err = call("edge", "bench", "--store", tmp_path / "push", "--workload", "shelf")
    assert code == 2 and "shelf 1 has no golden vectors." in err
