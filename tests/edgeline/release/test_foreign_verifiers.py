"""A release, checked by tools that know nothing of Edgeline, in an environment of their own."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from deploy.environment.uv import find_uv
from edgeline.journal import list_libraries
from edgeline.records.source import Source
from edgeline.release import store
from edgeline.release.manifest import Code, Data, FileEntry
from edgeline.release.model_signing import is_signature_of
from edgeline.release.releases import Release
from tests.edgeline.release.candidates import make_candidate, make_key

ROOT = Path(__file__).parents[3]
# model-signing 1.1.1 imports pyOpenSSL and does not require it.
TOOLS = (
    "model-signing==1.1.1",
    "pyopenssl==26.4.0",
    "cyclonedx-python-lib[json-validation]==11.12.0",
    "in-toto-attestation==0.9.3",
)
# Each check prints a problem, or nothing.
CHECK_BOM = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
print(JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read()) or "")
"""
CHECK_PROVENANCE = """
import json, sys
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as Message
message = json_format.Parse(sys.stdin.read(), Message())
Statement.copy_from_pb(message).validate()
json_format.ParseDict(json_format.MessageToDict(message.predicate), Provenance())
"""


@dataclass(frozen=True)
class Tools:
    """The tools of an environment."""

    folder: Path

    def check(self, code: str, content: bytes) -> str:
        """Runs a check on a document; returns what it prints."""
        command = (self.folder / "bin" / "python", "-c", code)
        process = subprocess.run(command, input=content, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return process.stdout.decode().strip()

    def verifies(self, folder: Path, signature: Path, key: Path) -> bool:
        """Returns whether model_signing accepts a signature of a folder."""
        flags = ("--signature", str(signature), "--public_key", str(key))
        command = (self.folder / "bin" / "model_signing", "verify", "key", *flags, str(folder))
        process = subprocess.run(command, capture_output=True, text=True)
        output = process.stdout + process.stderr
        assert ("Verification succeeded" in output) == (process.returncode == 0), output
        assert process.returncode == 0 or "Verification failed" in output, output
        return process.returncode == 0


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Tools:
    uv, folder = find_uv(ROOT, os.environ["PATH"]), tmp_path_factory.mktemp("foreign") / "venv"
    for command in (
        ("venv", "--python", sys.executable, str(folder)),
        ("pip", "install", "--python", str(folder), *TOOLS),
    ):
        subprocess.run((uv, "--quiet", *command), cwd=ROOT, check=True)
    return Tools(folder)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    folder = tmp_path_factory.mktemp("release")
    candidate = make_candidate(
        folder / "candidate",
        signing_key=make_key(),
        licence="MIT",
        data_statement="Photos of our own shelves.",
        data=Data(35, 36, "f" * 64, {"span-00035": "a" * 64, "span-00036": "b" * 64}),
        code=Code("c" * 64, "d" * 64, Source("e" * 40, "main", True, "9" * 64)),
        settings={"seed": 20, "trainer": {"epochs": 16, "class_weights": {"ok": 0.5}}},
        tuned={"trainer.learning_rate": 0.002},
        libraries=list_libraries(),
        card=lambda version: f"<h1>Version {version}</h1>",
    )
    return store.push(folder / "push", "shelf", candidate)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """A release that another key signed."""
    folder = tmp_path_factory.mktemp("other")
    return store.push(folder / "push", "shelf", make_candidate(folder, signing_key=make_key(2)))


def test_model_signing_accepts_both_folders_of_a_release(tools, release):
    key = release.edge / "model.pub.pem"
    assert tools.verifies(release.edge, release.edge / "model.sig", key)
    assert tools.verifies(release.serving, release.edge / "serving.sig", key)


def test_model_signing_refuses_a_changed_file_and_another_key(tools, release, other, tmp_path):
    assert not tools.verifies(release.edge, release.edge / "model.sig", other.edge / "model.pub.pem")
    bundle = Path(shutil.copytree(release.edge, tmp_path / "bundle"))
    (bundle / "labels.txt").write_bytes(b"changed")
    assert not tools.verifies(bundle, bundle / "model.sig", bundle / "model.pub.pem")


def test_the_key_for_model_signing_belongs_to_the_key_of_all_releases(release, other, tmp_path):
    candidate = make_candidate(tmp_path / "2", "second", signing_key=make_key())
    again = store.push(tmp_path / "push", "shelf", candidate)
    assert again.read("model.pub.pem") == release.read("model.pub.pem") != other.read("model.pub.pem")


@pytest.mark.parametrize("signature", [b"", b"[]", b'{"dsseEnvelope": {"signatures": []}}'])
def test_an_invalid_signature_or_key_is_refused(release, signature):
    digests, valid = {"labels.txt": "a" * 64}, (release.edge / "model.sig").read_bytes()
    assert not is_signature_of(signature, "shelf", digests, release.read("model.pub.pem"))
    assert not is_signature_of(valid, "shelf", digests, b"no key")


def hash_of(digest: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": digest}


def list_described(release: Release) -> list[FileEntry]:
    """Returns the files of a release but the two documents, which come from a manifest without them."""
    documents = {"edge/shelf/1/provenance.json", "edge/shelf/1/mlbom.cdx.json"}
    assert documents <= {file.path for file in release.manifest.files}
    return [file for file in release.manifest.files if file.path not in documents]


def test_the_bill_of_materials_is_valid_and_names_model_files_data_and_libraries(tools, release):
    raw = release.read("mlbom.cdx.json")
    assert tools.check(CHECK_BOM, raw) == ""
    bom = json.loads(raw)
    assert bom.pop("serialNumber").startswith("urn:uuid:")
    data, *libraries = bom.pop("components")
    tensor = [{"format": "image: float32 [1, 16, 16, 1]"}]
    assert bom == {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": release.manifest.created,
            "component": {
                "type": "machine-learning-model",
                "bom-ref": "model",
                "name": "shelf",
                "version": "1",
                "licenses": [{"license": {"name": "MIT"}}],
                "modelCard": {
                    "modelParameters": {
                        "approach": {"type": "supervised"},
                        "task": "classification",
                        "datasets": [{"ref": "data"}],
                        "inputs": tensor,
                        "outputs": tensor,
                    },
                    "quantitativeAnalysis": {
                        "performanceMetrics": [{"type": "accuracy", "slice": "overall: all", "value": "0.94"}]
                    },
                },
                "components": [
                    {"type": "file", "name": file.path, "hashes": [hash_of(file.sha256)]}
                    for file in list_described(release)
                ],
            },
        },
        "dependencies": [{"ref": "model", "dependsOn": ["data", *(each["purl"] for each in libraries)]}],
    }
    assert data == {
        "type": "data",
        "bom-ref": "data",
        "name": "training data",
        "description": "Photos of our own shelves.",
        "hashes": [hash_of("f" * 64)],
        "data": [{"type": "dataset"}],
        "components": [
            {"type": "data", "name": name, "hashes": [hash_of(letter * 64)], "data": [{"type": "dataset"}]}
            for name, letter in (("span-00035", "a"), ("span-00036", "b"))
        ],
    }
    versions = list_libraries()
    assert "msgspec" in versions and [each["name"] for each in libraries] == sorted(versions)
    for each in libraries:
        name = re.sub("[._]", "-", each["name"].lower())
        url = f"pkg:pypi/{name}@{quote(each['version'])}"
        assert each == {
            "type": "library",
            "bom-ref": url,
            "name": each["name"],
            "version": versions[each["name"]],
            "purl": url,
        }
    assert tools.check(CHECK_BOM, b'{"bomFormat": "other", "specVersion": "1.6"}') != ""


def test_the_provenance_is_valid_and_names_settings_data_and_code(tools, release):
    raw = release.read("provenance.json")
    assert tools.check(CHECK_PROVENANCE, raw) == ""
    digests = {"span-00035": "a", "span-00036": "b", "code": "c", "lock": "d"}
    about = {"branch": "main", "dirty": True, "difference": "9" * 64}
    commit = {"name": "source", "digest": {"gitCommit": "e" * 40}, "annotations": about}
    assert json.loads(raw) == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": file.path, "digest": {"sha256": file.sha256}} for file in list_described(release)
        ],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:edgeline:pipeline:1",
                "externalParameters": {
                    "model": "shelf",
                    "settings": {"seed": 20, "trainer": {"epochs": 16, "class_weights": {"ok": 0.5}}},
                },
                "internalParameters": {"tuned": {"trainer.learning_rate": 0.002}},
                "resolvedDependencies": [
                    *({"name": name, "digest": {"sha256": letter * 64}} for name, letter in digests.items()),
                    commit,
                ],
            },
            "runDetails": {
                "builder": {"id": "urn:edgeline:pusher", "version": {"tensorflow": "2.16.2"}},
                "metadata": {"invocationId": "2026-10-05-1", "finishedOn": release.manifest.created},
            },
        },
    }
    assert tools.check(CHECK_PROVENANCE, raw.replace(b"buildDefinition", b"building")) != ""


def test_the_card_is_of_the_version_and_an_unsigned_release_has_all_but_signatures(tmp_path, release):
    assert release.read("model_card.html") == b"<h1>Version 1</h1>"
    unsigned = store.push(tmp_path / "push", "shelf", make_candidate(tmp_path / "other"))
    names = {path.name for path in unsigned.edge.iterdir()}
    assert {"provenance.json", "mlbom.cdx.json"} <= names
    assert not names & {"model.sig", "serving.sig", "model.pub.pem", "model_card.html"}
    assert store.verify(tmp_path / "push", "shelf") == store.verify(release.root, "shelf") == []
