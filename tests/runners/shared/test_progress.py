import contextlib
import io
import os
import pty
import re

import pytest
from rich.console import Console

from edgeline.records.events import Counted, EpochEnded, LogOpened, Planned, StepChanged, Warned
from edgeline.records.run import Step
from runners.shared.progress import Progress
from tests.runners.cli.process import python

EPOCH = EpochEnded(3, 16, 0.5123, 0.8342, 0.612, 0.8121, 65.0)
RUN = [
    Planned(("ExampleGen", "StatisticsGen", "Trainer", "Pusher")),
    StepChanged(Step("ExampleGen", "running")),
    Counted("photos", 600, 2400),
    Counted("photos", 2400, 2400),
    StepChanged(Step("ExampleGen", "done", 12.34)),
    StepChanged(Step("StatisticsGen", "running")),
    StepChanged(Step("StatisticsGen", "cached", 0.1)),
    StepChanged(Step("Trainer", "running")),
    EPOCH,
    Warned("span-00007 is dark."),
    Warned("span-00007 is dark."),
    StepChanged(Step("Trainer", "failed", 185.0)),
    LogOpened("workspace/checkpoints"),
]


def print_plain(events, width, warnings=None):
    """Returns the lines of the progress without a terminal."""
    out = io.StringIO()
    with Progress(Console(file=out, width=width, highlight=False)) as progress:
        for event in events:
            progress.handle(event)
    assert warnings in (None, progress.warnings)
    return out.getvalue().splitlines()


def print_on_terminal(events, width, **environment):
    """Returns the output of the progress on a real terminal of that width."""
    controller, terminal = pty.openpty()
    with os.fdopen(terminal, "w") as file:
        environ = {"TERM": "xterm-256color", **environment}
        console = Console(file=file, width=width, height=20, highlight=False, _environ=environ)
        with Progress(console) as progress:
            for event in events:
                progress.handle(event)
                if progress._live:
                    progress._live.refresh()
    return read_all(controller)


def read_all(controller):
    """Returns the output of a terminal until it is closed."""
    output = b""
    with contextlib.suppress(OSError):  # Linux raises it for a closed terminal.
        while piece := os.read(controller, 65536):
            output += piece
    os.close(controller)
    return output.decode()


def split_lines(output):
    """Returns the lines of a terminal without their control sequences."""
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", output))
    return [line for line in lines if line.strip()]


def test_without_a_terminal_there_are_plain_lines_with_state_and_time_and_each_warning_once():
    assert print_plain(RUN, 80, ["span-00007 is dark."]) == [
        "[ 1/4] ExampleGen              running",
        "         600 of 2,400 photos",
        "         2,400 of 2,400 photos",
        "[ 1/4] ExampleGen              done         12.3 s",
        "[ 2/4] StatisticsGen           running",
        "[ 2/4] StatisticsGen           cached        0.1 s",
        "[ 3/4] Trainer                 running",
        "         epoch 3/16  1 min 05 s left  eval accuracy 0.812  loss 0.512",
        "warning: span-00007 is dark.",
        "[ 3/4] Trainer                 failed   3 min 05 s",
    ]


@pytest.mark.parametrize("width", [40, 120])
def test_no_line_of_a_step_is_wider_than_the_screen(width):
    steps = ["Evaluator", "AVeryLongNameOfAStepThatSomebodyWrote"]
    events = [Planned(tuple(steps)), *(StepChanged(Step(step, "done", 3599.0)) for step in steps)]

    lines = print_plain([*events, EPOCH], width)

    assert all(len(line) <= width for line in lines)
    assert all("done" in line and "59 min 59 s" in line for line in lines[:2])
    assert lines[2].strip().startswith("epoch 3/16  1 min 05 s left")


@pytest.mark.parametrize("width", [40, 120])
def test_a_terminal_has_a_live_line_that_fits(width):
    lines = split_lines(print_on_terminal(RUN, width))

    assert all(len(line) <= width for line in lines)
    assert any("Trainer" in line and "s" in line.split()[-1] for line in lines)
    assert any("done" in line and "12.3 s" in line for line in lines)
    live = [line for line in lines if "Trainer" in line and "epoch 3/16" in line]
    assert width < 120 or "━" in live[-1]


def test_a_terminal_gets_its_cursor_back_when_a_run_breaks():
    controller, terminal = pty.openpty()
    with os.fdopen(terminal, "w") as file:
        console = Console(file=file, width=80, _environ={"TERM": "xterm"})
        with pytest.raises(RuntimeError), Progress(console) as progress:
            progress.handle(RUN[0])
            raise RuntimeError("the disk is gone")
    output = read_all(controller)

    assert output.rindex("\x1b[?25h") > output.rindex("\x1b[?25l")


def test_a_dumb_terminal_gets_plain_lines():
    assert "\x1b[?25l" not in print_on_terminal(RUN, 80, TERM="dumb")


def test_a_long_training_is_at_most_fifty_lines():
    events = [RUN[0], *(EpochEnded(epoch, 1000, loss=0.5) for epoch in range(1, 1001))]

    lines = print_plain(events, 80)

    assert len(lines) == 50
    assert "epoch 1000/1000" in lines[-1]


def test_a_count_without_a_total_is_a_count():
    assert str(Counted("photos", 1200)) == "1,200 photos"
    assert str(Counted("photos", 1)) == "1 photo"
    assert str(Counted("photos", 1, 2)) == "1 of 2 photos"


SHOW = """
import os, sys
from edgeline.errors import UsageError
from runners.shared.progress import show_progress
with show_progress("importing photos"):
    os.write(2, b"oneDNN custom operations are on\\n")
    print("a warning", file=sys.stderr)
    {end}
print("the end", file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("end", "lines"),
    [
        ("pass", ["importing photos", "a warning", "the end"]),
        ("raise UsageError('x')", ["importing photos", "a warning"]),
        ("raise OSError('x')", ["importing photos", "a warning", "oneDNN custom operations are on"]),
    ],
)
def test_what_libraries_print_is_shown_only_after_an_error_that_nobody_foresaw(end, lines):
    result = python("-c", SHOW.format(end=end))
    assert result.stderr.partition("Traceback")[0].splitlines() == lines
