"""`edgeline verify` on a store, one release of it, and a copied bundle, on a disk and in a bucket."""

import json
import os
import shutil
import stat
from datetime import datetime, timedelta, timezone
from functools import partial

import numpy as np
import pytest
from upath import UPath

from edgeline.edge.interpreter import preprocess
from edgeline.release import store
from edgeline.release.layout import render
from edgeline.release.signing import PRIVATE, PUBLIC, load_public_key, load_signing_key, make_pair
from edgeline.store.locations import get_filesystem, locate
from edgeline.store.objects import measure_file
from tests.edgeline.cli.test_predict import LABELS, ROW, SHAPES, tflite
from tests.edgeline.release.candidates import make_candidate, make_key, spoil_signature, vouch
from tests.edgeline.release.test_acceptance import age
from tests.edgeline.release.test_pointer import Clock
from trainer_module.export.golden_writer import RawExample, write_vectors


@pytest.fixture
def verify(edgeline):
    return partial(edgeline, "verify")


@pytest.fixture
def keys(tmp_path):
    make_pair(tmp_path / "keys")
    return tmp_path / "keys"


@pytest.fixture
def push(tmp_path, keys):
    """Pushes an unsigned release and then a signed one to the workspace."""
    return fill(tmp_path / "workspace/push", tmp_path, keys)


def fill(place, work, keys):
    store.push(place, "shelf", make_candidate(work / "one", "one", 100))
    key = load_signing_key(str(keys / PRIVATE))
    vouch(place, key)
    store.push(place, "shelf", make_candidate(work / "two", "two", 100, signing_key=key))
    return place


def make_other_key(folder):
    make_pair(folder / "other")
    return folder / "other" / PUBLIC


def test_a_signature_counts_only_where_a_key_was_given_and_json_has_the_signer(verify, push, keys):
    signer = load_public_key(str(keys / PUBLIC))
    code, out = verify()
    assert code == 0 and out.startswith(f"{push}: 2 releases of shelf: every file, pin and line")
    assert f"shelf 2 is signed with {signer}. Pass --key FILE" in out
    code, out = verify("--key", keys / PUBLIC)
    assert code == 0 and "The pointer to shelf 2 is signed with the given key." in out
    code, out = verify("--json", "--key", keys / PUBLIC)
    facts = {"push": str(push), "model": "shelf", "versions": [1, 2], "problems": [], "signed_by": signer}
    facts |= {"golden": "has no golden vectors", "least_runtimes": {"fp16": "2.3", "int8": "2.3"}}
    assert code == 0 and json.loads(out) == facts


def test_a_pointer_that_another_key_signed_does_not_pass(edgeline, push, keys, tmp_path):
    own = load_public_key(str(keys / PUBLIC))
    make_pair(tmp_path / "next")
    new = tmp_path / "next" / PRIVATE
    assert edgeline("keys", "rotate", "--key", keys / PRIVATE, "--to", new)[0] == 0
    for public in (keys / PUBLIC, tmp_path / "next" / PUBLIC):  # both signed the handover
        assert edgeline("verify", "--key", public)[0] == 0
    store.rollback(push, "shelf", "drill", 1, load_signing_key(str(new)))
    code, out = edgeline("verify", "--key", keys / PUBLIC)
    assert code == 1 and f"A phone that trusts {own[:16]}... refuses it, because current.json is not" in out
    assert "Every file is as pushed." in out and "edgeline keys rotate" in out
    assert edgeline("verify", "--key", tmp_path / "next" / PUBLIC)[0] == 0


def test_a_pointer_that_has_expired_has_to_be_renewed_and_nothing_restored(verify, push, monkeypatch):
    monkeypatch.setattr("edgeline.release.verify.datetime", Clock(datetime.now(timezone.utc) + timedelta(31)))
    code, out = verify()
    assert code == 1 and "the pointer expired at 20" in out and " renew " in out and "backup" not in out
    (push / "edge/shelf/2/labels.txt").unlink()
    code, out = verify()
    assert code == 1 and "labels.txt: found no file" in out and "backup" in out


def test_a_store_without_a_signed_pointer_does_not_pass(edgeline, push, keys):
    pointer = push / "edge/shelf/current.json"
    stripped = json.loads(pointer.read_bytes())
    del stripped["signed"]
    pointer.write_bytes(render(stripped, "The pointer"))
    for arguments in ((), ("--key", keys / PUBLIC)):
        code, out = edgeline("verify", *arguments)
        assert code == 1 and "because current.json has no readable signed pointer." in out
    assert "no readable signed pointer" in edgeline("status")[1]
    code, out = edgeline("renew", "--key", keys / PRIVATE)
    assert code == 1 and "nobody signed what is in production, version 2" in out


