"""ExampleGen: turns the newest spans into Examples, and quarantines rows that cannot be trained on.

Beam reads the rows and makes the examples, see `example_shards.py`.
"""

import json
import logging
import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
from tfx.dsl.component.experimental.annotations import BeamComponentParameter, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils
from tfx.types.standard_artifacts import Examples

from components.artifacts import Quarantine
from components.ingest import example_shards
from components.ingest.example_shards import (
    Look,
    MakeExamples,
    MergeShard,
    Plan,
    ReadRows,
    ShardSpan,
    SpanRead,
    read_all,
)
from components.ingest.kept_spans import KeptSpans
from components.ingest.near_twins import find_twins, select_looks
from components.ingest.originals import Named, choose_answers, choose_originals, write_originals
from components.ingest.quarantine import select_listed, write_quarantine
from data.settings import DataSettings
from data.spans.corrections import read_corrections
from data.spans.layout import Span, find_excluded_in_window, find_newest_spans
from data.spans.rule_counts import RuleCounts, judge_rules
from data.spans.served import read_served
from data.spans.source import SPLITS, Source, load_source
from data.spans.split import Ends
from data.spans.window import compute_span_digests, compute_window_digest, has_links
from edgeline.errors import DataRefused
from edgeline.records.evaluation import REVIEWED
from edgeline.records.ingest import BROKEN_RULES, TWINS, Excluded, Ingest, Quarantined
from edgeline.records.ingest import Span as SpanCounts
from edgeline.records.photo_features import write_features
from edgeline.records.served import ASKED, SERVED, Answer, Truth, count_served
from edgeline.records.workload import Workload
from edgeline.settings_group import Group
from edgeline.store.locations import Location, locate

_EXAMPLES_PER_SHARD, _MOST_SHARDS = 2_000, 256

log = logging.getLogger("edgeline.ingest")


class _Settings(Group):
    data: DataSettings


@dataclass(frozen=True)
class _Window:
    """A window of spans, and how it is read."""

    workload: Workload
    limits: DataSettings
    place: Location
    spans: Sequence[Span]  # oldest first
    scratch: Path  # a folder of each span, see `example_shards.py`
    source: Source
    served: Sequence[Answer | str]  # what phones answered
    cache: KeptSpans | None
    contents: Mapping[str, str]  # digests of the files of each span, if they are needed before reading
    fresh: Sequence[Span]  # those that no earlier run has read
    listed: Mapping[Span, int]  # the number of rows of each span

    def read(self, pattern: str, kind: Any) -> Iterator[Any]:
        """Reads what the workers left in the scratch."""
        return read_all(self.scratch, pattern, kind)


@dataclass(frozen=True)
class _Counts:
    """The rows and examples of a window."""

    quarantined: Sequence[Quarantined]  # those that are listed
    rejected: Counter[tuple[str, str]]  # rows by span and reason
    reads: Mapping[str, SpanRead]  # by name of the span
    examples: Counter[tuple[str, str, str]]  # by split, label and name of the span


