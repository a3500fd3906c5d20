"""One run of the DAG, as its parent process sees it: decides within a second, without TensorFlow.

What follows a run is not here: listeners hear of its moments.
"""

import os
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from msgspec import to_builtins

from data.spans.layout import find_newest_spans
from edgeline.cli.stdout import print_json
from edgeline.errors import DataRefused, EdgelineError, Problem, UsageError, WorkspaceLocked
from edgeline.failures import describe_error
from edgeline.journal import read_library_versions, utc_now
from edgeline.records.events import Event, Planned, Warned, listen
from edgeline.records.outcome import INTERRUPTED_EXIT
from edgeline.records.run import CODE, UNFINISHED, Run
from edgeline.release import store
from edgeline.release.acceptance import check_writer
from edgeline.release.signing import list_public_keys
from edgeline.release.verify import foresee_phone
from edgeline.store.locations import Location
from edgeline.workspace import runs
from edgeline.workspace.runs import RunFolder
from runners.local import catch_up, metadata_rows
from runners.local.conclusion import conclude
from runners.local.lock import WorkspaceLock, hold
from runners.local.worker_link import StartWorker, run_worker, start_worker
from runners.shared import inputs
from runners.shared.code import digest_step_files
from runners.shared.progress import LastingOutput, Progress, print_line
from runners.shared.run_options import RunOptions, check_path
from runners.shared.source import read_source

if TYPE_CHECKING:
    from edgeline.records.workload import Workload
    from pipeline.settings import Settings

# A run began; its worker is at work; it ended. Or it could not begin, or found nothing new.
Moment = Literal["begun", "planned", "ended", "not begun", "unchanged"]
Listener = Callable[[Moment, "Session"], None]


