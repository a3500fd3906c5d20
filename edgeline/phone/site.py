"""The web page for phones, `clients/web`, with the releases of one model: served, or as a folder.

index.html, page.js, worker.js, ...     what `make phone` builds into page/
phone.json                              name of the model, the key that it has to be signed with
store/                                  <push>/edge/<model>/, as phones read it
"""

import json
import re
import shutil
from functools import cached_property
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from edgeline.errors import EdgelineError, UsageError
from edgeline.release import store
from edgeline.release.history import find_envelope
from edgeline.release.layout import MANIFEST, POINTER, SIGNATURE, PushFolder
from edgeline.release.verify import nothing_of
from edgeline.store.locations import Location, locate, read_bytes

_PAGE = Path(__file__).parent / "page"
# Paths below store/: the pointer, and the files of a bundle.
_FILE = re.compile(rf"{POINTER}|[1-9]\d{{0,17}}/(golden/)?[A-Za-z0-9][\w.-]*", re.ASCII)
_TYPES = {".webmanifest": "application/manifest+json", ".wasm": "application/wasm", ".js": "text/javascript"}


class Site:
    """The page with the releases of a model.

    Raises:
        UsageError: The page was not built, or the model has no release in production.
    """

    def __init__(self, root: str, model: str, key: str | None = None) -> None:
        if not (_PAGE / "index.html").is_file():
            raise UsageError(
                "The page for phones was not built.",
                "It is made from clients/web by Node, which only wheels and clones with Node have done.",
                "Run `make phone` in a clone of the project, with Node 20 or newer, or install its wheel.",
            )
        self.folder, self.model = PushFolder(locate(root)), model
        release = store.current(root, model)
        if release is None:
            raise nothing_of(self.folder, model)
        self.release, self._key = release, key

    @property
    def place(self) -> Location:
        """Returns the place of the bundles."""
        return self.folder.edge(self.model)

    @cached_property
    def key(self) -> str | None:
        """Returns the public key that the page is given: that of the pointer, unless another is required."""
        envelope = find_envelope(self.folder, self.model)
        return self._key or (envelope.read()[1] if envelope else None)

    def config(self) -> bytes:
        """Returns the content of phone.json."""
        return json.dumps({"model": self.model, "key": self.key, "store": "store"}).encode()

    def write(self, out: Path) -> None:
        """Writes page, configuration and the release in production to a folder; the pointer last.

        Raises:
            EdgelineError: A file of the release is damaged.
        """
        shutil.copytree(_PAGE, out, dirs_exist_ok=True)
        (out / "phone.json").write_bytes(self.config())
        bundle = out / "store" / str(self.release.version)
        home = f"edge/{self.model}/{self.release.version}/"
        files = {
            name: self.release.read(name)
            for entry in self.release.manifest.files
            if (name := entry.path.removeprefix(home)) != entry.path
        }
        signature = (SIGNATURE,) if self.release.manifest.signed_by else ()
        files |= {name: read_bytes(self.release.edge / name) for name in (MANIFEST, *signature)}
        for name, content in files.items():
            (bundle / name).parent.mkdir(parents=True, exist_ok=True)
            (bundle / name).write_bytes(content)
        (out / "store" / POINTER).write_bytes(read_bytes(self.place / POINTER))

    def serve(self, port: int, extra: dict[str, bytes] | None = None) -> ThreadingHTTPServer:
        """Returns a server of the page and of the releases as they are; 0 takes any free port.

        Args:
            port: The port, at all addresses of this machine.
            extra: Further files by path, such as `ca.crt`.

        Raises:
            UsageError: The port is taken.
        """
        site, files = self, extra or {}

        class Handler(SimpleHTTPRequestHandler):
            extensions_map = {**SimpleHTTPRequestHandler.extensions_map, **_TYPES}  # noqa: RUF012

            def __init__(self, *arguments: Any) -> None:
                super().__init__(*arguments, directory=str(_PAGE))

            def do_GET(self) -> None:
                path = self.path.partition("?")[0].lstrip("/")
                if path.startswith("store/") or path == "phone.json" or path in files:
                    self._send(files.get(path) if path in files else site.find(path))
                else:
                    super().do_GET()

            def _send(self, content: bytes | None) -> None:
                if content is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Type", self.guess_type(self.path))
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def end_headers(self) -> None:
                self.send_header("Cache-Control", "no-cache")
                super().end_headers()

            def log_message(self, *_: object) -> None:
                pass

        try:
            return ThreadingHTTPServer(("", port), Handler)
        except OSError as error:
            raise UsageError(
                f"Port {port} cannot be used: {error.strerror}.",
                "Another program has it, or this user may not take it.",
                "Pass another one with --port.",
            ) from error

    def find(self, path: str) -> bytes | None:
        """Returns phone.json, or a file below store/; None if there is no such file."""
        if path == "phone.json":
            return self.config()
        name = path.removeprefix("store/")
        if not _FILE.fullmatch(name):
            return None
        try:
            return read_bytes(self.place / name)
        except (OSError, EdgelineError):
            return None
