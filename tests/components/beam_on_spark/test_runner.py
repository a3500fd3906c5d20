"""Pipelines on Spark give the same as on Beam's own in-memory runner; Spark is real, on this machine.

Functions are defined inside others, so that they are pickled whole: a worker cannot import these tests.
"""

import os
import signal
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.userstate import CombiningValueStateSpec
from apache_beam.transforms.window import FixedWindows, TimestampedValue
from apache_beam.utils.timestamp import Timestamp

from components.beam_on_spark import cluster
from edgeline.errors import DataRefused, EdgelineError, Problem
from edgeline.failures import describe_error
from pipeline.settings import load_settings

pytestmark = pytest.mark.e2e
LINES = ["a b a", "b c", "a"] * 50


def flags(*more):
    return load_settings({}, None, ["beam.engine=spark", "beam.master=local[2]", *more]).beam.as_flags()


def make_pipeline(beam_flags=None):
    return beam.Pipeline(options=PipelineOptions(list(beam_flags or flags())))


def write_all(pipeline, folder):
    """Uses combines, side inputs of each kind, Reshuffle, Flatten, windows, and writers of files."""

    def describe_word(kv, total, by_word, words, mean):
        return f"{kv[0]} {kv[1]} {total} {by_word[kv[0]]} {len(list(words))} {mean}"

    words = pipeline | beam.Create(LINES) | beam.FlatMap(str.split)
    counts = words | beam.combiners.Count.PerElement()
    side_inputs = (
        beam.pvalue.AsSingleton(counts | beam.Values() | beam.CombineGlobally(sum)),
        beam.pvalue.AsDict(counts),
        beam.pvalue.AsIter(words),
        beam.pvalue.AsSingleton(words | beam.Map(len) | beam.combiners.Mean.Globally()),
    )
    rows = counts | beam.Reshuffle() | beam.Map(describe_word, *side_inputs)
    _ = rows | beam.Map(str.encode) | beam.io.WriteToTFRecord(f"{folder}/rows", file_name_suffix=".gz")
    pairs = pipeline | "Pairs" >> beam.Create([("a", 1), ("a", 2), ("b", 3)])
    keyed = pipeline | "Keys" >> beam.Create(["a", "b", "z"])
    matches = keyed | beam.Map(lambda key, of: (key, sorted(of[key])), beam.pvalue.AsMultiMap(pairs))
    both = (words, pipeline | "More" >> beam.Create(["z"] * 5)) | beam.Flatten()
    together = both | "OfBoth" >> beam.combiners.Count.PerElement()
    timed = pipeline | "Times" >> beam.Create([("a", second) for second in range(0, 90, 10)])
    windows = (
        timed
        | beam.Map(lambda pair: TimestampedValue(pair, Timestamp(pair[1])))
        | beam.WindowInto(FixedWindows(30))
        | beam.CombinePerKey(sum)
        | "ToGlobal" >> beam.WindowInto(beam.window.GlobalWindows())
    )
    times = counts | beam.Map(lambda count, time=beam.DoFn.TimestampParam: (count, time))
    outputs = {"matches": matches, "together": together, "windows": windows, "times": times}
    for name, values in outputs.items():
        _ = (
            values
            | f"Text{name}" >> beam.Map(str)
            | f"Write{name}" >> beam.io.WriteToText(f"{folder}/{name}")
        )


def read_all(folder):
    import tensorflow as tf

    rows = tf.data.TFRecordDataset(sorted(map(str, folder.glob("rows*"))), compression_type="GZIP")
    texts = {
        name: sorted(line for path in folder.glob(f"{name}*") for line in path.read_text().splitlines())
        for name in ("matches", "together", "windows", "times")
    }
    return {"rows": sorted(row.decode() for row in rows.as_numpy_iterator()), **texts}


def test_a_pipeline_gives_what_it_gives_in_memory(tmp_path):
    spill = tmp_path / "spill"
    in_memory = load_settings({}).beam.as_flags()
    for folder, beam_flags in (("direct", in_memory), ("spark", flags(f"beam.spill={spill}"))):
        with make_pipeline(beam_flags) as pipeline:
            write_all(pipeline, tmp_path / folder)
    outputs = read_all(tmp_path / "spark")
    assert outputs == read_all(tmp_path / "direct")
    assert outputs["rows"] == ["a 150 300 150 300 1.0", "b 100 300 100 300 1.0", "c 50 300 50 300 1.0"]
    assert outputs["windows"] == ["('a', 120)", "('a', 210)", "('a', 30)"]
    assert not list(spill.iterdir())


