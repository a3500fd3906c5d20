"""One run of the DAG, as its parent process sees it: decides within a second, without TensorFlow."""

import os
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import to_builtins

from data.spans.exclusions import decide
from data.spans.layout import find_newest_spans, find_usable_spans
from edgeline.cli.stdout import print_json
from edgeline.errors import DataRefused, EdgelineError, Problem, UsageError, WorkspaceLocked
from edgeline.failures import describe
from edgeline.journal import read_library_versions, utc_now
from edgeline.mlflow import updates
from edgeline.records.events import Event, Planned, Warned, listen
from edgeline.records.outcome import INTERRUPTED_EXIT
from edgeline.records.run import CODE, UNFINISHED, Run
from edgeline.release import store
from edgeline.release.acceptance import check_writer
from edgeline.release.signing import list_public_keys
from edgeline.release.verify import foresee_phone
from edgeline.report.facts import Facts
from edgeline.store.locations import Location, locate
from edgeline.workspace import closing, runs
from edgeline.workspace.known_runs import Place, find_written_facts, write_report
from edgeline.workspace.runs import RunFolder
from runners.local import catch_up, gc, metadata_rows
from runners.local.lock import WorkspaceLock, hold
from runners.local.worker_link import StartWorker, run_worker, start_worker
from runners.shared import inputs
from runners.shared.code import digest_step_files
from runners.shared.progress import LastingOutput, Progress, print_line
from runners.shared.run_options import RunOptions, check_path
from runners.shared.source import read_source

if TYPE_CHECKING:
    from subprocess import Popen

    from edgeline.records.workload import Workload
    from pipeline.settings import Settings

# The modules that send the alerts of a run and write its pages.
_AT_THE_END = ("edgeline.alerts.telling", "edgeline.cli.report", "matplotlib.figure")


def run(options: RunOptions, start: StartWorker = start_worker) -> int:
    """Runs the DAG once in a worker that `start` starts, or says that nothing changed; returns the exit code.

    Raises:
        EdgelineError: The run could not start. A run that started reports its end itself.
        UsageError: A person declined the sample, or the path of the workspace is a pattern.
    """
    started = time.monotonic()
    from rich.console import Console

    options = replace(options, named=options.named.with_whole_path())
    workload, settings = options.named.load()
    check_path(options.workspace.absolute(), "--workspace")
    output: Any = LastingOutput(sys.stderr if options.as_json else sys.stdout)
    console = Console(file=output, highlight=False)
    if options.data is None and not options.sample and console.is_terminal and sys.stdin.isatty():
        _confirm_sample(options.workspace, workload)
    session = _Session(options, workload, settings, console, started, start)

    def wait(holder: str) -> None:
        print_line(console, f"This run waits for the end of {holder}.")

    with ExitStack() as stack:
        try:
            session.lock = stack.enter_context(hold(options.workspace, wait if options.wait else None))
        except WorkspaceLocked:
            raise
        except EdgelineError as error:
            session.send_alerts(describe(error))
            raise
        session.started += session.lock.waited_s
        return session.run()


def _confirm_sample(workspace: Path, workload: "Workload") -> None:
    """Asks whether to make the sample, if it is missing."""
    if inputs.locate_sample(workspace, workload).is_dir():
        return
    import click

    count = inputs.SAMPLE_WEEKS * workload.sample_size
    question = f"--data is not given. Make {count:,} {workload.nouns} as a sample, and train on these"
    if not click.confirm(question, default=True, err=True):
        raise UsageError(
            "There are no examples to train on.",
            "--data is not given, and the sample was declined.",
            "Pass the folder of your spans: --data DIR. `edgeline data import SRC --data DIR` makes one.",
        )


