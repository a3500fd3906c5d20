"""Attacks by somebody who may write to a signed store, and has no key: the owner's next command signs none.

Each attack changes files, as such a person would; then every command of the owner is tried.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import to_builtins
from msgspec.structs import replace

from edgeline.errors import EdgelineError
from edgeline.release import store, upkeep
from edgeline.release.acceptance import check_writer
from edgeline.release.history import Change, read_history
from edgeline.release.layout import PushFolder, hash_bytes, render
from edgeline.release.manifest import digest_of, parse_manifest, select_entries
from edgeline.release.pointer import seal
from edgeline.store.locations import get_filesystem, locate
from edgeline.store.objects import measure_file
from tests.edgeline.release.candidates import (
    edit_pointer,
    forget_log,
    make_candidate,
    make_key,
    name_key,
    read_signed,
    snapshot,
)

KEY, THEIRS = make_key(), make_key(9)
OWN = name_key()
CURRENT, LOG = "edge/shelf/current.json", "edge/shelf/history.jsonl"


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
    """Pushes three releases with a key."""
    folder = tmp_path_factory.mktemp("signed")
    for content in ("one", "two", "three"):
        store.push(folder / "push", "shelf", make_candidate(folder / content, content, 100, signing_key=KEY))
    return folder / "push"


@pytest.fixture
def root(signed, tmp_path):
    return Path(shutil.copytree(signed, tmp_path / "push"))


@pytest.fixture(scope="module")
def canary(signed, tmp_path_factory):
    """Opens a canary of the first release on 10 % of phones."""
    root = Path(shutil.copytree(signed, tmp_path_factory.mktemp("canary") / "push"))
    store.rollout(root, "shelf", 1, 10, "another try", KEY)
    return root


def list_commands(work: Path) -> dict[str, Callable[[Any], object]]:
    """Returns the commands of the owner that sign something."""
    candidate = make_candidate(work / "next", "next", 100, signing_key=KEY)
    return {
        "renew": lambda root: store.renew(root, "shelf", KEY),
        "push": lambda root: store.push(root, "shelf", candidate),
        "promote": lambda root: store.promote(root, "shelf", 1, "drill", KEY),
        "rollback": lambda root: store.rollback(root, "shelf", "drill", key=KEY),
        "rollout": lambda root: store.rollout(root, "shelf", 2, 50, "drill", KEY),
        "collect": lambda root: upkeep.collect_releases(root, "shelf", 1, key=KEY),
        "rotate": lambda root: upkeep.rotate(root, "shelf", KEY, make_key(2)),
        "run": lambda root: check_writer(root, "shelf", {"key": KEY, "trusted": ()}),
    }


def forge_release(root: Path, version: int, source: int = 3) -> str:
    """Puts a bundle with turned labels in the place of a version; returns the digest of its manifest."""
    for part in ("edge", "serving"):
        if source != version:
            shutil.rmtree(root / part / f"shelf/{version}", ignore_errors=True)
            shutil.copytree(root / part / f"shelf/{source}", root / part / f"shelf/{version}")
    bundle = root / f"edge/shelf/{version}"
    (bundle / "labels.txt").write_text("damaged\nmisplaced\nok\n")
    path = bundle / "manifest.json"
    document = json.loads(path.read_text().replace(f"/shelf/{source}/", f"/shelf/{version}/"))
    document["version"] = version
    document.pop("signed_by", None)
    for name in ("manifest.sig", "model.sig"):
        (bundle / name).unlink(missing_ok=True)
    files = []
    for entry in document["files"]:
        size, digest = measure_file(root / entry["path"])
        files.append({**entry, "size": size, "sha256": digest})
    document["files"] = files
    raw = render(document, "A manifest")
    manifest = parse_manifest(raw, "it")
    served = select_entries(manifest.files, f"serving/shelf/{version}")
    path.write_bytes(render(replace(manifest, model_digest=digest_of(served)), "A manifest"))
    return hash_bytes(path.read_bytes())


def edit_change(root: Path, **changes: Any) -> None:
    """Changes words of the newest change, in current.json and in the log."""
    with edit_pointer(root) as document:
        changed = document["change"] | changes
        document["change"] = {name: value for name, value in changed.items() if value is not None}
        document["version"] = document["change"]["to"]
        document["manifest_sha256"] = document["change"]["manifest_sha256"]
    lines = (root / LOG).read_text().splitlines()
    (root / LOG).write_text("".join(f"{line}\n" for line in [*lines[:-1], json.dumps(document["change"])]))


def rewrite_log(root: Path, change_line: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Changes lines of the log, each of which gets the digest of the one before, and current.json."""
    before, lines = None, []
    for line in (root / LOG).read_text().splitlines():
        document = change_line(json.loads(line))
        document |= {"previous_sha256": before} if before else {}
        change = json.dumps(document)
        lines.append(change)
        before = hash_bytes(change.encode())
    (root / LOG).write_text("".join(f"{line}\n" for line in lines))
    edit_change(root, **json.loads(lines[-1]))


