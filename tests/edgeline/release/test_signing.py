import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec

from edgeline.errors import EdgelineError, UsageError
from edgeline.release import store
from edgeline.release.acceptance import distrust
from edgeline.release.signing import (
    KEY_VARIABLE,
    PRIVATE,
    PUBLIC,
    format_public_key,
    load_public_key,
    load_signing_key,
    make_pair,
)
from edgeline.release.verify import find_bundle_problems, read_bundle
from tests.disks import limit_file_size
from tests.edgeline.release.candidates import make_candidate, make_key, name_key


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """Makes a folder with a key pair."""
    make_pair(tmp_path / "keys")
    return tmp_path / "keys"


@pytest.fixture
def bundle(root: Path, tmp_path: Path) -> Path:
    """Pushes a signed release and copies its bundle."""
    candidate = make_candidate(tmp_path / "candidate", size=60, signing_key=make_key(), licence="MIT")
    release = store.push(root, "shelf", candidate)
    return Path(shutil.copytree(release.edge, tmp_path / "copy"))


def get_refusal(bundle: Path, key: str | None) -> str:
    """Returns why a bundle is refused; empty if it is accepted."""
    try:
        manifest = read_bundle(bundle)
        untrusted = distrust(manifest, key)
        return " ".join([*find_bundle_problems(bundle, manifest), *([str(untrusted)] if untrusted else [])])
    except EdgelineError as error:
        return str(error)


def test_a_new_pair_signs_and_its_private_half_is_for_its_owner_alone(pair):
    assert stat.S_IMODE((pair / PRIVATE).stat().st_mode) == 0o600
    assert stat.S_IMODE(pair.stat().st_mode) == 0o700
    signer = load_signing_key(str(pair / PRIVATE))
    assert format_public_key(signer.public_key()) == load_public_key(str(pair / PUBLIC))


def test_a_half_of_a_pair_is_not_replaced(pair):
    (pair / PRIVATE).unlink()
    before = (pair / PUBLIC).read_bytes()
    with pytest.raises(UsageError, match=r"exists already.*--out DIR"):
        make_pair(pair)
    assert (pair / PUBLIC).read_bytes() == before and not (pair / PRIVATE).exists()


def test_nothing_is_left_of_a_pair_that_could_not_be_written_whole(tmp_path):
    # The private key has 119 bytes, the public one 113.
    with limit_file_size(115), pytest.raises(OSError, match="File too large"):
        make_pair(tmp_path / "keys")
    assert list((tmp_path / "keys").iterdir()) == []


def test_the_key_of_the_setting_goes_before_that_of_the_environment(pair, tmp_path, monkeypatch):
    make_pair(tmp_path / "other")
    monkeypatch.setenv(KEY_VARIABLE, (tmp_path / "other" / PRIVATE).read_text())
    for key, public in ((None, tmp_path / "other" / PUBLIC), (str(pair / PRIVATE), pair / PUBLIC)):
        assert format_public_key(load_signing_key(key).public_key()) == load_public_key(str(public))
    monkeypatch.delenv(KEY_VARIABLE)
    assert load_signing_key(None) is None


def elliptic() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())


def with_passphrase() -> bytes:
    secret = form.BestAvailableEncryption(b"secret")
    return make_key().private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, secret)


@pytest.mark.parametrize("make", [bytes, elliptic, with_passphrase])
def test_a_file_that_is_no_key_is_refused_without_its_content(tmp_path, make):
    path = tmp_path / "x.pem"
    path.write_bytes(make())
    for read, name in ((load_signing_key, PRIVATE), (load_public_key, PUBLIC)):
        with pytest.raises(UsageError, match=rf"does not hold an Ed25519 .*{name}") as caught:
            read(str(path))
        assert not any(line in str(caught.value) for line in make().decode().splitlines())


def test_a_private_key_in_place_of_the_public_one_is_refused_and_the_other_way_round(pair):
    with pytest.raises(UsageError, match=f"not hold an Ed25519 public key.*{PUBLIC}"):
        load_public_key(str(pair / PRIVATE))
    with pytest.raises(UsageError, match=f"not hold an Ed25519 private key.*{PRIVATE}"):
        load_signing_key(str(pair / PUBLIC))


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere")])
def test_a_key_that_cannot_be_read_is_named_and_not_waited_for(tmp_path, make):
    make(tmp_path / "x.pem")
    with pytest.raises(UsageError, match=r"x\.pem cannot be read"):
        load_public_key(str(tmp_path / "x.pem"))


