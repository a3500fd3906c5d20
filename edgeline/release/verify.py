"""Verification of a push folder: every file is compared with the size and digest that were pushed.

The log vouches for each manifest (`history.py`), and a manifest for the files of its release. A bundle that
was copied out of a push folder has no log: only a signature vouches for its manifest (`signing.py`).
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path

from edgeline.errors import EdgelineError, UsageError
from edgeline.release.history import History, read_current, read_history, render_pointer
from edgeline.release.layout import (
    BENCHMARKS,
    HISTORY,
    MANIFEST,
    MODEL_KEY,
    MODEL_SIGNATURE,
    PINS,
    POINTER,
    SIGNATURE,
    TOP_NAMES,
    PushFolder,
    Store,
    check_name,
    find_link,
    hash_bytes,
    open_folder,
    read_document,
)
from edgeline.release.manifest import (
    FileEntry,
    Manifest,
    NewerManifest,
    digest_of,
    find_files,
    parse_manifest,
    select_entries,
)
from edgeline.release.memory import is_older, recall
from edgeline.release.model_signing import is_signature_of
from edgeline.release.pins import find_pins_problem
from edgeline.release.reader import Outlook, foresee, refuse_replay
from edgeline.release.releases import (
    list_released_versions,
    make_missing_model_error,
    make_missing_release_error,
    read_release,
)
from edgeline.release.signing import is_signed
from edgeline.store import locations
from edgeline.store.locations import Location, list_names, read_bytes
from edgeline.store.objects import measure_file

# Files of a release in a store that are read at the same time.
_READS_AT_ONCE = 8


def verify(root: Store, model: str, version: int | None = None, keys: Sequence[str] = ()) -> list[str]:
    """Returns all problems of the releases of a model, or of one of them, one sentence each.

    Without `version` it checks every release with a folder or in the audit log, the pointer, the pins for TF
    Serving, the audit log, and whether a phone takes the release in production.

    Args:
        root: The store.
        model: Its name there.
        version: The one release to check; None for all of them and what a phone would do.
        keys: As for `foresee_phone`.

    Raises:
        EdgelineError: As for `find_problems`.
    """
    folder = open_folder(root, keeps=True)
    problems = find_problems(folder, model, version)
    if problems or version is not None:
        return problems
    outlook = foresee_phone(folder, model, keys)
    return [outlook.sentence] if outlook.does == "refuses" else []


def find_problems(root: Store, model: str, version: int | None = None) -> list[str]:
    """Returns the problems that `verify` does, but for what a phone would do.

    Args:
        root: The store, which is read as it is at one moment.
        model: Its name there.
        version: As for `verify`.

    Raises:
        UsageError: The model or release does not exist, so nothing could be checked.
        NewerManifest: This code is too old for a manifest.
        EdgelineError: The object store cannot be read.
    """
    folder = open_folder(root, keeps=True)
    if check_name(model, "model name") not in folder.models():
        raise make_missing_model_error(folder, model)
    if link := find_link(folder, model):
        return [f"{folder.relative(link)}: is a link. A store has none."]
    history = read_history(folder, model)
    versions = list_known_versions(folder, model)
    if version is not None:
        if version not in versions:
            raise make_missing_release_error(model, version, history, versions)
        return find_release_problems(folder, model, version, history)
    problems = [*history.problems, *_check_pointer(folder, model)]
    problems += filter(None, [find_pins_problem(folder, model)])
    problems += _find_strays(folder, model)
    for number in versions:
        if number not in history.manifests:
            problems.append(f"edge/{model}/{number}: {HISTORY} has no line for this push.")
        problems += find_release_problems(folder, model, number, history)
    return problems


def foresee_phone(root: Store, model: str, keys: Sequence[str] = ()) -> Outlook:
    """Returns what a new phone that trusts these public keys would do now.

    A pointer that is older than what was signed from here is refused, as by phones that have seen that.

    Args:
        root: The store.
        model: The model that the phone follows.
        keys: The oldest first; without any it trusts the first that signed the pointer, and where nobody did,
            the one that the release in production names.
    """
    folder = open_folder(root)
    now = datetime.now(timezone.utc)
    outlook = foresee(folder, model, keys, now)
    signed = recall(folder.root, model)
    if signed and outlook.pointer and is_older(outlook.pointer, outlook.key, signed):
        return refuse_replay(outlook.pointer.counter, signed.counter)
    if not keys and outlook.version is not None and outlook.key is None:
        manifest = read_release(folder, model, outlook.version).manifest
        if manifest.signed_by:
            outlook = foresee(folder, model, [manifest.signed_by], now)
    return outlook


def list_known_versions(root: Store, model: str) -> tuple[int, ...]:
    """Returns all versions with a folder or in the audit log, sorted, but no unfinished or collected ones."""
    folder = open_folder(root)
    return tuple(sorted({*list_released_versions(folder, model), *read_history(folder, model).manifests}))


def find_release_problems(folder: PushFolder, model: str, version: int, history: History) -> list[str]:
    """Returns all problems of the files of one release, one sentence each.

    Args:
        folder: The store.
        model: Its name there.
        version: One with a folder or in the audit log.
        history: Has the digest of its manifest; where it has none, any manifest of that release is taken.

    Raises:
        NewerManifest: This code is too old for the manifest.
    """
    try:
        manifest = read_release(folder, model, version, history.manifests.get(version)).manifest
    except NewerManifest:
        raise
    except EdgelineError as error:
        return [f"{error.found} {error.why}"]
    parts = folder.parts(model, version)
    home = f"serving/{model}/{version}"
    problems = _check_part(parts["serving"], home, manifest)
    served = select_entries(manifest.files, home)
    if "saved_model.pb" not in {entry.path for entry in served}:
        problems.append(f"{home}: no saved_model.pb in the manifest, so no server can load it.")
    if digest_of(served) != manifest.model_digest:
        problems.append(f"edge/{model}/{version}/{MANIFEST}: model_digest does not match its files.")
    return problems + find_bundle_problems(parts["edge"], manifest)


def find_copy_problems(folder: Path, manifest: Manifest) -> list[str]:
    """Returns all problems of a copy of a release's SavedModel, one sentence each."""
    return _check_part(folder, f"serving/{manifest.model}/{manifest.version}", manifest)


