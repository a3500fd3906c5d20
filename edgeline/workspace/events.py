"""The events that the worker sends to its parent: one JSON object a line, appended, never rewritten.

{"event": "plan", "steps": ["ExampleGen", ...]}
{"event": "step", "step": "Trainer", "state": "running" | "done" | "cached" | "failed" | "held" | "refused",
    "seconds": 12.3}
{"event": "epoch", "epoch": 3, "epochs": 16, "loss": ..., "accuracy": ..., "val_accuracy": ..., "eta_s": ...}
{"event": "trial", "text": "..."}
{"event": "tensorboard", "folder": "..."}  where the Trainer writes for TensorBoard while it goes on
{"event": "count", "what": "photos", "done": 1200, "total": 2400}
{"event": "warning", "text": "..."}
{"event": "error", "exit_code": 1, "found": "...", "why": "...", "do": "..."}
"""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edgeline.records.json_file import open_regular_file

log = logging.getLogger(__name__)

Event = dict[str, Any]


def read_from(path: Path, offset: int = 0) -> bytes:
    """Returns the content of a file from byte `offset` on; empty, with a warning, if it cannot be read."""
    try:
        with open(path, "rb", opener=open_regular_file) as file:
            file.seek(offset)
            return file.read()
    except FileNotFoundError:
        pass
    except OSError as error:
        log.warning("%s cannot be read: %s", path, error)
    return b""


class EventWriter:
    """A writer that appends events to a file; safe to call from several threads."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Appends one event."""
        # Each line is one write, so that a reader never sees half a line followed by another.
        line = json.dumps(event, default=str) + "\n"
        with self._lock:
            self._file.write(line)


class EventReader:
    """A reader of the events that were appended since its last iteration."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def __iter__(self) -> Iterator[Event]:
        """Yields the new events; an incomplete last line is left for the next iteration."""
        content = read_from(self._path, self._offset)
        whole = content[: content.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                continue  # A full disk or a crash tore this line; the events before it count.
            if isinstance(event, dict):
                yield event


class LogHandler(logging.Handler):
    """A handler that turns log records into events: progress unchanged, warnings and errors as text."""

    def __init__(self, sink: Callable[[Event], None]) -> None:
        super().__init__()
        self._sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        """Sends a record to the sink if it is progress, a warning or an error."""
        progress = getattr(record, "progress", None)
        if progress is not None:
            self._sink(dict(progress))
        elif record.levelno >= logging.WARNING:
            self._sink({"event": "warning", "text": record.getMessage()})

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(self)


# The loggers of the project's code, named by topic or by module.
LOGGERS = ("edgeline", "data", "trainer_module", "components", "pipeline")


def listen(sink: Callable[[Event], None]) -> LogHandler:
    """Sends the records of `LOGGERS` to `sink`; the returned handler, used in a `with`, ends that."""
    handler = LogHandler(sink)
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.INFO)
        logging.getLogger(name).addHandler(handler)
    return handler