def run(options: RunOptions, listeners: Sequence[Listener], start: StartWorker = start_worker) -> int:
    """Runs the DAG once in a worker, or says that nothing changed; returns the exit code.

    Args:
        options: Those of the command; relative paths are those of the current folder.
        listeners: They hear of each moment in turn. One may let the run go on: then it runs once more.
        start: Starts the worker; the drill and tests fork it from a warm process.

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
    session = Session(options, workload, settings, console, started, listeners, start)

    def wait(holder: str) -> None:
        print_line(console, f"This run waits for the end of {holder}.")

    with ExitStack() as stack:
        try:
            session.lock = stack.enter_context(hold(options.workspace, wait if options.wait else None))
        except WorkspaceLocked:
            raise
        except EdgelineError as error:
            session.fail(error)
            raise
        session.started += session.lock.waited_s
        while (code := session.run()) is None:
            session.started = time.monotonic()
        return code


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
class Session:
    """The state that the parts of one run, and its listeners, share while the workspace is held."""

    options: RunOptions
    workload: "Workload"
    settings: "Settings"
    console: Any
    started: float
    listeners: Sequence[Listener]
    start: StartWorker
    lock: WorkspaceLock = field(init=False)
    record: Run = field(init=False)  # of this run, or of the last one where nothing changed
    folder: RunFolder = field(init=False)
    problem: Problem | None = None  # why the run could not begin
    page: Path | None = None  # its page, once a listener has written it
    goes_on: bool = False  # a listener removed what stopped the run
    start_seconds: float | None = None
    code: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.workspace = self.options.workspace.absolute()
        self.push = self.settings.push.root(self.workspace)

    def tell(self, moment: Moment) -> None:
        """Tells all listeners of a moment."""
        for listener in self.listeners:
            listener(moment, self)

    def fail(self, error: BaseException) -> None:
        """Tells that an error keeps the run from beginning."""
        self.problem = describe_error(error)
        self.tell("not begun")

    def warn(self, warnings: Sequence[str]) -> None:
        """Adds warnings to the record."""
        if warnings:
            self.record = replace(self.record, warnings=(*self.record.warnings, *warnings))
            self.folder.write(self.record)

    def run(self) -> int | None:
        """Decides whether to run, runs the worker, and reports the end.

        Returns the exit code; None if the run goes on, since a listener removed what stopped it.
        """
        runs.mark_killed(self.workspace)
        earlier = runs.read_runs(self.workspace, self.workload.name)
        self.page, self.goes_on, self.start_seconds = None, False, None
        try:
            with Progress(self.console) as progress:
                has_run = self._attempt(earlier, progress)
        except Exception as error:
            self.fail(error)
            raise

        warnings = self._renew_pointer()
        if not has_run:
            for warning in warnings:
                print_line(self.console, warning, "yellow")
            return self._report_no_change(earlier[-1])

        self.warn(warnings)
        self.tell("ended")
        if self.goes_on:
            return None
        if self.options.as_json:
            page = str(self.page) if self.page else None
            print_json({**to_builtins(self.record), "report": page})
        return self.record.exit_code

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

    def _attempt(self, earlier: Sequence[Run], progress: Progress) -> bool:
        """Runs the DAG and records the end; returns False if nothing changed and `--if-changed` was given."""
        last = earlier[-1] if earlier else None
        inputs.check_settings(self.workload, self.settings)

        data = self._find_data(progress)
        limits = self.settings.data
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
                return False
            inputs.check_inputs(spans, self.workload, self.settings, self.push)
            metadata_rows.check_database(self.workspace / metadata_rows.METADATA)
        except DataRefused as refusal:
            self._begin(run)
            self._warn_of_missed(progress)
            self._end(describe_error(refusal), progress)
            return True
        resumed = last if last is not None and self._can_resume(last, digests) else None
        self._begin(replace(run, resumes=resumed.id if resumed else None))
        self._announce(resumed, progress)
        self._end(self._follow(progress), progress)
        return True

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
        self.record, self.folder = last, RunFolder(self.workspace / "runs" / last.id)
        self.tell("unchanged")
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

    def _begin(self, run: Run) -> None:
        """Numbers the run, and makes its folder with its record."""
        number = max((run.number for run in runs.read_runs(self.workspace)), default=0) + 1
        self.folder = runs.create_folder(self.workspace)
        self.record = replace(run, id=self.folder.path.name, number=number, started_at=utc_now())
        CODE.write(self.folder.path, self.code)
        self.folder.write(self.record)
        self.lock.note(self.record.id)

    def _announce(self, resumed: Run | None, progress: Progress) -> None:
        progress.say(f"run {self.record.id}: {self.workload.name} from {self.record.data}", "bold")
        for note in self.record.notes:
            progress.say(note)
        self._warn_of_missed(progress)
        if resumed is not None:
            count, steps = len(resumed.finished_steps), len(resumed.steps)
            progress.say(f"resuming run {resumed.id}: {count} of {steps} steps are done")
        for sentence in runs.discard_damaged(self.workspace):
            progress.say(sentence, "yellow")

    def _warn_of_missed(self, progress: Progress) -> None:
        if (warning := catch_up.warn_of_missed(self.record)) is not None:
            progress.handle(Warned(warning))

    def _follow(self, progress: Progress) -> Problem | None:
        """Runs the worker to its end; returns the problem that ended it, or None."""

        def handle(event: Event) -> None:
            if isinstance(event, Planned):
                self.start_seconds = round(time.monotonic() - self.started, 3)
                self.tell("planned")
            progress.handle(event)
            if self.console.file.is_lost:
                raise KeyboardInterrupt

        self.tell("begun")
        try:
            return run_worker(self.folder, self.lock.descriptor, handle, start=self.start)
        except KeyboardInterrupt:
            how = "its output was closed" if self.console.file.is_lost else "Ctrl-C or SIGTERM"
            return Problem(f"The run was stopped ({how}).", exit_code=INTERRUPTED_EXIT)
        except OSError as error:  # for example no room for another process
            return describe_error(error)

    def _end(self, problem: Problem | None, progress: Progress) -> None:
        run = conclude(self.record, self.folder, problem, progress.warnings)
        seconds = round(time.monotonic() - self.started, 3)
        self.record = replace(run, ended_at=utc_now(), seconds=seconds, start_seconds=self.start_seconds)
        self.folder.write(self.record)