def test_a_pointer_with_a_wrong_signature_is_named_by_status_too_and_signed_by_nobody(edgeline, push, keys):
    spoil_signature(push)
    problem = "edge/shelf/current.json: its signed pointer is not valid: it names the key "
    assert problem in edgeline("verify")[1]
    code, out = edgeline("status")
    assert code == 0 and problem in out and "Phones refuse it" in out and " repair " in out
    production = json.loads(edgeline("status", "--json")[1])["production"]
    assert "current.json is not signed with a key" in production["pointer_problem"]
    assert production["pointer_expires"] is None
    assert edgeline("renew", "--key", keys / PRIVATE)[0] == 1
    repair = ("repair", "--trust-unsigned", "--reason", "I have looked", "--key", keys / PRIVATE)
    code, out = edgeline(*repair)
    assert code == 2 and "Nobody can be asked here." in out and "version 2, by what lies in the store" in out
    assert edgeline(*repair, "--yes")[0] == 0 and edgeline("verify")[0] == 0
    assert json.loads(edgeline("status", "--json")[1])["production"]["pointer_problem"] is None


def test_a_key_is_needed_to_vouch_and_to_change_it_and_a_model_too(edgeline, push, keys):
    vouch = "repair", "--trust-unsigned", "--reason", "drill"
    for command in (vouch, ("keys", "rotate", "--to", keys / PRIVATE)):
        code, out = edgeline(*command)
        assert code == 2 and "No key is set." in out and "edgeline keys new" in out
    rotate = ("keys", "rotate", "--key", keys / PRIVATE, "--to", keys / PRIVATE)
    code, out = edgeline(*rotate, "--workload", "other")
    assert code == 2 and "has no model 'other'" in out
    code, out = edgeline(*rotate)
    assert code == 2 and "already" in out
    assert edgeline("repair")[0] == 0
    signed = ("repair", "--trust-unsigned", "--reason", "drill", "--key", keys / PRIVATE)
    code, out = edgeline(*signed)
    assert code == 0 and "everything of shelf is signed already" in out


def test_one_release_is_checked_by_its_number(verify, push, keys):
    code, out = verify("2", "--key", keys / PUBLIC)
    assert code == 0 and out.startswith(f"{push}: every file of shelf 2 matches its manifest.")
    code, out = verify("1")
    assert code == 0 and "signed" not in out
    code, out = verify("1", "--key", keys / PUBLIC)
    assert code == 1 and out.startswith("shelf 1 is not signed. Expected a signature with")
    bundle = str(push / "edge/shelf/1")
    code, out = verify(bundle, "--json", "--key", keys / PUBLIC)
    (problem,) = json.loads(out)["problems"]
    assert code == 1 and json.loads(out)["bundle"] == bundle and problem.startswith("shelf 1 is not signed.")
    code, out = verify("7")
    assert code == 2 and "shelf has no release 7." in out and "Existing releases: 1, 2." in out


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_copied_bundle_is_checked_by_itself(verify, push, keys, tmp_path, version):
    shutil.copytree(push / "edge/shelf" / version, tmp_path / "copied")
    code, out = verify(tmp_path / "copied", "--store", push)
    assert code == 2 and "A bundle is checked by itself." in out
    shutil.rmtree(push)
    code, out = verify(tmp_path / "copied")
    assert code == 0 and f"every file of shelf {version} matches its manifest." in out
    assert ("shelf 1 is not signed" in out) is (version == "1")
    assert verify(tmp_path / "copied", "--key", keys / PUBLIC)[0] == (0 if version == "2" else 1)
    with (tmp_path / "copied/labels.txt").open("a") as file:
        file.write("x\n")
    code, out = verify(tmp_path / "copied")
    assert code == 1 and f"edge/shelf/{version}/labels.txt: found 23 bytes" in out
    assert "copy a bundle again" in out


def test_an_expired_release_is_named_and_does_not_pass(verify, tmp_path):
    root = tmp_path / "workspace/push"
    store.push(root, "shelf", make_candidate(tmp_path / "one", "one", 100))
    age(root, 1)
    for arguments in (["1"], [root / "edge/shelf/1"]):
        code, out = verify(*arguments)
        assert code == 1 and out.startswith("shelf 1 expired at 20") and len(out.splitlines()) == 3
    code, out = verify()
    assert code == 1 and "because version 1 expired at 20" in out and len(out.splitlines()) == 3
    code, out = verify("--json")
    assert code == 1 and "because version 1 expired at" in json.loads(out)["problems"][0]


def test_a_bundle_of_a_newer_schema_and_a_folder_without_one_are_different_errors(verify, push, tmp_path):
    path = push / "edge/shelf/2/manifest.json"
    path.write_text(path.read_text().replace('"schema_version": 2', '"schema_version": 3'))
    code, out = verify(path.parent)
    assert code == 1 and "found schema_version 3" in out and "Update Edgeline" in out
    for nothing in (tmp_path / "nowhere", tmp_path, path):
        code, out = verify(nothing)
        assert code == 2 and f"{nothing} has no readable man" in out and len(out.splitlines()) == 3


