"""What is different from the run before: data, settings, code, and what came of it."""

from collections.abc import Iterator
from dataclasses import dataclass

from records.edge import EdgeFiles
from report.facts import Facts
from report.words import count, megabytes, percent

_DIGESTS = {"code": "Code", "lock": "Libraries' lock file", "schema": "Curated schema"}


@dataclass(frozen=True)
class Change:
    """One difference: what, and its text before and now."""

    what: str
    before: str
    now: str


def find_changes(facts: Facts, before: Facts) -> tuple[Change, ...]:
    """The differences from an earlier run of the same model that a person would ask about, causes first."""
    found = (*_data(facts, before), *_inputs(facts, before), *_results(facts, before))
    return tuple(change for change in found if change.before != change.now)


def _data(facts: Facts, before: Facts) -> Iterator[Change]:
    if facts.data is None or before.data is None:
        return
    then, now = before.data, facts.data
    if then.spans and now.spans:
        yield Change("Newest span", then.spans[-1].name, now.spans[-1].name)
        yield Change("Spans in the window", str(len(then.spans)), str(len(now.spans)))
    for split in now.splits:
        yield Change(
            f"{now.noun.capitalize()}s in {split}", count(then.splits.get(split, 0)), count(now.splits[split])
        )
    for label in {**then.classes, **now.classes}:
        counted = (count(side.classes.get(label, 0)) for side in (then, now))
        yield Change(f"{now.noun.capitalize()}s of {label}", *counted)
    quarantined = (count(sum(span.quarantined for span in side.spans)) for side in (then, now))
    yield Change(f"{now.noun.capitalize()}s quarantined", *quarantined)


def _inputs(facts: Facts, before: Facts) -> Iterator[Change]:
    then, now = before.about, facts.about
    for name in sorted({*then.settings, *now.settings}):
        yield Change(f"Setting {name}", then.settings.get(name, "not set"), now.settings.get(name, "not set"))
    for name, what in _DIGESTS.items():
        if then.inputs.get(name) and now.inputs.get(name):
            yield Change(what, then.inputs[name][:12], now.inputs[name][:12])
    for name in sorted({*then.libraries, *now.libraries}):
        yield Change(name, then.libraries.get(name, "none"), now.libraries.get(name, "none"))


def _results(facts: Facts, before: Facts) -> Iterator[Change]:
    yield Change("Outcome", before.about.outcome, facts.about.outcome)
    yield Change("In production", _version(before), _version(facts))
    if facts.evaluation and before.evaluation:
        for kind in ("overall", "class"):
            then = {item.name: item for item in before.evaluation.of(kind)}
            for item in facts.evaluation.of(kind):
                of = "" if kind == "overall" else f" of {item.name}"
                what = f"{'Accuracy' if kind == 'overall' else 'Recall'}{of}, each on its own eval split"
                if item.name in then:
                    yield Change(what, percent(then[item.name].accuracy), percent(item.accuracy))
    if facts.edge and before.edge and before.edge.eval_examples:  # Facts of before had other names for these.
        default = facts.edge.default_variant
        yield Change("Default edge file", before.edge.default_variant or "none", default or "none")
        earlier, now = _sizes(before.edge), _sizes(facts.edge)
        if default in earlier:
            yield Change(f"Size of {default}", megabytes(earlier[default]), megabytes(now[default]))


def _sizes(edge: EdgeFiles) -> dict[str | None, int]:
    return {v.name: v.measured.size_bytes for v in edge.variants if v.measured}


def _version(facts: Facts) -> str:
    return f"version {facts.about.version}" if facts.about.version else "nothing known"