def replace_production(root: Path) -> None:
    edit_change(root, manifest_sha256=forge_release(root, 3))


def replace_production_in_place(root: Path) -> None:
    """The bundle alone: nothing names it."""
    forge_release(root, 3)


def turn_into_a_rollback(root: Path) -> None:
    first = read_history(PushFolder(root), "shelf").changes[0]
    edit_change(root, action="rollback", to=1, manifest_sha256=first.manifest_sha256, **{"from": 3})


def forge_an_old_release(root: Path) -> None:
    digest = forge_release(root, 1)
    rewrite_log(root, lambda line: {**line, "manifest_sha256": digest} if line["to"] == 1 else line)


def forge_an_old_release_in_the_log_alone(root: Path) -> None:
    digest = forge_release(root, 1)
    lines = [json.loads(line) for line in (root / LOG).read_text().splitlines()]
    lines[0]["manifest_sha256"] = digest
    (root / LOG).write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def open_a_canary(root: Path) -> None:
    digest = forge_release(root, 4)
    edit_change(root, action="rollout", candidate={"version": 4, "manifest_sha256": digest, "percent": 99.99})


def raise_the_counter(root: Path) -> None:
    edit_change(root, number=10**15)


def collect_everything(root: Path) -> None:
    edit_change(root, action="collect", collected=[{"version": 1}, {"version": 2}])


def sign_with_another_key(root: Path) -> None:
    pointer, _ = read_signed(root)
    digest = forge_release(root, 3)
    edit_change(root, manifest_sha256=digest)
    change = read_change(root)
    log = replace(pointer.log, sha256=hash_bytes(change.to_line()))
    write_signed(root, seal(replace(pointer, production=change.production, log=log), THEIRS))


def read_change(root: Path) -> Change:
    return read_history(PushFolder(root), "shelf").changes[-1]


def write_signed(root: Path, envelope: Any) -> None:
    with edit_pointer(root) as document:
        document["signed"] = envelope


def remove_the_signature(root: Path) -> None:
    edit_change(root, manifest_sha256=forge_release(root, 3))
    with edit_pointer(root) as document:
        del document["signed"]


def sign_nothing(root: Path) -> None:
    pointer, _ = read_signed(root)
    edit_change(root, manifest_sha256=forge_release(root, 3))
    change = read_change(root)
    write_signed(root, seal(replace(pointer, production=change.production, log=None)))


def remove_the_pointer(root: Path) -> None:
    forge_an_old_release(root)
    (root / CURRENT).unlink()


def remove_pointer_and_log(root: Path) -> None:
    forge_release(root, 3)
    (root / CURRENT).unlink()
    (root / LOG).write_text(json.dumps(to_builtins(make_line(root))) + "\n")


def make_line(root: Path) -> Change:
    digest = hash_bytes((root / "edge/shelf/3/manifest.json").read_bytes())
    return Change(1, "push", "2026-10-05T09:00:00Z", "them", None, 3, digest, "run 1")


def append_a_line(root: Path) -> None:
    last = read_change(root)
    line = replace(last, number=last.number + 1, previous_sha256=hash_bytes(last.to_line()), to_version=1)
    with (root / LOG).open("ab") as log:
        log.write(line.to_line() + b"\n")


