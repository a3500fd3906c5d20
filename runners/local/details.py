"""What `edgeline show` tells beyond the verdicts: what was quarantined, accuracy by slice, edge variants."""

from collections.abc import Iterator
from dataclasses import replace

from records.edge import EdgeFiles
from report import records
from report.collect import collect
from report.facts import About, Data, Evaluation
from runners.local.report import find_sources
from runners.shared.runs import RunFolder


def detail_lines(folder: RunFolder) -> Iterator[str]:
    """Lines on whatever steps of a run left their files, and on what cannot be read of them."""
    # What those hold is for the page; to read it takes longer than all else.
    sources = replace(find_sources(folder), statistics=None, anomalies=None)
    facts = records.read(folder.path) or collect(sources, About(run=folder.path.name, model=""))
    if facts.data is not None:
        yield from _quarantine(facts.data, f"{sources.quarantine}/quarantine.csv")
    if facts.evaluation is not None:
        yield from _slices(facts.evaluation)
    if facts.edge is not None:
        yield from _variants(facts.edge)
    yield from facts.unreadable


def _quarantine(data: Data, listed: str) -> Iterator[str]:
    classes = ", ".join(f"{count} {label}" for label, count in data.classes.items())
    splits = ", ".join(f"{count} {split}" for split, count in data.splits.items())
    yield f"{data.noun.capitalize()}s: {splits} ({classes})"
    for span in data.spans:
        if span.rejected:
            reasons = ", ".join(f"{count} {reason}" for reason, count in span.rejected.items())
            yield f"  {span.name}: {span.quarantined} of {span.rows} quarantined: {reasons}"
    there, some = (sum(span.quarantined for span in data.spans), sum(span.listed for span in data.spans))
    if there:
        which = "each" if some == there else f"{some:,} of {there:,}, the first of each span and reason,"
        yield f"  {which} with its reason: {listed}"


def _slices(evaluation: Evaluation) -> Iterator[str]:
    groups = f"{evaluation.group}s"
    for title, slices in (("out of fold", evaluation.out_of_fold), ("by slice", evaluation.slices)):
        if slices:
            heads = f"{'count':>6} {groups} {'now':>6} {'95 %':>14}{'production':>12}"
            yield f"{f'Accuracy {title}':<28} {heads}"
        for item in slices:
            now, before = _number(item.accuracy, ".3f"), _number(item.before, ".3f")
            of, interval = _number(item.groups, ","), f"{item.low:.3f} to {item.high:.3f}"
            about = f"{item.kind:<8} {item.name[:17]:<17} {item.examples:>6} {of:>{len(groups)}}"
            yield f"  {about} {now:>6} {interval:>14}{before:>12}"


def _variants(edge: EdgeFiles) -> Iterator[str]:
    yield f"{'Edge files':<12} {'MB':>6} {'accuracy':>9} {'agreement':>10} {'max diff':>11} {'ms':>7}"
    for variant in edge.variants:
        if (found := variant.measured) is None:
            yield f"  {variant.name:<10} could not be made"
            continue
        mark = " (default)" if variant.name == edge.default_variant else ""
        yield (
            f"  {variant.name:<10} {found.size_bytes / 1e6:>6.2f} {found.accuracy:>9.3f}"
            f" {found.agreement:>10.3f} {_number(found.max_difference, '.1e'):>11}"
            f" {found.latency.p50_ms:>7.2f}{mark}"
        )


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
