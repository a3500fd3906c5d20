"""`edgeline diff RUN RUN`: compares two runs, in the terminal and as a page."""

from collections.abc import Iterator
from textwrap import wrap

import click
from msgspec import to_builtins

from edgeline.cli import options
from edgeline.cli.commands import Command
from edgeline.cli.stdout import note, print_json, say
from edgeline.errors import UsageError
from edgeline.labels import format_count
from edgeline.report import words
from edgeline.report.changes import Change
from edgeline.report.compare import Comparison, SlicePair, pair_slices, render_diff
from edgeline.report.facts import Slice
from edgeline.store.objects import write_bytes
from edgeline.workspace.known_runs import find_known_run
from edgeline.workspace.place import Place

_WIDTH, _NAME = 80, 28
# Kinds of slices that always have a line, and verdicts for which any slice has one.
_ALWAYS_LISTED, _LISTED_VERDICTS = ("overall", "class"), ("better", "worse")
_COLUMN = (_WIDTH - _NAME - 4) // 2


@click.command(cls=Command)
@click.argument("first", metavar="RUN", help="the id of a run, latest, or production")
@click.argument("second", metavar="RUN", help="the run to compare it with")
@options.releases_of
@options.as_json
def diff(first: str, second: str, place: Place, as_json: bool) -> int:
    """Compares two runs: settings, data, metrics and their significance, edge files, time."""
    runs = [find_known_run(place, name) for name in (first, second)]
    one, other = (run.facts for run in runs)
    if one.run.workload != other.run.workload:
        raise UsageError(
            f"Run {one.run.id} belongs to {one.run.workload}, run {other.run.id} to {other.run.workload}.",
            "Runs of two models cannot be compared.",
            "Name two runs of one model; `edgeline runs` lists them.",
        )
    comparison = Comparison(one, other, pair_slices(one, other))
    if all(run.sources.edge_verdict for run in runs):
        from edgeline.workspace.same_examples import compare_slices

        slices, examples = compare_slices(*(run.sources for run in runs))
        comparison = Comparison(one, other, slices, examples) if examples else comparison
    page = runs[0].pages / f"diff-{one.run.id}-{other.run.id}.html"
    if not as_json:
        for line in _format_lines(comparison):
            say(line.replace("\u00a0", " "))
    has_page = True
    try:
        write_bytes(page, render_diff(comparison, [run.link for run in runs]).encode())
    except OSError as error:  # The comparison itself can be read without its page.
        has_page = False
        note(f"The page {page} was not written: {error.strerror or error}.")
    if as_json:
        print_json(_make_document(comparison, str(page) if has_page else None))
    elif has_page:
        say(f"Page: {page}")
    return 0


def _make_document(comparison: Comparison, page: str | None) -> dict[str, object]:
    sides = {"first": comparison.first, "second": comparison.second}
    keys = ("outcome", "version", "started_at", "seconds", "reasons")
    runs = {side: facts.run for side, facts in sides.items()}
    return {
        **{side: {"run": run.id, **{key: getattr(run, key) for key in keys}} for side, run in runs.items()},
        "same_examples": comparison.same_examples,
        "slices": [{**to_builtins(pair), "difference": pair.difference} for pair in comparison.slices],
        "sections": to_builtins(comparison.sections),
        "report": page,
    }


def _format_lines(comparison: Comparison) -> Iterator[str]:
    for name, facts in (("first", comparison.first), ("second", comparison.second)):
        run = facts.run
        version = f" version {run.version}" if run.outcome == "pushed" else ""
        yield f"{name:<7} {run.id}  {run.outcome}{version}, {words.moment(run.started_at)}"
        if run.outcome != "pushed":
            for reason in run.reasons:
                yield from wrap(reason, _WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 8)
    yield from wrap(comparison.sentence, _WIDTH)
    if comparison.slices:
        yield ""
        yield from wrap(comparison.measured_on, _WIDTH)
        yield f"{'':<20} {'first, interval':<22} {'second, interval':<22} {'points':>6}"
        listed = [pair for pair in comparison.slices if _is_listed(pair)]
        yield from map(_format_slice, listed)
        if others := len(comparison.slices) - len(listed):
            yield f"and {format_count(others, 'more slice')}, none beyond noise"
    for section, lines in comparison.sections.items():
        yield ""
        yield f"{section:<{_NAME + 2}}{'first':<{_COLUMN + 2}}second"
        for line in lines:
            yield from _format_change(line)


def _is_listed(pair: SlicePair) -> bool:
    return pair.kind in _ALWAYS_LISTED or pair.verdict in _LISTED_VERDICTS


def _format_slice(pair: SlicePair) -> str:
    name = pair.name if pair.kind in _ALWAYS_LISTED else f"{pair.kind} {pair.name}"
    verdict = f" {pair.verdict}" if pair.verdict in _LISTED_VERDICTS else ""
    return (
        f"{words.cut(name, 20):<20} {_format_share(pair.first):<22} {_format_share(pair.second):<22}"
        f" {words.points(pair.difference):>6}{verdict}"
    )


def _format_share(side: Slice | None) -> str:
    if side is None or side.accuracy is None:
        return words.UNKNOWN
    low, high = (f"{100 * end:.1f}" for end in (side.low, side.high))
    return f"{words.percent(side.accuracy):>7}  {low} to {high}"


def _format_change(line: Change) -> Iterator[str]:
    """Formats a change in columns on one line, or on several where its texts are too long."""
    name = f"{'*' if line.before != line.now else ' '} {words.cut(line.what, _NAME - 2)}"
    sides = {"first": line.before, "second": line.now}
    if max(map(len, sides.values())) <= _COLUMN:
        yield f"{name:<{_NAME + 2}}{line.before:<{_COLUMN + 2}}{line.now}"
        return
    yield name
    for side, text in sides.items():
        yield from wrap(text, _WIDTH, initial_indent=f"    {side:<8}", subsequent_indent=" " * 12)