def read_bundle(place: Location) -> Manifest:
    """Reads the manifest of the bundle in `place`, the part of a release for phones.

    Raises EdgelineError if it is missing, damaged, or newer than this code.
    """
    try:
        raw = read_bytes(place / MANIFEST)
    except OSError as error:
        raise UsageError(
            f"{place} has no readable {MANIFEST}: {(error.strerror or str(error)).rstrip('.')}.",
            "The files of a bundle are checked against its manifest.",
            "Pass the number of a release, or a folder with a bundle, such as PUSH/edge/MODEL/VERSION.",
        ) from error
    return parse_manifest(raw, f"{place}/{MANIFEST}")


def find_bundle_problems(place: Location, manifest: Manifest) -> list[str]:
    """Returns all problems of the bundle in `place` and of its signatures, one sentence each."""
    home = f"edge/{manifest.model}/{manifest.version}"
    signer, expected = manifest.signed_by, {}
    digests = {file.path: file.sha256 for file in select_entries(manifest.files, home)}
    if signer:
        expected[SIGNATURE] = f"the signature of {MANIFEST} with {signer}"
        expected[MODEL_SIGNATURE] = f"the signature of all files with {MODEL_KEY}"
    problems = _check_part(place, home, manifest, {MANIFEST, *expected})

    def is_right(name: str) -> bool:
        raw = read_bytes(place / name)
        if name == SIGNATURE:
            return is_signed(read_bytes(place / MANIFEST), raw, signer or "")
        own = {name: hash_bytes(read_bytes(place / name)) for name in (MANIFEST, SIGNATURE)}
        return is_signature_of(raw, manifest.model, digests | own, read_bytes(place / MODEL_KEY))

    for name, right in expected.items():
        path = place / name
        found = "a link" if isinstance(path, Path) and path.is_symlink() else "another signature"
        try:
            if found == "another signature" and is_right(name):
                continue
        except OSError:
            found = "no readable file"
        problems.append(f"{home}/{name}: found {found}. Expected {right}.")
    return problems


