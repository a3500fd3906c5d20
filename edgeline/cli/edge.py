"""`edgeline edge bench` times the files of a release."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from edgeline.cli import options
from edgeline.cli.commands import Command, Group
from edgeline.cli.stdout import print_json, say
from edgeline.edge.golden import read_vectors
from edgeline.edge.interpreter import silence_stderr
from edgeline.edge.measure import describe_machine, measure_speed
from edgeline.errors import UsageError
from edgeline.journal import utc_now
from edgeline.records.edge import Benchmark, Machine, Speed
from edgeline.records.json_file import encode
from edgeline.release import store
from edgeline.release.layout import PREPROCESSING, PushFolder
from edgeline.release.releases import Release
from edgeline.report import words
from edgeline.store.locations import locate
from edgeline.store.objects import write_bytes
from edgeline.workspace.known_runs import resolve_place
from edgeline.workspace.place import Place


@click.group(cls=Group)
def edge() -> None:
    """Times the files of a release on this machine."""


@edge.command(cls=Command)
@click.argument("version", required=False, type=click.IntRange(1), help="a version (that in production)")
@options.releases_of
@options.as_json
def bench(version: int | None, place: Place, as_json: bool) -> int:
    """Times each file of a release as EdgeValidator does, and keeps the times beside the releases."""
    _, root, model = resolve_place(place)
    folder = PushFolder(locate(root))
    release = store.get(root, model, version)

    # Times.
    with TemporaryDirectory(prefix="edgeline-models-") as scratch:
        files = {variant.name: Path(scratch, variant.file) for variant in release.manifest.variants}
        for path in files.values():
            path.write_bytes(release.read(path.name))
        machine, speeds = _bench(release, files)

    # The record beside the releases.
    at = utc_now()
    measured = Benchmark(model, release.version, at, machine, speeds)
    name = f"{release.version}-{at.replace(':', '')}.json"
    content = encode(measured) + b"\n"
    write_bytes(folder.benchmarks(model) / name, content)

    # Output.
    if as_json:
        return print_json(json.loads(content))
    say(f"{model} {release.version} on {machine.cpu}, {machine.runtime}:")
    for variant, speed in speeds.items():
        say(f"  {variant}: {', '.join(words.speed(speed))}")
    say(f"Kept as {folder.relative(folder.benchmarks(model) / name)}.")
    return 0


def _bench(release: Release, files: dict[str, Path]) -> tuple[Machine, dict[str, Speed]]:
    vectors = read_vectors(release.edge)
    if vectors is None or not len(vectors.tensors):
        raise UsageError(
            f"{release.model} {release.version} has no golden vectors.",
            "Files are timed with these, since they are real inputs.",
            "Run again with edge.golden_examples above 0.",
        )
    inputs = vectors.tensors, vectors.contents, json.loads(release.read(PREPROCESSING))
    with silence_stderr():
        return describe_machine(), {name: measure_speed(path, *inputs) for name, path in files.items()}
