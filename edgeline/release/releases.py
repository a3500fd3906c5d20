"""The releases of a push folder and those in production, for readers: no lock, no writes, no TensorFlow."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from edgeline.errors import EdgelineError, UsageError
from edgeline.release.history import Change, Collected, History, read_history, read_pointer
from edgeline.release.layout import (
    MANIFEST,
    MOST_DOCUMENT_BYTES,
    PushFolder,
    Store,
    check_name,
    damaged,
    hash_bytes,
    make_missing_pointer_error,
    open_folder,
    read_document,
)
from edgeline.release.manifest import Manifest, identity_of, parse_manifest, select_entries
from edgeline.release.pointer import Production
from edgeline.store.locations import Location, read_bytes
from edgeline.store.store_errors import explain_errors


@dataclass(frozen=True)
class Release:
    """One pushed version of one model."""

    root: Location
    manifest: Manifest
    manifest_sha256: str

    @property
    def model(self) -> str:
        """The model's name."""
        return self.manifest.model

    @property
    def version(self) -> int:
        """The version, at least 1."""
        return self.manifest.version

    @property
    def named(self) -> Production:
        """The release as a pointer names it."""
        return Production(self.version, self.manifest_sha256)

    @property
    def identity(self) -> str:
        """The digest shared by models with the same weights and graph, see `manifest.identity_of`."""
        return identity_of(select_entries(self.manifest.files, f"serving/{self.model}/{self.version}"))

    @property
    def serving(self) -> Location:
        """The folder of the SavedModel."""
        return PushFolder(self.root).serving(self.model) / str(self.version)

    @property
    def edge(self) -> Location:
        """The folder with the TFLite files, labels.txt, preprocessing.json and manifest.json."""
        return PushFolder(self.root).edge(self.model) / str(self.version)

    @property
    def default_file(self) -> Location:
        """The TFLite file of the default variant."""
        return self.edge / self.manifest.default.file

    def read(self, name: str) -> bytes:
        """Reads a file of the bundle. Raises EdgelineError if it is missing, damaged, or of no release."""
        where = f"edge/{self.model}/{self.version}/{name}"
        expected = next((entry.sha256 for entry in self.manifest.files if entry.path == where), None)
        if expected is None:
            raise damaged(where, "no such file in the manifest", "a file of the bundle")
        try:
            with explain_errors(self.edge / name):
                content = read_bytes(self.edge / name)
        except OSError as error:
            raise damaged(where, f"no readable file ({error.strerror or error})", "the file") from error
        if (digest := hash_bytes(content)) != expected:
            raise damaged(where, f"sha256 {digest}", expected)
        return content


def models(root: Store) -> tuple[str, ...]:
    """Returns the models that were ever in production in `root`, a folder or the URL of a store, sorted."""
    return open_folder(root).models()


def current(root: Store, model: str) -> Release | None:
    """Returns the release of `model` in production, or None before the first push.

    Raises:
        EdgelineError: The pointer is missing beside a history, it or the manifest that it names is damaged,
            or the store cannot be read.
    """
    folder = open_folder(root)
    pointer = read_pointer(folder, check_name(model, "model name"))
    # The first push may have ended meanwhile: its pointer comes before its line in the history.
    if pointer is None and model in folder.models() and (pointer := read_pointer(folder, model)) is None:
        raise make_missing_pointer_error(folder, model)
    return read_release(folder, model, pointer.to_version, pointer.manifest_sha256) if pointer else None


def get(root: Store, model: str, version: int | None = None) -> Release:
    """Returns a release of `model`, by default the one in production.

    Args:
        root: The store.
        model: Its name there.
        version: One that was released and not collected, in production or not.

    Raises:
        UsageError: Nothing is in production, or there is no such version.
        EdgelineError: As `current` and `read_release` do.
    """
    folder = open_folder(root)
    if version is None:
        release = current(root, model)
    else:
        versions = list_released_versions(folder, model)
        if versions and version not in versions:
            raise make_missing_release_error(model, version, read_history(folder, model), versions)
        digest = read_history(folder, model).manifests.get(version)
        release = read_release(folder, model, version, digest) if versions else None
    if release is None:
        raise make_missing_model_error(folder, model)
    return release


def make_missing_model_error(folder: PushFolder, model: str) -> EdgelineError:
    """Returns the error for a model without a pointer; if it was never here, it lists the folder's models."""
    names = folder.models()
    if model in names:
        return make_missing_pointer_error(folder, model)
    models = ", ".join(names)
    return UsageError(
        f"{folder.root} has no model {model!r}.",
        f"It has: {models}."
        if models
        else "It has no models: nothing was pushed there yet, or the place is wrong.",
        "Pass one of these with --workload." if models else "Pass the place with --store, or push first.",
    )


