"""The progress of a run: a line a step, and in a terminal a live line on the current step below them."""

import errno
import math
import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import Any, TextIO

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from edgeline.cli.stdout import prepare_line, wrap
from edgeline.errors import DataRefused, UsageError
from edgeline.records import events
from edgeline.records.run import Step
from edgeline.report.words import duration

_STATE_STYLE = {"done": "green", "cached": "cyan", "failed": "bold red", "running": ""}
_STATE_STYLE |= {"held": "yellow", "refused": "yellow"}
# Limits of plain lines: seconds between two lines of a count, and lines on the epochs of a training.
_COUNT_EVERY_S = 5.0
_MOST_EPOCH_LINES = 50
_BAR_WIDTH, _BAR_FROM_WIDTH = 16, 70


def print_line(console: Console, text: str, style: str = "") -> None:
    """Prints one line of text, wrapped on a terminal; markup in it is not interpreted.

    Args:
        console: Lines are wrapped to its width only if it is a terminal.
        text: Secrets and control characters in it are not shown.
        style: One of rich's, for the whole line; empty for none.
    """
    line = prepare_line(text)
    line = wrap(line, console.width) if console.is_terminal else line
    console.print(Text(line, style=style), soft_wrap=True)


def _format_epoch(event: events.EpochEnded, width: int) -> str:
    """Formats an epoch in at most `width` columns; the least important figures are left out first."""
    pieces = [f"{duration(event.eta_s)} left"] if event.eta_s else []
    figures = {
        "eval accuracy": event.val_accuracy,
        "loss": event.loss,
        "accuracy": event.accuracy,
        "eval loss": event.val_loss,
    }
    pieces += [f"{name} {value:.3f}" for name, value in figures.items() if value is not None]
    text = f"epoch {event.epoch}/{event.epochs}"
    for piece in pieces:
        if len(text) + 2 + len(piece) <= width:
            text += f"  {piece}"
    return text