def put_a_line_before_the_log(root: Path) -> None:
    (root / LOG).write_bytes(make_line(root).to_line() + b"\n" + (root / LOG).read_bytes())


def cut_the_log(root: Path) -> None:
    lines = (root / LOG).read_bytes().splitlines(keepends=True)
    (root / LOG).write_bytes(b"".join(lines[1:]))


def link_the_log(root: Path) -> None:
    (root.parent / "diary").write_text("the owner's\n")
    (root / LOG).unlink()
    (root / LOG).symlink_to(root.parent / "diary")


ATTACKS = (
    *(replace_production, turn_into_a_rollback, forge_an_old_release, forge_an_old_release_in_the_log_alone),
    *(open_a_canary, raise_the_counter, collect_everything, sign_with_another_key, remove_the_signature),
    *(sign_nothing, remove_the_pointer, remove_pointer_and_log, append_a_line, cut_the_log, link_the_log),
    put_a_line_before_the_log,
)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_no_command_of_the_owner_signs_what_somebody_without_the_key_wrote(root, tmp_path, attack):
    attack(root)
    before = snapshot(root)
    for name, command in list_commands(tmp_path).items():
        with pytest.raises(EdgelineError) as caught:
            command(root)
        assert caught.value.found and caught.value.why and caught.value.do, name
        assert snapshot(root) == before, name
    assert store.verify(root, "shelf", keys=[OWN])


@pytest.mark.parametrize(
    ("attack", "name"),
    [
        *((replace_production, name) for name in ("renew", "promote", "rollback", "push")),
        *((attack, "push") for attack in (forge_an_old_release, open_a_canary)),
    ],
)
def test_in_a_bucket_neither(root, tmp_path, bucket, attack, name):
    attack(root)
    url = f"{bucket}/push"
    for path, content in snapshot(root).items():
        get_filesystem(locate(url)).pipe_file((locate(url) / path).path, content)
    with pytest.raises(EdgelineError):
        list_commands(tmp_path)[name](url)
    assert (locate(url) / CURRENT).read_bytes() == (root / CURRENT).read_bytes()


def test_in_a_bucket_an_owner_who_looks_goes_on_and_changes_the_key(root, bucket):
    turn_into_a_rollback(root)
    url = f"{bucket}/push"
    for path, content in snapshot(root).items():
        get_filesystem(locate(url)).pipe_file((locate(url) / path).path, content)
    claim = upkeep.find_claim(url, "shelf", KEY)
    assert claim.production.version == 3 and [release.version for release in claim.releases] == [1, 2, 3]
    upkeep.trust(url, "shelf", KEY, claim, "somebody wrote to the bucket")
    assert upkeep.rotate(url, "shelf", KEY, make_key(2)).counter == 5
    assert store.verify(url, "shelf", keys=[OWN]) == []
    assert store.rollback(url, "shelf", "drill", 1, make_key(2)).version == 1
    assert store.verify(url, "shelf", keys=[name_key(2)]) == []


def raise_the_share(root: Path) -> None:
    change = json.loads((root / CURRENT).read_text())["change"]
    edit_change(root, candidate={**change["candidate"], "percent": 99.99})


def replace_the_candidate(root: Path) -> None:
    change = json.loads((root / CURRENT).read_text())["change"]
    edit_change(root, candidate={**change["candidate"], "manifest_sha256": forge_release(root, 1)})


def end_the_canary(root: Path) -> None:
    edit_change(root, candidate=None)


@pytest.mark.parametrize("attack", [raise_the_share, replace_the_candidate, end_the_canary])
def test_an_open_canary_is_neither_widened_nor_replaced_nor_ended(canary, tmp_path, attack):
    root = Path(shutil.copytree(canary, tmp_path / "push"))
    attack(root)
    before = snapshot(root)
    for name, command in list_commands(tmp_path).items():
        with pytest.raises(EdgelineError):
            command(root)
        assert snapshot(root) == before, name
    assert store.verify(root, "shelf", keys=[OWN])


