"""The manifest of a release: every file with its size and sha256, and the facts that justified the push.

One document covers the SavedModel, the TFLite files, labels and preprocessing, so that no part of one release
can be mixed with a part of another.

A change of the manifest's keys raises `SCHEMA_VERSION`. This code reads its own version and every older one,
and refuses a newer one. A manifest has the oldest version that has all its keys, so that an older Edgeline
can still read it if no new setting is used. Version 2 introduced the optional keys.
"""

import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated

from msgspec import Meta, Struct

from edgeline.errors import EdgelineError
from edgeline.journal import parse_time
from edgeline.records.edge import ReleasedFile
from edgeline.records.evaluation import SliceMetrics
from edgeline.records.source import Source
from edgeline.records.training import MODEL_IDENTITY
from edgeline.release.layout import Digest, Positive, hash_bytes, parse
from edgeline.store.objects import measure_file

SCHEMA_VERSION = 2


class NewerManifest(EdgelineError):
    """A manifest of a later version of this code; the manifest itself is not damaged."""

    version = 0  # of the reader that it needs


class FileEntry(Struct, frozen=True):
    """One file: POSIX path relative to the push folder, size in bytes, hexadecimal sha256."""

    path: str
    size: int
    sha256: Digest


class ReadBy(Struct, frozen=True):
    """The versions in a manifest that tell a reader if it can read the rest."""

    schema_version: Positive
    min_reader_version: Positive  # a reader that knows only older schema versions ignores the bundle


class Data(Struct, frozen=True):
    """The data that a model was trained on."""

    first_span: int
    last_span: int
    fingerprint: str  # of the window
    spans: Mapping[str, str]  # digest of the content by name


class Code(Struct, frozen=True, omit_defaults=True):
    """Digests of the code that made a model, and of its lock file; readers may ignore the commit."""

    digest: str
    lock_digest: str
    source: Source | None = None  # None where no commit is known


class Manifest(ReadBy, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The content of a release and the facts behind its push; `created`, `expires`: UTC times in ISO 8601."""

    model: str
    version: Positive
    run: str
    created: str
    expires: str
    files: tuple[FileEntry, ...]
    model_digest: Digest  # digest of the SavedModel's files, see `digest_of`
    default_variant: str
    variants: tuple[ReleasedFile, ...]
    metrics: SliceMetrics
    data: Data
    code: Code
    versions: Mapping[str, str]  # library -> version
    # Keys of version 2, each absent if not set; see `PushSettings`.
    min_app_version: str | None = None
    rollback_epoch: Annotated[int, Meta(ge=0)] = 0
    licence: str | None = None
    data_statement: str | None = None
    signed_by: Digest | None = None  # the public key, 32 bytes, that verifies `manifest.sig`

    def __post_init__(self) -> None:
        parse_time(self.created)
        parse_time(self.expires)
        homes = tuple(f"{part}/{self.model}/{self.version}/" for part in ("serving", "edge"))
        paths = [entry.path for entry in self.files]
        for path in paths:
            if (
                not path.startswith(homes)
                or PurePosixPath(path).as_posix() != path
                or ".." in path.split("/")
            ):
                raise ValueError(f"path {path!r} is not a POSIX path under {' or '.join(homes)}")
        if len(set(paths)) != len(paths):
            raise ValueError("files lists the same path twice")
        bundle = {PurePosixPath(path).name for path in paths if path.startswith("edge/")}
        for variant in self.variants:
            if variant.file not in bundle:
                raise ValueError(f"variants has the file {variant.file!r}, not one of {sorted(bundle)}")
        names = [variant.name for variant in self.variants]
        if len(set(names)) != len(names) or self.default_variant not in names:
            raise ValueError(f"default_variant {self.default_variant!r} is not one of the variants, {names}")

    @property
    def default(self) -> ReleasedFile:
        """The file that phones run unless told otherwise."""
        return next(variant for variant in self.variants if variant.name == self.default_variant)


def parse_manifest(raw: bytes, where: str) -> Manifest:
    """Parses the manifest in `raw`; `where` names its file in errors.

    Raises:
        NewerManifest: The manifest is newer than this code.
        EdgelineError: A value is missing, of the wrong type or impossible.
    """
    read_by = parse(raw, ReadBy, where)
    if max(read_by.schema_version, read_by.min_reader_version) > SCHEMA_VERSION:
        newer = NewerManifest(
            f"{where}: found schema_version {read_by.schema_version} and min_reader_version"
            f" {read_by.min_reader_version}.",
            f"This code reads manifests up to version {SCHEMA_VERSION}.",
            "Update Edgeline on this machine, or pick an older release with `edgeline promote V --reason R`.",
        )
        newer.version = max(read_by.schema_version, read_by.min_reader_version)
        raise newer
    return parse(raw, Manifest, where)


def find_files(top: Path) -> dict[str, Path]:
    """Returns all files below `top` by POSIX relative path, sorted; links are not followed."""
    files = {}
    for folder, folders, names in os.walk(top):
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in (*names, *links):
            path = Path(folder, name)
            files[path.relative_to(top).as_posix()] = path
    return dict(sorted(files.items()))


def identify_model(saved_model: Path) -> str:
    """Computes `identity_of` for a SavedModel on the disk."""
    return identity_of(
        [FileEntry(name, *measure_file(path)) for name, path in find_files(saved_model).items()]
    )


def identity_of(entries: Collection[FileEntry]) -> str:
    """Returns a digest that is equal for SavedModels with the same weights and graph, from one's entries.

    It is the digest of the file in which the Trainer recorded that identity; for a SavedModel without that
    file it is the digest of all files.
    """
    digests = (entry.sha256 for entry in entries if entry.path == MODEL_IDENTITY)
    return next(digests, None) or digest_of(entries)


def digest_of(entries: Iterable[FileEntry]) -> str:
    """Returns the sha256 of the sorted lines `path, two spaces, sha256` of `entries`."""
    lines = sorted(f"{entry.path}  {entry.sha256}\n" for entry in entries)
    return hash_bytes("".join(lines).encode())


def select_entries(files: Iterable[FileEntry], top: str) -> list[FileEntry]:
    """Returns the entries below `top`, such as `serving/shelf/1`, with paths relative to it."""
    prefix = f"{top}/"
    below = (entry for entry in files if entry.path.startswith(prefix))
    return [FileEntry(entry.path.removeprefix(prefix), entry.size, entry.sha256) for entry in below]
