import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from data.photos.labels_file import LabelRow, write_span
from data.spans.exclusions import decide
from edgeline.cli.main import main
from edgeline.cli.stdout import visible
from edgeline.records.run import Problem, Step
from edgeline.workspace import artifact_records
from edgeline.workspace.artifact_records import ArtifactRecord
from edgeline.workspace.runs import RunFolder
from runners.shared.progress import Progress

ROOT = Path(__file__).resolve().parents[3]
# What a terminal obeys: clear the screen, set the title, one-byte CSI, back to the line's start, rub out, a
# bell, and what turns the direction of all that follows.
STEERING = (
    "\x1b[2J",
    "\x1b]0;owned\x07",
    "\x9b2J",
    "\r",
    "\x08",
    "\x7f",
    "\x85",
    "\u202e",
    "\u2066",
    "\u2069",
)
HOSTILE = f"ok{''.join(STEERING)}[red]:boom:"
SHOWN = r"ok\x1b[2J\x1b]0;owned\x07\x9b2J\r\x08\x7f\x85\u202e\u2066\u2069[red]:boom:"


def steers(text: str) -> bool:
    return any(
        character in text for steering in STEERING for character in steering if not character.isprintable()
    )


@pytest.mark.parametrize(
    "text",
    [
        "Äpfel, größer, naïve",
        "棚 棚卸し 상품 товар",
        "رف مكسور",
        "מדף \u200fשבר",
        "क्षति\u200dग्रस्त",
        "👩\u200d🔧 🏴\U000e0067\U000e0062\U000e007f ✅",
        "two\nlines\tand a tab",
        r"C:\new\x1b",
    ],
)
def test_letters_of_every_language_and_line_ends_stay_as_they_are(text):
    assert visible(text) == text


def test_what_a_terminal_obeys_is_shown():
    assert visible(HOSTILE) == SHOWN
    assert visible("a\ud800b") == r"a\ud800b"


@pytest.fixture
def edgeline(capsys):
    """Runs a command in this process; returns its exit code and what it printed on both streams."""

    def call(*arguments):
        code = main([*map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def workspace(tmp_path, make_run):
    """A workspace whose one run says what people wrote, wherever a run can."""
    spans = ({"span": "span-00001", "who": HOSTILE, "when": HOSTILE, "reason": HOSTILE},)
    run = make_run(
        outcome="refused",
        exit_code=4,
        data=f"/{HOSTILE}",
        push=str(tmp_path / "push"),
        steps=(Step(HOSTILE, "done", 5.0),),
        spans=("span-00002",),
        reasons=(HOSTILE,),
        warnings=(HOSTILE,),
        excluded_spans=spans,
        error=Problem(HOSTILE, HOSTILE, HOSTILE),
        ended_at="2026-10-05T09:15:00Z",
    )
    folder = RunFolder(tmp_path / "runs" / run.id)
    folder.path.mkdir(parents=True)
    folder.write(run)
    files = {
        ("ExampleGen", "quarantine", "ingest.json"): {
            "splits": {HOSTILE: 1},
            "classes": {HOSTILE: 1},
            "spans": [{"name": HOSTILE, "number": 1, "rows": 1, "rejected": {HOSTILE: 1}}],
        },
        ("DataValidator", "verdict", "verdict.json"): {
            "gate": "data",
            "result": "fail",
            "reasons": [HOSTILE],
        },
        ("Evaluator", "evaluation", "metrics.json"): {
            "candidate": {HOSTILE: {HOSTILE: {"example_count": 1, "accuracy": 0.5}}}
        },
        ("EdgeValidator", "verdict", "edge.json"): {
            "default_variant": HOSTILE,
            "eval_photos": 1,
            "variants": [{"name": HOSTILE, "reasons": []}],
        },
    }
    for (step, output, name), content in files.items():
        place = folder.path / step
        place.mkdir()
        (place / name).write_text(json.dumps(content))
        artifact_records.append(folder.artifacts, ArtifactRecord(step, output, str(place), {}))
    return tmp_path


@pytest.mark.parametrize("command", [["status"], ["runs"], ["show", "latest"], ["show", HOSTILE], ["report"]])
def test_no_light_command_lets_what_people_wrote_steer_the_terminal(edgeline, workspace, command):
    code, out, err = edgeline(*command, "--workspace", workspace)

    assert code == (2 if HOSTILE in command else 0)
    assert not steers(out + err)
    assert command == ["report"] or SHOWN[:10] in out + err


def test_json_has_it_as_it_is_and_steers_nothing(edgeline, workspace):
    _, out, _ = edgeline("show", "latest", "--json", "--workspace", workspace)

    assert json.loads(out)["reasons"] == [HOSTILE]
    assert not steers(out)


def test_reasons_of_exclusions_are_shown(edgeline, tmp_path):
    row = LabelRow("a.jpg", "ok", "lane-01", "s1", "2026-10-05T09:12:33Z")
    span = write_span(tmp_path, [(row, b"")]).name
    decide(tmp_path, "exclude", span, f"dirty lens {HOSTILE}", [span])

    code, out, _ = edgeline("data", "list", "--data", tmp_path)

    assert code == 0 and r"dirty lens ok\x1b[2J" in out and not steers(out)


@pytest.mark.parametrize(
    "command",
    [
        ["run", "--workload", HOSTILE],
        ["run", "--set", HOSTILE],
        [HOSTILE],
        ["data", "generate", "--data", f"s3://{HOSTILE}"],
    ],
)
def test_an_error_shows_what_was_typed(edgeline, command):
    code, out, err = edgeline(*command)

    assert code == 2 and not out and r"\x1b[2J" in err and not steers(err)


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_shows_what_people_wrote(terminal):
    out = io.StringIO()
    events = [
        {"event": "plan", "steps": [HOSTILE]},
        {"event": "step", "step": HOSTILE, "state": "running"},
        {"event": "count", "what": HOSTILE, "done": 1, "total": 1},
        {"event": "warning", "text": HOSTILE},
        {"event": "step", "step": HOSTILE, "state": "done", "seconds": 1.0},
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
    for command in (
        ["status", "--workspace", photos],
        ["run", "--workload", photos],
        ["run", "--workload", b"\xff"],
    ):
        ended = subprocess.run(
            [sys.executable, "-m", "runners.cli", *command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
        )
        said = (ended.stdout + ended.stderr).decode("ascii")
        assert ended.returncode in (0, 2) and "Traceback" not in said
        assert r"gr\xf6\xdfe \u68da" in said or r"\udcff" in said
