"""Servers that answer without an end, claim to, or send a byte now and then.

What is read of an answer has a bound, and so has the time that all of it takes.
"""

import pytest

from edgeline.alerts.channels import Message, send
from edgeline.alerts.settings import AlertSettings
from edgeline.errors import EdgelineError
from edgeline.store import locations
from tests.attack.servers import claim, drip, drip_head, serve, stream
from tests.s3 import point_to


@pytest.mark.parametrize("answer", [stream, claim])
def test_an_object_that_is_larger_than_asked_for_is_not_read(monkeypatch, answer):
    with serve(answer) as url, pytest.raises(OSError, match="it has more than 4000000 bytes"):
        point_to(url, monkeypatch)
        locations.read_bytes(locations.locate("s3://bucket/current.json"), 4_000_000)


@pytest.mark.parametrize("answer", [drip, drip_head])
def test_an_object_has_a_time_for_the_whole_of_it(monkeypatch, answer):
    """Each byte comes in time."""
    monkeypatch.setattr(locations, "_PATIENCE_S", 1)
    with serve(answer) as url, pytest.raises(EdgelineError, match="did not answer in time"):
        point_to(url, monkeypatch)
        locations.read_bytes(locations.locate("s3://bucket/current.json"), 4_000_000)


@pytest.mark.parametrize("answer", [stream, claim, drip])
def test_of_the_answer_of_a_webhook_only_the_beginning_is_read(monkeypatch, patient, answer):
    queue = [Message("shelf", "Written on host.")]
    settings = AlertSettings.model_validate_json('{"webhook": "$HOOK"}')
    with serve(answer) as url:
        monkeypatch.setenv("HOOK", url)
        assert send(settings, {"webhook": queue}) == {"webhook": ""} and not queue