class LastingOutput:
    """A stream whose reader may go away, with a pipe or a terminal: it writes the rest nowhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.is_lost = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Writes a text, or drops it where nobody reads."""
        with self._notice_loss():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Hands over what was written."""
        with self._notice_loss():
            self._stream.flush()

    @contextmanager
    def _notice_loss(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):
                raise
            self.is_lost = True
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), self._stream.fileno())


class Progress:
    """A renderer of the events of a run; a context manager, which leaves the terminal as it was before.

    A console that is not a terminal gets plain lines, the first of them `title`. A terminal shows `title`, or
    that the run is starting, until the first step starts.
    """

    def __init__(self, console: Console, title: str = "") -> None:
        self.warnings: list[str] = []
        self._console = console
        self._title = title
        self._steps: list[str] = []
        self._step: str | None = None
        self._started_at = time.monotonic()
        self._latest: events.EpochEnded | events.Counted | None = None
        self._count_printed_at = 0.0
        self._spinner = Spinner("line")
        on_terminal = console.is_terminal and not console.is_dumb_terminal
        self._live = (
            Live(console=console, get_renderable=self._render_live, transient=True) if on_terminal else None
        )

    def __enter__(self) -> "Progress":
        """Starts the live line."""
        if self._live:
            self._live.start()
        elif self._title:
            self.say(self._title)
        return self

    def __exit__(self, *_: object) -> None:
        """Removes the live line."""
        if self._live:
            self._live.stop()

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Removes the live line during the block, so that a question can be asked."""
        self.__exit__()
        yield
        if self._live:
            self._live.start()

    def say(self, text: str, style: str = "") -> None:
        """Prints one permanent line."""
        print_line(self._console, text, style)

    def handle(self, event: events.Event) -> None:
        """Renders one event; those with nothing to show are ignored."""
        if isinstance(event, events.Planned):
            self._steps = list(event.steps)
        elif isinstance(event, events.StepChanged):
            self._show_step(event.step)
        elif isinstance(event, events.EpochEnded):
            self._show_epoch(event)
        elif isinstance(event, events.Counted):
            self._show_count(event)
        elif isinstance(event, events.TrialReported):
            self.say(f"{' ' * 9}{event.text}")
        elif isinstance(event, events.Warned) and event.text not in self.warnings:
            self.warnings.append(event.text)
            self.say(f"warning: {event.text}", "yellow")

    def _show_epoch(self, event: events.EpochEnded) -> None:
        self._latest = event
        every = math.ceil(event.epochs / _MOST_EPOCH_LINES)
        if event.epoch % every == 0 or event.epoch == event.epochs:
            self.say(f"{' ' * 9}{_format_epoch(event, max(20, self._console.width - 9))}")

    def _show_count(self, event: events.Counted) -> None:
        self._latest = event
        is_finished = event.total == event.done
        if not self._live and (is_finished or time.monotonic() - self._count_printed_at > _COUNT_EVERY_S):
            self._count_printed_at = time.monotonic()
            self.say(f"{' ' * 9}{event}")

    def _show_step(self, step: Step) -> None:
        if step.state == "running":
            self._step = step.name
            self._started_at = time.monotonic()
            self._latest = None
            if self._live:
                return
        line = Text(self._format_prefix(step.name))
        line.append(step.state if step.state == "running" else f"{step.state:<8}", _STATE_STYLE[step.state])
        if step.seconds is not None:
            line.append(f"{duration(step.seconds):>11}")
        self._console.print(line, soft_wrap=True)

    def _format_prefix(self, step: str) -> str:
        number = self._steps.index(step) + 1 if step in self._steps else 0
        width = min(22, max(8, self._console.width - 29))
        return f"[{number:>2}/{len(self._steps)}] {prepare_line(step)[:width]:<{width}}  "

    def _render_live(self) -> RenderableType:
        """Returns the live line: the current step, its time so far, and how far it is."""
        elapsed = duration(time.monotonic() - self._started_at)
        row = Table.grid(padding=(0, 1))
        row.add_column(no_wrap=True)
        row.add_column(no_wrap=True, overflow="ellipsis")
        event, completed, total = self._latest, 0, None
        if event is not None:
            completed, total = (
                (event.epoch, event.epochs)
                if isinstance(event, events.EpochEnded)
                else (event.done, event.total)
            )
        if total and self._console.width >= _BAR_FROM_WIDTH:
            row.add_column(no_wrap=True)
            bar = ProgressBar(total=total, completed=completed, width=_BAR_WIDTH)
            row.add_row(self._spinner, self._format_live_text(elapsed, _BAR_WIDTH), bar)
        else:
            row.add_row(self._spinner, self._format_live_text(elapsed, 0))
        return row

    def _format_live_text(self, elapsed: str, used: int) -> str:
        head = self._format_prefix(self._step).rstrip() if self._step else self._title or "starting"
        text = f"{head}  {elapsed}"
        room = self._console.width - len(text) - used - 8
        event = self._latest
        if event and room > 10:
            more = _format_epoch(event, room) if isinstance(event, events.EpochEnded) else str(event)
            text += f"  {more}" if len(more) <= room else ""
        return prepare_line(text)


@contextmanager
def show_progress(doing: str) -> Iterator[Progress]:
    """Shows the progress of a command on the standard error, where libraries write nothing meanwhile."""
    with (
        _silence_libraries() as stream,
        Progress(Console(file=stream, highlight=False), doing) as progress,
        events.listen(progress.handle),
    ):
        yield progress


@contextmanager
def _silence_libraries() -> Iterator[TextIO]:
    """Yields the standard error, which only Python's own stream reaches in the block.

    TensorFlow's C++ writes lines at its import that nobody can act on, whatever its log level is. They are
    shown after an error that nobody foresaw.
    """
    try:
        is_own = sys.stderr.fileno() == 2
    except (OSError, ValueError):
        is_own = False
    if not is_own:  # another program has replaced it
        yield sys.stderr
        return
    sys.stderr.flush()
    python = sys.stderr
    with (
        open(os.dup(2), "w", buffering=1, encoding=python.encoding, errors="backslashreplace") as stream,
        TemporaryFile() as withheld,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", FutureWarning)
        os.dup2(withheld.fileno(), 2)
        sys.stderr = stream
        try:
            yield stream
        except (UsageError, DataRefused, KeyboardInterrupt):
            raise
        except BaseException:
            withheld.seek(0)
            stream.write(withheld.read().decode(errors="replace"))
            raise
        finally:
            stream.flush()
            os.dup2(stream.fileno(), 2)
            sys.stderr = python
