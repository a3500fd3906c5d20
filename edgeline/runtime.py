"""Runs releases as a phone does, without TensorFlow: signed pointer, manifest, files, contract, interpreter.

    from edgeline.runtime import Phone, Refused

    phone = Phone("https://models.example.com/shelf", "shelf", keep="/var/lib/shelf", key="c80c2d02...")
    try:
        phone.update()                       # now and then
    except (Refused, OSError) as error:      # OSError: there is no network
        print(error)                         # the release before goes on
    phone.bundle.predict(photo).ranked       # {"ok": 0.98, ...}

`clients/` has the same in other languages, and `docs/phone.md` the rules.
"""

import errno
import json
import re
import shutil
import tempfile
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import cached_property
from http.client import HTTPException, IncompleteRead, InvalidURL
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgeline.edge.golden import find_golden_problems, read_vectors
from edgeline.edge.interpreter import EdgeModel, preprocess, silence_stderr
from edgeline.errors import EdgelineError, UsageError
from edgeline.journal import parse_time
from edgeline.labels import parse_labels
from edgeline.records.edge import GOLDEN_FOLDER, UNLIKE_FROM
from edgeline.records.json_file import JsonFile, convert, decode
from edgeline.records.rejection import RowRejected, check_text
from edgeline.release.layout import LABELS, MANIFEST, POINTER, PREPROCESSING, hash_bytes
from edgeline.release.manifest import FileEntry, Manifest, NewerManifest, parse_manifest, select_entries
from edgeline.release.pointer import Envelope, Pointer, Production
from edgeline.store.locations import add_path_to_errors, locate, read_bytes

_CLOCKS_APART = timedelta(days=1)
_OWN_FOLDER = re.compile(r"[0-9a-f]{16}|\.new-.*")  # of a bundle; others in `keep` are not this module's
_TIMEOUT_S = 30


@dataclass(frozen=True)
class Answer:
    """The answer to one example."""

    tensor: NDArray[Any]  # the input of the models, [1, ...]
    scores: Mapping[str, NDArray[np.float32]]  # by variant, [1, classes]; the first variant's count
    labels: Sequence[str]
    # How unlike a photo is to those of training, 0 to 1, by the first variant; above 0.5 for 5 % of eval
    # photos. None where the files do not say it.
    unlike: float | None = None

    @property
    def is_unlike(self) -> bool:
        """Returns whether the photo is unlike those of training, so that the answer means little."""
        return self.unlike is not None and self.unlike > UNLIKE_FROM

    @cached_property
    def ranked(self) -> dict[str, float]:
        """Returns the first variant's probability of each label, 0..1, the highest first."""
        first = next(iter(self.scores.values()))[0]
        return {self.labels[n]: round(float(first[n]), 6) for n in np.argsort(-first, kind="stable")}


@dataclass(frozen=True)
class Bundle:
    """The parts of a release that answer."""

    manifest: Manifest
    contract: Mapping[str, Any]
    labels: Sequence[str]
    models: Mapping[str, EdgeModel]  # by variant; the first answers

    def predict(self, content: Any) -> Answer:
        """Answers to a raw input, as `preprocess` takes it, and to no text that a run would reject.

        Raises EdgelineError if the input cannot be read.
        """
        if self.contract.get("kind") == "tokens" and isinstance(content, str | bytes):
            try:
                check_text(content if isinstance(content, str) else content.decode(errors="replace"))
            except RowRejected as error:
                raise EdgelineError(
                    error.detail, "The model was not trained on such texts.", "Leave it out."
                ) from None
        tensor = preprocess(content, self.contract)
        answers = {name: model.answer(tensor) for name, model in self.models.items()}
        _, unlike = next(iter(answers.values()))
        scores = {name: probabilities for name, (probabilities, _) in answers.items()}
        return Answer(tensor, scores, self.labels, None if unlike is None else round(float(unlike[0]), 6))


def load_bundle(
    manifest: Manifest, read_file: Callable[[str], bytes], variant: str | None = None, every: bool = False
) -> Bundle:
    """Loads the files of a bundle.

    Args:
        manifest: Its manifest.
        read_file: Reads a file of the bundle by its path, and checks it, as `Release.read` does.
        variant: The variant that answers; by default the one that phones run.
        every: Whether the other variants are loaded too.

    Raises UsageError if the release has no such variant, and EdgelineError if a file is damaged.
    """
    names = {variant.name: variant.file for variant in manifest.variants}
    first = variant or manifest.default_variant
    if first not in names:
        raise UsageError(
            f"Version {manifest.version} of {manifest.model} has no variant {first!r}.",
            f"Its variants are {', '.join(names)}.",
            f"Leave it out to use {manifest.default_variant}, which phones run.",
        )
    contract, models = json.loads(read_file(PREPROCESSING)), {}
    scratch = tempfile.TemporaryDirectory(prefix="edgeline-models-")
    with scratch as folder, add_path_to_errors(Path(folder)), silence_stderr():
        for name in dict.fromkeys((first, *(names if every else ()))):
            # The interpreter trusts and maps its file, so it gets a copy of the checked bytes.
            path = Path(folder, f"{name}.tflite")
            path.write_bytes(read_file(names[name]))
            models[name] = EdgeModel(path)
    return Bundle(manifest, contract, parse_labels(read_file(LABELS), LABELS, models[first].classes), models)


