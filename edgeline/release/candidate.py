"""A candidate for release, and its conversion to the two folders of a release."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from edgeline.errors import EdgelineError, UsageError
from edgeline.journal import format_utc
from edgeline.labels import check_labels, render_labels
from edgeline.records.edge import GOLDEN_FOLDER, ReleasedFile
from edgeline.records.evaluation import SliceMetrics
from edgeline.release import durable, manifest
from edgeline.release.layout import (
    BOM,
    CARD,
    LABELS,
    MANIFEST,
    MODEL_KEY,
    MODEL_SIGNATURE,
    PREPROCESSING,
    PROVENANCE,
    SERVING_SIGNATURE,
    SIGNATURE,
    PushFolder,
    check_name,
    hash_bytes,
    render,
)
from edgeline.release.model_signing import derive_key, render_public_key, sign_files
from edgeline.release.provenance import render_bom, render_provenance
from edgeline.release.signing import Key, format_public_key
from edgeline.store.objects import measure_file

_OWN_FILES = {
    *(MANIFEST, SIGNATURE, LABELS, PREPROCESSING, PROVENANCE, BOM, CARD),
    *(MODEL_SIGNATURE, SERVING_SIGNATURE, MODEL_KEY),
}
_FIELDS = ("run", "default_variant", "variants", "metrics", "data", "code", "versions")
_OPTIONAL_FIELDS = ("min_app_version", "rollback_epoch", "licence", "data_statement")


@dataclass(frozen=True)
class Candidate:
    """A SavedModel and its edge bundle, with the facts that justify a push; see `Manifest`."""

    saved_model: Path  # the folder
    edge_files: Mapping[str, Path]  # path in the bundle -> file; at least the TFLite file of each variant
    labels: tuple[str, ...]  # in the order of the model's outputs; becomes labels.txt
    preprocessing: Mapping[str, Any]  # becomes preprocessing.json
    default_variant: str  # the `name` of the variant that phones take unless told otherwise
    variants: tuple[ReleasedFile, ...]  # a `file` is a key of `edge_files`
    metrics: SliceMetrics
    data: manifest.Data
    code: manifest.Code
    versions: Mapping[str, str]
    run: str
    expires_days: int  # days after the push until the release expires
    # The version in production when it was judged, 0 if there was none; None if it was not judged.
    compared_with: int | None = None
    # See `PushSettings`.
    pointer_days: int | None = None
    canary_percent: float | None = None
    min_app_version: str | None = None
    rollback_epoch: int = 0
    licence: str | None = None
    data_statement: str | None = None
    signing_key: Key = None
    trusted_keys: Collection[str] = ()  # see `open_state`
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the run, nested by group
    tuned: Mapping[str, Any] = field(default_factory=dict)  # those that a search found, by dotted name
    libraries: Mapping[str, str] = field(default_factory=dict)  # every installed one: name -> version
    card: Callable[[int], str] | None = None  # renders the page of the model card for a version


def check_candidate(candidate: Candidate) -> None:
    """Raises EdgelineError if the SavedModel, a TFLite file, the labels or the expiry is not valid."""
    if not (candidate.saved_model / "saved_model.pb").is_file():
        raise _make_refusal(f"{candidate.saved_model} has no saved_model.pb", "No server could load it.")
    for name, path in candidate.edge_files.items():
        check_name(name.removeprefix(f"{GOLDEN_FOLDER}/"), "file name in the bundle")
        if name in _OWN_FILES:
            raise _make_refusal(f"The bundle has a file {name!r}", "The push writes that file itself.")
        if not path.is_file():
            raise _make_refusal(f"The bundle's {name} should come from {path}, which is not a file", "")
    try:
        check_labels(candidate.labels, "The candidate")
    except UsageError as error:
        raise _make_refusal(error.found.rstrip("."), error.why) from error
    if not candidate.labels:
        raise _make_refusal("The candidate has no labels", "Each output needs a label.")
    if candidate.expires_days < 1:
        raise _make_refusal(
            f"expires_days is {candidate.expires_days}", "The release would already be expired."
        )


def stage(candidate: Candidate, folder: PushFolder[Path], model: str, version: int) -> bytes:
    """Copies all files to the scratch folder of this push, synced to disk; returns the bytes of the manifest.

    Args:
        candidate: One that `check_candidate` accepts.
        folder: The folder that the writer has locked, or its local copy of a store.
        model: The name that the release gets.
        version: The number that it gets, of which there is no folder yet.

    Raises:
        EdgelineError: A fact that the manifest needs is missing, of the wrong type, or not JSON.
    """
    scratch = folder.push_scratch(model, version)
    files: list[manifest.FileEntry] = []
    served = manifest.find_files(candidate.saved_model)
    for part, sources in (("serving", served), ("edge", candidate.edge_files)):
        durable.make_folders(scratch / part)
        for name, source in sources.items():
            target = scratch / part / name
            target.parent.mkdir(parents=True, exist_ok=True)
            durable.copy_file(source, target)
            files.append(manifest.FileEntry(f"{part}/{model}/{version}/{name}", *measure_file(target)))

    def write(name: str, content: bytes) -> None:
        durable.write_file(scratch / "edge" / name, content)
        entry = f"edge/{model}/{version}/{name}", len(content), hash_bytes(content)
        files.append(manifest.FileEntry(*entry))

    write(LABELS, render_labels(candidate.labels))
    write(PREPROCESSING, render(candidate.preprocessing, "The preprocessing contract"))
    if candidate.card:
        write(CARD, candidate.card(version).encode())
    if key := candidate.signing_key:
        saved_model = manifest.select_entries(files, f"serving/{model}/{version}")
        write(SERVING_SIGNATURE, sign_files(key, model, {file.path: file.sha256 for file in saved_model}))
        write(MODEL_KEY, render_public_key(derive_key(key).public_key()))
    raw = render(_build_manifest(candidate, files, model, version), "The manifest")
    try:
        parsed = manifest.parse_manifest(raw, "The new manifest")
    except EdgelineError as error:
        raise _make_refusal(error.found.rstrip("."), error.why) from error
    write(PROVENANCE, render_provenance(parsed, candidate.settings, candidate.tuned))
    write(BOM, render_bom(parsed, candidate.libraries))
    raw = render(replace(parsed, files=tuple(files)), "The manifest")
    durable.write_file(scratch / "edge" / MANIFEST, raw)
    if key:
        signature = key.sign(raw)
        durable.write_file(scratch / "edge" / SIGNATURE, signature)
        bundle = manifest.select_entries(files, f"edge/{model}/{version}")
        digests = {file.path: file.sha256 for file in bundle}
        digests |= {MANIFEST: hash_bytes(raw), SIGNATURE: hash_bytes(signature)}
        durable.write_file(scratch / "edge" / MODEL_SIGNATURE, sign_files(key, model, digests))
    durable.sync_folders(scratch)
    return raw


def _build_manifest(
    candidate: Candidate, files: list[manifest.FileEntry], model: str, version: int
) -> dict[str, Any]:
    created = datetime.now(timezone.utc)
    fields = {name: getattr(candidate, name) for name in _FIELDS}
    optional = {name: value for name in _OPTIONAL_FIELDS if (value := getattr(candidate, name))}
    if candidate.signing_key:
        optional["signed_by"] = format_public_key(candidate.signing_key.public_key())
    return {
        **fields,
        **optional,
        "schema_version": manifest.SCHEMA_VERSION if optional else 1,
        "min_reader_version": 1,
        "model": model,
        "version": version,
        "created": format_utc(created),
        "expires": format_utc(created + timedelta(days=candidate.expires_days)),
        "files": files,
        "model_digest": manifest.digest_of(manifest.select_entries(files, f"serving/{model}/{version}")),
    }


def _make_refusal(found: str, why: str) -> EdgelineError:
    do = "Look at the steps that made the model with `edgeline show RUN`, and run again."
    return EdgelineError(f"{found}.", f"{why} Nothing was pushed.".strip(), do)
