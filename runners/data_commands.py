"""`edgeline data generate` and `edgeline data import`: making spans."""

import argparse
import os
import sys


def generate(arguments: argparse.Namespace) -> int:
    """Renders spans after the last one that is there."""
    from rich.console import Console

    from data import faults, shelf_renderer
    from runners.events import listen, stop_listening
    from runners.progress import Progress

    with Progress(Console(stderr=True, highlight=False), "rendering") as progress:
        handler = listen(progress.handle)
        try:
            spans = shelf_renderer.generate(
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
        sys.stdout.write(f"{span.path}\n")
    return 0


def load(arguments: argparse.Namespace) -> int:
    """Imports photos into the next span."""
    from rich.console import Console

    from data import importers
    from runners.events import listen, stop_listening
    from runners.progress import Progress

    with Progress(Console(stderr=True, highlight=False), "importing") as progress:
        handler = listen(progress.handle)
        try:
            report = importers.import_photos(arguments.source, arguments.data)
        finally:
            stop_listening(handler)
    for sentence in report.sentences():
        sys.stdout.write(f"{sentence}\n")
    workload = arguments.data / "workload.yaml"
    sys.stdout.write(f"Train on it: edgeline run --workload {workload} --data {arguments.data}\n")
    return 0