def test_the_sentence_names_both_values_and_the_way_on(root):
    right = read_signed(root)[0].production.manifest_sha256
    replace_production(root)
    forged = hash_bytes((root / "edge/shelf/3/manifest.json").read_bytes())
    with pytest.raises(EdgelineError) as caught:
        store.renew(root, "shelf", KEY)
    assert f"manifest {forged} in its 'change'" in caught.value.found
    assert f"manifest {right} in its signed pointer" in caught.value.found
    assert "somebody wrote to the store without the key" in caught.value.why
    assert "edgeline repair --trust-unsigned --reason R" in caught.value.do


def test_a_release_that_no_signed_line_names_is_put_in_production_by_nobody(root, tmp_path):
    forge_release(root, 4)
    forge_release(root, 999_999_999_999_999_999)
    for change in (
        lambda: store.promote(root, "shelf", 4, "drill", KEY),
        lambda: store.rollback(root, "shelf", "drill", 4, KEY),
        lambda: store.rollout(root, "shelf", 4, 10, "drill", KEY),
    ):
        with pytest.raises(EdgelineError, match="named by no signed line"):
            change()
    assert [release.version for release in store.releases(root, "shelf")] == [1, 2, 3]
    candidate = make_candidate(tmp_path / "next", "next", 100, signing_key=KEY)
    assert store.push(root, "shelf", candidate).version == 5  # 4 is taken


def test_a_bundle_that_was_replaced_in_place_is_neither_promoted_nor_compared_with(root):
    store.rollback(root, "shelf", "three is worse", key=KEY)
    forge_release(root, 3)
    with pytest.raises(EdgelineError, match="shelf 3 is damaged"):
        store.promote(root, "shelf", 3, "it was good", KEY)
    assert 3 not in [release.version for release in store.releases(root, "shelf")]
    replace_production_in_place(root)
    forge_release(root, 2)
    with pytest.raises(EdgelineError, match="as when it went into production"):
        store.current(root, "shelf")


def test_an_owner_who_looks_sees_what_the_key_had_signed(root):
    right = read_signed(root)[0]
    turn_into_a_rollback(root)
    claim = upkeep.find_claim(root, "shelf", KEY)
    assert claim.production == right.production and claim.signer == OWN and claim.number == 4
    pointer = upkeep.trust(root, "shelf", KEY, claim, "somebody wrote to the store")
    assert pointer.production == right.production and pointer.rollbacks == 0 and pointer.counter == 4
    assert read_change(root).action == "trust" and store.verify(root, "shelf", keys=[OWN]) == []
    assert store.rollback(root, "shelf", "drill", 2, KEY).version == 2
    assert upkeep.find_claim(root, "shelf", KEY) is None


