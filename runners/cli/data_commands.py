"""`edgeline data generate, import, list, exclude`: making spans, and leaving some out."""

import argparse
import os
from typing import Any, Literal

from data.spans.exclusions import decide, excluded_spans
from data.spans.layout import Span, find_spans, read_labels
from errors import DataRefused, UsageError
from runners.shared.stdout import print_json, say


def generate(arguments: argparse.Namespace) -> int:
    """Renders spans after the last one that is there."""
    from rich.console import Console

    from data.shelf import faults, renderer
    from runners.shared.events import listen, stop_listening
    from runners.shared.progress import Progress

    with Progress(Console(stderr=True, highlight=False), "rendering") as progress:
        handler = listen(progress.handle)
        try:
            spans = renderer.generate(
                arguments.data,
                weeks=arguments.weeks,
                photos_per_week=arguments.photos_per_week,
                seed=arguments.seed,
                faults=faults.parse_faults(arguments.fault),
                workers=len(os.sched_getaffinity(0)),
            )
        finally:
            stop_listening(handler)
    for span in spans:
        say(str(span.path))
    return 0


def load(arguments: argparse.Namespace) -> int:
    """Imports photos into the next span."""
    from rich.console import Console

    from data.importers import importing
    from runners.shared.events import listen, stop_listening
    from runners.shared.progress import Progress

    with Progress(Console(stderr=True, highlight=False), "importing") as progress:
        handler = listen(progress.handle)
        try:
            report = importing.import_photos(arguments.source, arguments.data)
        finally:
            stop_listening(handler)
    for sentence in report.sentences():
        say(sentence)
    workload = arguments.data / "workload.yaml"
    say(f"Train on it: edgeline run --workload {workload} --data {arguments.data}")
    return 0


def list_spans(arguments: argparse.Namespace) -> int:
    """The spans of a data folder: how many photos their labels name, and which are excluded and why."""
    data = arguments.data
    spans = find_spans(data)
    excluded = excluded_spans(data)
    listed = []
    for span in spans:
        rows, problem = _count_rows(span)
        decision = excluded.get(span.name)
        why = {key: getattr(decision, key) for key in ("who", "when", "reason")} if decision else None
        listed.append({"span": span.name, "photos": rows, "problem": problem, "excluded": why})
    if arguments.json:
        print_json(listed)
        return 0
    if not spans:
        say(f"{data} holds no span-NNNNN folder.")
    for entry in listed:
        say(_line(entry))
    return 0


def _count_rows(span: Span) -> tuple[int | None, str | None]:
    try:
        return len(read_labels(span)), None
    except DataRefused as refusal:
        return None, refusal.found


def _line(entry: dict[str, Any]) -> str:
    photos = f"{entry['photos']:>6} photos" if entry["photos"] is not None else " " * 13
    why = entry["excluded"]
    notes = [f"excluded by {why['who']} on {why['when']}: {why['reason']}"] if why else []
    notes += [entry["problem"]] if entry["problem"] else []
    return f"{entry['span']} {photos}  {'; '.join(notes)}".rstrip()


def exclude(arguments: argparse.Namespace) -> int:
    """Leaves a span out of all coming runs, or takes it back in."""
    data = arguments.data
    known = [span.name for span in find_spans(data)]
    if not known:
        raise UsageError(
            f"{data} holds no span-NNNNN folder.",
            "There is nothing to exclude.",
            "Name the data folder that runs read with --data DIR.",
        )
    action: Literal["include", "exclude"] = "include" if arguments.undo else "exclude"
    decision = decide(data, action, arguments.span, arguments.reason, known)
    if arguments.undo:
        say(f"Coming runs read {decision.span} of {data} again ({decision.who}: {decision.reason}).")
    else:
        say(f"No coming run reads {decision.span} of {data} ({decision.who}: {decision.reason}).")
        say(f"Undo: edgeline data exclude {decision.span} --undo --reason R --data {data}")
    return 0
