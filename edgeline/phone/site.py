"""The web page for phones, `clients/web`, with the releases of one model: served, or as a folder.

index.html, page.js, worker.js, ...     what `make phone` builds into page/
phone.json                              name of the model, the keys one of which has to sign its pointer
store/                                  <push>/edge/<model>/, as phones read it
"""

import json
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

from edgeline.errors import EdgelineError, UsageError
from edgeline.records.edge import GOLDEN_FOLDER
from edgeline.release import store
from edgeline.release.history import read_current
from edgeline.release.layout import POINTER, PushFolder
from edgeline.release.manifest import Manifest
from edgeline.store.locations import list_names, locate, read_bytes, write_atomically

_PAGE = Path(__file__).parent / "page"
_STORE, _CONFIG, _WORKER = "store/", "phone.json", "worker.js"
# Paths below store/: the pointer, and the files of a bundle.
_FILE = re.compile(rf"{POINTER}|[1-9]\d{{0,17}}/(golden/)?[A-Za-z0-9][\w.-]*", re.ASCII)
# Not every machine knows them; an iPhone installs a certificate only of its type.
_TYPES = {
    ".webmanifest": "application/manifest+json",
    ".wasm": "application/wasm",
    ".js": "text/javascript",
    ".crt": "application/x-x509-ca-cert",
}


class Site:
    """The page with the releases of a model.

    `keys` are the public keys, oldest first, one of which has to sign its pointer; by default the one that
    has signed it. `expired` is what phones do with a release that is over: warn, or refuse to answer.

    Raises:
        UsageError: The page was not built, or the model has no release in production.
        EdgelineError: The release or its pointer is damaged.
    """

    def __init__(
        self, root: str, model: str, keys: Sequence[str] = (), expired: Literal["warn", "refuse"] = "warn"
    ) -> None:
        if not (_PAGE / "index.html").is_file():
            raise UsageError(
                "The page for phones was not built.",
                "It is built from clients/web with Node; wheels have it, and clones where `make phone` ran.",
                "Run `make phone` in a clone of the project, with Node 20 or newer, or install its wheel.",
            )
        folder = PushFolder(locate(root))
        self.manifest: Manifest = store.get(root, model).manifest
        current = read_current(folder, model)
        signer = current.signed.read()[1] if current and current.signed and not keys else None
        self.keys = [*keys] or ([signer] if signer else [])
        self._expired = expired
        self._place = folder.edge(model)
        self._change = current and current.change

    def find(self, path: str) -> bytes | None:
        """Returns phone.json, or a file below store/; None if there is no such file.

        Raises OSError or EdgelineError if it cannot be read.
        """
        try:
            return self._read(path)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None

    def _read(self, path: str) -> bytes | None:
        if path == _CONFIG:
            config = {"model": self.manifest.model, "keys": self.keys, "store": _STORE.rstrip("/")}
            return json.dumps({**config, "expired": self._expired}).encode()
        if not path.startswith(_STORE) or not _FILE.fullmatch(name := path.removeprefix(_STORE)):
            return None
        return read_bytes(self._place / name)

    def write(self, out: Path) -> None:
        """Writes page, configuration, production and a candidate to a folder; the pointer last.

        Its files are not checked here: every phone does. A file that cannot be read raises OSError or
        EdgelineError, and the pointer stays as it was.
        """
        # A phone keeps the page that it finds with a new worker.
        shutil.copytree(_PAGE, out, dirs_exist_ok=True, ignore=shutil.ignore_patterns(_WORKER))
        shutil.copy(_PAGE / _WORKER, out)
        names = []
        versions = self._change.versions if self._change else ()
        for version in versions:
            for home in (f"{version}/", f"{version}/{GOLDEN_FOLDER}/"):
                listed = list_names(self._place / home)
                names += [f"{home}{name}" for name in listed if name != GOLDEN_FOLDER]
        for path in (_CONFIG, *(f"{_STORE}{name}" for name in (*names, POINTER))):
            if (content := self._read(path)) is not None:
                (out / path).parent.mkdir(parents=True, exist_ok=True)
                with write_atomically(out / path) as file:
                    file.write(content)

    def serve(self, port: int, authority: bytes = b"") -> ThreadingHTTPServer:
        """Returns a server of the page and of the releases as they are, at all addresses of this machine.

        The port 0 takes any free one; `authority` is the content of ca.crt. Raises UsageError if the port
        is taken.
        """
        site = self

        class Handler(SimpleHTTPRequestHandler):
            extensions_map = {**SimpleHTTPRequestHandler.extensions_map, **_TYPES}  # noqa: RUF012

            def __init__(self, *arguments: Any) -> None:
                super().__init__(*arguments, directory=str(_PAGE))

            def handle(self) -> None:
                with suppress(OSError):  # a phone that hung up, or does not trust the certificate
                    super().handle()

            def do_GET(self) -> None:
                path = self.path.partition("?")[0].lstrip("/")
                try:
                    content = (authority or None) if path == "ca.crt" else site.find(path)
                except (OSError, EdgelineError):  # a bucket that is away; to a phone, 404 is a lost file
                    self.send_error(503)
                    return
                if content is None:
                    super().do_GET()
                    return
                self.send_response(200)
                self.send_header("Content-Type", self.guess_type(path))
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def list_directory(self, *_: object) -> None:
                self.send_error(404)

            def end_headers(self) -> None:
                self.send_header("Cache-Control", "no-cache")
                super().end_headers()

            def log_message(self, *_: object) -> None:
                pass

        try:
            return ThreadingHTTPServer(("", port), Handler)
        except OSError as error:
            raise UsageError(
                f"The port {port} cannot be used: {error.strerror}.",
                "Another program has it, or this user may not take it.",
                "Pass another one with --port.",
            ) from error
