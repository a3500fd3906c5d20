"""The runtime follows a store as a phone does, from a folder and over http, and goes on without it."""

import functools
import http.server
import json
import re
import shutil
import socket
import subprocess
import sys
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from edgeline import reading, runtime
from edgeline.edge.golden import read_vectors
from edgeline.errors import UsageError
from edgeline.release import store
from edgeline.release.pointer import Canary, Pointer, Production
from edgeline.runtime import Phone, Refused
from tests.disks import fill
from tests.edgeline.phone.releases import CANARY, CONTENTS, FAULTS, KINDS, at, forge, push
from tests.edgeline.release.candidates import make_key, name_key

SIGNER = name_key()


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("releases")
    for kind in KINDS:
        push(folder / "push", folder / kind, kind, variant="fp32" if kind == "text" else "int8")
    push(folder / "push", folder / "two", "row", 2)
    return folder / "push"


@pytest.fixture
def edge(stores, tmp_path):
    """Copies the releases of `row` for phones, and puts the first of two into production."""
    shutil.copytree(stores / "edge/row", tmp_path / "row")
    put(tmp_path / "row", 1, counter=1)
    return tmp_path / "row"


def put(edge: Path, version: int, **changes):
    """Signs a pointer to a version."""
    from edgeline.release.layout import hash_bytes

    digest = hash_bytes((edge / f"{version}/manifest.json").read_bytes())
    production = {"version": version, "manifest_sha256": digest}
    pointer = edge / "current.json"
    pointer.write_bytes(forge(**{"production": production, **changes})(pointer.read_bytes()))


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_verified_and_answers_with_its_golden_scores(stores, tmp_path, kind):
    phone = Phone(f"{stores}/edge/{kind}", kind, tmp_path / "keep", SIGNER)
    assert phone.update() and not phone.update()
    vectors = read_vectors(stores / f"edge/{kind}/{phone.bundle.manifest.version}")
    variant = phone.bundle.manifest.default_variant
    for content, example in zip(CONTENTS[kind], vectors.about.examples, strict=True):
        scores = phone.bundle.predict(content).ranked
        expected = dict(zip(phone.bundle.labels, example.scores[variant], strict=True))
        assert scores == pytest.approx(expected, abs=vectors.about.score_tolerance[variant])
        assert list(scores.values()) == sorted(scores.values(), reverse=True)
        unlike = phone.bundle.predict(content).unlike
        expected = example.unlike.get(variant, example.unlike_input)
        assert unlike == (None if kind == "text" else pytest.approx(expected, abs=0.01))


def test_a_release_of_a_newer_edgeline_is_refused_by_that_name(edge, tmp_path):
    phone = Phone(str(edge), "row", tmp_path / "keep")
    phone.update()
    manifest = edge / "2/manifest.json"
    manifest.write_bytes(re.sub(rb'"schema_version": *\d+', b'"schema_version": 99', manifest.read_bytes()))
    put(edge, 2, counter=2)
    with pytest.raises(Refused) as caught:
        phone.update()
    assert caught.value.reason == "newer" and phone.bundle.manifest.version == 1


def test_each_fault_of_a_store_is_refused_by_name_and_the_last_good_release_goes_on(edge, tmp_path):
    phone = Phone(str(edge), "row", tmp_path / "keep")
    phone.update()
    put(edge, 1, counter=2)
    phone.update()
    put(edge, 2, counter=3)
    for name, (path, change, reason, _) in FAULTS.items():
        whole = (edge / path).read_bytes()
        content = change(whole)
        (edge / path).unlink() if content is None else (edge / path).write_bytes(content)
        with pytest.raises(Refused) as caught:
            phone.update()
        assert caught.value.reason == reason and caught.value.found, name
        for each in (phone, Phone(str(edge), "row", tmp_path / "keep")):
            assert each.bundle.manifest.version == 1 and each.bundle.predict(CONTENTS["row"][0]).ranked
        assert not list((tmp_path / "keep").glob(".new-*"))
        (edge / path).write_bytes(whole)


def test_an_update_removes_the_bundle_before_and_leaves_the_other_folders_of_an_app(edge, tmp_path):
    keep = tmp_path / "app"
    for name in ("photos", ".git", ".new-left"):
        (keep / name).mkdir(parents=True)
    phone = Phone(str(edge), "row", keep)
    phone.update()
    put(edge, 2, counter=2)
    assert phone.update()
    bundle = phone._seen.release.manifest_sha256[:16]
    assert {path.name for path in keep.iterdir()} == {"photos", ".git", ".lock", "seen.json", bundle}


