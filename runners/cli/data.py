"""`edgeline data generate, inspect, import, list, exclude, relabel`: makes, lists and corrects spans."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from msgspec import to_builtins

from data.spans.corrections import read_corrections
from data.spans.exclusions import decide, find_excluded_spans
from data.spans.layout import Span, find_spans
from data.spans.source import load_source
from edgeline.cli import options
from edgeline.cli.commands import Group
from edgeline.cli.options import gather
from edgeline.cli.stdout import print_json, say
from edgeline.errors import DataRefused, UsageError
from edgeline.labels import format_count
from edgeline.store.locations import Location, locate
from edgeline.workspace.workloads import find_workload_file
from runners.cli.importing import IMPORT, ImportOptions, import_source, inspect_source, make_source_argument
from runners.cli.sources import find_target, parse_target
from runners.shared.progress import show_progress
from runners.shared.run_options import find_own_workload

if TYPE_CHECKING:
    from edgeline.records.workload import Workload

# The faults are repeated here, because importing the renderer for them takes longer than the whole help.
FAULTS = """\
faults: corrupt, truncated, huge, unlabelled, unknown-label, duplicate, dark-lens,
blurred, null-lane, new-lane, label-shift
"""
_target = click.option("--data", type=parse_target, required=True, metavar="DIR", help="the folder of spans")
_workload = click.option("--workload", default="shelf", metavar="NAME", help="workload of the sample (shelf)")
_spans = click.option("--data", type=locate, required=True, metavar="DIR_OR_URL", help="the folder of spans")
_workload_of_spans = click.option(
    "--workload",
    default="",
    metavar="NAME_OR_FILE",
    help="workload of the spans (DIR/workload.yaml, else shelf)",
)
_reason = click.option("--reason", required=True, metavar="R", help="the reason, for the record")


@click.group(cls=Group)
def data() -> None:
    """Makes, inspects, imports, lists, excludes and relabels spans."""


@data.command(epilog=FAULTS)
@_target
@_workload
@click.option("--weeks", type=int, default=1, metavar="N", help="spans to add (1)")
@click.option(
    "--per-week",
    "--photos-per-week",
    "per_week",
    type=int,
    metavar="N",
    help="examples per span (shelf: 300)",
)
@click.option("--seed", type=int, default=20, metavar="N", help="the same seed gives the same bytes (20)")
@click.option(
    "--fault",
    "rates",
    multiple=True,
    metavar="NAME=RATE",
    help="a fault to inject and the share of a week that it affects, 0 to 1; may be repeated",
)
def generate(
    data: Path, workload: str, weeks: int, per_week: int | None, seed: int, rates: tuple[str, ...]
) -> int:
    """Makes weekly spans of the sample of a built-in workload."""
    from data.spans.sample import load_sample, parse_rates
    from edgeline.records.workload import load_module
    from pipeline.workloads import find_workload

    definition = find_workload(workload)
    if not definition.sample:
        raise UsageError(
            f"The workload {definition.name} has no sample.",
            "Only workloads with a sample can be generated.",
            "Import your own data with `edgeline data import`.",
        )
    own = data / "workload.yaml"
    if own.is_file() and not (Path(workload).is_file() and own.samefile(workload)):
        raise UsageError(
            f"{own} describes spans of your own.",
            f"Spans of the sample {definition.name} beside them would stop each run, or be learned too.",
            "Pass another folder with --data DIR.",
        )
    sample = load_sample(definition.sample)
    faults = load_module(f"{definition.sample.rpartition('.')[0]}.faults", [], "").FAULTS if rates else ()
    with show_progress("making"):
        spans = sample.generate(
            data,
            weeks=weeks,
            per_week=definition.sample_size if per_week is None else per_week,
            seed=seed,
            faults=parse_rates(rates, faults),
            workers=len(os.sched_getaffinity(0)),
        )
    for span in spans:
        say(str(span.path))
    return 0


@data.command()
@make_source_argument(required=True)
@click.option(
    "--data",
    type=parse_target,
    metavar="DIR",
    help="the folder of spans (that of `edgeline run SRC`, WORKSPACE/data/NAME)",
)
@options.workspace
@gather("importing", ImportOptions, *IMPORT)
@click.option("--explain", default="", metavar="COLUMN", help="print which rules decide on it; write nothing")
def inspect(source: str, data: Path | None, workspace: Path, importing: ImportOptions, explain: str) -> int:
    """Writes how each column of a table is read, and why, for you to edit before the import.

    The file is table.yaml in the folder of spans.
    """
    folder = data or find_target(source, workspace)
    for sentence in inspect_source(source, folder, importing, explain):
        say(sentence)
    if not explain:
        encoding = ["--encoding", importing.encoding] if importing.encoding else []
        words = shlex.join([source, *encoding, "--data", str(folder)])
        say(f"Import it: edgeline data import {words}")
    return 0


@data.command("import")
@make_source_argument(required=True)
@_target
@gather("importing", ImportOptions, *IMPORT)
@options.as_json
def load(source: str, data: Path, importing: ImportOptions, as_json: bool) -> int:
    """Turns labelled photos, a table or texts into a span and a workload.

    Photos of the same object stay in one split, and each class of photos gets its share of eval.
    """
    report = import_source(source, data, importing, as_json)
    if as_json:
        span = report.span and str(report.span.path)
        return print_json(to_builtins({**vars(report), "span": span}, enc_hook=str))
    for sentence in report.sentences():
        say(sentence)
    say(f"Train on it: edgeline run --data {shlex.quote(str(data))}")
    return 0


@data.command("list")
@_spans
@_workload_of_spans
@options.workspace
@options.as_json
def list_spans(data: Location, workload: str, workspace: Path, as_json: bool) -> int:
    """Lists the spans of a data folder, which are excluded and why, and which cannot be read.

    It ends with 4 if one that cannot be read is not excluded.
    """
    from pipeline.workloads import with_features

    definition = with_features(_find_workload(data, workload, workspace))
    spans = find_spans(data)
    excluded = find_excluded_spans(data)
    entries = []
    for span in spans:
        rows, problem = _count_rows(span, definition)
        decision = excluded.get(span.name)
        why = {key: getattr(decision, key) for key in ("who", "when", "reason")} if decision else None
        entries.append({"span": span.name, definition.nouns: rows, "problem": problem, "excluded": why})
    is_damaged = any(entry["problem"] and not entry["excluded"] for entry in entries)
    exit_code = DataRefused.exit_code if is_damaged else 0
    if as_json:
        print_json(entries)
        return exit_code
    if not spans:
        say(f"{data} has no span-NNNNN folder.")
    for entry in entries:
        say(_format_entry(entry, definition.nouns))
    return exit_code


def _find_workload(data: Location, workload: str, workspace: Path) -> "Workload":
    """Returns the named workload, which the workspace may have, by default the one in the data's folder."""
    from pipeline.workloads import find_workload

    file = find_workload_file(workload, workspace) if workload else None
    return find_workload(str(file or workload or find_own_workload(data)))


