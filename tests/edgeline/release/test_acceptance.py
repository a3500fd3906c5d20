import json
from datetime import datetime, timedelta, timezone

import pytest
from msgspec.structs import replace

from edgeline.errors import EdgelineError, UsageError
from edgeline.release import store
from edgeline.release.acceptance import check_push_early, distrust
from edgeline.release.layout import hash_bytes, render
from edgeline.release.manifest import identify_model
from edgeline.release.pointer import Production, seal
from tests.edgeline.release.candidates import edit_pointer, make_key, name_key, read_signed, snapshot, vouch


def age(root, version, days=100):
    """Changes the only release to one that expired some days ago."""
    path = root / f"edge/shelf/{version}/manifest.json"
    document = json.loads(path.read_text())
    past = datetime.now(timezone.utc) - timedelta(days=days)
    document["expires"] = past.strftime("%Y-%m-%dT%H:%M:%SZ")
    old, raw = hash_bytes(path.read_bytes()), render(document, "A manifest")
    path.write_bytes(raw)
    for name in ("current.json", "history.jsonl"):
        log = root / "edge/shelf" / name
        log.write_text(log.read_text().replace(old, hash_bytes(raw)))
    pointer, _ = read_signed(root)
    production = Production(version, hash_bytes(raw))
    with edit_pointer(root) as document:
        document["signed"] = seal(replace(pointer, production=production))


def test_a_release_of_a_lower_epoch_than_phones_have_seen_is_not_pushed_and_production_stays(root, push):
    push("one", rollback_epoch=3)
    before = snapshot(root)
    for lower in ({}, {"rollback_epoch": 2}):
        with pytest.raises(UsageError, match=r"with shelf have already seen 3\..*Set push\.rollback_epoch=3"):
            push("two", **lower)
    assert snapshot(root) == before
    assert push("two", rollback_epoch=3).version == 2
    assert push("three", rollback_epoch=4).version == 3


def test_a_raised_epoch_and_a_canary_are_refused_before_the_training(root, push):
    push("one", rollback_epoch=3)
    assert not check_push_early(root, "shelf", 4, False) and not check_push_early(root, "shelf", 3, False, 10)
    with pytest.raises(UsageError, match=r"has rollback epoch 4, and shelf 1 in production has 3"):
        check_push_early(root, "shelf", 4, False, 10)


@pytest.mark.parametrize("to", [None, 1])
def test_no_rollback_and_no_promotion_goes_below_the_epoch_and_other_releases_are_named(root, push, to):
    push("one")
    push("two", "three", rollback_epoch=2)
    store.rollback(root, "shelf", "three is worse")
    before = snapshot(root)
    for change in (
        lambda: store.rollback(root, "shelf", "two as well", to),
        lambda: store.promote(root, "shelf", 1, "it was good"),
    ):
        with pytest.raises(EdgelineError, match=r"shelf 1 has rollback epoch 0.* already seen 2\.") as caught:
            change()
        assert "releases: 3." in caught.value.do and "push.rollback_epoch=2" in caught.value.do
    assert snapshot(root) == before
    assert store.promote(root, "shelf", 3, "two is worse").version == 3


def test_a_damaged_production_does_not_lower_the_epoch_and_can_be_left(root, push):
    push("one")
    push("two", "three", rollback_epoch=2)
    (root / "edge/shelf/3/manifest.json").write_text("{")
    with pytest.raises(EdgelineError, match=r"already seen 2\."):
        store.promote(root, "shelf", 1, "three is damaged")
    assert store.rollback(root, "shelf", "three is damaged").version == 2


def test_a_model_from_before_the_epoch_can_be_pushed_again_as_a_new_release(root, push, tmp_path):
    identity = identify_model(push("good").serving)
    push("bad", rollback_epoch=1)
    assert store.find_version(root, "shelf", identity) is None
    assert push("good", rollback_epoch=1).version == 3
    assert store.find_version(root, "shelf", identity) == 3


def test_no_unsigned_release_is_pushed_over_signed_production(root, push):
    push("one")
    vouch(root, make_key())
    push("two", signing_key=make_key())
    with pytest.raises(UsageError, match=r"shelf in production is signed, but no key is set"):
        push("three")
    with pytest.raises(UsageError, match=r"shelf in production is signed, but no key is set.*push\.key=FILE"):
        store.check_push(root, "shelf", 0, signed=False)
    assert store.current(root, "shelf").version == 2
    old = [name_key()]
    assert push("three", signing_key=make_key(2), trusted_keys=old).version == 3  # keys may be changed
    # A signed pointer to an unsigned release: phones with the key would refuse an unsigned one.
    store.rollback(root, "shelf", "drill", 1, make_key(2))
    with pytest.raises(UsageError, match="no key is set"):
        store.check_push(root, "shelf", 0, signed=False)


def test_no_model_of_texts_is_pushed_over_one_of_photos(root, push):
    push("one", preprocessing={"kind": "image"})
    push("two", preprocessing={"kind": "image", "image_size": 32})
    with pytest.raises(UsageError, match=r"reads examples of the kind image, .* of the kind tokens"):
        push("three", preprocessing={"kind": "tokens"})
    assert store.current(root, "shelf").version == 2


def test_a_rollback_to_a_release_that_some_phones_refuse_is_a_warning(root, push, caplog):
    push("one")
    age(root, 1)
    vouch(root, make_key())
    push("two", "three", signing_key=make_key())
    store.rollback(root, "shelf", "three is worse", key=make_key())
    assert caplog.messages == []
    assert store.rollback(root, "shelf", "two as well", key=make_key()).version == 1
    signed, expired = caplog.messages
    assert signed.startswith("shelf 1: It is not signed") and expired.startswith("shelf 1: It expired at")


def test_a_release_is_trusted_with_the_key_that_signed_it_alone(push):
    own, other = (name_key(number) for number in (1, 2))
    manifest = push("one", signing_key=make_key()).manifest
    assert distrust(manifest, None) is distrust(manifest, own) is None
    assert distrust(manifest, other).found.startswith(f"shelf 1 is signed with {own}. Expected")


def test_an_expired_release_is_not_trusted_although_it_is_whole(root, push):
    push("one")
    age(root, 1)
    error = distrust(store.current(root, "shelf").manifest, None)
    assert error.found.startswith("shelf 1 expired at 20") and error.why and "push.expires_days" in error.do
