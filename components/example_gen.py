"""ExampleGen: turns the newest spans into Examples, and quarantines rows that cannot be trained on.

Beam reads the rows and makes the examples, see `example_shards.py`.
"""

import json
import logging
import shutil
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
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
from data.spans.served import read_served
from data.spans.source import SPLITS, load_source
from data.spans.split import Ends
from data.spans.window import compute_span_digests, compute_window_digest, has_links
from edgeline.errors import DataRefused
from edgeline.records.evaluation import REVIEWED
from edgeline.records.ingest import TWINS, Excluded, Ingest, Quarantined
from edgeline.records.ingest import Span as SpanCounts
from edgeline.records.photo_features import write_features
from edgeline.records.served import ASKED, SERVED, Answer, Truth, count_served
from edgeline.records.workload import Workload
from edgeline.settings_group import Group
from edgeline.store.locations import locate

_EXAMPLES_PER_SHARD, _MOST_SHARDS = 2_000, 256

log = logging.getLogger("edgeline.ingest")


class _Settings(Group):
    data: DataSettings


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

    `examples` has the custom properties `first_span`, `last_span`, `window` and `spans`, the digests of the
    files of each span. The parameter `window` is the digest of the window's content, which keys the cache and
    is checked after reading; empty where the engine runs each step afresh. `code` covers the libraries too.
    The output for each span is kept in the folder `workspace` for the next run, see `kept_spans.py`; empty
    where runs share none.

    The raw inputs of a few eval examples are kept beside the splits, see `originals.py`.

    For photos, `twins.json` beside the counts of the window lists the eval examples with a near twin in
    train. Where spans have a `served.csv`, `served.json` has the counts of what phones answered,
    and `asked.json` answers to compute again, with their raw inputs beside it.

    Raises:
        UsageError: There is no span.
        DataRefused: A span cannot be read, the examples cannot be split, or a split has none.
    """
    about, limits = Workload.from_json(workload), _Settings.model_validate_json(settings).data
    module = load_source(about.source)
    place = locate(data)
    spans = find_newest_spans(place, limits.window, limits.until)
    examples.split_names = artifact_utils.encode_split_names(list(SPLITS))
    examples.span = spans[-1].number
    folder = Path(quarantine.uri)
    scratch = folder / "scratch"
    folders = {split: artifact_utils.get_split_uri([examples], split) for split in SPLITS}
    shutil.rmtree(scratch, ignore_errors=True)  # left by an attempt that was killed
    for directory in (scratch, *map(Path, folders.values())):
        directory.mkdir(parents=True, exist_ok=True)
    cache = KeptSpans.of(Path(workspace), about, limits, code) if workspace else None
    is_remote = not isinstance(place, Path)
    contents = compute_span_digests(spans, Path(workspace, "window.json")) if cache or is_remote else {}
    fresh = [s for s in spans if cache is None or not cache.take(s.name, contents[s.name], scratch / s.name)]
    log.info("%d of %d spans are read; an earlier run read the others.", len(fresh), len(spans))
    for span in fresh:
        example_shards.list_span(scratch / span.name, module.count(span))
        if cache is not None:
            cache.take_parts(span.name, contents[span.name], scratch / span.name)
    listed = dict(zip(spans, read_all(scratch, example_shards.LISTED, int), strict=True))
    source = module.open_source(about, limits)
    served = [row for span in spans for row in read_served(span)]
    # Parts of a span are not worth keeping where examples take no time; the target of a link may change.
    partly = [span for span in fresh if cache and source.spread and not has_links(span)]
    plan = Plan(
        source=source,
        spans={span.name: span for span in fresh},
        workload=about,
        scratch=scratch,
        folders=folders,
        shards=min(max(1, -(-sum(listed.values()) // _EXAMPLES_PER_SHARD)), _MOST_SHARDS),
        newest=spans[-1].name,
        eval_fraction=limits.eval_fraction,
        cache=cache,
        contents={span.name: contents[span.name] for span in partly},
        checked=frozenset(row.example for row in served if isinstance(row, Answer) and row.chosen),
    )
    _run(beam_pipeline, plan, spans, fresh)

    for refusal in read_all(scratch, example_shards.REFUSED, tuple[str, str, str, tuple[str, ...]]):
        raise DataRefused(*refusal)
    quarantined, rejected = select_listed(
        read_all(scratch, example_shards.QUARANTINED, Quarantined),
        read_all(scratch, example_shards.UNMADE, Quarantined),
    )
    reads = {item.name: item for item in read_all(scratch, example_shards.READ, SpanRead)}
    Ends().merged(item.ends for item in reads.values()).check(about.nouns)
    counts: Counter[Any] = Counter()
    for counted in read_all(scratch, example_shards.COUNTS, list[tuple[str, str, str, int]]):
        counts.update({tuple(key): count for *key, count in counted})
    twins = find_twins(lambda: read_all(scratch, example_shards.LOOKS, list[Look]))
    write_features(folder, select_looks(read_all(scratch, example_shards.LOOKS, list[Look])))
    for split in SPLITS:
        if not any(key[0] == split for key in counts):
            where = f"the {split} split" if counts else "the window"
            assigned = sorted({key[0] for key in counts})
            raise _refuse_empty_split(where, assigned, rejected, listed, limits, about)
    read_now = compute_span_digests(fresh)
    all_contents = {**contents, **read_now}
    digest = compute_window_digest(all_contents)
    # Listing a store costs little, so it is done before and after.
    if window not in ("", digest) or (
        is_remote and any(contents[name] != read_now[name] for name in read_now)
    ):
        raise DataRefused(
            f"The files of {spans[0].name} to {spans[-1].name} changed while they were read.",
            "The release would name data that the model was not trained on.",
            "Run again when nothing writes to the data folder.",
        )
    if served:
        truths: dict[str, Truth] = {}
        for shard in read_all(scratch, example_shards.TRUTHS, dict[str, Truth]):
            truths |= shard
        SERVED.write(folder, count_served(served, truths, about.noun))
        answers = choose_answers(row for row in served if isinstance(row, Answer) and row.example in truths)
        ASKED.write(folder, tuple(answers))
        by_span: dict[str, list[Named]] = {}
        for example, device in {answer.example: answer.device for answer in answers}.items():
            name, _, id = example.partition("/")
            by_span.setdefault(name, []).append((device, name, id))
        write_originals(folder, by_span, spans, source)
    in_eval = read_all(scratch, example_shards.IN_EVAL, list[Named])
    write_originals(Path(examples.uri), choose_originals(in_eval, about.labels), spans, source)
    if cache is not None:
        unstable = {span for span, reason in rejected if reason == "unreadable"}  # perhaps readable next time
        unstable |= {span.name for span in fresh if has_links(span)}
        stable = [name for name in read_now if read_now[name] == contents[name] and name not in unstable]
        cache.update(contents, [scratch / name for name in stable])
    shutil.rmtree(scratch)
    excluded = tuple(
        Excluded(decision.span, decision.who, decision.when, decision.reason)
        for decision in find_excluded_in_window(place, spans, limits.window, limits.until)
    )
    classes = {label: sum(n for key, n in counts.items() if key[1] == label) for label in about.labels}
    trained = {key[1] for key in counts if key[0] == "train"}
    summary = Ingest(
        splits={split: sum(n for key, n in counts.items() if key[0] == split) for split in SPLITS},
        classes=classes,
        untrained=tuple(label for label, count in classes.items() if count and label not in trained),
        spans=tuple(
            replace(_count_span(span, count, reads, rejected, counts, about), content=all_contents[span.name])
            for span, count in listed.items()
        ),
        window=digest,
        excluded=excluded,
        noun=about.noun,
    )
    write_quarantine(folder, quarantined, spans, plan.source, summary)
    REVIEWED.write(folder, tuple(f"{span.name}/{id}" for span in spans for id in read_corrections(span)))
    if twins is not None:
        TWINS.write(folder, twins)
    for name, value in (("first_span", spans[0].number), ("last_span", spans[-1].number)):
        examples.set_int_custom_property(name, value)
    examples.set_string_custom_property("window", digest)
    examples.set_string_custom_property("spans", json.dumps(all_contents))
    if quarantined:
        total = sum(span.rows for span in summary.spans)
        log.warning("%d of %d %s were quarantined.", rejected.total(), total, about.nouns)


def _run(beam_pipeline: beam.Pipeline, plan: Plan, spans: Sequence[Span], fresh: Sequence[Span]) -> None:
    """Makes the examples of the `fresh` spans, and the shards of all spans."""
    with beam_pipeline as pipeline:
        rows = pipeline | "ListFresh" >> beam.Create(fresh) | "ReadRows" >> beam.ParDo(ReadRows(plan))
        rows = rows | "SpreadRows" >> beam.Reshuffle() if plan.source.spread else rows
        examples = rows | "MakeExamples" >> beam.ParDo(MakeExamples(plan))
        parts = (
            pipeline
            | "ListSpans" >> beam.Create([span.name for span in spans])
            | "ShardSpans" >> beam.ParDo(ShardSpan(plan), examples=beam.pvalue.AsIter(examples))
        )
        _ = (
            pipeline
            | "ListShards" >> beam.Create(range(plan.shards))
            | "MergeShards" >> beam.ParDo(MergeShard(plan), parts=beam.pvalue.AsIter(parts))
        )


def _refuse_empty_split(
    where: str,
    assigned: Collection[str],
    rejected: Counter[tuple[str, str]],
    spans: Mapping[Span, int],
    limits: DataSettings,
    workload: Workload,
) -> DataRefused:
    """Returns the refusal of a window without examples for a split; `spans` have their numbers of rows."""
    names = [span.name for span in spans]
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
    if rejected or limits.readings == 1 or not any(spans.values()):
        return DataRefused(
            f"No usable {workload.noun} is left for {where} ({rejected.total()} quarantined: {reasons}).",
            f"A model cannot be trained and judged without {workload.nouns} in both splits.",
            f"Check the content of {shown}.",
        )
    hours, owner = limits.block_hours, f" of a {workload.group_column}" if workload.group_column else ""
    return DataRefused(
        f"No {hours} hours{owner} have {limits.readings} of the {sum(spans.values()):,} rows.",
        f"An example is {limits.readings} rows (data.readings) within {hours} hours (data.block_hours).",
        "Set a higher data.block_hours, such as 168 for a week, or fewer data.readings.",
    )


def _count_span(
    span: Span,
    listed: int,
    reads: dict[str, SpanRead],
    rejected: Counter[tuple[str, str]],
    counts: Counter[Any],
    workload: Workload,
) -> SpanCounts:
    """Returns the counts of one span of `listed` rows, also for classes without an example."""
    classes = {
        label: sum(n for key, n in counts.items() if key[1:] == (label, span.name))
        for label in workload.labels
    }
    usable = reads[span.name].usable if span.name in reads else 0
    of_span = {reason: rejected[name, reason] for name, reason in sorted(rejected) if name == span.name}
    return SpanCounts(
        name=span.name,
        number=span.number,
        rows=listed if usable or of_span else 0,  # too few for a window are none
        accepted=sum(classes.values()),
        classes=classes,
        rejected=of_span,
        usable=usable,
    )
