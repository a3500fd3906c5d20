"""Judges a version by what phones answered: by the answers drawn at random, which alone are unbiased."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from edgeline.gates.answers import ROUNDING
from edgeline.gates.evidence import Evidence
from edgeline.gates.numbers import format_with_bound
from edgeline.gates.settings import ServedBound
from edgeline.labels import join_names
from edgeline.records.served import PushedVersion, ServedVersion, Tally
from edgeline.records.verdict import SERVED_SLICE, Finding

_RANK = ("good", "too_few", "bad")


@dataclass(frozen=True)
class Judgement:
    """The judgement on a version: `too_few` answers came back, if they show neither `good` nor `bad`."""

    result: Literal["good", "bad", "too_few"]
    sentences: tuple[str, ...]  # at least one
    slices: tuple[str, ...] = ()  # the bad ones, one for each sentence, as `Finding.slice` has them


def judge_served(
    version: int,
    served: ServedVersion | None,
    bounds: Sequence[ServedBound],
    pushed: PushedVersion | None = None,
    group: str = "group",
) -> Judgement:
    """Judges what a version answered.

    A slice is bad if its whole 95 % interval is below a bound, and good if its accuracy is not below. Slices
    with too few answers are left out; a bound without any other slice makes the judgement `too_few`.

    Args:
        version: The number of the release, for the sentences.
        served: Its answers on phones with the labels that people gave; None where nothing came back.
        bounds: Those of `evaluation.served` to judge by; without any it is `too_few`.
        pushed: The release with its eval accuracy at the push, for `max_drop`; None if it is not known.
        group: The noun for a group in messages, such as `session`.
    """
    verdicts = [
        finding
        for bound in bounds
        for finding in _judge_slices(bound, f"version {version}", served, pushed, group)
    ]
    if not verdicts:
        return Judgement("too_few", ("evaluation.served has no bound that blocks.",))
    result = max((item.result for item in verdicts), key=_RANK.index)
    deciding = [item for item in verdicts if item.result == result]
    sentences = chain.from_iterable(item.sentences for item in deciding)
    return Judgement(result, tuple(sentences), tuple(chain.from_iterable(item.slices for item in verdicts)))


def select_blocking(bounds: Sequence[ServedBound]) -> list[ServedBound]:
    """Returns the bounds that hold a model back and end a canary, without those that only warn."""
    return [bound for bound in bounds if bound.severity == "block"]


def judge_served_versions(evidence: Evidence) -> Iterator[Finding]:
    """Yields a warning for each version that answered and that the release store lacks, or has damaged."""
    if evidence.served is None:
        return
    for item in evidence.served.versions:
        if item.version not in evidence.pushed:
            text = (
                f"Answers by version {item.version}, which the release store never had:"
                f" {item.total.answers:,}. A phone runs something else, or the version was removed by hand."
            )
            yield Finding(text, code="unknown_version", severity="warn")
    for version, release in evidence.pushed.items():
        if release.damage:
            text = f"The release of version {version}, which answered, is damaged: {release.damage}"
            yield Finding(text, code="damaged_release", severity="warn")


def judge_production(evidence: Evidence) -> Iterator[Finding]:
    """Yields what the answers of phones show of the version in production: a bad one holds a model back."""
    metrics, bounds = evidence.metrics, evidence.settings.served
    version = metrics.baseline_version
    if evidence.served is None or not version:
        return
    answers = evidence.served.of(version)
    release = evidence.pushed.get(version)
    blocking = select_blocking(bounds)
    judged = judge_served(version, answers, blocking, release, metrics.group)
    if judged.result == "bad":
        for text, name in zip(judged.sentences, judged.slices, strict=True):
            yield Finding(text, "evaluation.served=[]", name, code="served")
    elif judged.result == "too_few" and blocking:
        for text in judged.sentences:
            yield Finding(text, code="served_too_few", severity="warn")

    others = [bound for bound in bounds if bound not in blocking]
    judged = judge_served(version, answers, others, release, metrics.group)
    if judged.result == "bad":
        for text, name in zip(judged.sentences, judged.slices, strict=True):
            yield Finding(text, slice=name, code="served", severity="warn")


def judge_skew(evidence: Evidence) -> Iterator[Finding]:
    """Yields a warning for each file whose served scores differ from its own, with the devices."""
    devices: dict[tuple[int, str], list[str]] = {}
    most = evidence.settings.max_served_difference
    for skew in evidence.skews:
        if beyond := sum(difference > most for difference in skew.differences):
            largest = max(skew.differences)
            text = f"{skew.device} ({beyond} of {len(skew.differences)}, by up to {largest:.3f})"
            devices.setdefault((skew.version, skew.variant), []).append(text)
    for (version, variant), named in devices.items():
        text = (
            f"Scores that phones gave with {variant} of version {version} are more than {most:g} from those"
            f" of the stored file for the same examples: {join_names(named, 5)}. Another decoder, another"
            " runtime, a wrong bundle?"
        )
        yield Finding(text, code="skew", severity="warn")


def _judge_slices(
    bound: ServedBound, subject: str, served: ServedVersion | None, pushed: PushedVersion | None, group: str
) -> Iterator[Judgement]:
    """Yields a judgement for each slice with enough answers, or one that says that none has enough."""
    tallies: Mapping[str, Tally] = served.kinds.get(bound.slice, {}) if served else {}
    most, is_judged, is_limited = 0, False, True

    for name, tally in tallies.items():
        checked = tally.checked
        most = max(most, checked.examples if checked else 0)
        if checked is None or checked.examples < bound.min_checked or checked.sessions < bound.min_groups:
            continue
        limit = bound.find_limit(pushed.accuracy_of(bound.slice, name) if pushed else None)
        if limit is None:
            is_limited = False
            continue
        is_judged = True
        slice_name = "overall" if bound.slice == "overall" else f"{bound.slice} {name}"
        where = "" if bound.slice == "overall" else f" of {slice_name}"
        shown, required = format_with_bound(checked.share, limit)
        text = (
            f"Of {checked.examples:,} answers of {subject}{where} that were drawn at random, on"
            f" {checked.sessions:,} {group}s, {shown} were right (95 % CI {checked.low:.3f} to"
            f" {checked.high:.3f}); at least {required} required."
        )
        if checked.high < limit:
            yield Judgement("bad", (text,), (f"{SERVED_SLICE}{slice_name}",))
        elif checked.share >= limit - ROUNDING:
            yield Judgement("good", (text,))
        else:
            yield Judgement("too_few", (f"{text} It may be chance.",))

    if is_judged:
        return
    what = f"a {bound.slice}" if bound.slice != "overall" else "it"
    text = (
        f"Too few answers of {subject} that were drawn at random are checked to judge {what}: at most"
        f" {most:,}; at least {bound.min_checked:,} on {bound.min_groups:,} {group}s required."
    )
    if not is_limited:
        why = f": {pushed.damage}" if pushed and pushed.damage else "."
        text = f"max_drop judges no answer of {subject}, whose accuracy on eval at its push is not known{why}"
    yield Judgement("too_few", (text,))
