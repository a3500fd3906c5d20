import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from edgeline.records.events import (
    Counted,
    EventReader,
    EventWriter,
    Planned,
    StepChanged,
    Warned,
    listen,
    report,
)
from edgeline.records.run import Step

PLAN, BEGUN = Planned(("Ingest",)), StepChanged(Step("Ingest", "running"))


def test_a_reader_gets_each_event_once_half_a_line_when_it_is_whole_and_a_torn_line_hides_no_other(tmp_path):
    path = tmp_path / "events.jsonl"
    reader = EventReader(path)
    assert list(reader) == []
    EventWriter(path)(PLAN)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:9])

    assert (list(reader), list(reader)) == ([PLAN], [])
    with path.open("ab") as file:
        file.write(whole[9:] + b'{"eve\n[1]\n{"event": "of another version"}\n')
    EventWriter(path)(BEGUN)
    assert list(reader) == [PLAN, BEGUN]


def test_events_of_several_threads_do_not_mix(tmp_path):
    write = EventWriter(tmp_path / "events.jsonl")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: write(Counted("x" * 500, n)), range(800)))

    assert len(list(EventReader(tmp_path / "events.jsonl"))) == 800


def test_progress_and_warnings_of_our_loggers_become_events_and_nothing_else_does():
    events = []
    with listen(events.append):
        report(Counted("photos", 3, 9))
        logging.getLogger("edgeline.gate").warning("span-%05d is dark", 7)
        logging.getLogger("edgeline.release.writing").warning("The disk is slow.")
        logging.getLogger("edgeline.gate").info("all is well")
        logging.getLogger("tensorflow").warning("not ours")
    logging.getLogger("edgeline.gate").warning("nobody listens")

    assert events == [Counted("photos", 3, 9), Warned("span-00007 is dark"), Warned("The disk is slow.")]


def test_an_event_that_does_not_fit_on_the_disk_is_an_error(tmp_path):
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from edgeline.records.events import EventWriter, StepChanged\n"
        "from edgeline.records.run import Step\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))\n"
        "EventWriter(Path(sys.argv[1]))(StepChanged(Step('Trainer')))\n"
    )

    process = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "events.jsonl")], capture_output=True, text=True
    )

    assert "OSError" in process.stderr.splitlines()[-1]
