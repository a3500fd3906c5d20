"""Whether what lies in a push folder is what was pushed: recomputed and compared, file by file.

The log, as `history.py` says, vouches for each manifest, and a manifest for the files of its release.
"""

from pathlib import Path

import locations
from errors import EdgelineError, UsageError
from locations import Location, locate, names_in, read_bytes
from release.documents import measure_file
from release.history import History, read_history, read_pointer, render_pointer
from release.layout import HISTORY, MANIFEST, POINTER, PushFolder, checked_name
from release.manifest import FileEntry, digest_of, files_below, served_entries
from release.pins import pins_problem
from release.releases import read_release, released_versions


def verify(root: str | Location, model: str) -> list[str]:
    """Everything wrong with the releases of a model, one sentence each; empty if nothing is.

    Every release is checked that is there or that the audit log has, and the pointer, the pins for TF Serving
    and the audit log too.

    Raises:
        UsageError: There is no such model, so nothing could be checked.
        EdgelineError: The object store cannot be read.
    """
    folder = PushFolder(locate(root))
    if checked_name(model, "model name") not in folder.models():
        raise nothing_of(folder, model)
    history = read_history(folder, model)
    problems = [*history.problems, *_pointer_problems(folder, model)]
    problems += filter(None, [pins_problem(folder, model)])
    problems += _stray_names(folder, model)
    for each in known_versions(root, model):
        if each not in history.manifests:
            problems.append(f"edge/{model}/{each}: no line of {HISTORY} says that it was pushed.")
        problems += release_problems(folder, model, each, history)
    return problems


def known_versions(root: str | Location, model: str) -> tuple[int, ...]:
    """Every version that folders or the audit log have, rising; not of a push that has not ended.

    Nor one that was collected.
    """
    folder = PushFolder(locate(root))
    return tuple(sorted({*released_versions(folder, model), *read_history(folder, model).manifests}))


def nothing_of(folder: PushFolder, model: str) -> UsageError:
    """The error of a model that a push folder has never had, with what is there."""
    there = ", ".join(folder.models())
    return UsageError(
        f"{folder.root} has no model {model!r}.",
        f"It has: {there}."
        if there
        else "It has none: nothing was ever pushed there, or it is another place.",
        "Name one of these with --workload." if there else "Name the place with --store, or push first.",
    )


def release_problems(folder: PushFolder, model: str, version: int, history: History) -> list[str]:
    """Everything wrong with the files of one release, one sentence each."""
    try:
        manifest = read_release(folder, model, version, history.manifests.get(version)).manifest
    except EdgelineError as error:
        return [f"{error.found} {error.why}"]
    problems = []
    for entry in manifest.files:
        problems += _file_problems(folder.root / entry.path, entry)
    served = served_entries(manifest.files, model, version)
    if "saved_model.pb" not in {entry.path for entry in served}:
        problems.append(
            f"serving/{model}/{version}: no saved_model.pb in the manifest, so none can be loaded."
        )
    if digest_of(served) != manifest.model_digest:
        problems.append(f"edge/{model}/{version}/{MANIFEST}: model_digest is not that of the files it lists.")
    known = {entry.path for entry in manifest.files} | {f"edge/{model}/{version}/{MANIFEST}"}
    for top in folder.parts(model, version).values():
        names = files_below(top) if isinstance(top, Path) else locations.files_below(top)
        present = {f"{folder.relative(top)}/{name}" for name in names}
        problems += [f"{path}: is not in the manifest." for path in sorted(present - known)]
    return problems


def _pointer_problems(folder: PushFolder, model: str) -> list[str]:
    path = folder.pointer(model)
    try:
        pointer = read_pointer(folder, model)
    except EdgelineError as error:
        return [f"{error.found} {error.why}"]
    if pointer is None:
        return [f"{folder.relative(path)}: missing, so nothing is in production."]
    whole = read_bytes(path) == render_pointer(pointer)
    return [] if whole else [f"{folder.relative(path)}: is not as it was written."]


def _stray_names(folder: PushFolder, model: str) -> list[str]:
    """What lies beside the releases and is none."""
    versions = {str(version) for version in folder.version_folders(model)}
    strays = [
        f"{folder.relative(top)}/{name}: is no part of a release."
        for top, known in ((folder.serving(model), set()), (folder.edge(model), {POINTER, HISTORY}))
        for name in names_in(top)
        if name not in versions | known
    ]
    return sorted(strays)


def _file_problems(path: Location, entry: FileEntry) -> list[str]:
    expected = f"Expected a file of {entry.size} bytes."
    if isinstance(path, Path) and (path.is_symlink() or (path.exists() and not path.is_file())):
        return [f"{entry.path}: found something else than a file. {expected}"]
    try:
        size, digest = measure_file(path)
    except FileNotFoundError:
        return [f"{entry.path}: found nothing. {expected}"]
    except OSError as error:
        return [f"{entry.path}: cannot be read ({error.strerror})."]
    if size != entry.size:
        return [f"{entry.path}: found {size} bytes. Expected {entry.size}."]
    if digest != entry.sha256:
        return [f"{entry.path}: found sha256 {digest}. Expected {entry.sha256}."]
    return []
