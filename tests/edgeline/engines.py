"""Drives a real Firefox and a real WebKit, the engine of Safari.

Playwright drives only Firefoxes and WebKits of its own, which Debian does not have. Firefox has Marionette:
messages of JSON over TCP, each with its length in front
(https://firefox-source-docs.mozilla.org/testing/marionette/Protocol.html). WebKit has a program that speaks
WebDriver (https://www.w3.org/TR/webdriver2/), and needs a display.
"""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

_MS = 120_000  # a busy machine
_FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
_PREFERENCES = {
    "marionette.port": 0,  # any free one; the profile then has its number
    "intl.accept_languages": "en-US",
    "dom.webgpu.enabled": False,  # as on phones
    "datareporting.policy.dataSubmissionEnabled": False,
    "app.update.disabledForTesting": True,
    "browser.shell.checkDefaultBrowser": False,
}
_WEBKIT, _DISPLAY = shutil.which("WebKitWebDriver"), shutil.which("Xvfb")
_MINI_BROWSERS = sorted(Path("/usr/lib").glob("*/webkit2gtk-4.*/MiniBrowser"))


class Engine:
    """A browser with one tab; `load` opens an address, `run` runs a script, which its first argument ends."""

    def __init__(self, load: Callable[[str], None], run: Callable[[str], Any]) -> None:
        self.open, self._run = load, run

    def evaluate(self, expression: str) -> Any:
        """Returns the value of an expression in the page; a promise is awaited."""
        ends = "then(arguments[0], error => arguments[0](String(error)))"
        return self._run(f"Promise.resolve({expression}).{ends}")

    def wait(self, condition: str) -> None:
        """Waits until an expression is true."""
        end = time.monotonic() + _MS / 1000
        while self.evaluate(condition) is not True:
            assert time.monotonic() < end, f"{condition}: {self.evaluate('document.body.innerText')}"
            time.sleep(0.05)


@contextmanager
def start_firefox(folder: Path) -> Iterator[Engine]:
    """Starts Firefox without a window and with an empty profile; skips where there is none."""
    if _FIREFOX is None:
        pytest.skip("no Firefox here: apt-get install firefox-esr")
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in _PREFERENCES.items()]
    (folder / "user.js").write_text("".join(lines))
    with _run(_FIREFOX, "--headless", "--marionette", "--no-remote", "--profile", str(folder)):
        send = _Marionette(_wait_for(folder / "MarionetteActivePort")).send
        send("WebDriver:NewSession", {})
        send("WebDriver:SetTimeouts", {"script": _MS, "pageLoad": _MS})
        yield Engine(
            lambda url: send("WebDriver:Navigate", {"url": url}),
            # Without a sandbox, what a script changes is changed for the page too.
            lambda script: send(
                "WebDriver:ExecuteAsyncScript", {"script": script, "args": [], "sandbox": None}
            )["value"],
        )


@contextmanager
def start_webkit(folder: Path) -> Iterator[Engine]:
    """Starts the browser that comes with WebKitGTK, on a display of its own; skips where there is none."""
    if _WEBKIT is None or _DISPLAY is None or not _MINI_BROWSERS:
        pytest.skip("no WebKit with its driver, or no Xvfb, here: apt-get install webkit2gtk-driver xvfb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    base = f"http://127.0.0.1:{port}/session"

    def send(path: str, **body: Any) -> Any:
        request = urllib.request.Request(base + path, json.dumps(body).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=_MS / 1000) as response:
            return json.load(response)["value"]

    with ExitStack() as processes:
        number = folder / "display"
        with number.open("w") as file:
            processes.enter_context(
                _run(_DISPLAY, "-displayfd", str(file.fileno()), pass_fds=(file.fileno(),))
            )
        # Its own sandbox does not start for root.
        settings = {"DISPLAY": f":{_wait_for(number)}", "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1"}
        environment = {**os.environ, **settings, "LANGUAGE": "en", "LANG": "C.UTF-8"}
        processes.enter_context(_run(_WEBKIT, f"--port={port}", env=environment))
        options = {"binary": str(_MINI_BROWSERS[-1]), "args": ["--automation"]}
        _connect(port).close()
        session = send("", capabilities={"alwaysMatch": {"webkitgtk:browserOptions": options}})["sessionId"]
        send(f"/{session}/timeouts", script=_MS, pageLoad=_MS)
        yield Engine(
            lambda url: send(f"/{session}/url", url=url),
            lambda script: send(f"/{session}/execute/async", script=script, args=[]),
        )


class _Marionette:
    def __init__(self, port: int) -> None:
        self._socket = _connect(port)
        self._stream = self._socket.makefile("rb")
        self._number = 0
        self._read()  # its greeting

    def send(self, command: str, parameters: dict[str, Any]) -> Any:
        self._number += 1
        message = json.dumps([0, self._number, command, parameters]).encode()
        self._socket.sendall(b"%d:%s" % (len(message), message))
        _, _, error, result = self._read()
        if error:
            raise RuntimeError(f"{command}: {error['message']}")
        return result

    def _read(self) -> Any:
        digits = b""
        while (digit := self._stream.read(1)) != b":":
            if not digit:
                raise RuntimeError("Firefox ended.")
            digits += digit
        return json.loads(self._stream.read(int(digits)))


@contextmanager
def _run(*command: str, **options: Any) -> Iterator[None]:
    """Runs a program in the background, and ends it with all that it started."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, start_new_session=True, **quiet, **options) as process:
        try:
            yield
        finally:
            os.killpg(process.pid, 9)


def _wait_for(file: Path) -> int:
    """Returns the number that a program writes into a file."""
    end = time.monotonic() + _MS / 1000
    while not (file.is_file() and file.read_text().strip()):
        assert time.monotonic() < end, f"{file} has no number"
        time.sleep(0.05)
    return int(file.read_text())


def _connect(port: int) -> socket.socket:
    end = time.monotonic() + _MS / 1000
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=_MS / 1000)
        except OSError:
            assert time.monotonic() < end, f"nothing listens at {port}"
            time.sleep(0.05)
