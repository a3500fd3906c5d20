"""The signed pointer in current.json: its content after each change, and the problems of a wrong one."""

import base64
import json
from datetime import datetime, timedelta, timezone
from functools import partial

import msgspec
import pytest

from edgeline.errors import EdgelineError, UsageError
from edgeline.release import state, store, upkeep, writing
from edgeline.release.pointer import Envelope
from edgeline.release.state import Unvouched
from tests.edgeline.release.candidates import edit_pointer, make_key, name_key, vouch

SIGNER = name_key()


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


def test_a_signed_pointer_is_not_replaced_without_a_key(root, push):
    push("one", "two", "three")
    changes = (
        lambda: store.rollback(root, "shelf", "three is worse"),
        lambda: store.promote(root, "shelf", 1, "one was better"),
        lambda: upkeep.collect_releases(root, "shelf", 1),
        lambda: store.renew(root, "shelf", None),
    )
    pointer = root / "edge/shelf/current.json"
    whole = pointer.read_bytes()
    for content in (whole, whole.replace(b'"sig": "', b'"sig": "AAAA')):
        pointer.write_bytes(content)
        for change in changes:
            with pytest.raises(EdgelineError):
                change()
            assert pointer.read_bytes() == content
    pointer.write_bytes(b"{")
    with pytest.raises(UsageError, match="no key is set"):
        store.promote(root, "shelf", 2, "the pointer is damaged")
    pointer.write_bytes(whole)
    assert list(upkeep.collect_releases(root, "shelf", 1, key=make_key())) == [1]
    assert read(root)[0].counter == 4 and store.verify(root, "shelf") == []


@pytest.mark.parametrize("number", [None, 1])
def test_a_pointer_is_renewed_when_a_fifth_of_its_days_is_over(root, push, number, monkeypatch):
    key = make_key(number) if number else None
    push("one", signing_key=key, pointer_days=10)
    first = read(root)[0]
    set_clock(monkeypatch, timedelta(days=1))
    assert store.renew(root, "shelf", key) == first == read(root)[0]
    set_clock(monkeypatch, timedelta(days=2, seconds=1))
    monkeypatch.setattr(writing, "read_store_clock", lambda place: None)  # days have passed in the store too
    renewed = store.renew(root, "shelf", key, days=20)
    assert (renewed.counter, renewed.production) == (first.counter, first.production)
    assert renewed.expires > first.expires and renewed.life.days == 20 and read(root)[0] == renewed
    assert len((root / "edge/shelf/history.jsonl").read_bytes().splitlines()) == 1
    assert store.renew(root, "nothing", None) is None


def test_a_key_that_takes_over_says_so_in_the_log(root, push):
    push("one")
    with pytest.raises(Unvouched, match=f"it is signed with {SIGNER}. Expected"):
        store.renew(root, "shelf", make_key(2))
    renewed = store.renew(root, "shelf", make_key(2), trusted=[SIGNER])
    pointer, signer, plain = read(root)
    assert signer == name_key(2) and pointer == renewed
    assert plain["change"]["action"] == "rotate" and plain["change"]["previous_key"] == SIGNER
    assert pointer.counter == 2 and store.verify(root, "shelf") == []
    push("two", signing_key=make_key(2))
    with pytest.raises(Unvouched):  # nobody goes back to the key before
        push("three", trusted_keys=[])


def test_both_keys_sign_a_handover_and_the_new_one_what_follows(root, push):
    push("one", "two")
    old, new = make_key(), make_key(2)
    upkeep.rotate(root, "shelf", old, new)
    signatures = json.loads((root / "edge/shelf/current.json").read_bytes())["signed"]["signatures"]
    keys = [name_key(1), name_key(2)]
    assert [each["keyid"] for each in signatures] == keys and store.verify(root, "shelf") == []
    store.rollback(root, "shelf", "two is worse", key=new)
    assert read(root)[1] == keys[1] and read(root)[0].rollbacks == 1 and store.verify(root, "shelf") == []
    with pytest.raises(UsageError, match=r"signed with .* already"):
        upkeep.rotate(root, "shelf", new, new)
    assert upkeep.rotate(root, "nothing", old, new) is None


@pytest.mark.parametrize("days", [-16, -0.1, 400])
def test_a_clock_that_is_wrong_signs_nothing(root, push, monkeypatch, days):
    push("one")
    before = read(root)
    set_clock(monkeypatch, timedelta(days=days))
    changes = (
        lambda: push("two"),
        lambda: store.renew(root, "shelf", make_key(), days=7) if days > 1 else push("two"),
        lambda: store.rollout(root, "shelf", 1, 10, "drill", make_key()),
    )
    for change in changes:
        with pytest.raises(EdgelineError, match=r"This machine's clock says .*Nothing was changed"):
            change()
    assert read(root) == before


def test_a_clock_that_is_a_little_behind_lets_no_pointer_expire_early(root, push, monkeypatch):
    push("one", pointer_days=30)
    first = read(root)[0]
    set_clock(monkeypatch, timedelta(minutes=-4))
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
    with pytest.raises(Unvouched, match=r"history\.jsonl: change 4 has sha256"):
        store.rollback(root, "shelf", "three is bad", to=2, key=make_key())
    vouch(root, make_key())
    assert read(root)[0].rollbacks == 1 and store.verify(root, "shelf") == []
    store.rollback(root, "shelf", "three is bad", to=2, key=make_key())
    assert read(root)[0].rollbacks == 2
    log.unlink()
    with pytest.raises(Unvouched, match="is missing"):
        store.promote(root, "shelf", 3, "drill", make_key())
    vouch(root, make_key())
    store.promote(root, "shelf", 3, "drill", make_key())
    assert read(root)[0].rollbacks == 2 and store.verify(root, "shelf") == []


def set_clock(monkeypatch, ahead):
    """Sets the clock of writers, but not that of the file system."""
    for module in (store, state):
        monkeypatch.setattr(module, "datetime", Clock(datetime.now(timezone.utc) + ahead))


class Clock:
    def __init__(self, at):
        self._at = at

    def now(self, zone):
        return self._at.astimezone(zone)

    def __getattr__(self, name):
        return getattr(datetime, name)


def test_a_pointer_that_was_changed_or_is_over_is_named(root, push, monkeypatch):
    push("one")
    signed = json.loads((root / "edge/shelf/current.json").read_bytes())["signed"]
    payload = json.loads(base64.b64decode(signed["payload"]))

    def find_problem(**changes):
        with edit_pointer(root) as document:
            document["signed"] = {**signed, **changes}
        (problem,) = store.verify(root, "shelf")
        return problem

    def encode(**changes):
        return base64.b64encode(json.dumps({**payload, **changes}).encode()).decode()

    assert f"names the key {SIGNER}, but is not signed with it" in find_problem(payload=encode(counter=9))
    assert "its payloadType is 'text'" in find_problem(payloadType="text")
    assert "the model is shelf in its 'change', and other in" in find_problem(
        payload=encode(model="other"), signatures=[]
    )
    assert "the pointer expired at 2001-01-01" in find_problem(
        payload=encode(issued="2000-01-01T00:00:00Z", expires="2001-01-01T00:00:00Z"), signatures=[]
    )
    assert "before it was issued" in find_problem(payload=encode(expires=payload["issued"]), signatures=[])
    # Readers of other languages refuse what is no base64, so this one may not skip it.
    assert "base64" in find_problem(payload=f"{signed['payload']}!")
