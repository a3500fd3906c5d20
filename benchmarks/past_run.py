"""Reads the eval examples of a past run, for the benchmarks of its files."""

from components.transformed_examples import TransformedExamples, read_examples
from edgeline.reading import PastRun
from edgeline.records.workload import Workload
from pipeline.workloads import find_workload, with_features

_MOST_EXAMPLES = 1_000


def read_eval(run: PastRun) -> tuple[Workload, TransformedExamples]:
    """Returns a run's workload, and its first 1,000 eval examples as its model reads them."""
    from tfx.types.standard_artifacts import Examples

    workload = with_features(find_workload(run.facts.run.workload_source))
    examples = Examples()
    examples.uri = run.step("ExampleGen").artifacts["examples"]
    examples.split_names = '["train", "eval"]'
    graph = run.step("Transform").artifacts["transform_graph"]
    return workload, read_examples(examples, graph, "eval", _MOST_EXAMPLES, workload)