def test_an_error_of_a_library_reaches_the_user_without_a_page_of_java():
    with pytest.raises(ZeroDivisionError) as caught, make_pipeline() as pipeline:
        _ = pipeline | beam.Create(range(5)) | beam.Map(lambda number: 1 // (number - 3))
    message = describe_error(caught.value, "Transform").found
    assert message.startswith("The step Transform failed: ZeroDivisionError: integer division")
    assert "java" not in message.lower() and len(message) < 300


def test_an_error_of_ours_reaches_the_user_also_through_an_error_of_a_library():
    def refuse(_):
        try:
            raise DataRefused("Three was found.", "Nothing counts to it.", "Take it out.", ("span-00003",))
        except DataRefused as error:
            raise ValueError("in a library") from error

    with pytest.raises(ValueError, match="in a library") as caught, make_pipeline() as pipeline:
        _ = pipeline | beam.Create([1]) | beam.Map(refuse)
    problem = describe_error(caught.value, "ExampleGen")
    parts = ("Three was found.", "Nothing counts to it.", "Take it out.")
    assert problem == Problem(*parts, exit_code=4, spans=("span-00003",))


def test_a_worker_that_is_killed_for_lack_of_memory_is_an_error_that_names_the_settings():
    def end(_):
        os.kill(os.getpid(), signal.SIGKILL)

    with (
        pytest.raises(EdgelineError, match=r"was killed.*beam\.memory_gb.*beam\.workers"),
        make_pipeline() as pipeline,
    ):
        _ = pipeline | beam.Create([1]) | beam.Map(end)


def test_stages_that_wait_for_nothing_run_at_the_same_time(tmp_path):
    def meet(name, other):
        (tmp_path / name).touch()
        ends = time.monotonic() + 300
        while not (tmp_path / other).exists():
            assert time.monotonic() < ends, f"{name} met nobody"
            time.sleep(0.01)

    with make_pipeline() as pipeline:
        for name, other in (("a", "b"), ("b", "a")):
            _ = pipeline | name >> beam.Create([name]) | f"Meet{name}" >> beam.Map(meet, other)


def test_large_groups_and_side_inputs_do_not_go_through_the_driver(tmp_path):
    def make_pairs(_):
        return ((number % 7, number.to_bytes(1000, "little")) for number in range(7000))

    def count_rows(pair, rows):
        return f"{pair[0]} {len({*pair[1]})} {len({*rows})}"

    # Spark ends a job that sends more than this to the driver.
    with make_pipeline(flags("beam.flags=[--spark_conf=spark.driver.maxResultSize=64k]")) as pipeline:
        pairs = pipeline | beam.Create([0]) | beam.FlatMap(make_pairs)
        side_input = beam.pvalue.AsIter(pairs | beam.Values())
        counts = pairs | beam.GroupByKey() | beam.Map(count_rows, side_input)
        _ = counts | beam.io.WriteToText(f"{tmp_path}/counts")
    lines = sorted(line for path in tmp_path.iterdir() for line in path.read_text().splitlines())
    assert lines == [f"{key} 1000 7000" for key in range(7)]


def test_a_pipeline_takes_over_the_connection_of_the_one_before_with_the_same_settings():
    from pyspark import SparkContext

    applications = []
    for beam_flags in (flags(), flags(), flags("beam.memory_gb=2")):
        with make_pipeline(beam_flags) as pipeline:
            _ = pipeline | beam.Create([1])
        applications.append(SparkContext.getOrCreate().applicationId)
    first, second, other = applications
    assert first == second != other


class Counting(beam.DoFn):
    COUNT = CombiningValueStateSpec("count", combine_fn=sum)

    def process(self, pair, count=beam.DoFn.StateParam(COUNT)):  # noqa: B008
        count.add(1)
        yield count.read()


def test_state_is_refused_before_anything_runs():
    with pytest.raises(EdgelineError, match="keeps state"), make_pipeline() as pipeline:
        _ = pipeline | beam.Create([("a", 1)]) | beam.ParDo(Counting())


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("beam.master=spark://127.0.0.1:9", r"spark://127\.0\.0\.1:9 does not answer.*beam\.master"),
        ("beam.spill=/proc/spill", r"spill folder /proc/spill cannot be written.*beam\.spill"),
    ],
)
def test_what_spark_cannot_reach_is_named_with_its_setting(setting, message):
    beam_flags = flags("beam.spill=/tmp", setting)
    with pytest.raises(EdgelineError, match=message), make_pipeline(beam_flags) as pipeline:
        _ = pipeline | beam.Create([1])


def get_refusal(port):
    beam_flags = flags("beam.spill=/tmp", f"beam.master=spark://127.0.0.1:{port}")
    with pytest.raises(EdgelineError) as caught, make_pipeline(beam_flags) as pipeline:
        _ = pipeline | beam.Create([1])
    return caught.value


def test_a_page_is_no_master():
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as page:
        threading.Thread(target=page.serve_forever).start()
        error = get_refusal(page.server_port)
        page.shutdown()
    assert error.found.endswith("is not a Spark master.") and "beam.master" in error.do


def test_a_server_that_accepts_a_connection_and_never_answers_is_no_master(monkeypatch):
    monkeypatch.setattr(cluster, "_ANSWERS_WITHIN_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        error = get_refusal(mute.getsockname()[1])
    assert error.found.endswith("does not answer: timed out.") and "beam.master" in error.do


def test_a_java_that_does_not_start_is_an_error(monkeypatch):
    from pyspark import SparkContext  # not installed everywhere

    monkeypatch.setattr(SparkContext, "_gateway", None)
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    with pytest.raises(EdgelineError, match="JAVA_HOME"), make_pipeline(flags("beam.workers=3")) as pipeline:
        _ = pipeline | beam.Create([1])


def test_a_java_that_ends_during_a_run_is_an_error():
    error = cluster.explain_error(RuntimeError("Job 4 cancelled because SparkContext was shut down"))
    assert "ended during the run" in error.found and "beam.memory_gb" in error.do