class Refused(EdgelineError):
    """A release that this device does not switch to; the one before goes on."""

    def __init__(self, reason: str, found: str) -> None:
        why = "The previous release, if there is one, stays in use."
        super().__init__(found, why, "Look at the store with `edgeline verify`; see docs/phone.md.")
        self.reason = reason


class _Seen(Struct, frozen=True):
    """Records what a device has seen of a store, which no later pointer may fall behind."""

    key: str | None
    pointer: Pointer
    epoch: int
    client: str
    release: Production  # that was proven


_SEEN = JsonFile[_Seen]("seen.json", _Seen)


def _check(content: bytes, name: str, entry: FileEntry) -> bytes:
    if len(content) != entry.size:
        raise Refused("truncated", f"{name} has {len(content):,} of {entry.size:,} bytes.")
    if hash_bytes(content) != entry.sha256:
        raise Refused("swapped", f"{name} is not the file that was released.")
    return content


@contextmanager
def _refuse_full_disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise Refused("room", f"This device has no room for the release: {error}.") from error


class Phone:
    """Follows a store: checks what is in production, proves it on this device, and only then switches.

    Args:
        place: Where current.json is: https://..., or a folder or place in a bucket, <push>/edge/<model>.
        model: The name of the model.
        keep: Folder of the last good bundle, from which `bundle` is loaded when there is no network; each
            model needs its own.
        key: The public key that has to sign the pointer, 64 hexadecimal digits. Without one, the first
            that signs is required from then on.
        client: The id by whose hash this device takes its side of a canary; by default a random one.

    Attributes:
        client: This id.
        bundle: The bundle that answers; None until an update brought one.

    Raises:
        UsageError: `keep` is the folder of another model, `client` not a text, or `key` not a public key.
    """

    def __init__(
        self, place: str, model: str, keep: str | Path, key: str | None = None, client: str | None = None
    ) -> None:
        if not isinstance(client, str | None):
            raise UsageError(
                f"The client is {client!r}, which is not a text.",
                "A phone takes its side of a canary by the hash of a text.",
                f"Pass a text, such as client={str(client)!r}.",
            )
        if key is not None and not re.fullmatch(r"[0-9a-f]{64}", key):
            raise UsageError(
                f"The key {key!r} is not a public key.",
                "Each pointer would be refused as signed with another one.",
                "Pass the 64 digits, 0-9 and a-f, that `edgeline keys new` printed.",
            )
        self._place, self._model, self._keep, self._key = place.rstrip("/"), model, Path(keep), key
        self._seen = self._read_seen()
        self.client = client or (self._seen and self._seen.client) or uuid.uuid4().hex
        self.bundle: Bundle | None = None
        if self._seen:
            with suppress(EdgelineError, OSError):  # a damaged one is fetched again
                self.bundle = self._load(self._keep / self._seen.release.manifest_sha256[:16])

    @_refuse_full_disk()
    def update(self, now: datetime | None = None) -> bool:
        """Asks the store; returns whether there is a new bundle, which was proven and is now `bundle`.

        Raises:
            Refused: The release of its side, or the pointer to it, is not accepted; see its `reason`.
            OSError: The store cannot be reached.
            EdgelineError: The bucket cannot be reached.
            UsageError: Its place is not a URL, or another model has taken the folder `keep` meanwhile.
        """
        self._read_seen()
        now, last = now or datetime.now(timezone.utc), self._seen
        pointer, key = self._read_pointer()
        release = pointer.choose(self.client)
        self._check_pointer(pointer, release, now)
        version, digest, epoch = release.version, release.manifest_sha256, last.epoch if last else 0
        if last and self.bundle and last.release.manifest_sha256 == digest:
            self._write(_Seen(key, pointer, epoch, self.client, release))
            return False
        raw = self._fetch(f"{version}/{MANIFEST}")
        if hash_bytes(raw) != digest:
            raise Refused("swapped", f"{version}/{MANIFEST} is not the file that was released.")
        try:
            manifest = parse_manifest(raw, MANIFEST)
        except NewerManifest as error:
            raise Refused("newer", error.found) from error
        if now >= parse_time(manifest.expires):
            raise Refused("expired", f"{self._model} {version} expired at {manifest.expires}.")
        if manifest.rollback_epoch < epoch:
            found = f"{self._model} {version} has rollback epoch {manifest.rollback_epoch}."
            raise Refused("epoch", f"{found} This device has seen {epoch}.")
        self._keep.mkdir(parents=True, exist_ok=True)
        for path in self._keep.glob(".new-*"):  # of downloads that were killed, which would fill a device
            shutil.rmtree(path, ignore_errors=True)
        scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=self._keep))
        try:
            self._download(manifest, raw, scratch)
            bundle = self._prove(scratch)
            target = self._keep / digest[:16]
            shutil.rmtree(target, ignore_errors=True)  # left by a crash before the pointer was kept
            scratch.rename(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        self._write(_Seen(key, pointer, manifest.rollback_epoch, self.client, release))
        self.bundle = bundle
        for path in self._keep.iterdir():
            if path.is_dir() and path != target and _OWN_FOLDER.fullmatch(path.name):
                shutil.rmtree(path, ignore_errors=True)
        return True

    def _read_seen(self) -> _Seen | None:
        last = _SEEN.find_readable(self._keep)
        if last and last.pointer.model != self._model:
            raise UsageError(
                f"The folder {self._keep} belongs to the model {last.pointer.model}, not to {self._model}.",
                "What a phone remembers of one model would make it refuse releases of another.",
                f"Pass a folder of its own: keep={str(self._keep / self._model)!r}.",
            )
        return last

    def _read_pointer(self) -> tuple[Pointer, str | None]:
        required = self._key or (self._seen.key if self._seen else None)
        try:
            document = decode(self._fetch(POINTER), Mapping[str, Any])
            envelope: Envelope = convert(document.get("signed"), Envelope)
            pointer, key = envelope.read()
        except ValueError as error:
            raise Refused("pointer", f"{POINTER} has no valid signed pointer: {error}.") from error
        if required and key != required:
            raise Refused("signature", f"{POINTER} is signed with {key or 'no key'}, not with {required}.")
        return pointer, key

    def _check_pointer(self, pointer: Pointer, release: Production, now: datetime) -> None:
        last, version = self._seen.pointer if self._seen else None, release.version
        if pointer.model != self._model:
            raise Refused("other", f"The store has the model {pointer.model}, not {self._model}.")
        if parse_time(pointer.issued) > now + _CLOCKS_APART:
            raise Refused("clock", f"The pointer was signed at {pointer.issued}; here it is {now:%F %T}.")
        if now >= parse_time(pointer.expires):
            raise Refused("stale", f"The pointer expired at {pointer.expires}; here it is {now:%F %T}.")
        if self._seen is None or last is None:
            return
        changed = (pointer.production, pointer.candidate) != (last.production, last.candidate)
        if pointer.counter < last.counter or (pointer.counter == last.counter and changed):
            found = f"An old pointer was replayed: its counter is {pointer.counter}, {last.counter} was seen."
            raise Refused("replayed", found)
        before = self._seen.release.version
        if version < before and pointer.rollbacks <= last.rollbacks:
            found = f"Version {version} is lower than {before}, and no rollback was signed."
            raise Refused("lower", found)

    def _download(self, manifest: Manifest, raw: bytes, folder: Path) -> None:
        """Downloads and checks labels, contract, golden vectors and the default file."""
        needed = (LABELS, PREPROCESSING, manifest.default.file)
        (folder / GOLDEN_FOLDER).mkdir()
        (folder / MANIFEST).write_bytes(raw)
        for entry in select_entries(manifest.files, f"edge/{self._model}/{manifest.version}"):
            name = entry.path
            if name in needed or name.startswith(f"{GOLDEN_FOLDER}/"):
                (folder / name).write_bytes(_check(self._fetch(f"{manifest.version}/{name}"), name, entry))

    def _prove(self, folder: Path) -> Bundle:
        """Runs the golden vectors, if the bundle has any, on this device."""
        try:
            bundle = self._load(folder)
            vectors = read_vectors(folder)
            problems = find_golden_problems(vectors, bundle.contract, bundle.models) if vectors else []
        except EdgelineError as error:
            raise Refused("model", error.found) from error
        if problems:
            raise Refused("golden", " ".join(problems))
        return bundle

    def _load(self, folder: Path) -> Bundle:
        manifest = parse_manifest((folder / MANIFEST).read_bytes(), str(folder / MANIFEST))
        listed = select_entries(manifest.files, f"edge/{manifest.model}/{manifest.version}")
        entries = {entry.path: entry for entry in listed}
        return load_bundle(manifest, lambda name: _check((folder / name).read_bytes(), name, entries[name]))

    def _write(self, last: _Seen) -> None:
        if last != self._seen:
            _SEEN.write(self._keep, last)
            self._seen = last

    def _fetch(self, path: str) -> bytes:
        try:
            if not self._place.startswith(("https://", "http://")):
                return read_bytes(locate(self._place) / path)
            with urllib.request.urlopen(f"{self._place}/{path}", timeout=_TIMEOUT_S) as response:
                content: bytes = response.read()
                return content
        except (FileNotFoundError, urllib.error.HTTPError) as error:
            if getattr(error, "code", 404) != 404:
                raise
            raise Refused("missing", f"{path} is missing.") from error
        except IncompleteRead as error:
            raise Refused("broken", f"The download of {path} broke off.") from error
        except (InvalidURL, ValueError) as error:
            raise UsageError(
                f"{self._place}/{path} cannot be requested: {error}.",
                "The store's address is not a URL.",
                "Write blanks and other special characters of the address in percent encoding, such as %20.",
            ) from error
        except HTTPException as error:
            raise OSError(f"{self._place} does not answer as a web server does: {error!r}") from error
