from pathlib import Path

import apache_beam as beam
from apache_beam.runners.worker import statecache
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor

from components.tfx_steps import LateBeam
from pipeline.beam_settings import FASTEST_ON_ONE_MACHINE


class Sums(BaseBeamExecutor):
    """Writes numbers, each with the sum of all added, which reaches them as a side input."""

    def Do(self, input_dict, output_dict, exec_properties):
        with self._make_beam_pipeline() as pipeline:
            numbers = pipeline | beam.Create([1, 2, 3])
            total = beam.pvalue.AsSingleton(numbers | beam.CombineGlobally(sum))
            sums = numbers | beam.Map(lambda number, total: str(number + total), total)
            _ = sums | beam.io.WriteToText(exec_properties["path"], shard_name_template="")


class LateSums(LateBeam):
    executor_path = f"{Sums.__module__}.Sums"


def test_beam_measures_no_size_of_side_inputs(tmp_path: Path, monkeypatch):
    """A new Beam may drop the setting for it, which no other test would notice."""
    measurements = []
    monkeypatch.setattr(statecache, "get_deep_size", lambda *values: measurements.append(values) or 1)
    monkeypatch.setattr("components.tfx_steps.import_class_by_path", lambda path: Sums)
    context = LateSums.Context(
        beam_pipeline_args=list(FASTEST_ON_ONE_MACHINE), tmp_dir=str(tmp_path), unique_id="1"
    )
    LateSums(context).Do({}, {}, {"path": str(tmp_path / "sums")})
    assert sorted((tmp_path / "sums").read_text().split()) == ["7", "8", "9"]
    assert not measurements
