"""The listeners of a run on this machine: pages, alerts, MLflow, what is removed and excluded, in one list.

A run tells them its moments, and knows none of them.
"""

import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from itertools import chain

from data.spans.exclusions import decide
from data.spans.layout import find_usable_spans
from edgeline.cli.stdout import name_model
from edgeline.errors import EdgelineError
from edgeline.mlflow import updates
from edgeline.report.facts import Facts
from edgeline.report.sources import Sources
from edgeline.store.locations import locate
from edgeline.workspace import closing
from edgeline.workspace.known_runs import find_written_facts, list_models, write_report
from edgeline.workspace.place import Place
from runners.local import gc
from runners.local.conclusion import find_release, read_verdicts
from runners.local.run import Listener, Moment, Session
from runners.shared.progress import print_line

# The modules that send the alerts of a run and write its pages.
_AT_THE_END = ("edgeline.alerts.telling", "edgeline.cli.report", "matplotlib.figure")


def import_the_rest(moment: Moment, session: Session) -> None:
    """Imports the listeners' own modules while the worker is at work: later they may be of another commit.

    Not before: a worker that is forked would keep the locks of this thread's imports.
    """
    if moment == "planned":
        threading.Thread(target=lambda: [*map(import_module, _AT_THE_END)], daemon=True).start()


def keep_within_limit(moment: Moment, session: Session) -> None:
    """Removes old runs and releases where the workspace has become larger than it may be."""
    max_gb = session.settings.workspace.max_gb
    if moment == "ended" and max_gb is not None:
        keys = session.settings.push.load_keys()
        session.warn(gc.keep_within(session.workspace, max_gb, session.push, keys))


def exclude_refused(moment: Moment, session: Session) -> None:
    """Takes the spans that stopped a run out where the settings say so; the run goes on without them.

    The last span stays: without one a run has nothing to train on.
    """
    if moment != "ended" or not session.settings.gate.exclude_refused:
        return
    run = session.record
    if run.outcome not in ("refused", "held"):
        return
    data = locate(run.data)
    others = ""
    findings = [*chain(*(verdict.blocking for verdict in read_verdicts(Sources.of(run))))]
    try:
        names = [span.name for span in find_usable_spans(data)]
        blamed = [span for span in run.blamed_spans if span in names]
        if len(blamed) == len(names):
            return
        for span in blamed:
            why = next((item.sentence for item in findings if span in item.spans), run.reasons[0])
            decide(data, "exclude", span, f"Run {run.id}: {why}", names)
            print_line(session.console, f"{span} is excluded, as gate.exclude_refused says.", "yellow")
            others = "other "
    except (EdgelineError, OSError) as error:
        print_line(session.console, f"No {others}span was excluded: {error}", "yellow")
        return
    session.goes_on = bool(blamed)


def show_end(moment: Moment, session: Session) -> None:
    """Writes the pages of an ended run, and prints how it ended; of a run that found nothing new, what to do.

    An error in a page is printed, and does not fail the run.
    """
    if moment == "unchanged" and session.record.outcome in ("held", "refused"):
        facts = find_written_facts(session.record, session.folder)
        for line, style in closing.format_next_steps(facts):
            print_line(session.console, line, style)
    if moment != "ended":
        return
    run, folder, console = session.record, session.folder, session.console
    if run.steps:
        for line in closing.format_times(run, console.width):
            print_line(console, line)
    facts = _write_pages(session)
    with name_model(run.workload, list_models(Place(session.workspace, None))):
        for line, style in closing.describe_end(run, folder, facts, find_release(run)):
            print_line(console, line, style)
    if session.page is not None:
        print_line(console, f"Report: {session.page}")


def _write_pages(session: Session) -> Facts | None:
    """Writes the pages of this run and of all; returns the facts of this one, None if that failed."""
    try:
        from edgeline.cli.report import write_index

        page, facts = write_report(session.record, session.folder)
        write_index(Place(session.workspace, session.workload.name))
    except (Exception, KeyboardInterrupt) as error:
        text = f"Not all pages could be written: {type(error).__name__}: {error}"
        print_line(session.console, text, "yellow")
        return None
    session.page = page
    return facts


def send_alerts(moment: Moment, session: Session) -> None:
    """Sends the alerts of a run that ended, could not begin or found nothing new.

    Failures are printed, become warnings of a run that ended, and do not fail it.
    """
    settings = session.settings.alerts
    if moment in ("begun", "planned") or not settings.channels:
        return
    from edgeline.alerts.telling import look_at_workspace, send_new_alerts

    place = session.workspace, session.workload.name, session.push
    _, failures = send_new_alerts(
        settings, partial(look_at_workspace, *place, session.problem, moment == "unchanged")
    )
    for failure in failures:
        print_line(session.console, failure, "yellow")
    if moment == "ended" and failures:
        with suppress(OSError), session.folder.log.open("a", encoding="utf-8") as log:
            session.warn(failures)
            log.writelines(f"{failure}\n" for failure in failures)


class Mirror:
    """Brings a run to MLflow: a process imports it meanwhile. No run depends on its mirror."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self, moment: Moment, session: Session) -> None:
        """Starts the process where a run begins; has it mirror where the last one ended.

        It takes all runs that have ended, so a run that goes on without a span leaves it waiting. If a run
        ends before MLflow is imported, the next run brings it there.
        """
        if moment == "begun" and session.record.registry is not None and self._process is None:
            try:
                self._process = updates.start(session.record, session.workspace, wait=True)
            except OSError as error:
                text = f"MLflow lacks this run: {error.strerror}: {error.filename}."
                print_line(session.console, f"{text} The next run or `edgeline ui` adds it.", "yellow")
        if moment == "ended" and self._process is not None and not session.goes_on:
            if problem := updates.finish(self._process, session.workspace):
                print_line(session.console, problem, "yellow")
            self._process = None


def make_listeners() -> Sequence[Listener]:
    """Returns the listeners of one call of `edgeline run`, in the order in which they hear of a moment."""
    return (import_the_rest, keep_within_limit, exclude_refused, show_end, send_alerts, Mirror())
