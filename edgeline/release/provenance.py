"""The provenance of a release, for tools that know nothing of Edgeline, made from its manifest.

`provenance.json` is an in-toto statement with the predicate of SLSA (https://slsa.dev/spec/v1.1/provenance):
the settings, the data, code and lock file that the release was made from. `mlbom.cdx.json` is a bill of
materials (CycloneDX 1.6): the model with its metrics, its files, the data, and the libraries. The digest of a
span is over the names and bytes of its files.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from edgeline.records.edge import TensorContract
from edgeline.release.layout import render
from edgeline.release.manifest import Manifest

_TYPE, _BUILDER = "urn:edgeline:pipeline:1", "urn:edgeline:pusher"


def render_provenance(manifest: Manifest, settings: Mapping[str, Any], tuned: Mapping[str, Any]) -> bytes:
    """Renders the SLSA provenance of the files in a manifest.

    Args:
        manifest: Its files are the subject; the provenance itself is not among them.
        settings: Those of the run, nested by group.
        tuned: Those that a search found, by dotted name; empty if none did.
    """
    digests = {**manifest.data.spans, "code": manifest.code.digest, "lock": manifest.code.lock_digest}
    dependencies: list[dict[str, Any]] = [
        {"name": name, "digest": {"sha256": digest}} for name, digest in digests.items() if digest
    ]
    if source := manifest.code.source:
        about = {"branch": source.branch, "dirty": source.is_dirty, "difference": source.difference}
        commit = {"name": "source", "digest": {"gitCommit": source.commit}, "annotations": about}
        dependencies.append(commit)
    return render(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": file.path, "digest": {"sha256": file.sha256}} for file in manifest.files],
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": {
                "buildDefinition": {
                    "buildType": _TYPE,
                    "externalParameters": {"model": manifest.model, "settings": settings},
                    "internalParameters": {"tuned": tuned},
                    "resolvedDependencies": dependencies,
                },
                "runDetails": {
                    "builder": {"id": _BUILDER, "version": manifest.versions},
                    "metadata": {"invocationId": manifest.run, "finishedOn": manifest.created},
                },
            },
        },
        "The provenance",
    )


def render_bom(manifest: Manifest, libraries: Mapping[str, str]) -> bytes:
    """Renders the bill of materials of a release; `libraries` are versions by name."""
    accuracies = []
    for kind, slices in manifest.metrics.items():
        for name, values in slices.items():
            if (accuracy := values.get("accuracy")) is not None:
                accuracies.append({"type": "accuracy", "slice": f"{kind}: {name}", "value": str(accuracy)})

    file = manifest.default
    model = {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": manifest.model,
        "version": str(manifest.version),
        **({"licenses": [{"license": {"name": manifest.licence}}]} if manifest.licence else {}),
        "modelCard": {
            "modelParameters": {
                "approach": {"type": "supervised"},
                "task": "classification",
                "datasets": [{"ref": "data"}],
                "inputs": _describe_tensors(file.inputs),
                "outputs": _describe_tensors(file.outputs),
            },
            "quantitativeAnalysis": {"performanceMetrics": accuracies},
        },
        "components": [
            {"type": "file", "name": file.path, "hashes": _hash(file.sha256)} for file in manifest.files
        ],
    }

    data = {
        "type": "data",
        "bom-ref": "data",
        "name": "training data",
        "description": manifest.data_statement or "",
        "hashes": _hash(manifest.data.fingerprint),
        "data": [{"type": "dataset"}],
        "components": [
            {"type": "data", "name": name, "hashes": _hash(digest), "data": [{"type": "dataset"}]}
            for name, digest in manifest.data.spans.items()
        ],
    }

    packages = [_describe_package(*item) for item in sorted(libraries.items())]
    depends_on = ["data", *(package["bom-ref"] for package in packages)]
    return render(
        {
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "serialNumber": uuid4().urn,
            "version": 1,
            "metadata": {"timestamp": manifest.created, "component": model},
            "components": [data, *packages],
            "dependencies": [{"ref": "model", "dependsOn": depends_on}],
        },
        "The bill of materials",
    )


def _describe_tensors(tensors: Sequence[TensorContract]) -> list[dict[str, str]]:
    return [{"format": f"{tensor.name}: {tensor.dtype} {list(tensor.shape)}"} for tensor in tensors]


def _hash(digest: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": digest}] if digest else []


def _describe_package(name: str, version: str) -> dict[str, str]:
    url = f"pkg:pypi/{re.sub('[-_.]+', '-', name).lower()}@{quote(version, safe='')}"
    return {"type": "library", "bom-ref": url, "name": name, "version": version, "purl": url}