def _count_rows(span: Span, workload: "Workload") -> tuple[int | None, str | None]:
    source = load_source(workload.source)
    try:
        source.check(span, workload)
        read_corrections(span)
        return source.count(span), None
    except DataRefused as refusal:
        return None, refusal.found
    except OSError as error:
        return None, f"{error.filename or span.path} cannot be read ({error.strerror or error})."


def _format_entry(entry: dict[str, Any], nouns: str) -> str:
    width = 7 + len(nouns)
    rows = f"{entry[nouns]:>6} {nouns}" if entry[nouns] is not None else " " * width
    why = entry["excluded"]
    notes = [f"excluded by {why['who']} on {why['when']}: {why['reason']}"] if why else []
    if entry["problem"]:
        notes.append(entry["problem"])
    return f"{entry['span']} {rows}  {'; '.join(notes)}".rstrip()


@data.command()
@click.argument("span", metavar="SPAN", help="name of the span, such as span-00042")
@_spans
@_reason
@click.option("--undo", is_flag=True, help="read the span again from now on")
def exclude(span: str, data: Location, reason: str, undo: bool) -> int:
    """Excludes a span from all later runs, and records who did so, when and why."""
    names = [span.name for span in find_spans(data)]
    if not names:
        raise UsageError(
            f"{data} has no span-NNNNN folder.",
            "There is nothing to exclude.",
            "Pass the data folder that runs read with --data DIR.",
        )
    action: Literal["include", "exclude"] = "include" if undo else "exclude"
    decision = decide(data, action, span, reason, names)
    if undo:
        say(f"Later runs read {decision.span} of {data} again ({decision.who}: {decision.reason}).")
    else:
        say(f"No later run reads {decision.span} of {data} ({decision.who}: {decision.reason}).")
        say(f"Undo: edgeline data exclude {decision.span} --undo --reason R --data {shlex.quote(str(data))}")
    return 0


@data.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path), help="label_issues.csv, corrected")
@_spans
@_workload_of_spans
@options.workspace
@_reason
def relabel(file: Path, data: Location, workload: str, workspace: Path, reason: str) -> int:
    """Corrects or confirms labels by a CSV with the columns example, label, corrected.

    A run writes such a list of suspect labels. Rows without a corrected label are skipped.
    """
    from data.spans.relabelling import relabel as apply
    from pipeline.workloads import with_features

    counts = apply(file, data, with_features(_find_workload(data, workload, workspace)), reason)
    earlier = f", {counts.earlier:,} corrected before" if counts.earlier else ""
    say(
        f"{format_count(counts.corrected, 'label')} corrected, {counts.confirmed:,} confirmed,"
        f" {format_count(counts.skipped, 'row')} skipped{earlier}."
        " The next run reads them; the files of the spans are as they were."
    )
    return 0
