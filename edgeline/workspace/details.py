"""The details that `edgeline show` prints below the verdicts: quarantine, slice accuracy, edge variants."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from edgeline.records.edge import EdgeFiles
from edgeline.records.evaluation import LABEL_ISSUES_CSV
from edgeline.records.run import Run
from edgeline.report import words
from edgeline.report.collect import collect_facts
from edgeline.report.facts import Data, Evaluation, Facts
from edgeline.report.sources import Sources
from edgeline.workspace.known_runs import find_written_facts
from edgeline.workspace.runs import RunFolder

# The width of the table of slices without the column of groups.
_SLICES_WIDTH = 71


def read_details(folder: RunFolder, run: Run) -> Facts:
    """Returns the facts of a run; without a page, they lack what takes the longest, the statistics."""
    sources = replace(Sources.of(run), statistics=None, anomalies=None)
    return find_written_facts(run, folder) or collect_facts(sources, run)


def describe_details(facts: Facts, width: int) -> Iterator[str]:
    """Yields details of each step of a run that left its files, and names the files that cannot be read.

    A table leaves out a column if it would not fit into `width`.
    """
    sources = Sources.of(facts.run)
    if facts.data is not None:
        yield from _format_quarantine(facts.data, _locate(sources.quarantine, "quarantine.csv"))
    if facts.evaluation is not None:
        yield from _format_slices(facts.evaluation, width)
        yield from _format_simple_models(facts.evaluation)
    if facts.photo_drift is not None:
        yield facts.photo_drift.sentence
    if (issues := facts.label_issues) is not None:
        place = _locate(sources.evaluation, LABEL_ISSUES_CSV)
        if issues.total:
            yield f"Suspect labels: {issues.total:,} of {issues.judged:,}, listed in {place}"
        if issues.unjudged:
            yield issues.unjudged
    if facts.edge is not None:
        yield from _format_variants(facts.edge)
    yield from facts.unreadable


def _locate(folder: Path | None, name: str) -> str:
    return str(folder / name) if folder else f"{name}, which is gone"


def _format_quarantine(data: Data, path: str) -> Iterator[str]:
    classes = ", ".join(f"{count:,} {label}" for label, count in data.classes.items())
    splits = ", ".join(f"{count:,} {split}" for split, count in data.splits.items())
    yield f"{data.noun.capitalize()}s: {splits} ({classes})"
    for span in data.spans:
        if span.rejected:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in span.rejected.items())
            yield f"  {span.name}: {span.quarantined:,} of {span.rows:,} quarantined: {reasons}"
    total, listed = (sum(span.quarantined for span in data.spans), sum(span.listed for span in data.spans))
    if total:
        share = "each" if listed == total else f"{listed:,} of {total:,}, the first of each span and reason,"
        yield f"  {share} with its reason: {path}"


def _format_slices(evaluation: Evaluation, width: int) -> Iterator[str]:
    groups, name_width, last, last_width = f"{evaluation.group}s", 17, "production", 12
    if width < _SLICES_WIDTH + len(groups):
        groups, name_width, last, last_width = "", 11, "before", 8
    for title, slices in (("out of fold", evaluation.out_of_fold), ("by slice", evaluation.slices)):
        if slices:
            heads = f"{'count':>6} {groups} {'now':>6} {'95 %':>14}{last:>{last_width}}"
            yield f"{f'Accuracy {title}':<{name_width + 11}} {heads}"
        for item in slices:
            now, before = _format_number(item.accuracy, ".3f"), _format_number(item.before, ".3f")
            count = _format_number(item.groups, ",") if groups else ""
            interval = f"{item.low:.3f} to {item.high:.3f}"
            row = f"{item.kind[:8]:<8} {item.name[:name_width]:<{name_width}} {item.examples:>6}"
            yield f"  {row} {count:>{len(groups)}} {now:>6} {interval:>14}{before:>{last_width}}"


def _format_simple_models(evaluation: Evaluation) -> Iterator[str]:
    if evaluation.simple_models:
        yield f"Accuracy of simple models on the same {evaluation.simple_models[0].examples}"
    for model in reversed(evaluation.simple_models):
        yield f"  {model.accuracy:.3f} ({model.low:.3f} to {model.high:.3f}) {model.name}"


def _format_variants(edge: EdgeFiles) -> Iterator[str]:
    yield f"{'Edge files':<12} {'MB':>6} {'accuracy':>9} {'agreement':>10} {'max diff':>11} {'ms':>7}"
    for variant in edge.variants:
        if (measured := variant.measured) is None:
            yield f"  {variant.name:<10} could not be converted"
            continue
        mark = " under load" if measured.under_load else ""
        mark += " (default)" if variant.name == edge.default_variant else ""
        yield (
            f"  {variant.name:<10} {measured.size_bytes / 1e6:>6.2f} {measured.accuracy:>9.3f}"
            f" {measured.agreement:>10.3f} {_format_number(measured.max_difference, '.1e'):>11}"
            f" {measured.latency.p50_ms:>7.2f}{mark}"
        )
    for variant in edge.variants:
        if variant.measured is not None and variant.measured.two_threads is not None:
            yield f"  {variant.name}: {', '.join(words.speed(variant.measured))}"
    if edge.production:
        yield f"  {edge.production}"


def _format_number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
