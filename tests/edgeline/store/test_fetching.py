import json
import uuid

import pytest

from edgeline.store.fetching import fetch
from edgeline.store.locations import locate
from tests.edgeline.store.test_locations import authenticate, fill, get_error
from tests.s3 import Proxy, point_to


@pytest.fixture
def strict(s3_server, monkeypatch):
    """Makes the server check signatures, with the keys of a user who may do all."""
    import boto3
    import s3fs

    point_to(s3_server, monkeypatch)
    iam = boto3.client("iam", region_name="us-east-1")
    iam.create_user(UserName=(reader := f"reader-{uuid.uuid4().hex[:8]}"))
    keys = iam.create_access_key(UserName=reader)["AccessKey"]
    rights = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
    iam.put_user_policy(UserName=reader, PolicyName="all", PolicyDocument=json.dumps(rights))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys["SecretAccessKey"])
    authenticate(s3_server, 0)
    yield s3_server
    authenticate(s3_server, 1_000_000)
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.moto
@pytest.mark.parametrize("name", ["a/ü, b+c%20d.jpg", "~a?b#c=&d;e@f:g$h!i'(j)*.jpg"])
def test_an_object_is_fetched_by_one_signed_request_whatever_its_name(bucket, strict, monkeypatch, name):
    """The request does not go through s3fs, which takes four times the CPU time."""
    place = locate(bucket) / "data"
    fill(place, [name])
    with Proxy(strict) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        place.fs.clear_instance_cache()
        monkeypatch.setattr(type(place.fs), "_cat_file", None)
        assert fetch(locate(bucket) / "data", name, 100)() == name.encode()
        assert [method for method, _ in proxy.requests] == ["GET"]


@pytest.mark.moto
def test_wrong_keys_are_reported_when_an_object_is_fetched(bucket, strict, monkeypatch):
    fill(locate(bucket), ["x"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "other")
    locate(bucket).fs.clear_instance_cache()
    assert "was refused" in get_error(fetch(locate(bucket), "x", 1)).found
