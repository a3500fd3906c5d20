"""The beginning and the end of a canary, and the changes that it prevents."""

import shutil
from functools import partial

import pytest

from edgeline.errors import EdgelineError, UsageError
from edgeline.release import store, upkeep
from edgeline.release.history import read_history, read_pointer
from edgeline.release.layout import PushFolder
from tests.edgeline.release.candidates import (
    edit_pointer,
    make_candidate,
    make_key,
    read_signed,
    snapshot,
    vouch,
)

KEY = make_key()


@pytest.fixture
def push(push):
    return partial(push, signing_key=KEY)


def read(root):
    """Returns the version in production, the candidate's with its share, and the rollbacks."""
    pointer, _ = read_signed(root)
    candidate = pointer.candidate and (pointer.candidate.version, pointer.candidate.percent)
    return pointer.production.version, candidate, pointer.rollbacks


def test_a_candidate_is_promoted_or_withdrawn_and_production_stays_until_then(root, push):
    push("one", "two")
    store.rollback(root, "shelf", "two is worse", key=KEY)
    assert store.rollout(root, "shelf", 2, 10, "another try", KEY).version == 2
    assert store.current(root, "shelf").version == 1 and read(root) == (1, (2, 10), 1)
    rollout = store.find_rollout(root, "shelf")
    assert (rollout.reason, rollout.tried) == ("another try", "10 % of phones run the candidate, version 2.")
    store.rollout(root, "shelf", 2, 50, "more of it", KEY)
    assert read(root) == (1, (2, 50), 1) and store.find_rollout(root, "shelf").reason == "more of it"
    # Phones that run it have to accept a lower version, so it counts as a rollback.
    assert store.rollback(root, "shelf", "worse again", key=KEY).version == 1
    assert read(root) == (1, None, 2) and store.find_rollout(root, "shelf") is None
    store.rollout(root, "shelf", 2, 99.99, "a third try", KEY)
    assert store.promote(root, "shelf", 2, "it is good", KEY).version == 2
    assert read(root) == (2, None, 2) and store.verify(root, "shelf") == []
    changes = read_history(PushFolder(root), "shelf").changes
    assert [each.action for each in changes[3:]] == ["rollout", "rollout", "rollback", "rollout", "promote"]
    between = [(each.from_version, each.to_version) for each in changes[3:]]
    assert between == [(1, 1), (1, 1), (2, 1), (1, 1), (1, 2)]
    assert store.rollback(root, "shelf", "drill", key=KEY).version == 1


def test_an_older_release_can_be_a_candidate_and_phones_may_go_back_to_it(root, push):
    push("one", "two")
    store.rollout(root, "shelf", 1, 10, "was it better?", KEY)
    assert read(root) == (2, (1, 10), 1)
    store.rollback(root, "shelf", "no", key=KEY)
    assert read(root) == (2, None, 1) and store.verify(root, "shelf") == []


def test_a_push_with_a_share_begins_as_a_canary_but_the_first_one(root, push):
    assert push("one", canary_percent=5).version == 1 and read(root) == (1, None, 0)
    release = push("two", canary_percent=5)
    assert release.version == 2 and read(root) == (1, (2, 5), 0)
    assert store.find_rollout(root, "shelf").reason == f"run {release.manifest.run}"
    assert [each.version for each in store.releases(root, "shelf")] == [1, 2]
    assert store.verify(root, "shelf") == []


def test_a_withdrawn_candidate_counts_as_rolled_back_and_a_rollback_goes_on_to_the_one_before(root, push):
    push("one", "two")
    push("three", canary_percent=5)
    store.rollback(root, "shelf", "three is worse", key=KEY)
    assert read_history(PushFolder(root), "shelf").rolled_back == {3}
    assert store.rollback(root, "shelf", "two as well", key=KEY).version == 1


def test_a_candidate_is_not_collected_and_stays_a_candidate(root, push):
    push("one", "two", "three", "four")
    store.rollout(root, "shelf", 1, 10, "was it better?", KEY)
    before = read(root)
    assert list(upkeep.collect_releases(root, "shelf", 1, key=KEY)) == [2]
    assert read(root) == before and store.verify(root, "shelf") == []
    assert store.find_rollout(root, "shelf").reason == "was it better?"
    assert upkeep.rotate(root, "shelf", KEY, make_key(2)).candidate.version == 1
    assert store.promote(root, "shelf", 1, "it was", make_key(2)).version == 1


@pytest.mark.parametrize("content", [None, b"{"])
def test_without_its_pointer_nothing_is_signed_until_somebody_has_looked_at_the_log(root, push, content):
    pointer = root / "edge/shelf/current.json"
    push("one", "two")

    def damage():
        pointer.write_bytes(content) if content else pointer.unlink()

    damage()
    for change in (
        lambda: store.rollout(root, "shelf", 1, 1, "drill", KEY),
        lambda: push("no", canary_percent=1),
        lambda: store.promote(root, "shelf", 2, "repaired", KEY),
    ):
        with pytest.raises(EdgelineError, match=r"current\.json"):
            change()
    vouch(root, KEY)
    push("three", canary_percent=5)
    damage()
    assert vouch(root, KEY).candidate.version == 3
    with pytest.raises(UsageError, match="A canary is open"):
        store.promote(root, "shelf", 2, "production", KEY)
    assert store.rollback(root, "shelf", "three is bad", key=KEY).version == 2
    assert store.verify(root, "shelf") == []