def _check_part(top: Location, home: str, manifest: Manifest, besides: Iterable[str] = ()) -> list[str]:
    """Returns the problems of the files in `top`: those of the manifest below `home`, and `besides`."""
    entries = select_entries(manifest.files, home)
    names: Iterable[str]
    if isinstance(top, Path):
        names = find_files(top)
        problems = [_find_file_problem(top / entry.path, entry) for entry in entries]
    else:
        names = listed = locations.list_files_below(top)
        sizes = [listed[entry.path].size if entry.path in listed else None for entry in entries]
        paths = [top / entry.path for entry in entries]
        with ThreadPoolExecutor(_READS_AT_ONCE) as pool:  # one after the other, each would be waited for
            problems = list(pool.map(_find_file_problem, paths, entries, sizes))
    problems = list(filter(None, problems))
    strays = {*names} - {*besides} - {entry.path for entry in entries}
    problems += [f"{name}: is not in the manifest." for name in sorted(strays)]
    return [f"{home}/{problem}" for problem in problems]


def _check_pointer(folder: PushFolder, model: str) -> list[str]:
    path = folder.pointer(model)
    try:
        current = read_current(folder, model)
    except EdgelineError as error:
        return [f"{error.found} {error.why}"]
    if current is None:
        return [f"{folder.relative(path)}: missing, so nothing is in production."]
    if read_document(folder, path) != render_pointer(current.change, current.signed):
        return [f"{folder.relative(path)}: was changed after it was written."]
    return []


def _find_strays(folder: PushFolder, model: str) -> list[str]:
    """Returns the problems of names beside the releases and the folders of models that belong to none."""
    versions = {str(version) for version in folder.version_folders(model)}
    models = {*folder.models(), ".."}
    of_edge = versions | {POINTER, HISTORY, BENCHMARKS}
    known = (
        (folder.edge(model), f"edge/{model}/", of_edge, "not part of a release"),
        (folder.serving(model), f"serving/{model}/", versions, "not part of a release"),
        (folder.root / "edge", "edge/", models, "of no model"),
        (folder.root, "", TOP_NAMES, "not part of a store"),
        (folder.root / "serving", "serving/", models | {PINS}, "of no model"),
    )
    problems = []
    for top, prefix, names, what in known:
        strays = {*list_names(top)} - names
        problems += [f"{prefix}{name}: is {what}." for name in sorted(strays)]
    return problems


def _find_file_problem(path: Location, entry: FileEntry, listed: int | None = None) -> str:
    """Returns the problem of a file, which begins with the path of its entry; empty if there is none.

    `listed` is its size in a store's listing; None if there was none.
    """
    name, expected = entry.path, f"Expected a file of {entry.size:,} bytes."
    if isinstance(path, Path) and (path.is_symlink() or (path.exists() and not path.is_file())):
        return f"{name}: found something other than a file. {expected}"
    try:
        size, digest = measure_file(path, listed)
    except FileNotFoundError:
        return f"{name}: found no file. {expected}"
    except OSError as error:
        return f"{name}: cannot be read ({error.strerror})."
    if size != entry.size:
        return f"{name}: found {size:,} bytes. Expected {entry.size:,}."
    return "" if digest == entry.sha256 else f"{name}: found sha256 {digest}. Expected {entry.sha256}."
