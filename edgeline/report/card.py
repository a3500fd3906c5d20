"""The model card of a release: a page for whoever uses the model and was not there when it was trained.

It has what model cards have (Mitchell et al., 2019, https://arxiv.org/abs/1810.03993), from a run's records.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from edgeline.labels import join_names
from edgeline.report.facts import Evaluation, Facts
from edgeline.report.page import View, render
from edgeline.report.words import count, day, percent

# No photo or text of anybody's data: a bundle leaves the house.
_SECTIONS = ("data", "metrics", "confusion", "twins", "reliability", "edge", "search", "training", "lineage")
_FEW = 30  # eval examples; with fewer, a 95 % interval is over 20 points wide


def render_card(
    facts: Facts, version: int, labels: Sequence[str], licence: str | None, data_statement: str | None
) -> str:
    """Renders the card of a version.

    Args:
        facts: Those of the run that made it, which do not have the version yet.
        version: The number that the release gets in its store.
        labels: The classes that the model can answer; the card lists them in this order.
        licence: The setting `push.licence`; None if nobody stated any, which the card then says.
        data_statement: The setting `push.data_statement`, a text on where the data comes from; None likewise.
    """
    facts = replace(facts, run=replace(facts.run, version=version))
    view = View(facts, {})
    use = [
        ("Answers", ", ".join(labels)),
        ("Licence", licence or "not stated (push.licence)"),
        ("Data", data_statement or "not stated (push.data_statement)"),
    ]
    return render(
        "card.html",
        title=f"Model card: {facts.run.workload}, version {version}",
        text=f"Made by run {facts.run.id} on {day(facts.run.started_at)}.",
        use=use,
        limits=list(list_limits(facts, view.nouns)),
        sections=[name for name in _SECTIONS if view.has(name)],
        view=view,
    )


def list_limits(facts: Facts, nouns: str) -> Iterator[str]:
    """Yields the limits of a model that its run measured, a sentence each."""
    if facts.data and facts.data.spans:
        yield f"It learned from {facts.data.span_ranges}; nothing is known of {nouns} unlike these."
    if facts.evaluation:
        yield from _list_weak_slices(facts.evaluation, nouns)
    if facts.label_issues and facts.label_issues.total:
        total, judged = count(facts.label_issues.total), count(facts.label_issues.judged)
        yield f"{total} of {judged} labels of its data are suspect."
    if facts.edge and facts.edge.default_measured:
        measured = facts.edge.default_measured
        cpu = measured.machine.cpu if measured.machine else "a computer"
        yield (
            f"The file for phones, {facts.edge.default_variant}, answers like the SavedModel on"
            f" {percent(measured.agreement)} of {count(measured.examples)} {nouns}; its times are of {cpu},"
            " not of a phone."
        )


def _list_weak_slices(evaluation: Evaluation, nouns: str) -> Iterator[str]:
    """Yields the weakest slice of each kind, those with few examples, and the classes that eval lacks."""
    for kind in evaluation.kinds[1:]:
        if kind == evaluation.group:
            continue
        if worst := evaluation.worst(kind):
            interval = f"95 % CI {percent(worst.low)} to {percent(worst.high)}"
            if worst.groups == 1:  # there is no interval
                interval = f"of one {evaluation.group}"
            share = f"{percent(worst.accuracy)} of {count(worst.examples)} {nouns} ({interval})"
            yield f"Weakest {kind}: {worst.name}, right on {share}."
        if few := [item.name for item in evaluation.of(kind) if item.examples < _FEW]:
            yield f"Measured on fewer than {_FEW} {nouns}, by {kind}: {join_names(few, 10)}."

    labels = evaluation.confusion.labels if evaluation.confusion else ()
    present = {item.name for item in evaluation.of("class")}
    if absent := [label for label in labels if label not in present]:
        yield f"Not measured, for lack of eval {nouns}: {join_names(absent, 10)}."