def test_a_bad_candidate_is_withdrawn_though_production_has_a_file_too_many(root, push, caplog):
    push("one")
    push("two", canary_percent=5)
    (root / "serving/shelf/1/.DS_Store").touch()
    assert store.rollback(root, "shelf", "two is bad", key=KEY).version == 1
    assert read(root) == (1, None, 1) and "is damaged" in caplog.text
    (root / "serving/shelf/1/.DS_Store").unlink()


def test_the_end_of_a_canary_accepts_no_changed_manifest_of_production(root, push):
    push("one")
    push("two", canary_percent=5)
    manifest = root / "edge/shelf/1/manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b"0.94", b"0.99"))
    store.rollback(root, "shelf", "two is bad", key=KEY)
    assert any("manifest.json: found sha256" in each for each in store.verify(root, "shelf"))
    with pytest.raises(EdgelineError, match="as when it went into production"):
        store.current(root, "shelf")


def test_the_end_of_one_canary_does_not_withdraw_another_that_was_opened_meanwhile(copy):
    store.rollback(copy, "shelf", "drill", 1)
    store.rollout(copy, "shelf", 2, 10, "drill")
    pointer = read_pointer(PushFolder(copy), "shelf")
    store.rollback(copy, "shelf", "somebody was faster")
    store.rollout(copy, "shelf", 3, 10, "drill")
    with pytest.raises(EdgelineError, match="The canary is over"):
        store.rollback(copy, "shelf", "two is bad", 1, seen=pointer)
    assert store.find_rollout(copy, "shelf").candidate.version == 3


@pytest.fixture(scope="module")
def open_canary(base, tmp_path_factory):
    """Puts the first of three releases into production, and the second on 10 % of phones."""
    root = tmp_path_factory.mktemp("canary") / "push"
    shutil.copytree(base, root)
    vouch(root, KEY)
    store.rollback(root, "shelf", "drill", 1, KEY)
    store.rollout(root, "shelf", 2, 10, "drill", KEY)
    return root


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root, push: store.rollout(root, "shelf", 3, 20, "a canary of a canary", KEY), "is open"),
        (lambda root, push: store.rollout(root, "shelf", 2, 10, "the same again", KEY), "is open"),
        (lambda root, push: store.rollout(root, "shelf", 1, 20, "production", KEY), "is open"),
        (lambda root, push: store.promote(root, "shelf", 3, "another", KEY), "is open"),
        (lambda root, push: store.promote(root, "shelf", 1, "production", KEY), "is open"),
        (lambda root, push: store.rollback(root, "shelf", "further", 3, KEY), "is open"),
        (lambda root, push: push("four"), "A canary is open: 10 % of phones run shelf 2"),
        (lambda root, push: store.rollback(root, "shelf", "without a key"), "no key is set"),
    ],
)
def test_while_a_canary_is_open_nothing_else_gets_into_production(open_canary, root, push, change, message):
    shutil.copytree(open_canary, root)
    before = snapshot(root)
    with pytest.raises(UsageError, match=message):
        change(root, push)
    assert snapshot(root) == before
    assert store.rollback(root, "shelf", "over", 1, KEY).version == 1  # production, by its number


def test_a_candidate_from_which_phones_could_not_go_back_is_refused(root, push):
    push("one")
    with pytest.raises(UsageError, match="has rollback epoch 1, and shelf 1 in production has 0"):
        push("two", rollback_epoch=1, canary_percent=10)
    push("two")
    push("three", rollback_epoch=1)
    with pytest.raises(EdgelineError, match="rollback epoch 0, but phones have already seen 1"):
        store.rollout(root, "shelf", 2, 10, "drill", KEY)


def test_a_pointer_with_another_candidate_is_named(root, push):
    push("one")
    push("two", canary_percent=10)
    with edit_pointer(root) as document:
        del document["change"]["candidate"]
    (problem,) = store.verify(root, "shelf")
    assert "the candidate is none in its 'change', and version 2 for 10 % of phones, manifest " in problem


def test_a_canary_in_a_bucket_begins_and_ends_within_fifty_requests(bucket, start_proxy, tmp_path):
    """A request takes some 40 ms, so a bad canary is withdrawn within two seconds."""
    push = f"{bucket}/push"
    for content in ("one", "two"):
        store.push(push, "shelf", make_candidate(tmp_path / content, content, 400_000))
    store.rollback(push, "shelf", "drill")
    proxy = start_proxy()
    for change in (
        lambda: store.rollout(push, "shelf", 2, 10, "drill"),
        lambda: store.rollback(push, "shelf", "drill"),
    ):
        proxy.requests.clear()
        change()
        assert len(proxy.requests) <= 50
