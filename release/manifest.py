"""The manifest of a release: every file with its size and sha256, and the facts that justified the push.

One document covers the SavedModel, the TFLite files, labels and preprocessing, so that no part of one release
can be mixed with a part of another.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from errors import EdgelineError
from release.documents import (
    damaged,
    digest_field,
    field,
    measure_file,
    parse_object,
    parse_time,
    positive,
    render_object,
    sha256_of_bytes,
    time_field,
)

SCHEMA_VERSION = 1

DATA_KEYS: dict[str, type] = {"first_span": int, "last_span": int, "fingerprint": str}
CODE_KEYS: dict[str, type] = {"digest": str, "lock_digest": str}
VARIANT_KEYS: dict[str, type] = {"name": str, "file": str, "inputs": list, "outputs": list}


@dataclass(frozen=True)
class FileEntry:
    """One file: POSIX path relative to the push folder, size in bytes, hexadecimal sha256."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a release is and why it was pushed; `created` and `expires` are UTC times in ISO 8601."""

    schema_version: int
    min_reader_version: int  # a reader that knows only older schema versions must leave the bundle alone
    model: str
    version: int
    run: str
    created: str
    expires: str
    files: tuple[FileEntry, ...]
    model_digest: str  # of the SavedModel's content, see `model_digest`
    default_variant: str
    variants: tuple[Mapping[str, Any], ...]  # name, file, inputs, outputs, and what was measured
    metrics: Mapping[str, Any]
    data: Mapping[str, Any]  # first_span, last_span, fingerprint
    code: Mapping[str, Any]  # digest, lock_digest
    versions: Mapping[str, str]  # library -> version

    def render(self) -> bytes:
        """The content of manifest.json."""
        document = {item.name: getattr(self, item.name) for item in fields(self)}
        return render_object({**document, "files": [asdict(entry) for entry in self.files]}, "The manifest")

    def expired(self, moment: datetime) -> bool:
        """Whether `moment` (aware) is at or after `expires`."""
        return moment >= parse_time(self.expires)

    @property
    def default_file(self) -> str:
        """The name of the default variant's file in the bundle."""
        return str(next(v["file"] for v in self.variants if v["name"] == self.default_variant))


def parse_manifest(raw: bytes, where: str) -> Manifest:
    """The manifest in `raw`; `where` names its file in errors.

    Raises:
        EdgelineError: It is newer than this code, or a value is missing, of the wrong type or impossible.
    """
    document = parse_object(raw, where)
    for key in ("schema_version", "min_reader_version"):
        if positive(document, key, where) > SCHEMA_VERSION:
            raise EdgelineError(
                f"{where}: found {key} {document[key]}.",
                f"This code reads manifests up to version {SCHEMA_VERSION}.",
                "Update Edgeline on this machine, or pick an older release with"
                " `edgeline promote V --reason R`.",
            )
    if unknown := sorted(set(document) - {f.name for f in fields(Manifest)}):
        raise damaged(where, f"unknown keys {', '.join(unknown)}", "only those of schema version 1")
    model, version = field(document, "model", str, where), positive(document, "version", where)
    versions = field(document, "versions", dict, where)
    manifest = Manifest(
        schema_version=document["schema_version"],
        min_reader_version=document["min_reader_version"],
        model=model,
        version=version,
        run=field(document, "run", str, where),
        created=time_field(document, "created", where),
        expires=time_field(document, "expires", where),
        files=_parse_files(field(document, "files", list, where), model, version, where),
        model_digest=digest_field(document, "model_digest", where),
        default_variant=field(document, "default_variant", str, where),
        variants=tuple(field(document, "variants", list, where)),
        metrics=field(document, "metrics", dict, where),
        data=field(document, "data", dict, where),
        code=field(document, "code", dict, where),
        versions={name: field(versions, name, str, f"{where}, versions") for name in versions},
    )
    _check_facts(manifest, where)
    return manifest


def describe_file(path: Path, name: str) -> FileEntry:
    """The entry of the file at `path` under the name `name`."""
    return FileEntry(name, *measure_file(path))


def files_below(top: Path) -> dict[str, Path]:
    """All files below `top` by POSIX relative path, sorted; links are not followed."""
    found = {}
    for folder, folders, names in os.walk(top):
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in (*names, *links):
            path = Path(folder, name)
            found[path.relative_to(top).as_posix()] = path
    return dict(sorted(found.items()))


def model_digest(saved_model: Path) -> str:
    """One sha256 for a SavedModel's content: names and digests of its files; not dates, not its place."""
    return digest_of(describe_file(path, name) for name, path in files_below(saved_model).items())


def digest_of(entries: Iterable[FileEntry]) -> str:
    """The sha256 of the sorted lines `path, two spaces, sha256` of `entries`."""
    lines = sorted(f"{entry.path}  {entry.sha256}\n" for entry in entries)
    return sha256_of_bytes("".join(lines).encode())


def served_entries(files: Iterable[FileEntry], model: str, version: int) -> list[FileEntry]:
    """The SavedModel's entries among `files`, by path inside the SavedModel."""
    prefix = f"serving/{model}/{version}/"
    return [
        FileEntry(entry.path[len(prefix) :], entry.size, entry.sha256)
        for entry in files
        if entry.path.startswith(prefix)
    ]


def _parse_files(items: list[Any], model: str, version: int, where: str) -> tuple[FileEntry, ...]:
    entries = []
    homes = tuple(f"{part}/{model}/{version}/" for part in ("serving", "edge"))
    for item in items:
        if not isinstance(item, dict):
            raise damaged(f"{where}, files", repr(item), "a mapping with path, size and sha256")
        path = field(item, "path", str, f"{where}, files")
        if not path.startswith(homes) or PurePosixPath(path).as_posix() != path or ".." in path.split("/"):
            raise damaged(f"{where}, files", f"path {path!r}", f"a POSIX path under {' or '.join(homes)}")
        size = field(item, "size", int, f"{where}, files")
        entries.append(FileEntry(path, size, digest_field(item, "sha256", f"{where}, files, {path}")))
    if len({entry.path for entry in entries}) != len(entries):
        raise damaged(f"{where}, files", "the same path twice", "each path once")
    return tuple(entries)


def _check_facts(manifest: Manifest, where: str) -> None:
    for name, facts, keys in (("data", manifest.data, DATA_KEYS), ("code", manifest.code, CODE_KEYS)):
        for key, kind in keys.items():
            field(facts, key, kind, f"{where}, {name}")
    bundle = {PurePosixPath(entry.path).name for entry in manifest.files if entry.path.startswith("edge/")}
    names: list[str] = []
    for variant in manifest.variants:
        if not isinstance(variant, dict):
            raise damaged(f"{where}, variants", repr(variant), "a mapping for each variant")
        for key, kind in VARIANT_KEYS.items():
            field(variant, key, kind, f"{where}, variants")
        if variant["file"] not in bundle:
            raise damaged(f"{where}, variants", f"file {variant['file']!r}", f"one of {sorted(bundle)}")
        names.append(variant["name"])
    if len(set(names)) != len(names) or manifest.default_variant not in names:
        raise damaged(where, f"default_variant {manifest.default_variant!r}", f"one of the variants, {names}")
