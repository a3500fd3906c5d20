"""A simulated Monday: its photos, its runs with their faults, its phones, and what holds afterwards."""

import os
import random
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from datetime import time as day_time
from functools import partial
from itertools import chain
from pathlib import Path

from data.spans.exclusions import find_excluded_spans
from data.spans.layout import find_spans
from data.spans.sample import find_monday
from drill import forks
from drill.faults import CANARIES, COPIES, FAULTS, FILMED_AGAIN, Drawn, Effect, Plan
from drill.fleet import SEEN, answer, follow
from drill.forks import Fork
from drill.harm import Harm, make_harm, refuse_everybody
from drill.hidden_tests import SCORES, score_models
from drill.photos import deliver
from drill.promises import find_broken
from drill.record import ARMS, KEPT, Attempt, Week, Year
from edgeline.cli.main import Commands, print_error
from edgeline.cli.stdout import make_rewriter, rewrite_commands
from edgeline.errors import EdgelineError
from edgeline.records.edge import EDGE_FILES
from edgeline.records.ingest import name_span
from edgeline.records.json_file import decode
from edgeline.records.run import Run
from edgeline.release import store
from edgeline.release.history import find_pointer, read_history
from edgeline.release.layout import PushFolder, hash_bytes
from edgeline.report.sources import Sources
from edgeline.store.locations import locate, measure_size
from edgeline.workspace import runs
from runners.cli.main import COMMANDS, main
from runners.local import run as local
from runners.local.listeners import make_listeners
from runners.shared.run_options import NamedSettings, RunOptions

_OURS, _NEVER, _WITHOUT = ARMS
WORKLOAD = "shelf"
PROFILE = str(Path(__file__).parent / "settings.yaml")
_HOOK = "EDGELINE_DRILL_HOOK"  # names the address of a webhook, in a setting of faults.yaml
_BACK = timedelta(days=16)
_END_S = 60.0
_MOST_ATTEMPTS = 3
_FEWEST_FOR_SHARES = 100  # photos of a week: with fewer, gates compare the labels of some weeks with none
_LAST_LINES = 12  # of what a run printed, beside the reasons in its record
_LOGIN = "LOGIN"  # in a setting of faults.yaml, the address of a server that refuses every login
# The settings of a run that begins or ends a canary: half of six phones answer some 60 photos a week.
_CANARY = (
    "push.canary_percent=50",
    "evaluation.served=[{slice: overall, max_drop: 0.15, min_checked: 20, min_groups: 4}]",
)
# Models of the arm without gates, where Edgeline refused the data.
_NO_GATES = (
    "gate.severity={schema: off, drift: off, large_drift: off, label_shift: off, class_count: off,"
    " empty_span: off, quarantine: off, missing_value: off, twins: off, labels: off}",
    "evaluation={bounds: [], beat_majority: false, min_class_examples: 1000000}",
)


@dataclass(frozen=True)
class DrillOptions:
    """The options of a drill."""

    weeks: int
    seed: int
    faults: Path | None
    workspace: Path
    photos: int
    overrides: tuple[str, ...]


