"""One run of the DAG, seen from the light side: what needs no TensorFlow is decided here, in a second."""

import os
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import to_builtins

from data.spans.layout import newest_spans
from errors import DataRefused
from journal import utc_now
from locations import Location
from records.outcome import INTERRUPTED_EXIT
from records.run import CODE, UNFINISHED, Problem, Run
from release import store
from release.signing import signing_key
from runners.local import artifact_records, catch_up, closing, gc, mirror
from runners.local.lock import WorkspaceLock, hold
from runners.local.worker_link import run_worker
from runners.shared import inputs, runs
from runners.shared.code import step_files
from runners.shared.events import Event, listen
from runners.shared.failures import describe, describe_death
from runners.shared.progress import Progress, print_line
from runners.shared.run_options import RunOptions
from runners.shared.runs import RunFolder
from runners.shared.stdout import print_json

if TYPE_CHECKING:
    from subprocess import Popen

    from pipeline.settings import Settings
    from records.workload import Workload


def run(options: RunOptions) -> int:
    """Runs the DAG once, or says that nothing changed; returns the exit code.

    Raises:
        EdgelineError: The run could not start; one that started reports its end itself.
    """
    started = time.monotonic()
    from rich.console import Console

    options = replace(options, named=options.named.with_whole_path())
    workload, settings = options.named.load()
    console = Console(stderr=options.as_json, highlight=False)
    with hold(options.workspace) as lock:
        return _Session(options, workload, settings, lock, console, started).run()