def test_an_old_state_that_was_put_back_is_not_signed_again(root, signed, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    old = snapshot(root)
    store.rollback(root, "shelf", "three is bad", key=KEY)
    newest = json.loads((tmp_path / "state" / "edgeline" / "signed.json").read_text())
    assert [entry["counter"] for entry in newest.values()] == [4]
    shutil.rmtree(root)
    shutil.copytree(signed, root)  # three is in production again, rightly signed
    for name, command in list_commands(tmp_path).items():
        with pytest.raises(EdgelineError, match=r"is an old one: its counter is 3, and 4 was signed"):
            command(root)
        assert snapshot(root) == old, name
    (problem,) = store.verify(root, "shelf", keys=[OWN])
    assert "its counter is 3, this phone has seen 4" in problem
    claim = upkeep.find_claim(root, "shelf", KEY)
    pointer = upkeep.trust(root, "shelf", KEY, claim, "the disk was lost")
    # Phones that ran the newer state accept this one.
    assert (pointer.production.version, pointer.counter, pointer.rollbacks) == (3, 5, 2)
    assert store.verify(root, "shelf", keys=[OWN]) == []
    assert store.rollback(root, "shelf", "three is bad", 2, KEY).version == 2


def test_phones_follow_a_store_that_was_lost_and_begun_anew(root, tmp_path):
    store.rollback(root, "shelf", "three is bad", key=KEY)  # counter 4, rollbacks 1
    shutil.rmtree(root)
    for number, content in enumerate(("one", "two", "three"), start=1):
        candidate = make_candidate(tmp_path / content, content, 100, signing_key=KEY)
        assert store.push(root, "shelf", candidate).version == number
    pointer, _ = read_signed(root)
    assert (pointer.counter, pointer.rollbacks, pointer.log.first) == (7, 2, 5)
    assert store.verify(root, "shelf", keys=[OWN]) == []
    assert list(upkeep.collect_releases(root, "shelf", 1, key=KEY)) == [1]
    assert store.verify(root, "shelf", keys=[OWN]) == []


def test_of_a_store_that_says_nothing_there_is_nothing_to_sign(root):
    (root / CURRENT).write_text("{")
    (root / LOG).write_text("?\n")
    with pytest.raises(EdgelineError, match="found no file"):
        upkeep.find_claim(root, "shelf", KEY)
    shutil.rmtree(root / "edge/shelf/1")
    for part in ("edge", "serving"):
        for version in ("1", "2", "3"):
            shutil.rmtree(root / part / "shelf" / version, ignore_errors=True)
    with pytest.raises(EdgelineError, match="found no file"):
        store.get(root, "shelf", 1)


def test_what_changes_while_the_owner_looks_is_not_signed(root):
    remove_the_signature(root)
    claim = upkeep.find_claim(root, "shelf", KEY)
    edit_change(root, manifest_sha256=forge_release(root, 2))
    before = snapshot(root)
    with pytest.raises(EdgelineError, match="changed meanwhile"):
        upkeep.trust(root, "shelf", KEY, claim, "I have looked")
    assert snapshot(root) == before


def test_a_store_of_an_earlier_edgeline_is_continued_as_far_as_its_pointer_vouches(root, tmp_path, caplog):
    forget_log(root, KEY)
    forge_an_old_release(root)  # which that pointer could not know
    candidate = make_candidate(tmp_path / "next", "next", 100, signing_key=KEY)
    assert store.push(root, "shelf", candidate).version == 4
    assert "the first 2 changes in history.jsonl are not signed" in caplog.text
    with pytest.raises(EdgelineError, match="shelf 1 is named by no signed line"):
        store.promote(root, "shelf", 1, "drill", KEY)
    assert store.rollback(root, "shelf", "drill", key=KEY).version == 3
    assert store.verify(root, "shelf", keys=[OWN]) == []
    claim = upkeep.find_claim(root, "shelf", KEY)
    assert [release.version for release in claim.releases] == [1, 2]
    assert [change.number for change in claim.changes] == [3, 4, 5]
    upkeep.trust(root, "shelf", KEY, claim, "I made them", ())
    assert store.promote(root, "shelf", 1, "drill", KEY).version == 1
    assert store.verify(root, "shelf", keys=[OWN]) == []


def test_a_link_in_the_place_of_scratch_empties_no_other_folder(root, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/one.jpg").write_text("the owner's")
    (root / ".scratch").symlink_to(tmp_path / "photos")
    for name, command in {**list_commands(tmp_path), "repair": store.repair}.items():
        if name not in ("run", "renew"):  # which writes nothing yet
            with pytest.raises(EdgelineError, match=r"\.scratch is a link"):
                command(root)
    assert (tmp_path / "photos/one.jpg").read_text() == "the owner's"


@pytest.mark.parametrize("place", ["edge/shelf", "serving/shelf", "edge/shelf/2", "serving/models.config"])
def test_no_writer_follows_a_link_anywhere_in_a_store(root, tmp_path, place):
    (root / place).rename(tmp_path / "elsewhere")
    (root / place).symlink_to(tmp_path / "elsewhere")
    for command in (lambda: store.repair(root), lambda: store.rollback(root, "shelf", "drill", key=KEY)):
        with pytest.raises(EdgelineError, match=f"{place} is a link"):
            command()
    assert any("is a link" in problem for problem in store.verify(root, "shelf"))
