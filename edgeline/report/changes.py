"""Describes runs line by line, and compares two runs by these lines."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from edgeline.records.run import Run
from edgeline.report.facts import Facts, Feature
from edgeline.report.words import UNKNOWN, count, latency, megabytes, percent, seconds

_DIGESTS = {"code": "Code", "lock": "Lock file", "schema": "Curated schema"}
# Texts for a line that only the other run has; in other sections such a line counts as no change.
_ABSENT = {"Data": "0", "Settings": "not set", "Libraries": "none"}
# The sections that a person asks run, causes first; all else differs each week, or is a consequence.
_ASKED_SECTIONS = ("Data", "Settings", "Code", "Libraries", "Outcome", "Edge files")
_ASKED_FILE_LINES = ("Default edge file", "Size of ")

Lines = Mapping[str, str]


@dataclass(frozen=True)
class Change:
    """One difference: its name, and its text before and now."""

    what: str
    before: str
    now: str


def describe_facts(facts: Facts) -> dict[str, Lines]:
    """Returns all lines on a run except its metrics, by section; steps that it did not reach have none."""
    run, version = facts.run, facts.production
    unknown = "nothing" if run.has_verdict and run.inputs.get("production") == "" else "unknown"
    sections: dict[str, Lines] = {
        "Outcome": {"Outcome": run.outcome, "In production": f"version {version}" if version else unknown},
        "Settings": {name: str(value) for name, value in sorted(run.used_settings.items())},
        "Code": {
            **{what: run.inputs[name][:12] for name, what in _DIGESTS.items() if run.inputs.get(name)},
            **({"Commit": run.source.short} if run.source.commit else {}),
        },
        "Libraries": dict(sorted(run.libraries.items())),
        "Data": dict(_describe_data(facts)),
        "Training": dict(_describe_training(facts)),
    }

    if facts.data is not None:
        reasons = sorted(set().union(*(span.rejected for span in facts.data.spans)))
        sections["Drift"] = dict(_describe_drift(facts.data.features))
        sections["Schema"] = {f"{item.feature}, {item.kind}": item.seen for item in facts.data.schema}
        sections["Quarantine"] = {
            reason: count(sum(span.rejected.get(reason, 0) for span in facts.data.spans))
            for reason in reasons
        }

    sections["Edge files"] = dict(_describe_edge_files(facts))
    sections["Time"] = {
        **{
            step.name: step.state if step.state in ("cached", "queued") else seconds(step.seconds)
            for step in run.steps
        },
        **({"Total": seconds(run.seconds)} if run.seconds is not None else {}),
    }
    return {section: lines for section, lines in sections.items() if lines}


def _describe_drift(features: Sequence[Feature]) -> Iterator[tuple[str, str]]:
    """Yields a line for each feature and measure: distances of two measures cannot be compared."""
    for item in features:
        if item.distance is not None and item.threshold is not None:
            yield f"{item.name}, {item.measure}", f"{item.distance:.3f}, at most {item.threshold:.3f}"


def _describe_data(facts: Facts) -> Iterator[tuple[str, str]]:
    if (data := facts.data) is None:
        return
    nouns = f"{data.noun.capitalize()}s"
    if data.spans:
        yield "Newest span", data.spans[-1].name
        yield "Spans in the window", str(len(data.spans))
    for split, number in data.splits.items():
        yield f"{nouns} in {split}", count(number)
    for label, number in data.classes.items():
        yield f"{nouns} of {label}", count(number)
    yield f"{nouns} quarantined", count(sum(span.quarantined for span in data.spans))


def _describe_training(facts: Facts) -> Iterator[tuple[str, str]]:
    if facts.training is None or (best := facts.training.kept) is None:
        return
    averaged = facts.training.summary.averaged
    which = f"the mean of the last {averaged}" if averaged > 1 else best.epoch
    yield "Epochs", f"{len(facts.training.epochs)}, kept {which}"
    for split, loss, accuracy in (
        ("train", best.loss, best.accuracy),
        ("eval", best.val_loss, best.val_accuracy),
    ):
        if loss is not None:
            yield f"Loss in {split}", f"{loss:.4f}"
        if accuracy is not None:
            yield f"Accuracy in {split}", percent(accuracy)
    if facts.training.summary.variations is not None:
        yield "Variations of each photo", str(facts.training.summary.variations)


def _describe_edge_files(facts: Facts) -> Iterator[tuple[str, str]]:
    if facts.edge is None:
        return
    yield "Default edge file", facts.edge.default_variant or "none"
    for variant in facts.edge.variants:
        if (measured := variant.measured) is not None:
            yield f"Size of {variant.name}", megabytes(measured.size_bytes)
            yield f"Accuracy of {variant.name}", percent(measured.accuracy)
            yield f"Agreement of {variant.name}", percent(measured.agreement)
            yield f"Median time of {variant.name}", latency(measured)
        if variant.reasons:
            yield f"Failure of {variant.name}", " ".join(variant.reasons)


def pair_lines(first: Mapping[str, Lines], second: Mapping[str, Lines], section: str) -> tuple[Change, ...]:
    """Returns the lines of a section that either of two runs has, the equal ones too.

    Args:
        first: The lines of one run by section, as by `describe_facts`; they become `before`.
        second: Those of the other run, which become `now`; lines that only it has come last.
        section: A key of either; it decides the text of a line that one run lacks, such as `not set`.
    """
    before, now = first.get(section, {}), second.get(section, {})
    # A run that ended before ingest counted nothing, which is not 0.
    is_counted = section != "Data" or (before and now)
    absent = _ABSENT.get(section, UNKNOWN) if is_counted else UNKNOWN
    return tuple(Change(what, before.get(what, absent), now.get(what, absent)) for what in {**before, **now})


def find_changed_libraries(run: Run, before: Run) -> list[str]:
    """Returns the libraries that differ from those of an earlier run, `numpy 1.26.4 -> 2.0.2` each."""
    then, now = ({"Libraries": dict(item.libraries)} for item in (before, run))
    changes = pair_lines(then, now, "Libraries")
    return [f"{it.what} {it.before} -> {it.now}" for it in changes if it.before != it.now]


def find_changes(facts: Facts, before: Facts) -> tuple[Change, ...]:
    """Returns the changes since an earlier run of the model that a person would ask about, causes first."""
    return tuple(change for change in _compare(facts, before) if change.before != change.now)


def _compare(facts: Facts, before: Facts) -> Iterator[Change]:
    then, now = describe_facts(before), describe_facts(facts)
    for section in _ASKED_SECTIONS:
        if section == "Edge files":
            yield from _compare_metrics(facts, before)
        if section not in then or section not in now:
            continue
        for line in pair_lines(then, now, section):
            is_known = section in _ABSENT or UNKNOWN not in (line.before, line.now)
            if section == "Settings":
                yield replace(line, what=f"Setting {line.what}")
            elif is_known and (section != "Edge files" or line.what.startswith(_ASKED_FILE_LINES)):
                yield line


def _compare_metrics(facts: Facts, before: Facts) -> Iterator[Change]:
    if facts.evaluation is None or before.evaluation is None:
        return
    then = {(item.kind, item.name): item for item in before.evaluation.slices}
    for item in facts.evaluation.slices:
        if item.kind in ("overall", "class") and (earlier := then.get((item.kind, item.name))):
            metric = "Accuracy" if item.kind == "overall" else f"Recall of {item.name}"
            what = f"{metric}, each on its own eval split"
            yield Change(what, percent(earlier.accuracy), percent(item.accuracy))