@dataclass
class _Session:
    """The state that the parts of one run share while the workspace is held."""

    options: RunOptions
    workload: "Workload"
    settings: "Settings"
    console: Any
    started: float
    start: StartWorker
    lock: WorkspaceLock = field(init=False)
    start_seconds: float | None = None
    code: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    mirror: "Popen[bytes] | None" = None

    def __post_init__(self) -> None:
        self.workspace = self.options.workspace.absolute()
        self.push = self.settings.push.root(self.workspace)

    def run(self) -> int:
        """Decides whether to run, runs the worker, and reports the end; returns the exit code."""
        runs.mark_killed(self.workspace)
        earlier = runs.read_runs(self.workspace, self.workload.name)
        last = earlier[-1] if earlier else None
        try:
            with Progress(self.console) as progress:
                attempt = self._attempt(earlier, progress)
        except Exception as error:
            self.send_alerts(describe(error))
            raise

        warnings = self._renew_pointer()
        if attempt is None:
            assert last is not None
            for warning in warnings:
                print_line(self.console, warning, "yellow")
            code = self._report_no_change(last)
            self.send_alerts(unchanged=True)
            return code

        run, folder = attempt
        if warnings:
            run = replace(run, warnings=(*run.warnings, *warnings))
            folder.write(run)
        goes_on = self._exclude_refused(run)
        code = self._report(run, folder, is_last=not goes_on)
        if not goes_on:
            return code
        self.started, self.start_seconds = time.monotonic(), None
        return self.run()

    def _exclude_refused(self, run: Run) -> bool:
        """Takes the spans that stopped a run out where the settings say so; returns whether it did.

        The last span stays: without one a run has nothing to train on.
        """
        if not self.settings.gate.exclude_refused or run.outcome not in ("refused", "held"):
            return False
        data, others = locate(run.data), ""
        try:
            names = [span.name for span in find_usable_spans(data)]
            blamed = [span for span in run.blamed_spans if span in names]
            if len(blamed) == len(names):
                return False
            for span in blamed:
                why = next((reason for reason in run.reasons if span in reason), run.reasons[0])
                decide(data, "exclude", span, f"Run {run.id}: {why}", names)
                print_line(self.console, f"{span} is excluded, as gate.exclude_refused says.", "yellow")
                others = "other "
        except (EdgelineError, OSError) as error:
            print_line(self.console, f"No {others}span was excluded: {error}", "yellow")
            return False
        return bool(blamed)

    def _renew_pointer(self) -> list[str]:
        """Signs the pointer again where the Pusher did not: nothing changed, or the data was refused.

        Returns warnings: why it could not, or why phones refuse it.
        """
        push, model = self.settings.push, self.workload.name
        try:
            keys = push.load_keys()
            if store.renew(self.push, model, days=push.pointer_days, **keys) is None:
                return []
            outlook = foresee_phone(self.push, model, list_public_keys(keys))
        except (EdgelineError, OSError) as error:
            return [f"The pointer to production was not renewed: {error}"]
        return [outlook.sentence] if outlook.does == "refuses" else []

    def _attempt(self, earlier: Sequence[Run], progress: Progress) -> tuple[Run, RunFolder] | None:
        """Runs the DAG and records the end; None if nothing changed and `--if-changed` was given."""
        last = earlier[-1] if earlier else None
        inputs.check_settings(self.workload, self.settings)

        data, limits = self._find_data(progress), self.settings.data
        run = self._make_record(data)
        if self.settings.push.require_clean:
            run.source.check_clean()
        try:
            spans = find_newest_spans(data, limits.window, limits.until)
            run = catch_up.add_spans(run, data, spans, limits.window, earlier, limits.until)
            cache = self.workspace / "window.json"
            own = self.settings.own_modules()
            self.code = digest_step_files(self.workload.module, self.workload.source, own)
            known = self.workload, self.settings, self.push, self.code
            digests = inputs.digest_inputs(spans, cache, *known, earlier)
            run = replace(run, inputs=digests)
            check_writer(self.push, self.workload.name, self.settings.push.load_keys())
            if self.options.if_changed and last is not None and self._is_unchanged(last, digests):
                return None
            inputs.check(spans, self.workload, self.settings, self.push)
            metadata_rows.check(self.workspace / metadata_rows.METADATA)
        except DataRefused as refusal:
            run, folder = self._begin(run)
            self._warn_of_missed(run, progress)
            return self._end(run, folder, describe(refusal), progress), folder
        resumed = last if last is not None and self._can_resume(last, digests) else None
        run, folder = self._begin(replace(run, resumes=resumed.id if resumed else None))
        self._announce(run, resumed, progress)
        problem = self._follow(run, folder, progress)
        return self._end(run, folder, problem, progress), folder

    def _find_data(self, progress: Progress) -> Location:
        if self.options.data is not None:
            return self.options.data.absolute()
        with listen(progress.handle):
            return inputs.ensure_sample(self.workspace, self.workload, progress.say)

    def _is_unchanged(self, last: Run, digests: Mapping[str, str]) -> bool:
        if not last.has_verdict or not inputs.have_same_inputs(last.inputs, digests):
            return False
        if last.outcome in ("pushed", "unchanged"):
            return bool(digests["production"])
        # The same data or model may pass the gates against another release, or once a canary has ended.
        return all(last.inputs.get(name, "") == digests[name] for name in ("production", "candidate"))

    def _can_resume(self, last: Run, digests: Mapping[str, str]) -> bool:
        is_unfinished = last.outcome in UNFINISHED and bool(last.finished_steps)
        return is_unfinished and inputs.have_same_inputs(last.inputs, digests)

    def _report_no_change(self, last: Run) -> int:
        ending = {
            "pushed": f"pushed version {last.version}",
            "unchanged": f"version {last.version} stayed in production",
            "held": "which held its model back",
            "refused": "which refused the data",
        }[last.outcome]
        text = f"Nothing changed since run {last.id} ({ending}): the same data, settings and code."
        print_line(self.console, text, "bold green")
        if last.outcome in ("held", "refused"):
            for reason in last.reasons:
                print_line(self.console, f"  - {reason}")
            folder = RunFolder(self.workspace / "runs" / last.id)
            for line, style in closing.format_next_steps(find_written_facts(last, folder)):
                print_line(self.console, line, style)
        if self.options.as_json:
            unchanged = replace(last, outcome="unchanged", exit_code=0, reasons=(text, *last.reasons))
            unchanged = replace(unchanged, new_since=last.id, new_spans=(), missed_spans=())
            print_json(to_builtins(unchanged))
        return 0

    def _make_record(self, data: Location) -> Run:
        from pipeline.settings import find_changed

        return Run(
            id="",
            workload=self.workload.name,
            workload_source=self.options.named.workload,
            data=str(data),
            push=self.push,
            settings=self.settings.recorded(),
            changed=tuple(find_changed(self.settings, self.workload.settings)),
            registry=self.settings.registry.of(self.workspace),
            libraries=read_library_versions(),
            pid=os.getpid(),
            process=runs.identify_process(os.getpid()),
            host=socket.gethostname(),
            source=read_source(self.options.named.workload),
        )

    def _begin(self, run: Run) -> tuple[Run, RunFolder]:
        """Numbers the run, and makes its folder with its record."""
        number = max((run.number for run in runs.read_runs(self.workspace)), default=0) + 1
        folder = runs.create_folder(self.workspace)
        run = replace(run, id=folder.path.name, number=number, started_at=utc_now())
        CODE.write(folder.path, self.code)
        folder.write(run)
        self.lock.note(run.id)
        return run, folder

    def _announce(self, run: Run, resumed: Run | None, progress: Progress) -> None:
        progress.say(f"run {run.id}: {self.workload.name} from {run.data}", "bold")
        for note in run.notes:
            progress.say(note)
        self._warn_of_missed(run, progress)
        if resumed is not None:
            count, steps = len(resumed.finished_steps), len(resumed.steps)
            progress.say(f"resuming run {resumed.id}: {count} of {steps} steps are done")
        for sentence in runs.discard_damaged(self.workspace):
            progress.say(sentence, "yellow")

    def _warn_of_missed(self, run: Run, progress: Progress) -> None:
        if (warning := catch_up.warn_of_missed(run)) is not None:
            progress.handle(Warned(warning))

    def _follow(self, run: Run, folder: RunFolder, progress: Progress) -> Problem | None:
        """Runs the worker to its end; returns the problem that ended it, or None."""

        def handle(event: Event) -> None:
            if isinstance(event, Planned):
                self.start_seconds = round(time.monotonic() - self.started, 3)
                # Imported while the worker is at work: at the end, the files may be those of another commit.
                # Not before: a worker that is forked would keep the locks of this thread's imports.
                threading.Thread(target=lambda: [*map(import_module, _AT_THE_END)], daemon=True).start()
            progress.handle(event)
            if self.console.file.is_lost:
                raise KeyboardInterrupt

        # MLflow is imported meanwhile too. If the run ends before that, the next run brings it there.
        if run.registry is not None and self.mirror is None:
            try:
                self.mirror = updates.start(run, self.workspace, wait=True)
            except OSError as error:  # No run depends on its mirror.
                text = f"MLflow lacks this run: {error.strerror}: {error.filename}."
                progress.say(f"{text} The next run or `edgeline ui` adds it.", "yellow")
        try:
            return run_worker(folder, self.lock.descriptor, handle, start=self.start)
        except KeyboardInterrupt:
            how = "its output was closed" if self.console.file.is_lost else "Ctrl-C or SIGTERM"
            return Problem(f"The run was stopped ({how}).", exit_code=INTERRUPTED_EXIT)
        except OSError as error:  # for example no room for another process
            return describe(error)

    def _end(self, run: Run, folder: RunFolder, problem: Problem | None, progress: Progress) -> Run:
        run = closing.conclude(run, folder, problem, progress.warnings)
        seconds = round(time.monotonic() - self.started, 3)
        run = replace(run, ended_at=utc_now(), seconds=seconds, start_seconds=self.start_seconds)
        folder.write(run)
        if (max_gb := self.settings.workspace.max_gb) is not None:
            warnings = gc.keep_within(self.workspace, max_gb, self.push, self.settings.push.load_keys())
            run = replace(run, warnings=(*run.warnings, *warnings))
            folder.write(run)
        return run

    def _write_report(self, run: Run, folder: RunFolder) -> tuple[Path | None, Facts | None]:
        """Writes the pages of this run and of all; an error is printed, and does not fail the run.

        Returns the path of this run's page, and its facts.
        """
        try:
            from edgeline.cli.report import write_index

            page, facts = write_report(run, folder)
            write_index(Place(self.workspace, run.workload))
        except (Exception, KeyboardInterrupt) as error:
            text = f"Not all pages could be written: {type(error).__name__}: {error}"
            print_line(self.console, text, "yellow")
            return None, None
        return page, facts

    def send_alerts(self, not_begun: Problem | None = None, unchanged: bool = False) -> list[str]:
        """Sends the alerts of a run that ended, could not begin or found nothing new.

        Failures are printed and returned, and do not fail the run.
        """
        if not self.settings.alerts.channels:
            return []
        from edgeline.alerts.telling import look_at_workspace, send_new_alerts

        place = self.workspace, self.workload.name, self.push
        _, failures = send_new_alerts(
            self.settings.alerts, partial(look_at_workspace, *place, not_begun, unchanged)
        )
        for failure in failures:
            print_line(self.console, failure, "yellow")
        return failures

    def _report(self, run: Run, folder: RunFolder, is_last: bool) -> int:
        if run.steps:
            for line in closing.format_times(run, self.console.width):
                print_line(self.console, line)
        page, facts = self._write_report(run, folder)
        for line, style in closing.describe_end(run, folder, facts, closing.find_release(run)):
            print_line(self.console, line, style)
        if page:
            print_line(self.console, f"Report: {page}")
        if failures := self.send_alerts():
            run = replace(run, warnings=(*run.warnings, *failures))
            with suppress(OSError), folder.log.open("a", encoding="utf-8") as log:
                folder.write(run)
                log.writelines(f"{failure}\n" for failure in failures)
        # The mirror takes all runs that have ended, so a run that goes on without a span leaves it waiting.
        if is_last and self.mirror and (problem := updates.finish(self.mirror, self.workspace)):
            print_line(self.console, problem, "yellow")
        if self.options.as_json and is_last:
            print_json({**to_builtins(run), "report": str(page) if page else None})
        assert run.exit_code is not None
        return run.exit_code