def test_a_folder_of_another_model_is_refused_before_anything_is_answered(stores, tmp_path):
    late = Phone(f"{stores}/edge/text", "text", tmp_path / "keep")
    Phone(f"{stores}/edge/row", "row", tmp_path / "keep").update()
    for use in (late.update, lambda: Phone(f"{stores}/edge/text", "text", tmp_path / "keep")):
        with pytest.raises(UsageError, match="belongs to the model row, not to text"):
            use()
    assert Phone("nowhere", "row", tmp_path / "keep").bundle.manifest.model == "row"
    assert Phone(f"{stores}/edge/text", "text", tmp_path / "keep/text").update()


def test_a_phone_takes_its_side_of_a_canary_by_its_id_and_goes_back_when_it_is_withdrawn(stores, tmp_path):
    root, edge, key = tmp_path / "push", str(tmp_path / "push/edge/row"), make_key()
    shutil.copytree(stores, root)
    store.rollback(root, "row", "one is enough", key=key)
    # By clients/canary.json phone-11057 has the number 7, and phone-15679 the number 6.
    store.rollout(root, "row", 2, 0.07, "a first try", key)
    tries, stays = (
        Phone(edge, "row", tmp_path / name, SIGNER, name) for name in ("phone-15679", "phone-11057")
    )
    assert [each.update() and each.bundle.manifest.version for each in (tries, stays)] == [2, 1]
    releases = reading.open(root, "row")
    assert (releases.model().version, releases.candidate().version) == (1, 2)
    canary = (root / "edge/row/current.json").read_bytes()
    store.rollout(root, "row", 2, 0.08, "more of it", key)
    assert not tries.update() and stays.update() and stays.bundle.manifest.version == 2
    # Offline a phone goes on with its release, and it still knows its id.
    again = Phone(str(tmp_path / "nowhere"), "row", tmp_path / "phone-15679")
    assert again.bundle.manifest.version == 2 and again.client == "phone-15679"
    store.rollback(root, "row", "two is worse", key=key)
    assert releases.candidate() is None
    for each in (tries, stays):
        assert each.update() and not each.update() and each.bundle.manifest.version == 1
    (root / "edge/row/current.json").write_bytes(canary)
    with pytest.raises(Refused, match="An old pointer was replayed"):
        tries.update()


def test_a_client_that_is_no_text_is_refused_since_it_could_not_be_read_again(tmp_path):
    with pytest.raises(UsageError, match="The client is 42, which is not a text"):
        Phone("nowhere", "row", tmp_path / "keep", client=42)


@pytest.mark.parametrize("key", [SIGNER.upper(), "/etc/edgeline/public.pem"])
def test_a_key_that_no_pointer_can_have_is_refused_at_once(tmp_path, key):
    with pytest.raises(UsageError, match="is not a public key"):
        Phone("nowhere", "row", tmp_path / "keep", key=key)


def test_clients_take_the_sides_of_the_examples():
    for example in json.loads(CANARY.read_text()):
        candidate = Canary(example["version"], "c" * 64, example["percent"])
        pointer = Pointer(example["model"], 1, 0, at(0), at(1), Production(1, "p" * 64), candidate)
        assert (pointer.choose(example["client"]) == candidate) == example["candidate"]


def test_a_share_of_phones_has_its_size():
    def find_share(version, percent):
        candidate = Canary(version, "c" * 64, percent)
        pointer = Pointer("shelf", 1, 0, at(0), at(1), Production(1, "p" * 64), candidate)
        return {n for n in range(20_000) if pointer.choose(f"phone-{n}") is candidate}

    tenth = find_share(5, 10)
    assert len(tenth) == pytest.approx(2000, abs=4 * 42)  # four standard deviations
    assert tenth < find_share(5, 20)
    assert len(tenth & find_share(6, 10)) == pytest.approx(200, abs=4 * 14)


def test_an_expired_release_one_of_a_lower_epoch_and_one_with_another_file_are_refused(tmp_path):
    root, edge = tmp_path / "push", tmp_path / "push/edge/row"
    push(root, tmp_path / "one", "row", 1, rollback_epoch=2)
    phone = Phone(str(edge), "row", tmp_path / "keep")
    phone.update()
    push(root, tmp_path / "two", "row", 2, rollback_epoch=2, expires_days=1)
    with pytest.raises(Refused, match="Version 2 expired at"):
        phone.update(datetime.now(timezone.utc) + timedelta(days=2))
    shutil.copytree(edge, tmp_path / "other")
    manifest = tmp_path / "other/2/manifest.json"
    document = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**document, "rollback_epoch": 1}))
    put(tmp_path / "other", 2)
    with pytest.raises(Refused, match=r"rollback epoch 1, this phone has seen 2"):
        Phone(str(tmp_path / "other"), "row", tmp_path / "keep").update()
    push(root, tmp_path / "three", "row", 3, rollback_epoch=2, labels=("ok", "damaged", "misplaced"))
    assert phone.update() and phone.bundle.labels[1] == "damaged"
    push(root, tmp_path / "broken", "row", 3, rollback_epoch=2, labels=("ok", "damaged"))
    with pytest.raises(Refused, match=r"It has 2 labels, but the model has 3 outputs"):
        phone.update()
    candidate = {"rollback_epoch": 2, "preprocessing": {**document, "kind": "row", "version": 9}}
    push(root, tmp_path / "four", "row", 4, **candidate)
    with pytest.raises(Refused, match="is version 9 of kind row") as caught:
        phone.update()
    assert caught.value.reason == "golden"


