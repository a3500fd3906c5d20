"""Drives a real Firefox by Marionette, which is built into it.

https://firefox-source-docs.mozilla.org/testing/marionette/Protocol.html: messages of JSON over TCP, each with
its length in front. Playwright drives only a Firefox of its own, which Debian does not have.
"""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
_MS = 120_000  # a busy machine
_PREFERENCES = {
    "marionette.port": 0,  # any free one; the profile then has its number
    "intl.accept_languages": "en-US",
    "dom.webgpu.enabled": False,  # as on phones
    "datareporting.policy.dataSubmissionEnabled": False,
    "app.update.disabledForTesting": True,
    "browser.shell.checkDefaultBrowser": False,
}


class Firefox:
    """A Firefox with one tab."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_MS / 1000)
        self._stream = self._socket.makefile("rb")
        self._number = 0
        self._read()  # its greeting
        self.send("WebDriver:NewSession")
        self.send("WebDriver:SetTimeouts", script=_MS, pageLoad=_MS)

    def send(self, command: str, **parameters: Any) -> Any:
        """Sends a command and returns its result. Raises RuntimeError with the error of Firefox."""
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

    def open(self, url: str) -> None:
        """Loads a page."""
        self.send("WebDriver:Navigate", url=url)

    def evaluate(self, expression: str) -> Any:
        """Returns the value of an expression in the page; a promise is awaited."""
        ends = "then(arguments[0], error => arguments[0](String(error)))"
        script = f"Promise.resolve({expression}).{ends}"
        # Without a sandbox, what an expression changes is changed for the page too.
        return self.send("WebDriver:ExecuteAsyncScript", script=script, args=[], sandbox=None)["value"]

    def wait(self, condition: str) -> None:
        """Waits until an expression is true."""
        end = time.monotonic() + _MS / 1000
        while self.evaluate(condition) is not True:
            assert time.monotonic() < end, f"{condition}: {self.evaluate('document.body.innerText')}"
            time.sleep(0.05)


@contextmanager
def start(profile: Path) -> Iterator[Firefox]:
    """Starts Firefox without a window and with an empty profile, and ends it at the end."""
    profile.mkdir()
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in _PREFERENCES.items()]
    (profile / "user.js").write_text("".join(lines))
    command = [str(FIREFOX), "--headless", "--marionette", "--no-remote", "--profile", str(profile)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield Firefox(_find_port(profile / "MarionetteActivePort", process))
        finally:
            process.kill()


def _find_port(file: Path, process: subprocess.Popen[bytes]) -> int:
    end = time.monotonic() + _MS / 1000
    while not (file.is_file() and file.read_text()):
        assert process.poll() is None and time.monotonic() < end, "Firefox did not start"
        time.sleep(0.05)
    return int(file.read_text())
