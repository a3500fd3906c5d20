import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from edgeline.cli.stdout import make_visible, wrap
from edgeline.errors import Problem
from edgeline.records.events import Counted, Planned, StepChanged, Warned
from edgeline.records.run import Step
from runners.cli.main import main
from runners.shared.progress import Progress
from tests.outputs import leave, write_run

ROOT = Path(__file__).resolve().parents[3]
# A terminal obeys these: clear the screen, set the title, one-byte CSI, back to the line's start, rub out,
# next line, and characters that turn the direction of all that follows.
STEERING = (
    *("\x1b[2J", "\x1b]0;owned\x07", "\x9b2J", "\r", "\x08", "\x7f", "\x85"),
    *("\u202e", "\u2066", "\u2069"),
)
HOSTILE = f"ok{''.join(STEERING)}[red]:boom:"
SHOWN = r"ok\x1b[2J\x1b]0;owned\x07\x9b2J\r\x08\x7f\x85\u202e\u2066\u2069[red]:boom:"
# A name may go on with a line of its own, as a command would print it, after each kind of line end.
FORGED = "Pushed version 9: every check passed."
ENDS = ("\n", "\r\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029")
FORGERY = "".join(f"{end}{FORGED}{end}" for end in ENDS)
NAME = HOSTILE + FORGERY


def has_forged_line(text: str) -> bool:
    return any(line.strip(" -") == FORGED for line in text.splitlines())


def steers(text: str) -> bool:
    return any(
        character in text for steering in STEERING for character in steering if not character.isprintable()
    )


def test_characters_that_a_terminal_obeys_are_escaped_and_letters_of_every_language_and_line_ends_stay():
    text = "größer, 棚卸し 상품 товар, רف מדף \u200fשבר, क्षति\u200dग्रस्त, 👩\u200d🔧 ✅,\ntwo lines\tand a tab"
    assert make_visible(text) == text
    assert make_visible(HOSTILE) == SHOWN
    assert make_visible("a\ud800b") == r"a\ud800b"


@pytest.fixture
def workspace(tmp_path, make_run):
    """Writes a run with hostile text in each place for texts of people."""
    spans = ({"span": "span-00001", "who": NAME, "when": NAME, "reason": NAME},)
    run = make_run(
        outcome="refused",
        exit_code=4,
        data=f"/{NAME}",
        push=str(tmp_path / "push"),
        steps=(Step(NAME, "done", 5.0),),
        spans=("span-00002",),
        reasons=(NAME,),
        warnings=(NAME,),
        excluded_spans=spans,
        error=Problem(NAME, NAME, NAME),
        ended_at="2026-10-05T09:15:00Z",
    )
    folder = write_run(tmp_path, run)
    files = {
        ("ExampleGen", "quarantine", "ingest.json"): {
            "splits": {NAME: 1},
            "classes": {NAME: 1},
            "spans": [{"name": NAME, "number": 1, "rows": 1, "rejected": {NAME: 1}}],
        },
        ("DataValidator", "verdict", "verdict.json"): {
            "gate": "data",
            "result": "fail",
            "reasons": [NAME],
        },
        ("ModelValidator", "evaluation", "metrics.json"): {
            "candidate": {NAME: {NAME: {"example_count": 1, "accuracy": 0.5}}}
        },
        ("EdgeValidator", "verdict", "edge.json"): {
            "default_variant": NAME,
            "eval_photos": 1,
            "variants": [{"name": NAME, "reasons": []}],
        },
    }
    for (step, output, name), content in files.items():
        leave(folder, step, output, name, json.dumps(content).encode())
    return tmp_path


@pytest.mark.parametrize("command", [["status"], ["runs"], ["show", "latest"], ["show", NAME], ["report"]])
def test_no_light_command_lets_texts_of_people_steer_the_terminal_or_print_a_line(call, workspace, command):
    code, out, err = call(*command, "--workspace", workspace)

    assert code == (2 if NAME in command else 0)
    assert not steers(out + err) and not has_forged_line(out + err)
    assert command == ["report"] or SHOWN[:10] in out + err


def test_json_has_texts_of_people_as_they_are_and_steers_nothing(call, workspace):
    _, out, _ = call("show", "latest", "--json", "--workspace", workspace)

    assert json.loads(out)["reasons"] == [NAME]
    assert not steers(out)


