"""Keeps an example of each error message in `tests/messages.txt`, for people to read from top to bottom.

A message of that file belongs to a place, see `tests.places`, and to a test, which raises it there and fails
if it raises another. `tests/test_messages.py` fails for a place without a message. After

    .venv/bin/python -m pytest tests/test_labels.py --messages=write

or `make test ARGS=--messages=write`, the file has the messages of the tests that passed, also of places that
had none, no places that are gone, and else what it had. To give a message to another test, write that test's
id below it, and run that.
"""

import difflib
import re
import socket
import sys
import tempfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import wraps
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from edgeline.errors import EdgelineError
from tests.docstrings import ROOT
from tests.places import find_all_places, find_place_at

GOLDEN = ROOT / "tests" / "messages.txt"
_HEAD = "An example of each error message, by its place in the code. To update them, see tests/messages.py."
# Values that differ from run to run, or from machine to machine.
_DAYS = "|".join(str(date.today() + timedelta(days)) for days in (-1, 0, 1))
_TMP = re.escape(tempfile.gettempdir())
_HOST = re.escape(socket.gethostname())
_VALUES = [
    (re.escape(sys.prefix), "<environment>"),
    (re.escape(str(ROOT)), "<repository>"),
    (rf"({_TMP}(/pytest-of-\w+/pytest-\d+(/popen-gw\d+)?)?|/dev/shm)/[\w-]+", "<tmp>"),
    (r"(?<=/)tmp\w{8}\b", "<tmp>"),
    (rf"[\w.-]+@{_HOST}\b", "<user>@<host>"),
    (rf"\bon {_HOST}\b", "on <host>"),
    (r"\b(127\.0\.0\.1|localhost):\d+", r"\1:<port>"),
    (r"\b([Pp]rocess|pid) \d+", r"\1 <pid>"),
    (r"\bport \d+", "port <port>"),
    # How long a converted file is depends on the names of functions, which TensorFlow counts by process.
    (r"(?<=tflite \()[\d,]+(?= bytes\))", "<number>"),
    (r"(?<=tflite has )[\d,]+ of [\d,]+(?= bytes)", "<number> of <number>"),
    (r"(?<=tflite has more than the )\d+(?= bytes)", "<number>"),
    (r"(at least|offset|size is) \d{4}\b", r"\1 <number>"),
    # The one time is an example in a message.
    (r"(?!2026-01-05T06:00:00Z)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", "<time>"),
    (r"(?<=\d )\d\d:\d\d:\d\d\b", "<clock>"),
    (_DAYS, "<day>"),
    (rf"({_DAYS.replace('-', '')})-\d{{6}}", "<run>"),
    (r'"c_[0-9a-f]+_[0-9a-f]+"', '"c_<cursor>"'),  # psycopg names cursors in turn
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{12,}", "<hex>"),
    # The name of a schedule ends in a digest of the workspace's path.
    (r"\b(edgeline-\w+)-[0-9a-f]{8}\b", r"\1-<hex>"),
    # Several workers of a pod's meeting wait in vain; it is not fixed which of them ends first.
    (r"\bWorker \d of", "Worker <number> of"),
    (r"_ssl\.c:\d+", "_ssl.c:<line>"),
    # Keras and TensorFlow number layers, models and graphs by process.
    (r"(?<!-)\b(conv2d|functional|lambda|__inference__on_replicas)(_\d+)*\b", r"\1_<number>"),
    (r"(?<=\{\{node )\w*$", "<name>"),  # cut off at a length
    (r"(?<=for epochs, but one epoch takes )\d+ s", "<number> s"),
    (r"\bhas been writing to (\S+) for [1-9] s", r"has been writing to \1 for <number> s"),
    # A process that ends at once closes its pipe before or after the first bytes.
    (r"\[Errno \d+\] (Connection reset by peer|Broken pipe)", "Broken pipe"),
    # Versions of SQLite name a damaged page otherwise.
    (r"\b(Tree \d+ page|Page) \d+(?=: btree)", "<page>"),
    (r"sqlalche\.me/e/\d+", "sqlalche.me/e/<version>"),
]


@dataclass(frozen=True)
class Message:
    """The class, exit code and text of an error, and the id of the test that raises it."""

    text: str
    test: str