@dataclass
class _Session:
    """What the parts of one run share while the workspace is held."""

    options: RunOptions
    workload: "Workload"
    settings: "Settings"
    lock: WorkspaceLock
    console: Any
    started: float
    start_seconds: float | None = None
    code: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    mirror: "Popen[bytes] | None" = None

    def __post_init__(self) -> None:
        self.workspace = self.options.workspace.absolute()
        self.push = self.settings.push.root(self.workspace)

    def run(self) -> int:
        """Decides, runs the worker, and says how it ended."""
        runs.mark_killed(self.workspace)
        earlier = runs.read_runs(self.workspace, self.workload.name)
        last = earlier[-1] if earlier else None
        try:
            with Progress(self.console) as progress:
                ended = self._attempt(earlier, progress)
        except Exception as error:
            event = describe(error, None)
            self._alert(Problem(event["found"], event["why"], event["do"]))
            raise
        if ended is None:
            assert last is not None
            code = self._say_nothing_changed(last)
            self._alert()
            return code
        return self._report(*ended)

    def _attempt(self, earlier: Sequence[Run], progress: Progress) -> tuple[Run, RunFolder] | None:
        """The run, ended and recorded; None where nothing changed and none was wanted then."""
        last = earlier[-1] if earlier else None
        data = self._data(progress)
        digests: dict[str, str] = {}
        looked: dict[str, Any] = {}
        try:
            spans = newest_spans(data, self.settings.data.window)
            looked = catch_up.look(data, spans, self.settings.data.window, earlier)
            cache = self.workspace / "window.json"
            self.code = step_files(self.workload.module, self.workload.source)
            digests = inputs.digests(spans, cache, self.workload, self.settings, self.push, self.code)
            if self.options.if_changed and last is not None and self._nothing_changed(last, digests):
                return None
            said = self.settings.push
            # Told now, not after the training.
            signed = signing_key(said.key) is not None
            store.check_push(self.push, self.workload.name, said.rollback_epoch, signed)
            inputs.check_spans(spans, self.workload)
        except DataRefused as refusal:
            run, folder = self._begin(data, digests, looked, None)
            self._warn_of_missed(run, progress)
            return self._end(run, folder, describe(refusal, None), progress), folder
        resumed = last if last is not None and self._resumable(last, digests) else None
        run, folder = self._begin(data, digests, looked, resumed)
        self._announce(run, resumed, progress)
        error = self._follow(run, folder, progress)
        return self._end(run, folder, error, progress), folder

    def _data(self, progress: Progress) -> Location:
        if self.options.data is not None:
            return self.options.data.absolute()
        with listen(progress.handle):
            return inputs.ensure_sample(self.workspace, self.workload, progress.say)

    def _nothing_changed(self, last: Run, digests: Mapping[str, str]) -> bool:
        if not last.has_verdict or not inputs.same_inputs(last.inputs, digests):
            return False
        if last.outcome in ("pushed", "unchanged"):
            return bool(digests["production"])
        # Beside another release the same data or model may pass.
        return last.inputs["production"] == digests["production"]

    def _resumable(self, last: Run, digests: Mapping[str, str]) -> bool:
        same = inputs.same_inputs(last.inputs, digests)
        return last.outcome in UNFINISHED and last.finished_steps > 0 and same

    def _say_nothing_changed(self, last: Run) -> int:
        ended = {
            "pushed": f"pushed version {last.version}",
            "unchanged": f"version {last.version} stayed in production",
            "held": "which held its model back",
            "refused": "which refused the data",
        }[last.outcome]
        text = f"Nothing changed since run {last.id} ({ended}): the same data, settings and code."
        print_line(self.console, text, "bold green")
        if last.outcome in ("held", "refused"):
            for reason in last.reasons:
                print_line(self.console, f"  - {reason}")
        if (way := closing.way_on(last)) is not None:
            print_line(self.console, way)
        if self.options.as_json:
            unchanged = replace(last, outcome="unchanged", exit_code=0, reasons=(text, *last.reasons))
            unchanged = replace(unchanged, new_since=last.id, new_spans=(), missed_spans=())
            print_json(to_builtins(unchanged))
        return 0

    def _begin(
        self, data: Location, digests: Mapping[str, str], looked: Mapping[str, Any], resumed: Run | None
    ) -> tuple[Run, RunFolder]:
        number = max((run.number for run in runs.read_runs(self.workspace)), default=0) + 1
        folder = runs.create_folder(self.workspace)
        run = Run(
            id=folder.path.name,
            number=number,
            workload=self.workload.name,
            workload_source=self.options.named.workload,
            data=str(data),
            push=self.push,
            settings=self.settings.recorded(),
            registry=self.settings.registry.of(self.workspace),
            pid=os.getpid(),
            process=runs.process_of(os.getpid()),
            host=socket.gethostname(),
            started_at=utc_now(),
            inputs=digests,
            resumes=resumed.id if resumed else None,
            **looked,
        )
        CODE.write(folder.path, self.code)
        folder.write(run)
        self.lock.note(run.id)
        return run, folder

    def _announce(self, run: Run, resumed: Run | None, progress: Progress) -> None:
        progress.say(f"run {run.id}: {self.workload.name} from {run.data}", "bold")
        for line in catch_up.span_lines(run):
            progress.say(line)
        self._warn_of_missed(run, progress)
        if resumed is not None:
            done, steps = resumed.finished_steps, len(resumed.steps)
            progress.say(f"resuming run {resumed.id}: {done} of {steps} steps are done")
        for sentence in artifact_records.discard_damaged(self.workspace):
            progress.say(sentence, "yellow")

    def _warn_of_missed(self, run: Run, progress: Progress) -> None:
        if (missed := catch_up.missed_warning(run)) is not None:
            progress.handle({"event": "warning", "text": missed})

    def _follow(self, run: Run, folder: RunFolder, progress: Progress) -> Event | None:
        """Runs the worker to its end; returns what went wrong."""
        errors: list[Event] = []

        def handle(event: Event) -> None:
            if event.get("event") == "error":
                errors.append(event)
            elif event.get("event") == "plan":
                self.start_seconds = round(time.monotonic() - self.started, 3)
            progress.handle(event)

        # While the worker is at work there is time to import what the page of the run is drawn with.
        threading.Thread(target=import_module, args=("matplotlib.figure",), daemon=True).start()
        # And MLflow. A run that ends before that is there for the next one, in a second as ever.
        if run.registry is not None:
            self.mirror = mirror.start(run, self.workspace, told=True)
        try:
            code = run_worker(folder, self.lock.descriptor, handle)
        except KeyboardInterrupt:
            found = "The run was asked to end (Ctrl-C or SIGTERM)."
            return {"exit_code": INTERRUPTED_EXIT, "found": found, "why": "", "do": ""}
        if errors:
            return errors[0]
        running = [step.name for step in folder.read_steps() if step.state == "running"]
        return describe_death(code, running[-1] if running else None, folder.log) if code != 0 else None

    def _end(self, run: Run, folder: RunFolder, error: Event | None, progress: Progress) -> Run:
        run = closing.conclude(run, folder, error, progress.warnings)
        seconds = round(time.monotonic() - self.started, 3)
        run = replace(run, ended_at=utc_now(), seconds=seconds, start_seconds=self.start_seconds)
        folder.write(run)
        if (most := self.settings.workspace.max_gb) is not None:
            warnings = gc.keep_within(self.workspace, most, self.push)
            run = replace(run, warnings=(*run.warnings, *warnings))
            folder.write(run)
        return run

    def _leave_report(self, run: Run, folder: RunFolder) -> Path | None:
        """The page of the run; whatever keeps it from being made changes nothing of how the run ended."""
        try:
            from runners.local.report import write_report

            page = write_report(run, folder)
        except (Exception, KeyboardInterrupt) as error:
            text = f"There is no report of this run: {type(error).__name__}: {error}"
            print_line(self.console, text, "yellow")
            return None
        print_line(self.console, f"Report: {page}")
        return page

    def _alert(self, not_begun: Problem | None = None) -> list[str]:
        """Tells who is to be told; what does not work is said, and changes nothing of how the run ended."""
        if not self.settings.alerts.channels:
            return []
        from runners.alerts.telling import tell
        from runners.local.alerts import look_at_workspace

        looking = partial(look_at_workspace, self.workspace, self.workload.name, self.push, not_begun)
        _, failures = tell(self.settings.alerts, looking)
        for failure in failures:
            print_line(self.console, failure, "yellow")
        return failures

    def _report(self, run: Run, folder: RunFolder) -> int:
        if run.steps:
            for line in closing.time_table(run, self.console.width):
                print_line(self.console, line)
        for line, style in closing.last_lines(run, folder, store.current(self.push, run.workload)):
            print_line(self.console, line, style)
        page = self._leave_report(run, folder)
        if failures := self._alert():
            run = replace(run, warnings=(*run.warnings, *failures))
            with suppress(OSError), folder.log.open("a", encoding="utf-8") as log:
                folder.write(run)
                log.writelines(f"{failure}\n" for failure in failures)
        if self.mirror is not None and (problem := mirror.finish(self.mirror, self.workspace)):
            print_line(self.console, problem, "yellow")
        if self.options.as_json:
            print_json({**to_builtins(run), "report": str(page) if page else None})
        assert run.exit_code is not None
        return run.exit_code
