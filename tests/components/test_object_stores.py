"""Ingest, ProductionModel and Pusher where data and releases lie in a bucket."""

from pathlib import Path

import pytest

from data.photos.labels_file import write_span
from edgeline.errors import EdgelineError
from edgeline.release import store
from edgeline.store.locations import get_filesystem, locate
from tests.components.steps import ingest
from tests.components.test_example_gen import walk
from tests.components.test_releases import Run, run_production_model
from tests.edgeline.release.candidates import make_candidate

pytestmark = pytest.mark.e2e


def upload(folder, url):
    place = locate(url)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        get_filesystem(place).put_file(str(path), f"{place.path}/{path.relative_to(folder).as_posix()}")


def test_a_bucket_that_vanishes_while_photos_are_read_stops_ingest_and_says_so(bucket, tmp_path, monkeypatch):
    from data.photos import labels_file as module

    write_span(tmp_path / "data", [*walk(range(5), "walk-1"), *walk(range(5, 10), "walk-2")])
    upload(tmp_path / "data", f"{bucket}/data")
    client, fetch = get_filesystem(locate(bucket)), module.fetch

    def remove_and_fetch(*arguments):
        if client.exists(bucket):
            client.rm(bucket, recursive=True)
        return fetch(*arguments)

    monkeypatch.setattr(module, "fetch", remove_and_fetch)
    with pytest.raises(EdgelineError, match=r"the bucket .* does not exist.* AWS_ENDPOINT_URL"):
        ingest(f"{bucket}/data", tmp_path)


def test_a_release_in_a_bucket_is_put_out_as_the_model_in_production(bucket, tmp_path):
    url = f"{bucket}/push"
    assert run_production_model(url, tmp_path / "none").get_int_custom_property("has_model") == 0
    assert Run(tmp_path / "1").push_to(url)[:2] == ("pushed", 1)
    assert Run(tmp_path / "2", run="run-2").push_to(url)[:2] == ("unchanged", 1)
    model = run_production_model(url, tmp_path / "model")
    assert model.get_int_custom_property("version") == 1
    candidate = make_candidate(tmp_path / "made").saved_model
    for path in (path for path in candidate.rglob("*") if path.is_file()):
        copy = Path(model.uri, "Format-Serving", path.relative_to(candidate))
        assert copy.read_bytes() == path.read_bytes()
    assert store.verify(url, "shelf") == []