def test_a_phone_follows_a_web_server_and_goes_on_without_it(edge, tmp_path, monkeypatch):
    handler = functools.partial(_Quiet, directory=str(edge))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/"
    phone = Phone(url, "row", tmp_path / "keep")
    assert phone.update()
    (edge / "current.json").rename(edge / "elsewhere")
    with pytest.raises(Refused, match=r"current\.json is missing"):
        phone.update()
    (edge / "elsewhere").rename(edge / "current.json")
    monkeypatch.setattr(_Quiet, "cut", 5)
    with pytest.raises(Refused, match=r"The download of current\.json broke off"):
        phone.update()
    server.shutdown()
    server.server_close()
    phone = Phone(url, "row", tmp_path / "keep")
    assert phone.bundle.predict(CONTENTS["row"][0]).ranked
    with pytest.raises(OSError, match="refused"):
        phone.update()
    # A kept file that rots is fetched again.
    (file,) = (tmp_path / "keep").glob("*/model_int8.tflite")
    file.write_bytes(file.read_bytes()[:-9])
    phone = Phone(str(edge), "row", tmp_path / "keep")
    assert phone.bundle is None and phone.update()


def test_a_full_disk_is_refused_by_name_and_the_release_before_goes_on(edge, small_disk):
    phone = Phone(str(edge), "row", small_disk / "keep")
    phone.update()
    fill(small_disk)
    put(edge, 2, counter=2)
    with pytest.raises(Refused, match="not enough room") as caught:
        phone.update()
    assert caught.value.reason == "room"
    assert phone.bundle is not None and phone.bundle.predict(CONTENTS["row"][0]).ranked
    assert Phone(str(edge), "row", small_disk / "keep").bundle.manifest.version == 1
    (small_disk / "filler").unlink()
    assert phone.update() and phone.bundle.manifest.version == 2


def test_downloads_that_were_killed_do_not_fill_the_device(edge, tmp_path):
    phone = Phone(str(edge), "row", tmp_path / "keep")
    phone.update()
    (leftover := tmp_path / "keep/.new-killed").mkdir()
    (leftover / "model_fp32.tflite").write_bytes(b"half of it")
    put(edge, 2, counter=2)
    (edge / "2/labels.txt").unlink()
    with pytest.raises(Refused):
        phone.update()
    assert not leftover.exists() and Phone("http://localhost:1", "row", tmp_path / "keep").bundle


def test_a_server_that_does_not_speak_http_and_a_place_that_is_no_url_are_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        phone = Phone(f"http://127.0.0.1:{server.getsockname()[1]}", "row", tmp_path)

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"SSH-2.0-OpenSSH_9\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(OSError, match=r"does not answer as a web server does: .*SSH-2"):
            phone.update()
        thread.join()
    for place in ("http://127.0.0.1:9/my shelf", "http://127.0.0.1:9/gr\xf6\xdfe", "http://127.0.0.1:port"):
        with pytest.raises(UsageError, match="cannot be requested"):
            Phone(place, "row", tmp_path).update()


def test_the_page_of_phones_lists_the_names_of_all_refusals():
    refusals = Path(runtime.__file__).parent / "release/refusals.json"
    page = (Path(__file__).parents[2] / "docs/phone.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    names = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert names == set(json.loads(refusals.read_text(encoding="utf-8")))


class _Quiet(http.server.SimpleHTTPRequestHandler):
    cut = 0  # bytes that are announced, and never come

    def copyfile(self, source, outputfile):
        content = source.read()
        outputfile.write(content[: len(content) - self.cut])

    def log_message(self, *_):
        pass


def test_a_phone_needs_no_tensorflow(edge, tmp_path):
    script = (
        "import sys; from edgeline.runtime import Phone; Phone(sys.argv[1], 'row', sys.argv[2]).update();"
        "sys.exit(bool({'tensorflow', 'tfx', 'pydantic', 'pandas'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script, str(edge), str(tmp_path / "keep")]
    assert subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True).returncode == 0
