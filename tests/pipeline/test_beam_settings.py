from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.worker import statecache
from tensorflow_data_validation.statistics.stats_impl import generate_statistics_in_memory
from tensorflow_data_validation.utils import quantiles_util

from edgeline.errors import UsageError
from edgeline.gates.drift import make_stats_options
from pipeline.beam_settings import FASTEST_ON_ONE_MACHINE, speed_up_beam
from pipeline.settings import load_settings

POOL = ("--environment_type=EXTERNAL", "--environment_config=here:50000", "--sdk_container_image=none")
IMAGE = ("--environment_type=DOCKER", "--environment_config=shop:1", "--sdk_container_image=shop:1")


def make_flags(*settings):
    return load_settings({}, None, [f"beam.{setting}" for setting in settings]).beam.as_flags()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ((), FASTEST_ON_ONE_MACHINE),
        (("flags=[--direct_num_workers=2]",), ("--direct_num_workers=2",)),
        (("engine=portable", "endpoint=jobs:8099", "pool=here:50000"),
         ("--runner=PortableRunner", "--job_endpoint=jobs:8099", *POOL)),
        (("engine=flink", "endpoint=jobs:8099", "image=shop:1", "flags=[--parallelism=4]"),
         ("--runner=PortableRunner", "--job_endpoint=jobs:8099", *IMAGE, "--parallelism=4")),
        (("engine=flink", "master=flink:8081", "image=shop:1", "workers=8"),
         ("--runner=FlinkRunner", "--flink_master=flink:8081", *IMAGE, "--parallelism=8")),
        (("engine=dataflow", "project=shop", "region=europe-west1", "spill=gs://shop/tmp", "workers=8"),
         ("--runner=DataflowRunner", "--project=shop", "--region=europe-west1",
          "--temp_location=gs://shop/tmp", "--max_num_workers=8")),
        (("engine=spark", "master=spark://host:7077", "spill=/shared", "workers=8", "memory_gb=2"),
         ("--runner=components.beam_on_spark.runner.SparkRunner", "--spark_master=spark://host:7077",
          "--spark_spill=/shared", "--spark_conf=spark.executor.memory=2g",
          "--spark_conf=spark.driver.memory=2g", "--spark_conf=spark.cores.max=8",
          "--spark_conf=spark.executor.instances=8", "--sdk_container_image=none")),
    ],
)  # fmt: skip
def test_an_engine_and_its_settings_become_the_flags_of_beam(settings, expected):
    assert make_flags(*settings) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("engine=spark",), "beam.master or, for Beam's job server, beam.endpoint is required"),
        (("engine=spark", "master=spark://host:7077"), "beam.spill is required"),
        (("engine=spark", "master=k8s://https://host", "spill=/a"), "set kubeflow.spill instead of beam.spi"),
        (("engine=spark", "master=host:7077"), "beam.master is not one of spark://HOST:PORT"),
        (("engine=spark", "endpoint=jobs:8099"), "beam.image or beam.pool is required"),
        (("engine=portable", "pool=here:50000"), "beam.endpoint is required"),
        (("engine=portable", "endpoint=jobs", "pool=here:50000"), "beam.endpoint: 'jobs' is not HOST:PORT"),
        (("engine=flink", "master=flink:8081"), "beam.image or beam.pool is required"),
        (("engine=dataflow",), "beam.project is required, beam.region is required, beam.spill is required"),
        (("engine=dataflow", "project=shop", "region=r", "spill=/tmp"), "beam.spill is not a gs:// URL"),
        (("workers=4",), "beam.workers does not apply"),
        (("engine=portable", "endpoint=jobs:8099", "pool=here:1", "memory_gb=2"), "beam.memory_gb does not"),
        (("flags=[--spark_conf=spark.speculation]",), "spark.speculation is not of the form"),
        (("engine=hadoop",), "beam.engine: 'hadoop' is not one of direct, spark, flink"),
    ],
)
def test_a_missing_or_wrong_setting_of_an_engine_is_refused_with_its_key(settings, message):
    with pytest.raises(UsageError) as caught:
        make_flags(*settings)
    assert message in caught.value.found
    assert caught.value.why.strip() == "Nothing was run."


def test_beam_measures_no_size_of_side_inputs(tmp_path: Path, monkeypatch):
    """A new Beam may drop the setting for it, which no other test would notice."""
    measurements = []
    monkeypatch.setattr(statecache, "get_deep_size", lambda *values: measurements.append(values) or 1)
    speed_up_beam()
    with beam.Pipeline(options=PipelineOptions(list(FASTEST_ON_ONE_MACHINE))) as pipeline:
        numbers = pipeline | beam.Create([1, 2, 3])
        total = beam.pvalue.AsSingleton(numbers | beam.CombineGlobally(sum))
        sums = numbers | beam.Map(lambda number, total: str(number + total), total)
        _ = sums | beam.io.WriteToText(str(tmp_path / "sums"), shard_name_template="")
    assert sorted((tmp_path / "sums").read_text().split()) == ["7", "8", "9"]
    assert not measurements


def test_a_histogram_is_made_from_ten_times_as_many_quantiles_as_it_has(monkeypatch):
    """The settings name a private constant, which a new TFDV may drop."""
    sizes = []
    make = quantiles_util.generate_equi_width_histogram
    monkeypatch.setattr(
        quantiles_util,
        "generate_equi_width_histogram",
        lambda quantiles, **rest: sizes.append(len(quantiles)) or make(quantiles=quantiles, **rest),
    )
    speed_up_beam()
    batch = pa.RecordBatch.from_pydict({"number": [[float(number)] for number in range(500)]})
    statistics = generate_statistics_in_memory(batch, make_stats_options(["number"], quantiles=20))
    assert sizes == [20 * 10 + 1]
    assert [len(hist.buckets) for hist in statistics.datasets[0].features[0].num_stats.histograms] == [10, 20]
