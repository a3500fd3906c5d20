"""Follows releases as a phone does, without TensorFlow: signed pointer, manifest, files, bundle.

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
import re
import shutil
import tempfile
import urllib.error
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from http.client import HTTPException, IncompleteRead, InvalidURL
from pathlib import Path
from typing import Literal

from edgeline.bundle import Bundle, load_bundle
from edgeline.edge.golden import find_golden_problems, read_vectors
from edgeline.errors import EdgelineError, UsageError
from edgeline.journal import parse_time
from edgeline.records.edge import GOLDEN_FOLDER
from edgeline.records.json_file import UNREADABLE, JsonFile
from edgeline.release.durable import only_writer
from edgeline.release.layout import LABELS, MANIFEST, MOST_DOCUMENT_BYTES, POINTER, PREPROCESSING
from edgeline.release.manifest import Manifest, parse_manifest, select_entries
from edgeline.release.pointer import Production
from edgeline.release.reader import (
    Refused,
    Seen,
    accept_manifest,
    accept_pointer,
    check_file,
    describe_refusal,
)
from edgeline.store.locations import locate, read_bytes
from edgeline.store.web import TooLarge, TooSlow, fetch_url

_OWN_FOLDER = re.compile(r"[0-9a-f]{16}|\.new-.*")  # of a bundle; others in `keep` are not this module's
# Seconds for one document, and for one file the time of its bytes at the slowest rate, bytes a second, too.
_TIMEOUT_S, _SLOWEST = 30, 10_000
_LOCK_WAIT_S = 60.0


_SEEN = JsonFile[Seen]("seen.json", Seen)


@contextmanager
def _refuse_full_disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise Refused("room") from error


class Phone:
    """Follows a store: checks what is in production, proves it on this device, and only then switches.

    Several processes may share `keep`: one at a time updates.

    Args:
        place: Where current.json is: https://..., or a folder or place in a bucket, <push>/edge/<model>.
        model: The name of the model.
        keep: Folder of the last good bundle, from which `bundle` is loaded when there is no network; each
            model needs its own.
        key: The public key that has to sign the pointer, 64 hexadecimal digits, or during a change of keys
            several, the oldest first. Without one, the first that signs is required from then on.
        client: The id by whose hash this device takes its side of a canary; by default a random one.
        expired: With "warn" a release goes on after its expiry, or that of the pointer to it, and `warning`
            says so; with "refuse" there is no `bundle` then.

    Attributes:
        client: This id.
        bundle: The bundle that answers; None until an update brought one.
        warning: A sentence if the release, or the pointer to it, has expired; else "". It is looked at when
            the phone starts, and with each update.

    Raises:
        UsageError: `keep` is the folder of another model, `client` not a text, or `key` not a public key.
        EdgelineError: What is remembered in `keep` cannot be read.
    """

    def __init__(
        self,
        place: str,
        model: str,
        keep: str | Path,
        key: str | Sequence[str] | None = None,
        client: str | None = None,
        expired: Literal["warn", "refuse"] = "warn",
    ) -> None:
        if not isinstance(client, str | None):
            raise UsageError(
                f"The client is {client!r}, which is not a text.",
                "A phone takes its side of a canary by the hash of a text.",
                f"Pass a text, such as client={str(client)!r}.",
            )
        keys = [key] if isinstance(key, str) else list(key or ())
        for each in keys:
            if not isinstance(each, str) or not re.fullmatch(r"[0-9a-f]{64}", each):
                raise UsageError(
                    f"The key {each!r} is not a public key.",
                    "Each pointer would be refused as signed with another one.",
                    "Pass the 64 digits, 0-9 and a-f, that `edgeline keys new` printed.",
                )

        self._place = place.rstrip("/")
        self._model = model
        self._keep = Path(keep)
        self._keys = keys
        self._refuses_expired = expired == "refuse"
        self.bundle: Bundle | None = None
        self.warning = ""
        self._seen = self._read_seen()
        self.client = client or (self._seen and self._seen.client) or uuid.uuid4().hex
        with suppress(EdgelineError, OSError):  # a damaged one is fetched again
            self._load_kept()
        self._look_at_expiry(datetime.now(timezone.utc))

    @_refuse_full_disk()
    def update(self, now: datetime | None = None) -> bool:
        """Asks the store; returns whether there is a new bundle, which was proven and is now `bundle`.

        Raises:
            Refused: The release of its side, or the pointer to it, is not accepted; see its `reason`.
            OSError: The store cannot be reached.
            EdgelineError: The bucket cannot be reached, what is remembered in `keep` cannot be read, or
                another process has been updating it for a minute.
            UsageError: Its place is not a URL, or another model has taken the folder `keep` meanwhile.
        """
        now = now or datetime.now(timezone.utc)
        self._read_seen()
        self._keep.mkdir(parents=True, exist_ok=True)
        try:
            with only_writer(self._keep / ".lock", _LOCK_WAIT_S):
                return self._update(now)
        finally:
            self._look_at_expiry(now)

    def _update(self, now: datetime) -> bool:
        last = self._read_seen()
        if last != self._seen:  # another process has switched
            self._seen, self.bundle = last, None

        raw = self._fetch(POINTER, MOST_DOCUMENT_BYTES, document=True)
        accepted = accept_pointer(raw, self._model, self._keys, last, self.client, now)
        pointer, release = accepted.pointer, accepted.release
        if last and last.release.manifest_sha256 == release.manifest_sha256:
            before = self.bundle
            with suppress(EdgelineError, OSError):
                self._load_kept()
            if self.bundle:
                self._write(Seen(accepted.key, pointer, last.epoch, self.client, release))
                return self.bundle is not before

        version = release.version
        raw = self._fetch(f"{version}/{MANIFEST}", MOST_DOCUMENT_BYTES, document=True)
        manifest = accept_manifest(raw, accepted, last, now)

        for path in self._keep.glob(".new-*"):  # of downloads that were killed, which would fill a device
            shutil.rmtree(path, ignore_errors=True)
        scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=self._keep))
        try:
            self._download(manifest, raw, scratch)
            bundle = self._prove(scratch)
            target = self._locate(release)
            shutil.rmtree(target, ignore_errors=True)  # left by a crash before the pointer was kept
            scratch.rename(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        self._write(Seen(accepted.key, pointer, manifest.rollback_epoch, self.client, release))
        self.bundle = bundle
        for path in self._keep.iterdir():
            if path.is_dir() and path != target and _OWN_FOLDER.fullmatch(path.name):
                shutil.rmtree(path, ignore_errors=True)
        return True

    def _locate(self, release: Production) -> Path:
        return self._keep / release.manifest_sha256[:16]

    def _load_kept(self) -> None:
        """Loads the bundle that is kept, unless it is in use. Raises EdgelineError or OSError for damage."""
        if self.bundle is None and self._seen:
            self.bundle = self._load(self._locate(self._seen.release))

    def _look_at_expiry(self, now: datetime) -> None:
        """Sets the warning if what is in use has expired; it is not used then where the app wants that."""
        self.warning = ""
        if self._seen is None or self.bundle is None:
            return
        pointer, manifest = self._seen.pointer, self.bundle.manifest
        if now >= parse_time(manifest.expires):
            facts = {"version": manifest.version, "expires": manifest.expires}
            self.warning = describe_refusal("expired", **facts)
        elif now >= parse_time(pointer.expires):
            self.warning = describe_refusal("stale", expires=pointer.expires)
        if self.warning and self._refuses_expired:
            self.bundle = None

    def _read_seen(self) -> Seen | None:
        try:
            last = _SEEN.find(self._keep)
        except UNREADABLE as error:
            raise EdgelineError(
                f"{self._keep / _SEEN.name} cannot be read: {error}.",
                "It says which key this device trusts, and what it has seen: without it, an old or a foreign"
                " release would be taken for a new one.",
                "Restore it from a backup. To begin anew, remove the folder, and pass the key of the store.",
            ) from error
        if last and last.pointer.model != self._model:
            raise UsageError(
                f"The folder {self._keep} belongs to the model {last.pointer.model}, not to {self._model}.",
                "What a phone remembers of one model would make it refuse releases of another.",
                f"Pass a folder of its own: keep={str(self._keep / self._model)!r}.",
            )
        return last

    def _download(self, manifest: Manifest, raw: bytes, folder: Path) -> None:
        """Downloads and checks labels, contract, golden vectors and the default file."""
        needed = (LABELS, PREPROCESSING, manifest.default.file)
        (folder / GOLDEN_FOLDER).mkdir()
        (folder / MANIFEST).write_bytes(raw)
        for entry in select_entries(manifest.files, f"edge/{self._model}/{manifest.version}"):
            name = entry.path
            if name in needed or name.startswith(f"{GOLDEN_FOLDER}/"):
                content = self._fetch(f"{manifest.version}/{name}", entry.size)
                (folder / name).write_bytes(check_file(content, name, entry))

    def _prove(self, folder: Path) -> Bundle:
        """Runs the golden vectors, if the bundle has any, on this device."""
        try:
            bundle = self._load(folder)
            vectors = read_vectors(folder)
            problems = find_golden_problems(vectors, bundle.contract, bundle.models) if vectors else []
        except Refused:
            raise
        except EdgelineError as error:
            raise Refused("model", file="the release", why=error.found) from error
        if problems:
            raise Refused("golden", problems=" ".join(problems))
        return bundle

    def _load(self, folder: Path) -> Bundle:
        manifest = parse_manifest((folder / MANIFEST).read_bytes(), str(folder / MANIFEST))
        listed = select_entries(manifest.files, f"edge/{manifest.model}/{manifest.version}")
        entries = {entry.path: entry for entry in listed}
        return load_bundle(
            manifest, lambda name: check_file((folder / name).read_bytes(), name, entries[name])
        )

    def _write(self, last: Seen) -> None:
        if last != self._seen:
            _SEEN.write(self._keep, last, sync=True)
            self._seen = last

    def _fetch(self, path: str, most: int, document: bool = False) -> bytes:
        """Reads a document, or a file, of the store, of at most `most` bytes.

        A document may take 30 s; a file has the time of its bytes at 10 kB/s besides.
        """
        seconds = _TIMEOUT_S if document else _TIMEOUT_S + most / _SLOWEST
        url = f"{self._place}/{path}"
        try:
            if not self._place.startswith(("https://", "http://")):
                return read_bytes(locate(self._place) / path, most)
            return fetch_url(url, most, seconds)
        except TooSlow as error:
            raise Refused("slow", file=path, seconds=round(seconds)) from error
        except (FileNotFoundError, urllib.error.HTTPError) as error:
            if getattr(error, "code", 404) != 404:
                raise
            raise Refused("missing", file=path) from error
        except IncompleteRead as error:
            raise Refused("broken", file=path) from error
        except (InvalidURL, ValueError) as error:
            raise UsageError(
                f"{url} cannot be requested: {error}.",
                "The store's address is not a URL.",
                "Write blanks and other special characters of the address in percent encoding, such as %20.",
            ) from error
        except HTTPException as error:
            raise OSError(f"{self._place} does not answer as a web server does: {error!r}") from error
        except OSError as error:
            if isinstance(error, TooLarge) or error.errno == errno.EFBIG:
                raise Refused("large", file=path, most=most) from error
            raise
