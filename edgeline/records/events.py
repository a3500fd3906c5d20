"""The events of a run that goes on, which its worker sends to its parent: one JSON object a line, appended.

They are the record of a run until it ends, or is found killed; later only the page of a training reads them.
"""

import errno
import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from edgeline.errors import Problem
from edgeline.records.json_file import decode, encode
from edgeline.records.run import Artifact, Step
from edgeline.store.locations import open_regular_file

log = logging.getLogger(__name__)


class Event(Struct, frozen=True, tag_field="event"):
    """Something that happened in a run."""


class Planned(Event, frozen=True, tag="plan"):
    """The steps that the run has, in their order."""

    steps: tuple[str, ...]


class StepChanged(Event, frozen=True, tag="step"):
    """A step began or ended; one that ended well comes with its outputs."""

    step: Step
    artifacts: tuple[Artifact, ...] = ()


class EpochEnded(Event, frozen=True, tag="epoch"):
    """An epoch of the training ended, counted from 1; a value that was NaN is None."""

    epoch: int
    epochs: int  # of the whole training, at most
    loss: float | None = None
    accuracy: float | None = None
    val_loss: float | None = None
    val_accuracy: float | None = None
    eta_s: float = 0.0  # seconds until the training ends

    def __str__(self) -> str:
        figures = (
            ("loss", self.loss, 4),
            ("accuracy", self.accuracy, 3),
            ("eval loss", self.val_loss, 4),
            ("eval accuracy", self.val_accuracy, 3),
        )
        shown = ", ".join(
            f"{name} {value:.{digits}f}" for name, value, digits in figures if value is not None
        )
        return f"Epoch {self.epoch} of {self.epochs}: {shown}, {self.eta_s:.0f} s to go."


class Counted(Event, frozen=True, tag="count"):
    """The number of examples that a step or an import has done, and of how many, if that is known."""

    what: str  # the noun, in plural
    done: int
    total: int | None = None

    def __str__(self) -> str:
        of_total = f" of {self.total:,}" if self.total else ""
        is_one = (self.done if self.total is None else self.total) == 1
        return f"{self.done:,}{of_total} {self.what.removesuffix('s') if is_one else self.what}"


class TrialReported(Event, frozen=True, tag="trial"):
    """A line on a trial of a search."""

    text: str

    def __str__(self) -> str:
        return self.text


class LogOpened(Event, frozen=True, tag="tensorboard"):
    """The folder in which the Trainer writes for TensorBoard while it goes on."""

    folder: str

    def __str__(self) -> str:
        return f"TensorBoard: {self.folder}"


class Warned(Event, frozen=True, tag="warning"):
    """A warning for people."""

    text: str


class Failed(Event, frozen=True, tag="error"):
    """The error that ended the worker."""

    problem: Problem


AnyEvent = Planned | StepChanged | EpochEnded | Counted | TrialReported | LogOpened | Warned | Failed


class EventWriter:
    """A writer that appends events to a file; safe to call from several threads."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Appends one event. Raises OSError if it does not fit on the disk."""
        # Each line is one write, so that a reader never sees half a line followed by another.
        line = encode(event) + b"\n"
        with self._lock:
            if (self._file.write(line) or 0) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._file.name)


class EventReader:
    """A reader of the events that were appended since its last iteration."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def __iter__(self) -> Iterator[AnyEvent]:
        """Yields the new events; an incomplete last line is left for the next iteration."""
        content = self._read()
        whole = content[: content.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            try:
                event: AnyEvent = decode(line, AnyEvent)
            except (ValueError, RecursionError):
                continue  # A full disk or a crash tore this line; the events before it count.
            yield event

    def _read(self) -> bytes:
        try:
            with open(self._path, "rb", opener=open_regular_file) as file:
                file.seek(self._offset)
                return file.read()
        except FileNotFoundError:
            pass
        except OSError as error:
            log.warning("%s cannot be read: %s", self._path, error)
        return b""


class LogHandler(logging.Handler):
    """A handler that turns log records into events: those they come with, warnings and errors as text."""

    def __init__(self, sink: Callable[[Event], None]) -> None:
        super().__init__()
        self._sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        """Sends a record to the sink if it comes with an event, or is a warning or an error."""
        if (event := getattr(record, "event", None)) is not None:
            self._sink(event)
        elif record.levelno >= logging.WARNING:
            self._sink(Warned(record.getMessage()))

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


def report(event: EpochEnded | Counted | TrialReported | LogOpened) -> None:
    """Logs the progress of a step or a command."""
    logging.getLogger("edgeline.progress").info("%s", event, extra={"event": event})
