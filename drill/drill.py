"""A drill: simulated Mondays with the real pipeline, faults on purpose, and checks after each.

Each run is a process of its own on a clock that shows that week's Monday. It is forked from this one, which
imports TensorFlow and TFX once.
"""

import shlex
from typing import Any

from drill import forks
from drill.faults import Plan, draw_plan, format_plan, read_plan
from drill.page import write_page
from drill.promises import find_first_broken
from drill.record import ARMS, YEAR, Limits, Year
from drill.simulation import PROFILE, WORKLOAD, DrillOptions, Simulation
from edgeline.cli.stdout import note
from edgeline.edge.interpreter import silence_stderr
from edgeline.errors import UsageError
from runners.shared.progress import print_line
from runners.shared.run_options import NamedSettings, check_path


def drill(options: DrillOptions) -> int:
    """Runs a drill; returns 0, or 1 if a promise was broken.

    Raises UsageError if the workspace is not empty or its path a pattern, or the plan or a setting is wrong.
    """
    from rich.console import Console

    folder = options.workspace.absolute()
    check_path(folder, "--workspace")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            f"The workspace {options.workspace} is not empty.",
            "A drill proves what happens from the first week on, and what is there may be somebody's work.",
            "Pass a new folder with --workspace DIR.",
        )
    plan = (
        read_plan(options.faults, options.weeks) if options.faults else draw_plan(options.weeks, options.seed)
    )
    workload, settings = NamedSettings(WORKLOAD, PROFILE, options.overrides).load()
    if settings.push.destination is not None:
        raise UsageError(
            f"push.destination is {settings.push.destination}.",
            "A drill looks for releases in its workspace alone, and would judge none.",
            "Leave out that --set.",
        )
    if not settings.gate.exclude_refused:
        raise UsageError(
            "gate.exclude_refused is false.",
            "Nobody is there to exclude a week that is refused, and no later run would go on without it.",
            "Leave out that --set.",
        )
    bounds = {bound.slice: bound for bound in settings.evaluation.bounds if bound.metric == "accuracy"}
    overall, by_class = (bounds.get(kind) for kind in ("overall", "class"))
    limits = Limits(
        (overall and overall.lower) or 0.0,
        (by_class and by_class.lower) or 0.0,
        1.0 if overall is None or overall.max_drop is None else overall.max_drop,
        settings.evaluation.confidence,
    )
    console = Console(highlight=False)
    faulty = sum(len(faults) > 0 for faults in plan.values())
    print_line(console, f"{options.weeks} weeks, {faulty} of them with a fault; seed {options.seed}.")
    with silence_stderr():
        forks.import_pipeline(workload.module)
    folder.mkdir(parents=True, exist_ok=True)
    year = Year(options.seed, options.photos, limits, settings.data.window - 1)
    simulation = Simulation(options, folder, settings.data.eval_fraction)
    print_line(console, _format_row("week", "faults", "the runs ended", "version", *ARMS), "bold")
    with simulation.open_places():
        for number in range(1, year.history + 1):
            simulation.deliver(number)
        for number in range(1, options.weeks + 1):
            year = simulation.simulate_week(year, number, plan)
            YEAR.write(folder, year)
            page = write_page(folder, year)
            _print_week(console, year)
    print_line(console, f"Page: {page}")
    return _conclude(console, options, year, plan)


def _format_row(*cells: str) -> str:
    week, faults, outcome, version, *arms = cells
    return f"{week:>4}  {faults:<20}  {outcome:<24}  {version:>7}  " + "  ".join(f"{arm:>15}" for arm in arms)


def _print_week(console: Any, year: Year) -> None:
    week = year.weeks[-1]
    accuracies = [year.accuracy(week.arms.get(arm, ""), *year.recent(week.number)) for arm in ARMS]
    cells = [f"{accuracy:.3f}" if accuracy is not None else "-" for accuracy in accuracies]
    names = ", ".join(f"{name} (idle)" if name in week.idle else name for name in week.faults) or "-"
    row = _format_row(str(week.number), names, week.outcome, str(week.production or "-"), *cells)
    print_line(console, f"{row}  {week.seconds:4.0f} s")
    for broken in week.broken:
        print_line(console, f"      {broken.promise}: {broken.sentence}", "bold red")


def _conclude(console: Any, options: DrillOptions, year: Year, plan: Plan) -> int:
    broken = find_first_broken(year)
    if broken is None:
        print_line(console, f"Every promise held in all {len(year.weeks)} weeks.", "bold green")
        return 0
    week, promise = broken
    words = ["--weeks", str(week.number), "--seed", str(options.seed), "--photos", str(options.photos)]
    # With fewer weeks, a file's later ones would be refused, and other faults be drawn.
    (replay := options.workspace / "replay.yaml").write_text(format_plan(plan, week.number))
    words += ["--faults", str(replay)]
    words += [word for override in options.overrides for word in ("--set", override)]
    words += ["--workspace", f"{options.workspace}-{week.number}"]
    note(f"Week {week.number} broke the promise {promise.promise}: {promise.sentence}")
    note("What a release is trusted for does not hold under this fault.")
    note(f"Replay it: .venv/bin/python -m drill {shlex.join(words)}")
    return 1