class Simulation:
    """The places of a drill, and what it knows from week to week."""

    def __init__(self, options: DrillOptions, folder: Path, eval_share: float) -> None:
        self._options, self._eval_share = options, eval_share
        self._data, self._workspace = folder / "data", folder / "workspace"
        self._phones, self._models, self._logs = (folder / name for name in ("phones", "models", "logs"))
        self._scratch, self._ungated = folder / "scratch", folder / "without-gates"
        self._push = self._workspace / "push"
        self._names: dict[str, str] = {}  # of models, by the digest of their file
        self._usual_s = 30.0  # seconds of the last run that pushed
        self._environment: dict[str, str] = {}
        self._login = ""
        self._forks: list[Fork] = []

    @contextmanager
    def open_places(self) -> Iterator[None]:
        """Makes the folders, a temporary one for all runs, a webhook that never answers, and a bad login."""
        self._logs.mkdir()
        with (
            tempfile.TemporaryDirectory(prefix="drill-") as temporary,
            socket.create_server(("127.0.0.1", 0), backlog=64) as hook,
            socket.create_server(("127.0.0.1", 0), backlog=64) as login,
        ):
            self._environment = {**os.environ, "TMPDIR": temporary, _HOOK: _make_url(hook)}
            self._login = _make_url(login)
            self._fork(partial(refuse_everybody, login), "login")
            try:
                yield
            finally:
                for fork in self._forks:
                    if fork.poll() is None:
                        fork.terminate()
                        with suppress(subprocess.TimeoutExpired):
                            fork.wait(_END_S)

    def deliver(self, number: int, rates: Mapping[str, float] = {}) -> None:
        """Writes a span."""
        deliver(self._data, number, self._options.photos, self._options.seed, rates, self._eval_share)

    def simulate_week(self, year: Year, number: int, plan: Plan) -> Year:
        """Returns the year with one more week: its photos, its runs, and what holds afterwards.

        Args:
            year: The weeks before; it is not changed.
            number: The number of the week, from 1.
            plan: The faults of all weeks; a week that it lacks has none.
        """
        started = time.monotonic()
        faults = plan.get(number, ())
        rates = {item.name: item.rate for item in faults}
        self.deliver(year.history + number, rates)
        before = year.weeks[-1] if year.weeks else Week(0)
        self._answer(year.history + number, before)
        at = datetime.combine(find_monday(year.history + number + 1), day_time(3), timezone.utc)
        week = Week(
            number,
            tuple(item.name for item in faults),
            tuple(find_effect(item, rates, year, number) for item in faults),
            tuple(item.fault.cause for item in faults),
        )

        phones = self._fork(partial(follow, self._push, WORKLOAD, self._phones, self._scratch), "phones", at)
        later = at + timedelta(hours=6)
        if "missed" in rates:  # No run renews the pointer, so a person does, as an alert asks.
            self._call(later, "renew")
        else:
            week = self._run(week, faults, at)
        week = self._end_canary(week, before, later)
        if "rollback" in rates:
            before_it = self._find_versions()
            self._call(later, "rollback", "--reason", "drill")
            if self._find_versions() == before_it:
                week = replace(week, idle=(*week.idle, "rollback"))

        self._call(later, "gc", "--keep", str(KEPT))
        assert phones.stdin is not None
        phones.stdin.close()
        phones.wait()
        observed = SEEN.read(self._scratch)
        week = replace(week, ran=observed.ran, phone=observed.wrong)

        week = self._look(week, later)
        week = self._score(year, week)
        year = replace(year, weeks=(*year.weeks, replace(week, seconds=time.monotonic() - started)))
        week = replace(year.weeks[-1], broken=tuple(find_broken(year)))
        return replace(year, weeks=(*year.weeks[:-1], week))

    def _run(self, week: Week, faults: Sequence[Drawn], at: datetime) -> Week:
        """Runs the pipeline, and again where a fault stopped it."""
        names = [fault.name for fault in faults]
        overrides = tuple(chain.from_iterable(item.fault.settings for item in faults))
        overrides = tuple(word.replace(_LOGIN, self._login) for word in overrides)
        overrides += _CANARY if CANARIES & set(names) or self._find_candidate() else ()

        rng = random.Random(f"instant {self._options.seed} {week.number}")
        instant = rng.random() * self._usual_s
        folder = self._workspace / "runs"
        harms = {name: harm for name in names if (harm := make_harm(name, folder, instant))}
        clock = at - _BACK if "clock-back" in names else at

        for count in range(_MOST_ATTEMPTS):
            attempts = self._start(week, overrides, clock, () if count else tuple(harms.values()))
            week = replace(week, attempts=(*week.attempts, *attempts))
            if any(attempt.outcome == "refused" for attempt in attempts):
                week = self._run_without_gates(week, clock)
            if attempts[-1].outcome == "pushed":
                self._usual_s = attempts[-1].seconds
            if attempts[-1].exit_code in (0, 3):
                break
            clock = max(clock, at) + timedelta(hours=1)

        excluded = {d.span: d.reason for d in find_excluded_spans(self._data).values()}
        idle = tuple(name for name, harm in harms.items() if not harm.has_struck)
        return replace(week, excluded=excluded, idle=idle)

    def _run_without_gates(self, week: Week, at: datetime) -> Week:
        """Returns the week with the model that a run without gates trains, also on excluded spans."""
        spans = self._ungated / "data"
        spans.mkdir(parents=True, exist_ok=True)
        for span in find_spans(self._data):
            if not (link := spans / span.name).exists():
                link.symlink_to(Path(str(span.path)))
        *_, last = self._start(week, _NO_GATES, at, data=spans, workspace=self._ungated / "workspace")
        return replace(week, ungated=last.trained or week.ungated)

    def _answer(self, number: int, before: Week) -> None:
        """Has the phones answer the photos of a span, with the releases that they run."""
        places = self._data / name_span(number), number, self._push, WORKLOAD, self._phones
        if (
            self._phones.exists()
            and self._fork(partial(answer, *places, before.bad, self._options.seed), "phones").wait()
        ):
            raise EdgelineError("The phones could not answer.", "", f"Read {self._logs / 'phones.log'}.")

    def _find_candidate(self) -> int:
        """Returns the version of the open canary; 0 if none is open."""
        versions = self._find_versions()
        return versions[1] if len(versions) > 1 else 0

    def _find_versions(self) -> tuple[int, ...]:
        """Returns the version in production, and that of an open canary."""
        pointer = find_pointer(PushFolder(locate(self._push)), WORKLOAD) if self._push.exists() else None
        return pointer.versions if pointer else ()

    def _end_canary(self, week: Week, before: Week, at: datetime) -> Week:
        """Returns the week with what became of the canary of the week before, and with its own.

        The run that ended one has begun the next, which a person promotes, unless this week is to have one.
        """
        candidate = self._find_candidate()
        ending = ""
        has_begun = candidate not in (0, before.candidate)
        if before.candidate and candidate == before.candidate:
            ending = "waits"
        elif before.candidate:
            changes = read_history(PushFolder(locate(self._push)), WORKLOAD).changes[::-1]
            ending = next(
                change.action
                for change in changes
                if change.action in ("promote", "rollback")
                and before.candidate in (change.from_version, change.to_version)
            )
        if has_begun and not CANARIES & set(week.faults):
            self._call(at, "promote", str(candidate), "--reason", "drill")
            candidate = 0
        bad = candidate if has_begun and "bad-canary" in week.faults else before.bad
        idle = (*week.idle, *(name for name in week.faults if name in CANARIES and not has_begun))
        return replace(week, candidate=candidate, ended=ending, bad=bad, idle=idle)

    def _start(
        self,
        week: Week,
        overrides: tuple[str, ...],
        at: datetime,
        harms: Sequence[Harm] = (),
        data: Path | None = None,
        workspace: Path | None = None,
    ) -> list[Attempt]:
        """Starts `edgeline run` and harms it; returns how its runs ended: several where it excluded spans."""
        place = workspace or self._workspace
        named = NamedSettings(WORKLOAD, PROFILE, (*self._options.overrides, *overrides))
        options = RunOptions(named, data or self._data, place)
        before = {run.id for run in runs.read_runs(place)} if place.exists() else set()
        started = time.monotonic()
        log = f"week-{week.number:02d}-{len(week.attempts) + 1}"
        log += "-no-gates" if workspace else ""
        process = self._fork(partial(_run_pipeline, options), log, at)

        while process.poll() is None:
            for harm in harms:
                harm(process, time.monotonic() - started)
            time.sleep(0.05)
        seconds = time.monotonic() - started
        new = [run for run in runs.read_runs(place) if run.id not in before]
        printed = (self._logs / f"{log}.log").read_text(errors="replace").splitlines()[-_LAST_LINES:]
        attempts = [
            Attempt(
                run.exit_code or 0,
                run.outcome,
                (*run.reasons, *run.warnings),
                run.seconds or 0.0,
                run.spans,
                self._keep_model(run, week.number),
            )
            for run in new
        ]
        *others, last = attempts or [Attempt(0, "", (), 0.0)]
        sentences = tuple(dict.fromkeys((*last.sentences, *(line.strip() for line in printed))))
        return [*others, replace(last, exit_code=process.wait(), sentences=sentences, seconds=seconds)]

    def _keep_model(self, run: Run, week: int) -> str:
        """Copies the files of a trained model, if no run before trained it; returns its name."""
        sources = Sources.of(run)
        files = sorted(sources.edge_models.iterdir()) if sources.edge_models is not None else []
        models = [file for file in files if file.suffix == ".tflite"]
        if not models:
            return ""
        verdict = EDGE_FILES.find(sources.edge_verdict) if sources.edge_verdict is not None else None
        variants = verdict.variants if verdict is not None else ()
        shipped = [item.file for item in variants if verdict and item.name == verdict.default_variant]
        model = next((file for file in models if file.name in shipped), models[0])
        digest = hash_bytes(model.read_bytes())
        if digest not in self._names:
            name = f"week-{week:02d}"
            count = sum(other.startswith(name) for other in self._names.values())
            self._names[digest] = f"{name}-{count + 1}" if count else name
            target = self._models / self._names[digest]
            target.mkdir(parents=True)
            for file in {*files} - {*models} | {model}:
                (target / file.name).write_bytes(file.read_bytes())
        return self._names[digest]

    def _look(self, week: Week, at: datetime) -> Week:
        """Returns the week with what is in production, whether it verifies, and sizes."""
        release = store.current(str(self._push), WORKLOAD) if self._push.exists() else None
        if release is None:
            return week
        verified = decode(self._call(at, "verify", "--json").encode())
        problems = verified.get("problems", [verified.get("error")])
        digest = hash_bytes(Path(str(release.default_file)).read_bytes())
        return replace(
            week,
            production=release.version,
            model=self._names[digest],
            spans=tuple(release.manifest.data.spans),
            problems=tuple(map(str, problems)),
            sizes={
                "workspace": measure_size(self._workspace),
                "database": _measure_rows(self._workspace / "metadata.sqlite"),
                "page": max(measure_size(page) for page in self._workspace.glob("runs/**/*.html")),
            },
        )

    def _score(self, year: Year, week: Week) -> Week:
        """Returns the week with its arms, and the scores of all models on hidden tests that are missing."""
        before = year.weeks[-1].arms if year.weeks else {}
        trained = [week.ungated, *(attempt.trained for attempt in week.attempts)]
        arms = {
            _OURS: week.model,
            _NEVER: before.get(_NEVER) or week.model,
            _WITHOUT: next(filter(None, trained), before.get(_WITHOUT, "")),
        }

        scored = set().union(*(item.scores for item in year.weeks))
        tests = {
            name: [week.number] if name in scored else list(range(1, week.number + 1))
            for name in self._names.values()
        }
        if not tests:
            return replace(week, arms=arms)

        models = {name: self._models / name for name in tests}
        options = self._options
        job = partial(score_models, models, tests, year.history, options.photos, options.seed, self._scratch)

        if self._fork(job, "scores").wait():
            raise EdgelineError(
                "The hidden tests could not be scored.", "", f"Read {self._logs / 'scores.log'}."
            )
        return replace(week, arms=arms, scores=SCORES.read(self._scratch))

    def _call(self, at: datetime, *words: str) -> str:
        """Calls a command of `edgeline` at a time; returns its standard output."""
        log = self._logs / "command.log"
        log.unlink(missing_ok=True)

        def call() -> int:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            return main([*words, "--workspace", str(self._workspace)])

        self._fork(call, "command", at).wait()
        return log.read_text(errors="replace")

    def _fork(self, job: Callable[[], int], name: str, at: datetime | None = None) -> Fork:
        with (self._logs / f"{name}.log").open("ab") as output:
            fork = Fork(job, output, self._environment, at)
        self._forks = [other for other in self._forks if other.poll() is None] + [fork]
        return fork


