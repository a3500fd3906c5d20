"""A run as a person follows it: a line a step, and under them, in a terminal, what is going on right now."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from runners.shared.events import Event
from runners.shared.progress_text import count_text, duration, epoch_text
from runners.shared.stdout import shown, visible

_STATE_STYLE = {"done": "green", "cached": "cyan", "failed": "bold red", "running": ""}
_STATE_STYLE |= {"held": "yellow", "refused": "yellow"}
# In plain lines, a count is repeated at most so often, and a long training says at most so many epochs.
_COUNT_EVERY_S = 5.0
_MOST_EPOCH_LINES = 50
_BAR_WIDTH, _BAR_FROM_WIDTH = 16, 70


def print_line(console: Console, text: str, style: str = "") -> None:
    """One line of text, whatever people have written in it."""
    console.print(Text(shown(text), style=style), soft_wrap=True)


class Progress:
    """Renders the events of a run; a context manager, since a terminal has to be left as it was found.

    A console that is no terminal gets plain lines; in one, the title is said until the first step starts.
    """

    def __init__(self, console: Console, title: str = "starting") -> None:
        self.warnings: list[str] = []
        self._console = console
        self._title = title
        self._steps: list[str] = []
        self._step: str | None = None
        self._since = time.monotonic()
        self._now: Event | None = None
        self._count_said = 0.0
        self._spinner = Spinner("line")
        interactive = console.is_terminal and not console.is_dumb_terminal
        self._live = (
            Live(console=console, get_renderable=self._status, transient=True) if interactive else None
        )

    def __enter__(self) -> "Progress":
        """Starts the live line."""
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Removes the live line."""
        if self._live:
            self._live.stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leaves the terminal to a question meanwhile."""
        self.__exit__()
        yield
        self.__enter__()

    def say(self, text: str, style: str = "") -> None:
        """One permanent line."""
        print_line(self._console, text, style)

    def handle(self, event: Event) -> None:
        """Renders one event; unknown ones are passed over."""
        kind = event.get("event")
        if kind == "plan":
            self._steps = list(event["steps"])
        elif kind == "step":
            self._handle_step(event)
        elif kind == "epoch":
            self._now = event
            every = math.ceil(event["epochs"] / _MOST_EPOCH_LINES)
            if event["epoch"] % every == 0 or event["epoch"] == event["epochs"]:
                self.say(f"{' ' * 9}{epoch_text(event, max(20, self._console.width - 9))}")
        elif kind == "count":
            self._now = event
            finished = event.get("total") == event["done"]
            if not self._live and (finished or time.monotonic() - self._count_said > _COUNT_EVERY_S):
                self._count_said = time.monotonic()
                self.say(f"{' ' * 9}{count_text(event)}")
        elif kind == "trial":
            self.say(f"{' ' * 9}{event['text']}")
        elif kind == "warning" and event["text"] not in self.warnings:
            self.warnings.append(event["text"])
            self.say(f"warning: {event['text']}", "yellow")

    def _handle_step(self, event: Event) -> None:
        step, state = event["step"], event["state"]
        if state == "running":
            self._step, self._since, self._now = step, time.monotonic(), None
            if self._live:
                return
        line = Text(self._prefix(step))
        line.append(state if state == "running" else f"{state:<8}", _STATE_STYLE[state])
        if event.get("seconds") is not None:
            line.append(f"{duration(event['seconds']):>11}")
        self._console.print(line, soft_wrap=True)

    def _prefix(self, step: str) -> str:
        number = self._steps.index(step) + 1 if step in self._steps else 0
        width = min(22, max(8, self._console.width - 29))
        return f"[{number:>2}/{len(self._steps)}] {visible(step)[:width]:<{width}}  "

    def _status(self) -> RenderableType:
        """The live line: what runs, for how long, and how far it is."""
        elapsed = duration(time.monotonic() - self._since)
        row = Table.grid(padding=(0, 1))
        row.add_column(no_wrap=True)
        row.add_column(no_wrap=True, overflow="ellipsis")
        now = self._now or {}
        total = now.get("total") or now.get("epochs")
        if total and self._console.width >= _BAR_FROM_WIDTH:
            done = now.get("done") or now.get("epoch") or 0
            row.add_column(no_wrap=True)
            bar = ProgressBar(total=total, completed=done, width=_BAR_WIDTH)
            row.add_row(self._spinner, self._what(elapsed, _BAR_WIDTH), bar)
        else:
            row.add_row(self._spinner, self._what(elapsed, 0))
        return row

    def _what(self, elapsed: str, taken: int) -> str:
        head = self._prefix(self._step).rstrip() if self._step else self._title
        text = f"{head}  {elapsed}"
        room = self._console.width - len(text) - taken - 8
        if self._now and room > 10:
            more = epoch_text(self._now, room) if self._now["event"] == "epoch" else count_text(self._now)
            text += f"  {more}" if len(more) <= room else ""
        return visible(text)