@component(use_beam=True)
def SpanExampleGen(
    examples: OutputArtifact[Examples],
    quarantine: OutputArtifact[Quarantine],
    data: Parameter[str],
    workload: Parameter[str],
    settings: Parameter[str],
    window: Parameter[str],
    workspace: Parameter[str],
    code: Parameter[str],
    beam_pipeline: BeamComponentParameter[beam.Pipeline] = None,
) -> None:
    """Reads the newest spans, checks each row, splits by group and writes Examples and quarantine.

    Args:
        examples: Read by most steps: the splits, and the raw inputs of a few eval examples (`originals.py`).
            Custom properties: `first_span`, `last_span`, `window`, and `spans`, the digests of each span.
        quarantine: Read by DataValidator, DataGate, ProductionModel, ModelValidator and Pusher: the rejected
            rows and the counts of the window. For photos, `twins.json` lists the eval examples with a near
            twin in train. Where spans have a `served.csv`, `served.json` has the counts of what phones
            answered, and `asked.json` answers to compute again, with their raw inputs.
        data: The folder of spans, or its URL.
        workload: JSON, read as `Workload`.
        settings: The settings `data` as JSON, read as `_Settings`.
        window: The digest of the window's content, a part of the cache key that is checked after reading;
            empty where the engine runs each step afresh.
        workspace: The folder that keeps the output for each span for the next run, see `kept_spans.py`; empty
            where runs share none.
        code: Digests of the step's code and of the libraries; kept output is of this code alone.
        beam_pipeline: Given by TFX, with the flags of the settings `beam`.

    Raises:
        UsageError: There is no span.
        DataRefused: A span cannot be read, the examples cannot be split, or a split has none.
    """
    folder = Path(quarantine.uri)
    examples.split_names = artifact_utils.encode_split_names(list(SPLITS))
    folders = {split: artifact_utils.get_split_uri([examples], split) for split in SPLITS}
    scratch = folder / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)  # left by an attempt that was killed
    for directory in (scratch, *map(Path, folders.values())):
        directory.mkdir(parents=True, exist_ok=True)

    about = Workload.from_json(workload)
    limits = _Settings.model_validate_json(settings).data
    opened = _open_window(data, about, limits, workspace, code, scratch)
    _run(beam_pipeline, _make_plan(opened, folders), opened)

    rule_counts = dict(opened.read(example_shards.RULES, tuple[str, RuleCounts]))
    listed = {span.name: rows for span, rows in opened.listed.items()}
    BROKEN_RULES.write(folder, judge_rules(about, rule_counts, listed))
    counts = _count(opened)
    contents = _check_contents(opened, window)
    _write_served(opened, folder)
    in_eval = choose_originals(opened.read(example_shards.IN_EVAL, list[Named]), opened.workload.labels)
    write_originals(Path(examples.uri), in_eval, opened.spans, opened.source)
    twins = find_twins(lambda: opened.read(example_shards.LOOKS, list[Look]))
    write_features(folder, select_looks(opened.read(example_shards.LOOKS, list[Look])))
    _keep_spans(opened, counts, contents)
    shutil.rmtree(scratch)

    summary = _summarize(opened, counts, contents)
    write_quarantine(folder, counts.quarantined, opened.spans, opened.source, summary)
    reviewed = [f"{span.name}/{id}" for span in opened.spans for id in read_corrections(span)]
    REVIEWED.write(folder, tuple(reviewed))
    if twins is not None:
        TWINS.write(folder, twins)
    examples.span = opened.spans[-1].number
    examples.set_int_custom_property("first_span", opened.spans[0].number)
    examples.set_int_custom_property("last_span", opened.spans[-1].number)
    examples.set_string_custom_property("window", summary.window)
    examples.set_string_custom_property("spans", json.dumps(contents))
    if counts.quarantined:
        total = sum(span.rows for span in summary.spans)
        log.warning("%d of %d %s were quarantined.", counts.rejected.total(), total, opened.workload.nouns)


def _open_window(
    data: str, workload: Workload, limits: DataSettings, workspace: str, code: str, scratch: Path
) -> _Window:
    """Finds the newest spans, takes what earlier runs kept of them, and lists the rows of the others."""
    module = load_source(workload.source)
    place = locate(data)
    spans = find_newest_spans(place, limits.window, limits.until)
    cache = KeptSpans.of(Path(workspace), workload, limits, code) if workspace else None
    contents: dict[str, str] = {}
    if cache or not isinstance(place, Path):
        contents = compute_span_digests(spans, Path(workspace, "window.json"))

    fresh = [s for s in spans if cache is None or not cache.take(s.name, contents[s.name], scratch / s.name)]
    log.info("%d of %d spans are read; an earlier run read the others.", len(fresh), len(spans))
    for span in fresh:
        example_shards.list_span(scratch / span.name, module.count(span))
        if cache is not None:
            cache.take_parts(span.name, contents[span.name], scratch / span.name)
    return _Window(
        workload=workload,
        limits=limits,
        place=place,
        spans=spans,
        scratch=scratch,
        source=module.open_source(workload, limits),
        served=[row for span in spans for row in read_served(span)],
        cache=cache,
        contents=contents,
        fresh=fresh,
        listed=dict(zip(spans, read_all(scratch, example_shards.LISTED, int), strict=True)),
    )


