"""Whether what lies in a push folder is what was pushed: recomputed and compared, file by file."""

from collections.abc import Iterable
from pathlib import Path

import locations
from errors import EdgelineError
from locations import Location, locate
from release.documents import measure_file
from release.history import read_history, read_pointer
from release.layout import MANIFEST, PushFolder, checked_name
from release.manifest import FileEntry, digest_of, files_below, served_entries
from release.pins import read_pins
from release.releases import read_release


def verify(root: str | Location, model: str, version: int | None = None) -> list[str]:
    """Everything wrong with a release, one sentence each; empty if nothing is.

    Args:
        root: The push folder, or its URL: each object is fetched then.
        model: The model's name.
        version: The release to check, its files alone. Defaults to the one in production, and then the
            pointer, the pin for TF Serving and the audit log are checked too.
    """
    folder = PushFolder(locate(root))
    checked_name(model, "model name")
    if version is not None:
        return release_problems(folder, model, version)
    problems = [
        f"{folder.relative(folder.history(model))}: line {line} cannot be read."
        for line in read_history(folder, model).damaged_lines
    ]
    try:
        pointer = read_pointer(folder, model)
    except EdgelineError as error:
        return [*problems, f"{error.found} {error.why}"]
    if pointer is None:
        missing = folder.relative(folder.pointer(model))
        return [*problems, f"{missing}: missing, so nothing is in production."]
    pin = read_pins(folder).get(model)
    if pin != pointer.to_version:
        found = "no pin" if pin is None else f"version {pin}"
        problems.append(
            f"{folder.relative(folder.pins)}: found {found}. Expected version {pointer.to_version}, as"
            " current.json has it; the next push, promote or rollback mends this."
        )
    return problems + release_problems(folder, model, pointer.to_version)


def release_problems(folder: PushFolder, model: str, version: int) -> list[str]:
    """Everything wrong with the files of one release, one sentence each."""
    digests = {c.to_version: c.manifest_sha256 for c in read_history(folder, model).changes}
    try:
        manifest = read_release(folder, model, version, digests.get(version)).manifest
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
        present = {f"{folder.relative(top)}/{name}" for name in _names_below(top)}
        problems += [f"{path}: is not in the manifest." for path in sorted(present - known)]
    return problems


def _names_below(top: Location) -> Iterable[str]:
    return files_below(top) if isinstance(top, Path) else locations.files_below(top)


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