def find_effect(fault: Drawn, rates: Mapping[str, float], year: Year, number: int) -> Effect:
    """Returns the effect of a fault on its week; a copy of a bad week has the effect of that week.

    Args:
        fault: One of those of the week.
        rates: All faults of the week with their rates.
        year: The weeks before.
        number: The number of the week, from 1.
    """
    if fault.name == "label-shift" and year.photos < _FEWEST_FOR_SHARES:
        return "may"
    if fault.name not in COPIES:
        return fault.effect
    original = copied = year.weeks[number - 1 - fault.fault.before]
    while again := [name for name in original.faults if name in COPIES]:
        original = year.weeks[original.number - 1 - FAULTS[again[-1]].before]
    excluded = set().union(*(week.excluded for week in year.weeks))
    between = sum(year.span(n) not in excluded for n in range(original.number + 1, number))
    # Photos that are taken again, or whose originals are not in the window, are not copies.
    is_new = FILMED_AGAIN & rates.keys() or between >= year.history
    is_as_unsure = "may" in copied.effects and "refused" not in copied.effects
    return "may" if is_new or is_as_unsure else fault.effect


def _measure_rows(database: Path) -> int:
    """Returns the bytes of a SQLite file without those that it keeps free for later rows."""
    with closing(sqlite3.connect(database)) as rows:
        [used] = rows.execute(
            "SELECT page_size * (page_count - freelist_count)"
            " FROM pragma_page_size, pragma_page_count, pragma_freelist_count"
        ).fetchone()
    return int(used)


def _make_url(server: socket.socket) -> str:
    return f"http://127.0.0.1:{server.getsockname()[1]}/"


def _run_pipeline(options: RunOptions) -> int:
    # The drill's own --workspace is the folder around this one.
    words = ["run", "--workspace", str(options.workspace)]
    with rewrite_commands(make_rewriter(words, Commands(COMMANDS).load)):
        try:
            return local.run(options, make_listeners(), forks.start_worker)
        except EdgelineError as error:
            return print_error(error)
