"""Memory and speed of what feeds training, where shards are read from a bucket and nothing is kept.

    python -m benchmarks.bench_shards [--examples N] [--delay MILLISECONDS]

It reads one epoch of the shelf's batches, without a network, of 20,000 photos and of N: each in a process of
its own that reads them from a disk, and from `folder_as_s3.py`. The same 2,000 photos are repeated.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

from benchmarks.bench_rows import measure
from benchmarks.folder_as_s3 import BUCKET, serve_folder
from data.shelf import renderer

_PHOTOS, _FEW = 2_000, 20_000
_EPOCH = """
import sys, time
from pathlib import Path
import tensorflow_transform as tft
from pipeline.workloads import find_workload
from trainer_module import input_pipeline
transform, folder = tft.TFTransformOutput(sys.argv[1]), sys.argv[2]
began = time.monotonic()
split = input_pipeline.open_split([f"{folder}/*"], transform, "train", find_workload("shelf"), limit_bytes=0)
opened = time.monotonic()
batches = input_pipeline.training_batches(split, 64, range(1), 20, None, [1.0] * 3)
count = sum(len(label) for _, label, _ in batches)
print(len(split.labels), opened - began, time.monotonic() - opened)
"""


def _run_dag(folder: Path) -> tuple[Path, list[Path]]:
    """Runs the DAG on photos; returns the graph of Transform and the shards."""
    renderer.generate(folder / "data", weeks=1, per_week=_PHOTOS, seed=20, faults={}, workers=2)
    runner = str(Path(__file__).resolve().parents[1] / "runners" / "local_runner.py")
    command = [
        sys.executable,
        runner,
        "--data",
        str(folder / "data"),
        "--workspace",
        str(folder / "workspace"),
    ]
    measure([*command, "--set", "trainer.require_gpu=true"])  # it ends at the Trainer
    artifacts = folder / "workspace" / "artifacts"
    graph = next(artifacts.glob("Transform/transform_graph/*"))
    return graph, sorted(artifacts.glob("ExampleGen/examples/*/Split-*/*.gz"))


def _link_shards(shards: Sequence[Path], target: Path, examples: int) -> None:
    """Links shards into a folder with so many examples, or some more."""
    target.mkdir(parents=True)
    for number, shard in zip(range(-(-examples * len(shards) // _PHOTOS)), cycle(shards), strict=False):
        (target / f"{number:06}.gz").hardlink_to(shard)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table of both sides."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--examples", type=int, default=1_000_000, help="largest photo count (1,000,000)")
    parser.add_argument("--delay", type=float, default=30, help="delay of a response in milliseconds (30)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        graph, shards = _run_dag(folder)
        for examples in (_FEW, options.examples):
            _link_shards(shards, folder / "bucket" / str(examples), examples)
        with serve_folder(folder / "bucket", options.delay):
            print(f"{'':6} {'examples':>9} {'opening s':>9} {'photos/s':>9} {'peak MB':>8}")
            for examples in (_FEW, options.examples):
                disk, stored = folder / "bucket" / str(examples), folder / f"Split-{examples}"
                stored.mkdir()
                urls = [f"s3://{BUCKET}/{examples}/{file.name}" for file in sorted(disk.iterdir())]
                (stored / "shards.txt").write_text("\n".join(urls))
                for side, place in (("disk", disk), ("S3", stored)):
                    output, _, usage = measure([sys.executable, "-c", _EPOCH, str(graph), str(place)])
                    count, opened, seconds = map(float, output.split())
                    figures = f"{opened:>9.1f} {count / seconds:>9,.0f} {usage.ru_maxrss / 1000:>8,.0f}"
                    print(f"{side:6} {count:>9,.0f} {figures}", flush=True)


if __name__ == "__main__":
    main()
