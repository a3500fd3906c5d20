"""Attacks by names: of files, labels, columns, spans, and the reasons of a run."""

import io
import logging
from pathlib import Path

import pytest
from rich.console import Console

from edgeline.cli.main import print_error
from edgeline.errors import EdgelineError
from edgeline.labels import check_labels, find_fault
from edgeline.records.events import Planned, StepChanged, Warned
from edgeline.records.run import Step
from edgeline.report.index import render_index
from edgeline.report.page import render_run
from edgeline.report.timelines import make_row
from edgeline.visible import GuardedRecord
from runners.cli.main import main
from runners.shared.progress import Progress, print_line
from tests.edgeline.cli.test_stdout import FORGERY, has_forged_line
from tests.edgeline.report.runs import a_run
from tests.edgeline.report.test_index import weeks


def test_errors_progress_and_warnings_stay_the_lines_that_they_are(capsys):
    name = f"a.jpg{FORGERY}"
    print_error(EdgelineError(f"There is no {name}.", f"It is {name}.", f"Make {name}."))
    print_error(EdgelineError([f"2 of {name} are wrong:", f"  {name}", "  b"]))
    lines = capsys.readouterr().err.split("\n")
    assert len(lines) == 3 + 3 + 1 and not has_forged_line("\n".join(lines))
    console = Console(file=io.StringIO(), width=300)
    with Progress(console) as progress:
        progress.handle(Planned((name,)))
        progress.handle(StepChanged(Step(name, "done", 5.0)))
        progress.handle(Warned(name))
        progress.say(name)
    print_line(console, name)
    output = console.file.getvalue()
    assert not has_forged_line(output) and len(output.splitlines()) == 4


def test_no_text_in_a_log_passes_as_a_record():
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(asctime)s INFO %(name)s: %(message)s"))
    name = "a.jpg\n2026-10-05 09:12:33,000 INFO edgeline.push: Pushed version 9\x1b[2J\rF1005 Check failed"
    try:
        raise ValueError(name)
    except ValueError as error:
        trouble = (type(error), error, error.__traceback__)
    for exc_info in (None, trouble):
        arguments = ("edgeline.ingest", logging.INFO, "a.py", 1, "%s is damaged", (name,), exc_info)
        handler.handle(GuardedRecord(*arguments))
    lines = stream.getvalue().splitlines()
    records = [line for line in lines if not line.startswith("    ")]
    assert len(records) == 2 and all("edgeline.ingest: a.jpg" in line for line in records)
    assert "\x1b" not in stream.getvalue() and any("ValueError: a.jpg" in line for line in lines)


TURNING = ("\u202e", "\u202a", "\u2066", "\u2069")
UNSEEN = ("\u200b", "\u2060", "\ufeff", "\u2063", "\ufff9")


@pytest.mark.parametrize("character", [*TURNING, *UNSEEN], ids=ascii)
def test_a_label_with_a_character_that_nobody_sees_is_refused_at_import(tmp_path, capsys, character):
    label = f"o{character}k"
    (tmp_path / "t.csv").write_text("heat,state\n" + f"1.5,{label}\n3.5,bad\n" * 20, encoding="utf-8")
    folder = tmp_path / "photos"
    for name in (label, "bad"):
        (folder / name).mkdir(parents=True)
        (folder / name / "a.jpg").write_bytes(b"a photo")
    for source in (["t.csv", "--label", "state"], ["photos"]):
        source[0] = str(tmp_path / source[0])
        assert main(["data", "import", *source, "--data", str(tmp_path / "data")]) == 2
        err = capsys.readouterr().err
        assert f"U+{ord(character):04X}, which nobody sees" in err and character not in err
        assert not (tmp_path / "data").exists()


def test_a_label_of_100_000_characters_is_refused_in_a_short_sentence(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("heat,state\n" + f"1.5,{'x' * 100_000}\n3.5,bad\n" * 20)
    imported = ["data", "import", str(tmp_path / "t.csv"), "--label", "state", "--data", str(tmp_path / "d")]
    assert main(imported) == 2
    err = capsys.readouterr().err
    assert "it has 100,000 characters, more than 200" in err and len(err) < 1_000
    assert not (tmp_path / "d").exists()


WORDS = ("👩\u200d🔧", "می\u200cشد", "क्षति\u200dग्रस्त", "רף \u200fשבר", "a\u00adb", "x" * 200)


@pytest.mark.parametrize("label", WORDS, ids=ascii)
def test_characters_that_words_of_some_script_need_are_taken(label):
    check_labels([label, "ok"], "The schema")
    assert find_fault(label) == ""


@pytest.mark.e2e
@pytest.mark.parametrize("kind", ["run", "index"])
def test_a_script_that_got_into_a_report_does_not_run_and_sends_nothing(browser, tmp_path, kind):
    page = render_run(a_run(), {}, None)
    if kind == "index":
        page = render_index("shelf", [*weeks(8), make_row(a_run(), None)])
    planted = (
        "<script>document.title = 'owned'</script><p onclick=\"document.title = 'owned'\" id=planted>x</p>"
        "<script src='data:text/javascript,document.title=1'></script><iframe srcdoc='<p>x'></iframe>"
        "<a id=go href=\"javascript:document.title='owned'\">x</a><base href='https://evil.example/'>"
        "<img src='https://evil.example/a.png' onerror=\"document.title = 'owned'\">"
        "<style>body { background: url(https://evil.example/b.png) }</style>"
        "<form action='https://evil.example/'><button id=send>x</button></form>"
    )
    assert page.count("</main>") == 1
    (tmp_path / "page.html").write_text(page.replace("</main>", f"{planted}</main>"), encoding="utf-8")
    context = browser.new_context()
    tab = context.new_page()
    requests = []
    tab.route("**", lambda route: (requests.append(route.request.url), route.continue_()))
    tab.goto(Path(tmp_path / "page.html").as_uri())
    title = tab.title()
    for place in ("#planted", "#go"):
        tab.dispatch_event(place, "click")
    tab.wait_for_timeout(300)
    assert tab.title() == title and "owned" not in title
    tab.dispatch_event("#send", "click")
    tab.wait_for_timeout(300)
    assert tab.url.startswith("file:") and [url for url in requests if not url.startswith("file:")] == []
    context.close()