def test_a_bucket_is_verified_as_a_disk_is(verify, bucket, keys, tmp_path):
    url = fill(f"{bucket}/push", tmp_path, keys)
    places = (["--store", url], ["2", "--store", url], [f"{url}/edge/shelf/2"])
    for arguments in places:
        assert verify(*arguments, "--key", keys / PUBLIC)[0] == 0
    assert verify(*places[2], "--key", make_other_key(tmp_path))[0] == 1
    place: UPath = locate(places[2][0])
    get_filesystem(place).pipe_file((place / "manifest.sig").path, make_key().sign(b"something else"))
    for arguments in places:
        code, out = verify(*arguments)
        assert code == 1 and "edge/shelf/2/manifest.sig: found another signature" in out
    assert verify(f"{url}/edge/shelf/9")[0] == 2


@pytest.fixture
def bundle(tmp_path):
    return push_with_golden(tmp_path)


def push_with_golden(tmp_path):
    """Pushes a release with golden vectors of two rows; returns its bundle."""
    files = {name: tmp_path / f"model_{name}.tflite" for name in ("fp16", "int8")}
    for path in files.values():
        path.write_bytes(tflite(SHAPES["row"], "float32", 0.0))
    contents = [{"celsius": ("21.5", "")}, {"celsius": ("-4", "3e1")}]
    answer = np.array([0.5, 0.5], np.float32)
    examples = [
        RawExample(str(n), LABELS[n], {}, content, preprocess(content, ROW)[0], answer, True)
        for n, content in enumerate(contents)
    ]
    write_vectors(tmp_path / "golden", examples, ROW, files)
    candidate = make_candidate(tmp_path / "candidate", labels=LABELS, preprocessing=ROW)
    golden = {f"golden/{path.name}": path for path in (tmp_path / "golden").iterdir()}
    candidate.edge_files.update({path.name: path for path in files.values()} | golden)
    store.push(tmp_path / "workspace/push", "shelf", candidate)
    return tmp_path / "workspace/push/edge/shelf/1"


def put(bundle, name, content):
    """Changes a file of a bundle, and its digest in the manifest."""
    (bundle / name).write_text(content)
    size, digest = measure_file(bundle / name)
    manifest = json.loads((bundle / "manifest.json").read_text())
    (entry,) = (entry for entry in manifest["files"] if entry["path"].endswith(f"/{name}"))
    entry |= {"size": size, "sha256": digest}
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def test_golden_vectors_of_production_and_of_a_bundle_are_run_where_the_runtime_is(
    verify, bundle, monkeypatch
):
    expected = "shelf 1: 2 golden vectors pass, tensors and the scores of fp16, int8."
    for arguments in ([], ["1"], [bundle]):
        code, out = verify(*arguments)
        assert code == 0 and expected in out
        assert "shelf 1: runs on TFLite of these versions and newer: 2.3 (fp16), 2.3 (int8)." in out
    assert json.loads(verify(bundle, "--json")[1])["golden"] in expected
    monkeypatch.setattr("edgeline.cli.verify.find_spec", lambda name: None)
    code, out = verify(bundle)
    assert code == 0 and "shelf 1: golden vectors were not run: ai-edge-litert is not installed here." in out


def test_scores_that_the_model_does_not_give_are_named_though_the_manifest_has_their_digest(verify, bundle):
    golden = json.loads((bundle / "golden/golden.json").read_text())
    golden["examples"][1]["scores"]["int8"] = [0.9, 0.1]
    put(bundle, "golden/golden.json", json.dumps(golden))
    code, out = verify(bundle, "--json")
    (problem,) = json.loads(out)["problems"]
    assert code == 1 and problem.startswith("golden/golden.json, example 2: int8 gives label")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (
            {"numbers": [{**ROW["numbers"][0], "mean": 20.2}]},
            "example 1: preprocessing.json gives a different tensor",
        ),
        ({"version": ROW["version"] + 1}, "but golden.json belongs to version"),
    ],
)
def test_a_contract_that_is_not_the_bundles_is_named(verify, bundle, change, found):
    put(bundle, "preprocessing.json", json.dumps(ROW | change))
    code, out = verify(bundle)
    assert code == 1 and "fails its golden vectors" in out and found in out


def test_a_new_pair_is_printed_by_its_public_key_with_the_next_command_and_never_replaced(tmp_path, call):
    folder = tmp_path / "of mine"
    code, out, _ = call("keys", "new", "--out", folder)
    assert code == 0
    assert f"Public key {load_public_key(str(folder / 'edgeline.pub.pem'))}" in out
    assert f"edgeline run --set push.key='{folder}/edgeline.key.pem'" in out
    assert f"edgeline verify --key '{folder}/edgeline.pub.pem'" in out
    first = (folder / "edgeline.key.pem").read_text()
    assert first.splitlines()[1] not in out
    code, _, err = call("keys", "new", "--out", folder)
    assert code == 2 and len(err.splitlines()) == 3
    assert (folder / "edgeline.key.pem").read_text() == first


def test_a_new_pair_goes_to_the_settings_of_the_user_by_default(tmp_path, call, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home/.config"))
    # No umask makes a private key readable for others.
    before = os.umask(0)
    try:
        assert call("keys", "new")[0] == 0
    finally:
        os.umask(before)
    private = tmp_path / "home/.config/edgeline/edgeline.key.pem"
    assert load_signing_key(str(private)) and stat.S_IMODE(private.stat().st_mode) == 0o600
