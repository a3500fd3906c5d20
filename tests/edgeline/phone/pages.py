"""The page in a browser, and a server between it and the store that misbehaves on purpose."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edgeline.phone import site as sites
from edgeline.phone.certificate import wrap

if not (Path(sites.__file__).parent / "page" / "index.html").is_file():
    pytest.skip("the page was not built: make phone", allow_module_level=True)

MS = 60_000  # a busy machine
SETTLED = "!/^(Downloading|$)/.test(document.querySelector('#status').textContent)"

# While the page looks, as it does at its start and by itself, a click on its button does nothing.
READY = "!document.querySelector('#look').disabled"


@dataclass
class Server:
    """A site on a port, with the faults of its files by path, and those of whole answers."""

    site: Any
    url: str
    faults: dict[str, Callable[[bytes], bytes | None]] = field(default_factory=dict)
    answers: dict[str, Callable[[Any], None]] = field(default_factory=dict)
    end: Callable[[], None] = lambda: None


@contextmanager
def serve(root: Path, kind: str, tls: Any = None, port: int = 0, **options: Any) -> Iterator[Server]:
    """Serves a model; `options` are those of the site."""
    site = sites.Site(str(root), kind, **options)
    http = site.serve(port, tls.authority if tls else b"")
    if tls:
        wrap(http, tls)
    server = Server(site, f"http{'s' if tls else ''}://localhost:{http.server_port}/")

    class Handler(http.RequestHandlerClass):  # type: ignore[name-defined, misc]
        def do_GET(self) -> None:
            answer = server.answers.get(self.path.partition("?")[0].lstrip("/").removeprefix("store/"))
            answer(self) if answer else super().do_GET()

    http.RequestHandlerClass = Handler

    def end() -> None:
        http.shutdown()
        http.server_close()

    find = site.find

    def find_faulty(path: str) -> bytes | None:
        content = find(path)
        fault = server.faults.get(path.removeprefix("store/"))
        return fault(content) if fault and content is not None else content

    site.find, server.end = find_faulty, end  # type: ignore[method-assign]
    threading.Thread(target=http.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        end()


def wait(page: Any, condition: str) -> None:
    """Waits until an expression is true; the policy of the page forbids the `eval` of Playwright."""
    end = time.monotonic() + MS / 1000
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"{condition}: {page.inner_text('body')}"
        time.sleep(0.05)


class Phone:
    """A page in a browser's profile of its own."""

    def __init__(self, browser: Any, url: str, quota: int = 0, **options: Any) -> None:
        options = {"viewport": {"width": 390, "height": 844}, "locale": "en-US", **options}
        self.context = browser.new_context(**options)
        self.errors: list[str] = []
        self.page = self.open(url, quota)

    def open(self, url: str, quota: int = 0) -> Any:
        page = self.context.new_page()
        if quota:
            limit = {"origin": url.rstrip("/"), "quotaSize": quota}
            self.context.new_cdp_session(page).send("Storage.overrideQuotaForOrigin", limit)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(url)
        wait(page, SETTLED)
        return page

    def reload(self) -> None:
        """Loads the page again."""
        self.page.reload()
        wait(self.page, SETTLED)

    def look(self, page: Any = None) -> str:
        """Asks for a new release, as the button does."""
        page = page or self.page
        wait(page, READY)
        page.evaluate("document.querySelector('#look').click()")
        wait(page, READY)
        return self.status(page)

    def status(self, page: Any = None) -> str:
        return str((page or self.page).inner_text("#status"))

    @property
    def is_fine(self) -> bool:
        return self.page.get_attribute("#status", "class") == "fine"

    def answer(self) -> tuple[str, dict[str, float]]:
        """Asks for the answer to the next golden vector; returns its label and scores."""
        self.page.click("#example")
        if self.page.is_visible("#go"):
            self.page.click("#go")
        return self.read_answer()

    def read_answer(self) -> tuple[str, dict[str, float]]:
        self.page.wait_for_selector("#answer:not([hidden])", timeout=MS)
        lines = [line.split("\n") for line in self.page.locator("#scores li").all_inner_texts()]
        return self.page.inner_text("#label"), {label: float(score) for label, score in lines}

    def read_details(self) -> Iterator[int]:
        """Returns the numbers of close input values and of all, of equal decisions and of all vectors."""
        details = self.page.text_content("#details")
        counts = re.search(r"(\d+) of (\d+) input values, (\d+) of (\d+) decisions", details)
        return map(int, counts.groups())

    def version(self) -> str:
        return str(self.page.inner_text("#version"))

    def close(self) -> None:
        self.context.close()
        assert self.errors == []