def test_a_key_in_place_of_its_file_is_not_in_the_message_which_asks_for_the_file(pair, monkeypatch):
    content = (pair / PRIVATE).read_text()
    with pytest.raises(UsageError, match=f"Pass the file {PRIVATE}") as caught:
        load_signing_key(content)
    assert content.splitlines()[1] not in str(caught.value)
    monkeypatch.setenv(KEY_VARIABLE, "edgeline.key.pem")
    with pytest.raises(UsageError, match=f"Pass the content of {PRIVATE}"):
        load_signing_key(None)


def test_openssl_verifies_the_signature(bundle, tmp_path):
    """Anybody can check it in this way, without our code."""
    public = make_key().public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / PUBLIC).write_bytes(public)
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(tmp_path / PUBLIC), "-rawin"]
    files = ["-in", "manifest.json", "-sigfile", "manifest.sig"]
    assert subprocess.run([*command, *files], cwd=bundle, capture_output=True).returncode == 0
    (bundle / "manifest.json").write_bytes((bundle / "manifest.json").read_bytes() + b"\n")
    assert subprocess.run([*command, *files], cwd=bundle, capture_output=True).returncode != 0


def test_a_bundle_with_one_changed_byte_is_never_accepted(bundle):
    key, count, missed = name_key(), 0, []
    assert get_refusal(bundle, key) == ""
    for path in sorted(bundle.iterdir()):
        whole = path.read_bytes()
        for at in range(0, len(whole), 1 if path.name == "manifest.sig" else 101):
            changed = bytearray(whole)
            changed[at] ^= 1 << at % 8
            path.write_bytes(changed)
            count += 1
            if not get_refusal(bundle, key):
                missed.append((path.name, at))
        path.write_bytes(whole)
    assert count > 150 and missed == []


def test_a_signature_of_another_length_or_one_that_is_missing_or_a_link_is_named(bundle):
    path = bundle / "manifest.sig"
    whole = path.read_bytes()
    for size in (0, 63, 65):
        path.write_bytes((whole * 2)[:size])
        assert "manifest.sig: found another signature. Expected the signature of" in get_refusal(bundle, None)
    path.rename(bundle.parent / "moved")
    assert "edge/shelf/1/manifest.sig: found no readable file" in get_refusal(bundle, None)
    path.symlink_to(bundle.parent / "moved")
    assert "edge/shelf/1/manifest.sig: found a link" in get_refusal(bundle, None)


def test_a_bundle_that_somebody_else_signed_is_refused_even_if_it_names_our_key(bundle):
    ours, theirs = name_key(), name_key(2)
    raw = (bundle / "manifest.json").read_bytes().replace(b'"MIT"', b'"our"')
    for named in (ours, theirs):
        forged = raw.replace(ours.encode(), named.encode())
        (bundle / "manifest.json").write_bytes(forged)
        (bundle / "manifest.sig").write_bytes(make_key(2).sign(forged))
        assert get_refusal(bundle, ours) != ""
    assert get_refusal(bundle, theirs).startswith("edge/shelf/1/model.sig: found another signature")


def test_an_unsigned_bundle_with_a_stray_signature_is_not_as_it_was_pushed(root, tmp_path):
    release = store.push(root, "shelf", make_candidate(tmp_path))
    raw = (release.edge / "manifest.json").read_bytes()
    (release.edge / "manifest.sig").write_bytes(make_key().sign(raw))
    assert store.verify(root, "shelf") == ["edge/shelf/1/manifest.sig: is not in the manifest."]


def test_no_file_that_is_pushed_has_the_private_key(root, pair, tmp_path):
    key = load_signing_key(str(pair / PRIVATE))
    store.push(root, "shelf", make_candidate(tmp_path / "candidate", signing_key=key))
    secret = key.private_bytes_raw()
    for path in root.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(part in content for part in (secret, secret.hex().encode(), b"PRIVATE"))