def make_missing_release_error(
    model: str, version: int, history: History, others: Iterable[int], how: str = ""
) -> UsageError:
    """Returns the error for a release that never existed or was collected; it lists the other releases.

    Args:
        model: Its name in the store.
        version: The one that is missing.
        history: Tells when and by whom it was collected, if it was.
        others: The versions to choose from, in any order.
        how: Goes on after "Pass one of these", with a space before it: " with --to V".
    """
    versions = ", ".join(map(str, sorted(others)))
    choice = f"Existing releases: {versions}." if versions else "There are no other releases."
    do = f"Pass one of these{how}." if versions else "Run the pipeline for a new one."
    if version not in history.collected:
        return UsageError(f"{model} has no release {version}.", choice, do)
    change = history.collected[version][1]
    found = f"{model} {version} was collected on {change.when}, by {change.who}."
    return UsageError(found, f"`edgeline gc` removed its files to free their space. {choice}", do)


def find_rollout(root: Store, model: str) -> Change | None:
    """Returns the change that opened the open canary, or widened it; None if none is open."""
    return read_history(open_folder(root), check_name(model, "model name")).rollout


def find_collected(root: Store, model: str) -> Mapping[int, tuple[Collected, Change]]:
    """Returns each collected version, with the change that collected it."""
    return read_history(open_folder(root), check_name(model, "model name")).collected


def releases(root: Store, model: str) -> tuple[Release, ...]:
    """Returns all releases of `model` whose manifest is as the log says, oldest first.

    In a store without a key, those that the log does not name count too.
    """
    folder = open_folder(root)
    history = read_history(folder, check_name(model, "model name"))
    readable = []
    for version in sorted(list_released_versions(folder, model)):
        digest = history.manifests.get(version)
        if digest is None and history.is_signed:  # anybody may have put it there
            continue
        try:
            readable.append(read_release(folder, model, version, digest))
        except EdgelineError:  # one damaged old release must not hide the others; verify names it
            continue
    return tuple(readable)


def find_version(root: Store, model: str, identity: str) -> int | None:
    """Returns the newest version with this model (see `manifest.identity_of`), or None.

    A collected version counts only if it was rolled back: a model that was taken out of production does not
    come back by itself, while any other collected model can only be restored by another push. A version
    whose rollback epoch phones no longer accept does not count: only another push brings it back to them.

    Args:
        root: The store.
        model: Its name there.
        identity: That of the SavedModel that a run would push.
    """
    lowest = find_lowest_epoch(read_newest_readable(root, model))
    identities = {
        release.version: release.identity
        for release in releases(root, model)
        if release.manifest.rollback_epoch >= lowest
    }
    history = read_history(open_folder(root), model)
    for version, (entry, _) in history.collected.items():
        if version in history.rolled_back:
            identities[version] = entry.identity or ""
    return max((version for version, other in identities.items() if other == identity), default=None)


def find_version_of_run(root: Store, model: str, run: str) -> int | None:
    """Returns the newest version that a run pushed, or None. Raises as `current` does.

    Args:
        root: The store.
        model: Its name there.
        run: The run's id, which its manifests have.
    """
    release = current(root, model)
    if release and release.manifest.run == run:  # mostly, and it takes one read
        return release.version
    own = [release.version for release in releases(root, model) if release.manifest.run == run]
    return max(own, default=None)


def find_lowest_epoch(accepted: Iterable[Release]) -> int:
    """Returns the lowest rollback epoch accepted by phones that have seen these releases: their highest."""
    return max((release.manifest.rollback_epoch for release in accepted), default=0)


def read_newest_readable(root: Store, model: str) -> tuple[Release, ...]:
    """Returns the release in production, which has the highest epoch; if damaged, all undamaged ones."""
    try:
        release = current(root, model)
    except EdgelineError:
        return releases(root, model)
    return (release,) if release else ()


def list_released_versions(folder: PushFolder, model: str) -> set[int]:
    """Returns the versions with a folder, without those of unfinished pushes and collected ones.

    The order of the three reads matters: a push makes its scratch folder before its version folders, and
    removes it after current.json names the version.
    """
    versions = folder.version_folders(model)
    unfinished = {version for name, version in folder.unfinished_pushes() if name == model}
    history = read_history(folder, model)
    return versions - (unfinished - set(history.manifests)) - set(history.collected)


def read_release(folder: PushFolder, model: str, version: int, manifest_sha256: str | None = None) -> Release:
    """Reads one release, and checks its manifest against `manifest_sha256` if that is given.

    Args:
        folder: The store.
        model: Its name there.
        version: One with a folder, also of a push that never ended.
        manifest_sha256: As a pointer or the log names it; None where nobody vouches for it.

    Raises:
        NewerManifest: The manifest is newer than this code.
        EdgelineError: It is missing, damaged, has another digest, or is of another release.
    """
    path = folder.edge(model) / str(version) / MANIFEST
    where = folder.relative(path)
    if (raw := read_document(folder, path, MOST_DOCUMENT_BYTES)) is None:
        raise damaged(where, "no file", "the manifest of that release")
    digest = hash_bytes(raw)
    if manifest_sha256 not in (None, digest):
        raise damaged(where, f"sha256 {digest}", f"{manifest_sha256}, as when it went into production")
    manifest = parse_manifest(raw, where)
    if (manifest.model, manifest.version) != (model, version):
        raise damaged(where, f"{manifest.model} {manifest.version}", f"the manifest of {model} {version}")
    return Release(folder.root, manifest, digest)