def _make_plan(window: _Window, folders: Mapping[str, str]) -> Plan:
    """Returns what the workers get; `folders` are those of the splits."""
    # Parts of a span are not worth keeping where examples take no time; the target of a link may change.
    keeps_parts = window.cache is not None and window.source.spread
    partly = [span for span in window.fresh if keeps_parts and not has_links(span)]
    rows = sum(window.listed.values())
    return Plan(
        source=window.source,
        spans={span.name: span for span in window.fresh},
        workload=window.workload,
        scratch=window.scratch,
        folders=folders,
        shards=min(max(1, -(-rows // _EXAMPLES_PER_SHARD)), _MOST_SHARDS),
        newest=window.spans[-1].name,
        eval_fraction=window.limits.eval_fraction,
        cache=window.cache,
        contents={span.name: window.contents[span.name] for span in partly},
        checked=frozenset(row.example for row in window.served if isinstance(row, Answer) and row.chosen),
    )


def _run(beam_pipeline: beam.Pipeline, plan: Plan, window: _Window) -> None:
    """Makes the examples of the fresh spans, and the shards of all spans."""
    with beam_pipeline as pipeline:
        rows = pipeline | "ListFresh" >> beam.Create(window.fresh) | "ReadRows" >> beam.ParDo(ReadRows(plan))
        rows = rows | "SpreadRows" >> beam.Reshuffle() if plan.source.spread else rows
        examples = rows | "MakeExamples" >> beam.ParDo(MakeExamples(plan))
        parts = (
            pipeline
            | "ListSpans" >> beam.Create([span.name for span in window.spans])
            | "ShardSpans" >> beam.ParDo(ShardSpan(plan), examples=beam.pvalue.AsIter(examples))
        )
        _ = (
            pipeline
            | "ListShards" >> beam.Create(range(plan.shards))
            | "MergeShards" >> beam.ParDo(MergeShard(plan), parts=beam.pvalue.AsIter(parts))
        )


def _count(window: _Window) -> _Counts:
    """Counts rows and examples. Raises DataRefused if a span cannot be read, or a split has no example."""
    for refusal in window.read(example_shards.REFUSED, tuple[str, str, str, tuple[str, ...]]):
        raise DataRefused(*refusal)
    quarantined, rejected = select_listed(
        window.read(example_shards.QUARANTINED, Quarantined), window.read(example_shards.UNMADE, Quarantined)
    )
    reads = {item.name: item for item in window.read(example_shards.READ, SpanRead)}
    Ends().merged(item.ends for item in reads.values()).check(window.workload.nouns)

    examples: Counter[tuple[str, str, str]] = Counter()
    for shard in window.read(example_shards.COUNTS, list[tuple[str, str, str, int]]):
        examples.update({(split, label, span): count for split, label, span, count in shard})
    for split in SPLITS:
        if not any(key[0] == split for key in examples):
            where = f"the {split} split" if examples else "the window"
            raise _refuse_empty_split(where, sorted({key[0] for key in examples}), rejected, window)
    return _Counts(quarantined, rejected, reads, examples)


def _check_contents(window: _Window, expected: str) -> dict[str, str]:
    """Returns the digests of the files of each span; `expected` is that of the window, if it is known.

    Raises:
        DataRefused: The files changed while they were read.
    """
    read = compute_span_digests(window.fresh)
    contents = {**window.contents, **read}
    has_changed = expected not in ("", compute_window_digest(contents))
    if not isinstance(window.place, Path):  # listing a store costs little, so it is done before and after
        has_changed |= any(window.contents[name] != digest for name, digest in read.items())
    if has_changed:
        raise DataRefused(
            f"The files of {window.spans[0].name} to {window.spans[-1].name} changed while they were read.",
            "The release would name data that the model was not trained on.",
            "Run again when nothing writes to the data folder.",
        )
    return contents


def _write_served(window: _Window, folder: Path) -> None:
    """Writes the counts of what phones answered, and answers to compute again with their raw inputs."""
    if not window.served:
        return
    truths: dict[str, Truth] = {}
    for shard in window.read(example_shards.TRUTHS, dict[str, Truth]):
        truths |= shard
    SERVED.write(folder, count_served(window.served, truths, window.workload.noun))
    checked = (row for row in window.served if isinstance(row, Answer) and row.example in truths)
    answers = choose_answers(checked)
    ASKED.write(folder, tuple(answers))
    by_span: dict[str, list[Named]] = {}
    for example, device in {answer.example: answer.device for answer in answers}.items():
        name, _, id = example.partition("/")
        by_span.setdefault(name, []).append((device, name, id))
    write_originals(folder, by_span, window.spans, window.source)


def _keep_spans(window: _Window, counts: _Counts, contents: Mapping[str, str]) -> None:
    """Keeps the output for the fresh spans for the next run, where runs share a folder."""
    if window.cache is None:
        return
    # A row that is unreadable may be readable next time.
    unstable = {span for span, reason in counts.rejected if reason == "unreadable"}
    unstable |= {span.name for span in window.fresh if has_links(span)}
    names = (span.name for span in window.fresh)
    stable = [n for n in names if window.contents[n] == contents[n] and n not in unstable]
    window.cache.update(window.contents, [window.scratch / name for name in stable])


def _summarize(window: _Window, counts: _Counts, contents: Mapping[str, str]) -> Ingest:
    """Returns the counts of the window for reports and gates."""
    workload, limits = window.workload, window.limits
    by_split, by_label = Counter[str](), Counter[str]()
    by_span: dict[str, Counter[str]] = {span.name: Counter() for span in window.spans}
    for (split, label, span_name), count in counts.examples.items():
        by_split[split] += count
        by_label[label] += count
        by_span[span_name][label] += count

    trained = {label for split, label, _ in counts.examples if split == "train"}
    decisions = find_excluded_in_window(window.place, window.spans, limits.window, limits.until)
    return Ingest(
        splits={split: by_split[split] for split in SPLITS},
        classes={label: by_label[label] for label in workload.labels},
        untrained=tuple(label for label in workload.labels if by_label[label] and label not in trained),
        spans=tuple(
            _count_span(span, window, counts, by_span[span.name], contents[span.name])
            for span in window.spans
        ),
        window=compute_window_digest(contents),
        excluded=tuple(Excluded(each.span, each.who, each.when, each.reason) for each in decisions),
        noun=workload.noun,
    )


def _refuse_empty_split(
    where: str, assigned: Collection[str], rejected: Counter[tuple[str, str]], window: _Window
) -> DataRefused:
    """Returns the refusal of a window without examples for a split."""
    workload = window.workload
    limits = window.limits
    rows = sum(window.listed.values())
    names = [span.name for span in window.spans]
    shown = " to ".join(dict.fromkeys((names[0], names[-1])))

    if assigned and not rejected.total():
        return DataRefused(
            f"All {workload.nouns} of {shown} are assigned to {', '.join(assigned)}, and none to {where}.",
            f"A model cannot be trained and judged without {workload.nouns} in both splits.",
            "Assign some of each class to the other split, or remove the splits; import into a new folder.",
        )

    by_reason: Counter[str] = Counter()
    for (_, reason), count in rejected.items():
        by_reason[reason] += count
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(by_reason.items())) or "none"

    if rejected or limits.readings == 1 or not rows:
        return DataRefused(
            f"No usable {workload.noun} is left for {where} ({rejected.total()} quarantined: {reasons}).",
            f"A model cannot be trained and judged without {workload.nouns} in both splits.",
            f"Check the content of {shown}.",
        )

    hours = limits.block_hours
    owner = f" of a {workload.group_column}" if workload.group_column else ""
    return DataRefused(
        f"No {hours} hours{owner} have {limits.readings} of the {rows:,} rows.",
        f"An example is {limits.readings} rows (data.readings) within {hours} hours (data.block_hours).",
        "Set a higher data.block_hours, such as 168 for a week, or fewer data.readings.",
    )


def _count_span(
    span: Span, window: _Window, counts: _Counts, by_label: Counter[str], content: str
) -> SpanCounts:
    """Returns the counts of one span, also of classes without an example."""
    classes = {label: by_label[label] for label in window.workload.labels}
    usable = counts.reads[span.name].usable if span.name in counts.reads else 0
    rejected = {reason: n for (name, reason), n in sorted(counts.rejected.items()) if name == span.name}
    return SpanCounts(
        name=span.name,
        number=span.number,
        rows=window.listed[span] if usable or rejected else 0,  # too few for a window are none
        accepted=sum(classes.values()),
        classes=classes,
        rejected=rejected,
        usable=usable,
        content=content,
    )