class Messages:
    """Notes the first message of each place in a test, and compares the notes or collects them."""

    def __init__(self, mode: str) -> None:
        self.mode, self.golden = mode, read_golden()
        self.owned: dict[str, dict[str, str]] = {}  # by test and place
        for place, message in self.golden.items():
            self.owned.setdefault(message.test, {})[place] = message.text
        self.notes: dict[str, list[tuple[Any, ...]]] | None = None  # of the test that runs, by place
        self.passed = set[str]()  # tests, and the functions of those with parameters
        self.collected: dict[str, dict[str, tuple[bool, bool, str]]] = {}  # by place and test

    def note(self, error: EdgelineError, frame: FrameType | None) -> None:
        if self.notes is None:
            return
        frame = _find_caller(frame, error)
        places = list[str]()
        while frame and (place := find_place_at(frame.f_code.co_filename, frame.f_lineno)):
            places.insert(0, f"{place.path} {place.name}")
            frame = _find_caller(frame.f_back, error) if place.returned else None
        if places:
            message = (type(error).__name__, error.exit_code, error.found, error.why, error.do)
            notes = self.notes.setdefault(" > ".join(places), [message])
            if message != notes[0]:
                notes[1:] = [message]

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        tests = {item.nodeid for item in items}
        first = {_function_of(item.nodeid): item.nodeid for item in reversed(items)}
        if not config.getoption("lf", False) and not any("[" in arg for arg in config.args):
            for test in self.owned.keys() - tests:
                # A test whose parameters have other names now: its function fails until that is written.
                if heir := first.get(_function_of(test)):
                    self.owned.setdefault(heir, {}).update(self.owned.pop(test))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        owned = self.owned.get(item.nodeid, {})
        random = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
        slow = item.get_closest_marker("e2e") is not None
        elsewhere = item.get_closest_marker("cluster") or item.get_closest_marker("scale")
        if owned or (self.mode != "check" and not random and not elsewhere):
            self.notes = {}
        try:
            result = yield
        finally:
            notes, self.notes = self.notes or {}, None
        found = {place: (slow, len(raised) > 1, _render(*raised[0])) for place, raised in notes.items()}
        if self.mode != "check":
            item.user_properties.append(("messages", found))
            return result
        wrong = [
            "\n".join(difflib.ndiff([place, *text.splitlines()], [place, *found[place][-1].splitlines()]))
            if place in found
            else f"{place} makes no error in this test any more."
            for place, text in owned.items()
            if place not in found or text != found[place][-1]
        ]
        if wrong:
            command = f".venv/bin/python -m pytest {item.nodeid.split('::')[0]} --messages=write"
            wrong.append(f"If that is meant, run `{command}`, and read the difference of {GOLDEN.name}.")
            pytest.fail("\n\n".join(wrong), pytrace=False)
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self.passed |= {report.nodeid, _function_of(report.nodeid)}
            for place, found in dict(report.user_properties).get("messages", {}).items():
                self.collected.setdefault(place, {})[report.nodeid] = found

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.mode != "check" and not hasattr(session.config, "workerinput"):
            chosen = ((place, self._choose(place)) for place in {*self.golden, *self.collected})
            golden = {place: message for place, message in chosen if message}
            GOLDEN.write_text(format_golden(golden), "utf-8")

    def _choose(self, place: str) -> Message | None:
        """Keeps the test of a place while it raises there; else takes a quick one, and one of its mirror."""
        raised, old = self.collected.get(place, {}), self.golden.get(place)
        if old and old.test in raised:
            return Message(raised[old.test][-1], old.test)
        gone = not old or old.test in self.passed or not has_test(old.test)
        if raised and (gone or _function_of(old.test) in self.passed):
            path = Path(place.split()[0])
            mirror = f"tests/{path.with_name(f'test_{path.name}').as_posix()}"
            test = min(raised, key=lambda test: (*raised[test][:2], not test.startswith(mirror), test))
            return Message(raised[test][-1], test)
        return None if gone else old


def _find_caller(frame: FrameType | None, error: EdgelineError) -> FrameType | None:
    """Leaves out the methods of the error, and what calls a changed function, see `tests.mutate`."""
    while frame and (
        frame.f_code.co_name in ("from_problem", "trampoline", "_trampoline_wrapper")
        or frame.f_locals.get("self") is error
    ):
        frame = frame.f_back
    return frame


def _function_of(test: str) -> str:
    return test.split("[")[0]


def _render(kind: str, exit_code: int, *parts: str) -> str:
    lines = [f"{kind}, exit code {exit_code}"]
    for name, part in zip(("found", "why", "do"), parts, strict=True):
        for pattern, name_of_value in _VALUES:
            part = re.sub(pattern, name_of_value, part)
        shown = "".join(c if c.isprintable() else "\n  | " if c == "\n" else ascii(c)[1:-1] for c in part)
        lines += [f"  {name}: {shown}"] if part else []
    return "\n".join(lines)


def read_golden() -> dict[str, Message]:
    """Returns the message of each place."""
    messages, path = dict[str, Message](), ""
    for block in GOLDEN.read_text("utf-8").split("\n\n")[1:] if GOLDEN.exists() else ():
        head, _, rest = block.rstrip("\n").partition(": ")
        if not rest:
            path = head
            continue
        place = " > ".join(part if ".py " in part else f"{path} {part}" for part in head.split(" > "))
        text, _, test = rest.partition("\n  test: ")
        messages[place] = Message(text, test)
    return messages


def format_golden(messages: dict[str, Message]) -> str:
    """Returns the text of the file, in the order of the code, without messages of places that are gone."""
    order = {f"{place.path} {place.name}": number for number, place in enumerate(find_all_places())}
    chains = (place.split(" > ") for place in messages)
    chains = sorted((c for c in chains if order.keys() >= set(c)), key=lambda c: [order[part] for part in c])
    blocks = [_HEAD]
    for path, group in groupby(chains, lambda chain: chain[0].split()[0]):
        blocks.append(path)
        for chain in group:
            message = messages[" > ".join(chain)]
            name = " > ".join(part.removeprefix(f"{path} ") for part in chain)
            blocks.append(f"{name}: {message.text}\n  test: {message.test}")
    return "\n\n".join(blocks) + "\n"


def find_missing() -> Iterator[str]:
    """Yields the places without a message."""
    known = {part for place in read_golden() for part in place.split(" > ")}
    for place in find_all_places():
        if f"{place.path} {place.name}" not in known:
            yield f"{place.path} {place.name}"


def has_test(test: str) -> bool:
    """Checks that the file of a test has a function of its name."""
    path, _, name = _function_of(test).rpartition("::")
    path = ROOT / path.split("::")[0]
    return path.exists() and f"def {name}(" in path.read_text("utf-8")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--messages", choices=("check", "write"), default="check", help="see tests/messages.py")


def pytest_configure(config: pytest.Config) -> None:
    plugin, make = Messages(config.getoption("messages")), EdgelineError.__init__

    @wraps(make)
    def noted(self: EdgelineError, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        plugin.note(self, sys._getframe(1))

    EdgelineError.__init__ = noted
    config.add_cleanup(lambda: setattr(EdgelineError, "__init__", make))
    config.pluginmanager.register(plugin)
