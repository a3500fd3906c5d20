"""Pipelines on Spark give what Beam's own in-memory runner gives; Spark is real, on this machine.

Functions are made inside others, and so pickled whole: a worker cannot import these tests.
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
from edgeline.failures import describe
from pipeline.settings import load

pytestmark = pytest.mark.e2e
LINES = ["a b a", "b c", "a"] * 50


def flags(*more):
    return load({}, None, ["beam.engine=spark", "beam.master=local[2]", *more]).beam.as_flags()


def pipeline(given=None):
    return beam.Pipeline(options=PipelineOptions(list(given or flags())))


def write_all(made, folder):
    """Combines, side inputs of each kind, Reshuffle, Flatten, windows, and what writes and reads files."""

    def described(kv, total, by_word, words, mean):
        return f"{kv[0]} {kv[1]} {total} {by_word[kv[0]]} {len(list(words))} {mean}"

    words = made | beam.Create(LINES) | beam.FlatMap(str.split)
    counts = words | beam.combiners.Count.PerElement()
    looks = (
        beam.pvalue.AsSingleton(counts | beam.Values() | beam.CombineGlobally(sum)),
        beam.pvalue.AsDict(counts),
        beam.pvalue.AsIter(words),
        beam.pvalue.AsSingleton(words | beam.Map(len) | beam.combiners.Mean.Globally()),
    )
    rows = counts | beam.Reshuffle() | beam.Map(described, *looks)
    _ = rows | beam.Map(str.encode) | beam.io.WriteToTFRecord(f"{folder}/rows", file_name_suffix=".gz")
    of_key = made | "Pairs" >> beam.Create([("a", 1), ("a", 2), ("b", 3)])
    keyed = made | "Keys" >> beam.Create(["a", "b", "z"])
    found = keyed | beam.Map(lambda key, of: (key, sorted(of[key])), beam.pvalue.AsMultiMap(of_key))
    both = (words, made | "More" >> beam.Create(["z"] * 5)) | beam.Flatten()
    together = both | "OfBoth" >> beam.combiners.Count.PerElement()
    timed = made | "Times" >> beam.Create([("a", second) for second in range(0, 90, 10)])
    windows = (
        timed
        | beam.Map(lambda pair: TimestampedValue(pair, Timestamp(pair[1])))
        | beam.WindowInto(FixedWindows(30))
        | beam.CombinePerKey(sum)
        | "ToGlobal" >> beam.WindowInto(beam.window.GlobalWindows())
    )
    times = counts | beam.Map(lambda count, time=beam.DoFn.TimestampParam: (count, time))
    written = {"found": found, "together": together, "windows": windows, "times": times}
    for name, values in written.items():
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
        for name in ("found", "together", "windows", "times")
    }
    return {"rows": sorted(row.decode() for row in rows.as_numpy_iterator()), **texts}


def test_a_pipeline_gives_what_it_gives_in_memory(tmp_path):
    spill = tmp_path / "spill"
    in_memory = load({}).beam.as_flags()
    for folder, given in (("direct", in_memory), ("spark", flags(f"beam.spill={spill}"))):
        with pipeline(given) as made:
            write_all(made, tmp_path / folder)
    found = read_all(tmp_path / "spark")
    assert found == read_all(tmp_path / "direct")
    assert found["rows"] == ["a 150 300 150 300 1.0", "b 100 300 100 300 1.0", "c 50 300 50 300 1.0"]
    assert found["windows"] == ["('a', 120)", "('a', 210)", "('a', 30)"]
    assert not list(spill.iterdir())


def test_an_error_of_a_library_reaches_the_user_without_a_page_of_java():
    with pytest.raises(ZeroDivisionError) as failed, pipeline() as made:
        _ = made | beam.Create(range(5)) | beam.Map(lambda number: 1 // (number - 3))
    found = describe(failed.value, "Transform").found
    assert found.startswith("The step Transform failed: ZeroDivisionError: integer division")
    assert "java" not in found.lower() and len(found) < 300


def test_an_error_of_ours_reaches_the_user_also_from_behind_that_of_a_library():
    def refuse(_):
        try:
            raise DataRefused("Three was found.", "Nothing counts to it.", "Take it out.", ("span-00003",))
        except DataRefused as error:
            raise ValueError("in a library") from error

    with pytest.raises(ValueError, match="in a library") as failed, pipeline() as made:
        _ = made | beam.Create([1]) | beam.Map(refuse)
    problem = describe(failed.value, "ExampleGen")
    parts = ("Three was found.", "Nothing counts to it.", "Take it out.")
    assert problem == Problem(*parts, exit_code=4, spans=("span-00003",))


def test_a_worker_that_is_killed_as_by_lack_of_memory_is_told_with_the_settings_for_it():
    def end(_):
        os.kill(os.getpid(), signal.SIGKILL)

    with (
        pytest.raises(EdgelineError, match=r"was killed.*beam\.memory_gb.*beam\.workers"),
        pipeline() as made,
    ):
        _ = made | beam.Create([1]) | beam.Map(end)


def test_stages_that_wait_for_nothing_run_at_the_same_time(tmp_path):
    def meet(name, other):
        (tmp_path / name).touch()
        ends = time.monotonic() + 300
        while not (tmp_path / other).exists():
            assert time.monotonic() < ends, f"{name} met nobody"
            time.sleep(0.01)

    with pipeline() as made:
        for name, other in (("a", "b"), ("b", "a")):
            _ = made | name >> beam.Create([name]) | f"Meet{name}" >> beam.Map(meet, other)


def test_much_is_grouped_and_looked_at_without_coming_to_the_driver(tmp_path):
    def all_pairs(_):
        return ((number % 7, number.to_bytes(1000, "little")) for number in range(7000))

    def counted(pair, rows):
        return f"{pair[0]} {len({*pair[1]})} {len({*rows})}"

    # Spark ends a job of which more comes to the driver.
    with pipeline(flags("beam.flags=[--spark_conf=spark.driver.maxResultSize=64k]")) as made:
        pairs = made | beam.Create([0]) | beam.FlatMap(all_pairs)
        looks = beam.pvalue.AsIter(pairs | beam.Values())
        counts = pairs | beam.GroupByKey() | beam.Map(counted, looks)
        _ = counts | beam.io.WriteToText(f"{tmp_path}/counts")
    found = sorted(line for path in tmp_path.iterdir() for line in path.read_text().splitlines())
    assert found == [f"{key} 1000 7000" for key in range(7)]


def test_a_pipeline_takes_over_the_connection_of_the_one_before_with_the_same_settings():
    from pyspark import SparkContext

    applications = []
    for given in (flags(), flags(), flags("beam.memory_gb=2")):
        with pipeline(given) as made:
            _ = made | beam.Create([1])
        applications.append(SparkContext.getOrCreate().applicationId)
    first, second, other = applications
    assert first == second != other


class Counting(beam.DoFn):
    SEEN = CombiningValueStateSpec("seen", combine_fn=sum)

    def process(self, pair, seen=beam.DoFn.StateParam(SEEN)):  # noqa: B008
        seen.add(1)
        yield seen.read()


def test_state_is_refused_before_anything_runs():
    with pytest.raises(EdgelineError, match="keeps state"), pipeline() as made:
        _ = made | beam.Create([("a", 1)]) | beam.ParDo(Counting())


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("beam.master=spark://127.0.0.1:9", r"spark://127\.0\.0\.1:9 does not answer.*beam\.master"),
        ("beam.spill=/proc/spill", r"spill folder /proc/spill cannot be written.*beam\.spill"),
    ],
)
def test_what_spark_cannot_reach_is_named_with_its_setting(setting, message):
    given = flags("beam.spill=/tmp", setting)
    with pytest.raises(EdgelineError, match=message), pipeline(given) as made:
        _ = made | beam.Create([1])


def refused(port):
    given = flags("beam.spill=/tmp", f"beam.master=spark://127.0.0.1:{port}")
    with pytest.raises(EdgelineError) as raised, pipeline(given) as made:
        _ = made | beam.Create([1])
    return raised.value


def test_a_page_is_no_master():
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as page:
        threading.Thread(target=page.serve_forever).start()
        message = refused(page.server_port)
        page.shutdown()
    assert message.found.endswith("is not a Spark master.") and "beam.master" in message.do


def test_what_takes_a_connection_and_says_nothing_is_no_master(monkeypatch):
    monkeypatch.setattr(cluster, "_ANSWERS_WITHIN_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        message = refused(mute.getsockname()[1])
    assert message.found.endswith("does not answer: timed out.") and "beam.master" in message.do


def test_a_java_that_does_not_start_is_told(monkeypatch):
    from pyspark import SparkContext  # which is not everywhere

    monkeypatch.setattr(SparkContext, "_gateway", None)
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    with pytest.raises(EdgelineError, match="JAVA_HOME"), pipeline(flags("beam.workers=3")) as made:
        _ = made | beam.Create([1])


def test_a_java_that_ended_in_the_middle_is_told():
    message = cluster.explain_error(RuntimeError("Job 4 cancelled because SparkContext was shut down"))
    assert "ended during the run" in message.found and "beam.memory_gb" in message.do
