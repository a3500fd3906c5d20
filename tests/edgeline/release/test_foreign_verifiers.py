"""A release, checked by tools that know nothing of Edgeline, in an environment of their own."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.environment.uv import find_uv
from edgeline.journal import list_libraries
from edgeline.release import store
from edgeline.release.manifest import Code, Data
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
        code=Code("c" * 64, "d" * 64),
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


def test_the_bill_of_materials_is_valid_and_names_model_files_data_and_libraries(tools, release):
    raw = release.read("mlbom.cdx.json")
    assert tools.check(CHECK_BOM, raw) == ""
    bom = json.loads(raw)
    model, (data, *libraries) = bom["metadata"]["component"], bom["components"]
    hashes = {each["name"]: each["hashes"][0]["content"] for each in model["components"]}
    digests = {each.path: each.sha256 for each in release.manifest.files}
    # Both documents come from the manifest before it is whole, so neither can name itself.
    assert {*digests} - {*hashes} == {"edge/shelf/1/provenance.json", "edge/shelf/1/mlbom.cdx.json"}
    assert hashes.items() <= digests.items()
    assert (model["name"], model["version"]) == ("shelf", "1")
    assert model["licenses"] == [{"license": {"name": "MIT"}}]
    assert model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"] == [
        {"type": "accuracy", "slice": "overall: all", "value": "0.94"}
    ]
    assert data["description"] == "Photos of our own shelves." and data["hashes"][0]["content"] == "f" * 64
    assert [each["name"] for each in data["components"]] == ["span-00035", "span-00036"]
    versions = {each["name"]: each["version"] for each in libraries}
    assert versions == list_libraries() and "msgspec" in versions
    assert all(re.fullmatch(r"pkg:pypi/[a-z0-9-]+@[^@]+", each["purl"]) for each in libraries)
    assert tools.check(CHECK_BOM, b'{"bomFormat": "other", "specVersion": "1.6"}') != ""


def test_the_provenance_is_valid_and_names_settings_data_and_code(tools, release):
    raw = release.read("provenance.json")
    assert tools.check(CHECK_PROVENANCE, raw) == ""
    statement = json.loads(raw)
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    subjects = {each["name"]: each["digest"]["sha256"] for each in statement["subject"]}
    assert subjects.items() <= {each.path: each.sha256 for each in release.manifest.files}.items()
    assert {"edge/shelf/1/model_card.html", "serving/shelf/1/saved_model.pb"} <= {*subjects}
    definition = statement["predicate"]["buildDefinition"]
    assert definition["externalParameters"]["settings"]["trainer"]["epochs"] == 16
    assert definition["internalParameters"]["tuned"] == {"trainer.learning_rate": 0.002}
    digests = {each["name"]: each["digest"]["sha256"][:1] for each in definition["resolvedDependencies"]}
    assert digests == {"span-00035": "a", "span-00036": "b", "code": "c", "lock": "d"}
    assert tools.check(CHECK_PROVENANCE, raw.replace(b"buildDefinition", b"building")) != ""


def test_the_card_is_of_the_version_and_an_unsigned_release_has_all_but_signatures(tmp_path, release):
    assert release.read("model_card.html") == b"<h1>Version 1</h1>"
    unsigned = store.push(tmp_path / "push", "shelf", make_candidate(tmp_path / "other"))
    names = {path.name for path in unsigned.edge.iterdir()}
    assert {"provenance.json", "mlbom.cdx.json"} <= names
    assert not names & {"model.sig", "serving.sig", "model.pub.pem", "model_card.html"}
    assert store.verify(tmp_path / "push", "shelf") == store.verify(release.root, "shelf") == []
