"""The signed pointer in current.json: its content after each change, and the problems of a wrong one."""

import base64
import json
from datetime import datetime, timedelta, timezone
from functools import partial

import msgspec
import pytest

from edgeline.errors import UsageError
from edgeline.release import store
from edgeline.release.pointer import Envelope
from edgeline.release.signing import format_public_key
from tests.edgeline.release.candidates import make_key

SIGNER = format_public_key(make_key().public_key())


@pytest.fixture
def push(push):
    return partial(push, signing_key=make_key())


def read(root):
    """Returns the signed pointer, its signer, and the rest of current.json."""
    document = json.loads((root / "edge/shelf/current.json").read_bytes())
    return *msgspec.convert(document.pop("signed"), Envelope).read(), document


def test_each_change_raises_the_counter_and_a_lower_version_the_count_of_rollbacks(root, push):
    pointers = []
    for change in (
        lambda: push("one"),
        lambda: push("two", pointer_days=7),
        lambda: store.rollback(root, "shelf", "two is worse", key=make_key()),
        lambda: store.promote(root, "shelf", 2, "it was not", make_key()),
        lambda: push("three"),
    ):
        release = change()
        pointer, signer, plain = read(root)
        assert signer == SIGNER and pointer.production.manifest_sha256 == release.manifest_sha256
        assert plain["version"] == pointer.production.version and plain["change"]["number"] == pointer.counter
        pointers.append((pointer.counter, pointer.rollbacks, pointer.production.version, pointer.life.days))
    # A change without days keeps the days of the pointer before it.
    assert pointers == [(1, 0, 1, 30), (2, 0, 2, 7), (3, 1, 1, 7), (4, 1, 2, 7), (5, 1, 3, 7)]
    assert store.verify(root, "shelf") == []


def test_a_signed_pointer_is_not_replaced_without_a_key_and_collecting_needs_none(root, push):
    push("one", "two", "three")
    for change in (
        lambda: store.rollback(root, "shelf", "three is worse"),
        lambda: store.promote(root, "shelf", 1, "one was better"),
    ):
        with pytest.raises(UsageError, match=r"pointer to shelf in production is signed, but no key is set"):
            change()
    before = read(root)[:2]
    pointer = root / "edge/shelf/current.json"
    content = pointer.read_bytes()
    for broken in (b"{", content.replace(b'"sig": "', b'"sig": "AAAA')):
        pointer.write_bytes(broken)
        with pytest.raises(UsageError, match="no key is set"):
            store.promote(root, "shelf", 2, "the pointer is damaged")
    pointer.write_bytes(content)
    assert list(store.collect(root, "shelf", 1)) == [1]
    assert read(root)[:2] == before and store.verify(root, "shelf") == []


@pytest.mark.parametrize("number", [None, 1])
def test_a_pointer_is_renewed_when_a_fifth_of_its_days_is_over_or_the_key_is_another(
    root, push, number, monkeypatch
):
    key = make_key(number) if number else None
    push("one", signing_key=key, pointer_days=10)
    first = read(root)[0]
    assert store.renew(root, "shelf", key) == first == read(root)[0]
    later = datetime.now(timezone.utc) + timedelta(days=2, seconds=1)
    monkeypatch.setattr(store, "datetime", Clock(later))
    renewed = store.renew(root, "shelf", key, days=20)
    assert (renewed.counter, renewed.production) == (first.counter, first.production)
    assert renewed.expires > first.expires and renewed.life.days == 20 and read(root)[0] == renewed
    assert len((root / "edge/shelf/history.jsonl").read_bytes().splitlines()) == 1
    store.renew(root, "shelf", make_key(2))
    assert read(root)[1] == format_public_key(make_key(2).public_key()) and store.verify(root, "shelf") == []
    assert store.renew(root, "nothing", None) is None
    monkeypatch.setattr(store, "datetime", Clock(later + timedelta(days=9)))
    with pytest.raises(UsageError, match="no key is set"):
        store.renew(root, "shelf", None)


def test_a_pointer_that_was_signed_by_a_clock_ahead_is_signed_anew(root, push, monkeypatch):
    ahead = datetime.now(timezone.utc) + timedelta(days=400)
    with monkeypatch.context() as patch:
        patch.setattr(store, "datetime", Clock(ahead))
        push("one")
    renewed = store.renew(root, "shelf", make_key())
    assert renewed == read(root)[0] and renewed.issued < ahead.isoformat()


def test_a_clock_that_was_set_back_lets_no_pointer_expire_early(root, push, monkeypatch):
    push("one", pointer_days=30)
    first = read(root)[0]
    monkeypatch.setattr(store, "datetime", Clock(datetime.now(timezone.utc) - timedelta(days=16)))
    push("two", pointer_days=30)
    second = read(root)[0]
    assert (second.issued, second.expires) == (first.issued, first.expires) and second.counter == 2


def test_phones_may_go_back_even_if_the_log_lost_the_rollback_before(root, push):
    push("one", "two", "three")
    store.rollback(root, "shelf", "drill", key=make_key())
    store.promote(root, "shelf", 3, "drill", make_key())
    log = root / "edge/shelf/history.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([*lines[:3], b"?\n", *lines[4:]]))
    assert read(root)[0].rollbacks == 1
    store.rollback(root, "shelf", "three is bad", to=2, key=make_key())
    assert read(root)[0].rollbacks == 2
    log.unlink()
    store.promote(root, "shelf", 3, "drill", make_key())
    assert read(root)[0].rollbacks == 2


def test_a_pointer_that_another_key_signs_is_a_warning(root, push, caplog):
    push("one", "two")
    assert caplog.messages == []
    for change in (
        lambda: push("three", signing_key=make_key(2)),
        lambda: store.rollback(root, "shelf", "drill", key=make_key()),
    ):
        caplog.clear()
        change()
        assert any("phones with the other key refuse it" in message for message in caplog.messages)


class Clock:
    def __init__(self, at):
        self._at = at

    def now(self, zone):
        return self._at.astimezone(zone)

    def __getattr__(self, name):
        return getattr(datetime, name)


def test_a_pointer_that_was_changed_or_is_over_is_named(root, push, monkeypatch):
    push("one")
    path = root / "edge/shelf/current.json"
    whole = json.loads(path.read_bytes())
    payload = json.loads(base64.b64decode(whole["signed"]["payload"]))

    def find_problem(**changes):
        signed = {**whole["signed"], **changes}
        path.write_text(json.dumps({**whole, "signed": signed}, indent=2, sort_keys=True) + "\n")
        (problem,) = store.verify(root, "shelf")
        return problem

    def encode(**changes):
        return base64.b64encode(json.dumps({**payload, **changes}).encode()).decode()

    assert f"names the key {SIGNER}, but is not signed with it" in find_problem(payload=encode(counter=9))
    assert "its payloadType is 'text'" in find_problem(payloadType="text")
    assert "names other 1" in find_problem(payload=encode(model="other"), signatures=[])
    assert "expired at 2001-01-01" in find_problem(
        payload=encode(issued="2000-01-01T00:00:00Z", expires="2001-01-01T00:00:00Z"), signatures=[]
    )
    assert "before it was issued" in find_problem(payload=encode(expires=payload["issued"]), signatures=[])
