"""Compares the files for phones with plain conversions of the same SavedModel.

    .venv/bin/python -m benchmarks.bench_edge WORKSPACE...

Measures the files of each run, and TFLite's conversion without options and with `Optimize.DEFAULT` (weights
of 8 bits). All predict the same eval examples, one at a time. Size and latency are also given relative to the
conversion without options; a latency is the median of 100 runs.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import edgeline
from components.transformed_examples import read_examples
from edgeline.edge.measure import measure
from edgeline.reading import PastRun
from edgeline.records.edge import CONVERSIONS, Measurement
from pipeline.workloads import find_workload, with_features

_MOST_EXAMPLES = 1_000


def _convert_plainly(saved_model: str, signature: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """Converts a signature as in TFLite's documentation; yields names and files."""
    import tensorflow as tf

    for name, options in (("plain", []), ("plain, 8 bits", [tf.lite.Optimize.DEFAULT])):
        converter = tf.lite.TFLiteConverter.from_saved_model(saved_model, signature_keys=[signature])
        converter.optimizations = options
        path = folder / f"{name}.tflite"
        path.write_bytes(converter.convert())
        yield name, path


def measure_run(run: PastRun, folder: Path) -> dict[str, Measurement]:
    """Measures all files of a run; returns them by name, `plain` first."""
    import tensorflow as tf
    from tfx.types.standard_artifacts import Examples
    from tfx.utils import path_utils

    from trainer_module import workload_module

    workload = with_features(find_workload(run.facts.run.workload_source))
    examples = Examples()
    graph = run.step("Transform").artifacts["transform_graph"]
    examples.uri = run.step("ExampleGen").artifacts["examples"]
    examples.split_names = '["train", "eval"]'
    sample = read_examples(examples, graph, "eval", _MOST_EXAMPLES, workload)
    bundle = Path(run.step("EdgeConverter").artifacts["edge_models"])
    saved_model = path_utils.serving_model_path(run.step("Trainer").artifacts["model"])
    signature = workload_module.name_tensor_signature(workload.module)
    serve = tf.saved_model.load(saved_model).signatures[signature]
    ((argument, spec),) = serve.structured_input_signature[1].items()
    reference = serve(**{argument: tf.cast(sample.inputs, spec.dtype)})["probabilities"].numpy()
    files = dict(_convert_plainly(saved_model, signature, folder))
    files |= {variant.variant: bundle / variant.file for variant in CONVERSIONS.read(bundle) if variant.file}
    return {
        name: measure(path, sample.inputs, sample.labels, reference, {})[0] for name, path in files.items()
    }


def main() -> None:
    """Prints a table for each run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspaces", nargs="+", metavar="WORKSPACE")
    for run in (run for place in parser.parse_args().workspaces for run in edgeline.open(place).runs()):
        if "edge_models" not in {artifact.output for artifact in run.facts.run.artifacts}:
            continue
        with tempfile.TemporaryDirectory() as folder:
            measured = measure_run(run, Path(folder))
        plain = measured["plain"]
        name = f"{run.facts.run.workload}, {run.settings['model.backbone']}"
        print(f"\n{name}: {plain.examples:,} eval examples, {plain.machine.cpu}, {plain.machine.runtime}\n")
        print("| file | MB | to plain | accuracy | agreement | one thread, ms | to plain | two threads, ms |")
        print("|---|---|---|---|---|---|---|---|")
        for name, result in measured.items():
            assert result.two_threads is not None
            size, latency = result.size_bytes / plain.size_bytes, result.latency.p50_ms / plain.latency.p50_ms
            right = f"{result.accuracy:.3f} | {result.agreement:.3f}"
            times = f"{result.latency.p50_ms:.3f} | {latency:.2f} | {result.two_threads.p50_ms:.3f}"
            print(f"| {name} | {result.size_bytes / 1e6:.3f} | {size:.2f} | {right} | {times} |")


if __name__ == "__main__":
    main()
