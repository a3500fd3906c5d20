"""Attacks on a phone in Python: servers that never answer or never end, a folder that others share."""

import json
import time
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path

import pytest

from edgeline import runtime
from edgeline.errors import EdgelineError, WorkspaceLocked
from edgeline.release import durable
from edgeline.runtime import Phone, Refused
from tests.attack.servers import drip, drip_head, say_nothing, send, serve, stream
from tests.edgeline.phone.releases import at, forge, push
from tests.edgeline.release.candidates import name_key

OWN = name_key()


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    """Pushes two releases of rows."""
    folder = tmp_path_factory.mktemp("releases")
    for seed in (1, 2):
        push(folder / "push", folder / str(seed), "row", seed)
    return folder / "push/edge/row"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(say_nothing, "slow"), (drip_head, "slow"), (drip, "slow"), (stream, "large")],
)
def test_a_server_holds_a_phone_for_no_longer_than_its_time_and_fills_no_memory(
    tmp_path, monkeypatch, answer, reason
):
    monkeypatch.setattr(runtime, "_TIMEOUT_S", 1)
    with serve(answer) as url, pytest.raises(Refused) as caught:
        Phone(url, "row", tmp_path / "keep").update()
    assert caught.value.reason == reason


def test_a_file_that_is_longer_than_its_manifest_says_is_not_read_to_its_end(edge, tmp_path):
    answers = {
        f"/{path.relative_to(edge)}": partial(send, content=path.read_bytes())
        for path in edge.rglob("*")
        if path.is_file()
    }
    endless = {name: stream for name in answers if name.endswith(".tflite")}
    with serve(answers | endless) as url, pytest.raises(Refused) as caught:
        Phone(url, "row", tmp_path / "keep", OWN).update()
    assert caught.value.reason == "large" and not list((tmp_path / "keep").glob(".new-*"))


@pytest.mark.parametrize("content", [b"", b"{", b"null"])
def test_a_phone_that_cannot_read_what_it_has_seen_does_not_begin_anew_in_silence(edge, tmp_path, content):
    keep = tmp_path / "keep"
    Phone(str(edge), "row", keep).update()
    running = Phone(str(edge), "row", keep)
    (keep / "seen.json").write_bytes(content)
    for use in (running.update, lambda: Phone(str(edge), "row", keep)):
        with pytest.raises(EdgelineError, match=r"seen\.json cannot be read") as caught:
            use()
        assert "which key this device trusts" in caught.value.why
    assert running.bundle is not None  # what runs goes on


def copy_store(edge: Path, folder: Path) -> Path:
    """Copies the pointer of a store, whose bundles are links to the first."""
    folder.mkdir()
    for path in edge.iterdir():
        if path.is_dir():
            (folder / path.name).symlink_to(path)
    (folder / "current.json").write_bytes((edge / "current.json").read_bytes())
    return folder


def test_a_release_that_is_over_goes_on_with_a_warning_or_not_at_all_as_the_app_wants(edge, tmp_path):
    store, later = copy_store(edge, tmp_path / "store"), datetime.now(timezone.utc) + timedelta(days=40)
    phone = Phone(str(store), "row", tmp_path / "keep", OWN)
    phone.update()
    assert phone.warning == ""
    with pytest.raises(Refused, match="pointer expired at"):
        phone.update(later)
    assert phone.warning.startswith("The pointer expired at ") and phone.bundle is not None
    strict = Phone(str(store), "row", tmp_path / "keep", OWN, expired="refuse")
    assert strict.bundle is not None
    with pytest.raises(Refused):
        strict.update(later)
    assert strict.bundle is None and strict.warning
    # A renewed pointer brings it back, without another download.
    assert strict.update() and strict.bundle is not None and strict.warning == ""
    with pytest.raises(Refused):  # the release itself is over
        strict.update(later + timedelta(days=60))
    assert strict.bundle is None


def test_the_expiry_is_looked_at_when_a_phone_starts_without_a_network(edge, tmp_path):
    store = copy_store(edge, tmp_path / "store")
    path = store / "current.json"
    path.write_bytes(forge(issued=at(-20), expires=at(0.00005))(path.read_bytes()))
    Phone(str(store), "row", tmp_path / "keep", OWN).update()
    expires = json.loads((tmp_path / "keep/seen.json").read_text())["pointer"]["expires"]
    while datetime.now(timezone.utc) < datetime.fromisoformat(expires.replace("Z", "+00:00")):
        time.sleep(0.1)
    assert Phone("nowhere", "row", tmp_path / "keep").warning
    assert Phone("nowhere", "row", tmp_path / "keep", expired="refuse").bundle is None


def test_processes_that_share_a_folder_update_one_after_the_other(edge, tmp_path, monkeypatch):
    store, keep = copy_store(edge, tmp_path / "store"), tmp_path / "keep"
    one, two = (Phone(str(store), "row", keep, OWN) for _ in range(2))
    monkeypatch.setattr(runtime, "_LOCK_WAIT_S", 0.2)
    keep.mkdir()
    with durable.only_writer(keep / ".lock", 0), pytest.raises(WorkspaceLocked):
        one.update()
    assert one.update()
    monkeypatch.setattr(runtime.Phone, "_download", lambda *_: pytest.fail("it was downloaded twice"))
    assert two.update() and two.bundle is not None and not two.update()


def test_a_counter_that_nobody_signed_locks_no_phone_out(edge, tmp_path):
    store = copy_store(edge, tmp_path / "store")
    path = store / "current.json"
    whole = path.read_bytes()
    phone = Phone(str(store), "row", tmp_path / "keep")
    path.write_bytes(forge(None, counter=10**15, rollbacks=10**15, issued=at(-0.1))(whole))
    phone.update()
    path.write_bytes(forge(None, issued=at(0))(whole))
    phone.update()
    assert phone._seen.pointer.counter == 2
    path.write_bytes(forge(None, counter=10**15, issued=at(-0.1))(whole))
    with pytest.raises(Refused) as caught:
        phone.update()
    assert caught.value.reason == "earlier"