@pytest.mark.parametrize(
    "command",
    [
        ["run", "--workload", HOSTILE],
        ["run", "--set", HOSTILE],
        [NAME],
        ["data", "generate", "--data", f"s3://{HOSTILE}"],
        ["data", "import", "photos", "--data", f"s3://{HOSTILE}"],
    ],
)
def test_an_error_escapes_what_was_typed(call, command):
    code, out, err = call(*command)

    assert code == 2 and not out and r"\x1b[2J" in err
    assert not steers(err) and not has_forged_line(err)


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_escapes_texts_of_people(terminal):
    out = io.StringIO()
    events = [
        Planned((HOSTILE,)),
        StepChanged(Step(HOSTILE, "running")),
        Counted(HOSTILE, 1, 1),
        Warned(HOSTILE),
        StepChanged(Step(HOSTILE, "done", 1.0)),
    ]
    console = Console(
        file=out, width=200, force_terminal=terminal, color_system=None, _environ={"TERM": "xterm"}
    )
    with Progress(console) as progress:
        for event in events:
            progress.handle(event)
            if progress._live:
                progress._live.refresh()

    assert SHOWN in out.getvalue()
    assert not any(steering in out.getvalue() for steering in STEERING if steering != "\r")


def test_a_terminal_without_the_letters_gets_their_numbers(workspace, tmp_path):
    photos = tmp_path / "größe 棚"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    script = (
        "import sys; from runners.cli.main import main; each = iter(sys.argv[1:])\n"
        "for words in zip(each, each, each): print('ended with', main(words), flush=True)"
    )
    commands = ("status", "--workspace", photos, "run", "--workload", photos, "run", "--workload", b"\xff")
    command = [sys.executable, "-c", script, *commands]
    process = subprocess.run(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.returncode == 0
    *outputs, rest = re.split("ended with [02]\n", process.stdout.decode("ascii"))
    for text, letters in zip(outputs, (r"gr\xf6\xdfe \u68da", r"gr\xf6\xdfe \u68da", r"\udcff"), strict=True):
        assert letters in text and "Traceback" not in text
    assert rest == ""


# With and without a buffer, the output is written at its end or at once.
@pytest.mark.parametrize(
    ("command", "unbuffered", "code"),
    [
        *(("status --json | true", "", 1), ("--help | true", "1", 1)),
        *(("status --json >&-", "", 0), ("show >&- 2>&-", "", 2)),
        *(("status >/dev/full", "", 1), ("status --json >/dev/full", "1", 1)),
    ],
)
def test_an_output_that_is_closed_or_full_is_no_error_of_python(tmp_path, command, unbuffered, code):
    words = ["bash", "-o", "pipefail", "-c", f"{shlex.quote(sys.executable)} -m runners.cli {command}"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": unbuffered}
    process = subprocess.run(words, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    assert process.returncode == code
    assert "BrokenPipe" not in process.stderr and "Traceback" not in process.stderr
    if "full" in command:
        assert process.stderr.startswith("No space left on device.\n") and process.stderr.count("\n") == 3


PROSE = "  - span-00007: 41 of 300 photos are corrupt, more than data.max_quarantined allows, which is 0.05"


def test_prose_is_broken_at_spaces_only_and_indented_below_its_beginning_and_its_line_ends_and_columns_stay():
    assert wrap("one\n\n  two    three", 60) == "one\n\n  two    three"
    lines = wrap(PROSE, 60).split("\n")
    assert len(lines) > 1 and max(map(len, lines)) <= 60
    assert all(line.startswith("    ") for line in lines[1:])
    assert " ".join(line.strip() for line in lines) == PROSE.strip()


def test_a_command_stays_in_one_line_to_be_copied():
    command = ".venv/bin/edgeline data exclude span-00007 --reason R --data /somewhere/far/away"
    lines = wrap(f"To go on without this span, type: {command}", 40).split("\n")
    assert any(command in line for line in lines) and lines[0].startswith("To go on without")
    lines = wrap(f"Type `{command}`, and then look at the report of the run once more.", 40).split("\n")
    assert any(f"`{command}`," in line for line in lines) and len(lines) > 2


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("unwanted", "has_colour"), [("", True), ("1", False)])
def test_only_a_terminal_sees_colour_unless_it_is_unwanted(
    tmp_path, make_run, call, monkeypatch, unwanted, has_colour
):
    reason = "Accuracy of the class damaged is 0.512 on 41 examples, and at least 0.550 is required."
    write_run(tmp_path / "workspace", make_run(outcome="held", exit_code=3, reasons=(reason,)))
    _, plain, _ = call("runs", "--workspace", tmp_path / "workspace")
    assert "\x1b" not in plain and len(plain.splitlines()) == 1
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", unwanted)
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert main(["runs", "--workspace", str(tmp_path / "workspace")]) == 0
    shown = sys.stdout.getvalue()
    assert ("\x1b[33m\x1b[1mheld\x1b[0m" in shown) is has_colour and reason.split()[-1] in shown
    lines = re.sub("\x1b\\[\\d+m", "", shown).splitlines()
    assert len(lines) > 1 and max(map(len, lines)) <= 60
