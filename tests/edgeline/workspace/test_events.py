import logging
import threading

from edgeline.workspace.events import EventReader, EventWriter, listen


def test_a_reader_gets_each_event_once(tmp_path):
    tell, reader = EventWriter(tmp_path / "events.jsonl"), EventReader(tmp_path / "events.jsonl")
    tell({"event": "plan", "steps": ["Ingest"]})
    first = list(reader)
    tell({"event": "step", "step": "Ingest", "state": "running"})

    assert [event["event"] for event in first] == ["plan"]
    assert [event["event"] for event in reader] == ["step"]
    assert list(reader) == []


def test_a_reader_before_the_first_event_waits(tmp_path):
    assert list(EventReader(tmp_path / "events.jsonl")) == []


def test_half_a_line_is_read_when_it_is_whole(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"event": "plan"}\n{"event": "st')
    reader = EventReader(path)

    assert [event["event"] for event in reader] == ["plan"]
    with path.open("a") as file:
        file.write('ep"}\n')
    assert [event["event"] for event in reader] == ["step"]


def test_a_torn_line_hides_no_other(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"event": "a"}\n{"eve\n[1]\n{"event": "b"}\n')

    assert [event["event"] for event in EventReader(path)] == ["a", "b"]


def test_events_of_several_threads_do_not_mix(tmp_path):
    tell = EventWriter(tmp_path / "events.jsonl")
    threads = [
        threading.Thread(
            target=lambda n=n: [tell({"event": "count", "what": "x" * 500, "n": n}) for _ in range(200)]
        )
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(list(EventReader(tmp_path / "events.jsonl"))) == 800


def test_progress_and_warnings_of_our_loggers_become_events_and_nothing_else_does():
    events = []
    with listen(events.append):
        progress = {"event": "count", "what": "photos", "done": 3, "total": 9}
        logging.getLogger("edgeline.progress").info("3 of 9", extra={"progress": progress})
        logging.getLogger("edgeline.gate").warning("span-%05d is dark", 7)
        logging.getLogger("edgeline.release.store").warning("The disk is slow.")
        logging.getLogger("edgeline.gate").info("all is well")
        logging.getLogger("tensorflow").warning("not ours")
    logging.getLogger("edgeline.gate").warning("nobody listens")

    assert events == [
        progress,
        {"event": "warning", "text": "span-00007 is dark"},
        {"event": "warning", "text": "The disk is slow."},
    ]
