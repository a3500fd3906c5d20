"""Single objects of a bucket."""

import hashlib

import pytest

from edgeline.store import objects
from edgeline.store.locations import locate


@pytest.mark.parametrize("size", [0, 1000, 2500])
def test_an_object_is_measured_in_pieces_without_asking_for_its_size(bucket, start_proxy, monkeypatch, size):
    content = (b"abc" * 1000)[:size]
    objects.put(locate(f"{bucket}/file"), content)
    monkeypatch.setattr(objects, "_PIECE", 1000)
    proxy = start_proxy()
    measured = objects.measure_file(locate(f"{bucket}/file"), size)
    assert measured == (size, hashlib.sha256(content).hexdigest())
    assert [method for method, _ in proxy.requests] == ["GET"] * -(-size // 1000)
