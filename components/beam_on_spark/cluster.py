"""The connection to Spark: a session, the checks of its workers, and its errors in plain words."""

import logging
import os
import re
import shutil
import socket
import struct
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from components.beam_on_spark import bundles, pods
from edgeline.errors import EdgelineError
from edgeline.failures import explain, find_meaning, read_meanings

log = logging.getLogger("edgeline.spark")

# A start takes seconds, and so do the imports of workers; others soon get the cores of the cluster back.
_KEPT_S = 30
_ANSWERS_WITHIN_S = 20
_WORKERS_WITHIN_S = 120
_PODS_WITHIN_S = 300  # a node that has no image of ours yet has to fetch 1 GB
# A request for a file that no master has, in a frame of Spark's protocol: length, kind, name. The blank line
# is for servers of other kinds, which answer only after one.
_NO_FILE = b"/files/none\r\n\r\n"
_NO_FILE = struct.pack(">qbi", 13 + len(_NO_FILE), 6, len(_NO_FILE)) + _NO_FILE
_IS_NOT_THERE = 8  # the kind of the answer
# Workers need the same versions of these libraries to read objects that the driver pickles.
_ALIKE = ("apache-beam", "tensorflow", "tfx")
_MEANINGS = Path(__file__).with_name("errors.yaml")


class SparkOptions(PipelineOptions):
    """The flags of the runner; `pipeline/beam_settings.py` writes them."""

    @classmethod
    def _add_argparse_args(cls, parser: Any) -> None:
        parser.add_argument("--spark_master", default="local[2]", help="As Spark names it.")
        parser.add_argument("--spark_spill", default="", help="A folder that driver and workers see.")
        parser.add_argument("--spark_conf", action="append", default=[], help="KEY=VALUE for Spark itself.")


@contextmanager
def connect(options: PipelineOptions) -> Iterator[tuple[Any, Path]]:
    """Yields a SparkContext and a folder of this pipeline that all workers see; the block deletes the folder.

    A pipeline with the same options soon afterwards gets the same SparkContext.

    Raises:
        EdgelineError: Spark is not installed, the master does not answer, or a worker lacks what it needs.
    """
    spark_options = options.view_as(SparkOptions)
    spill = Path(spark_options.spark_spill or tempfile.gettempdir(), f"edgeline-{uuid.uuid4().hex}")
    with _session.lock:
        try:
            _create_spill(spill)
            spark = _session.get(spark_options, spill)
            master = spark_options.spark_master
            log.info("Spark at %s runs %d tasks at once.", master, spark.defaultParallelism)
            yield spark, spill
        except BaseException:
            _session.stop()
            raise
        else:
            # On Kubernetes a step is a process of its own, whose executors end with it.
            _session.stop(0 if master.startswith("k8s") else _KEPT_S)
        finally:
            shutil.rmtree(spill, ignore_errors=True)


def _create_spill(spill: Path) -> None:
    try:
        spill.mkdir(parents=True)
    except OSError as error:
        raise EdgelineError(
            f"The spill folder {spill.parent} cannot be written: {error.strerror}.",
            "All data between two stages goes through it.",
            "Set beam.spill to a folder that this machine and all workers can write.",
        ) from None


class _Session:
    """The SparkContext of this process, which can have only one."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._spark: Any = None
        self._key: Any = None  # the options that it was started with
        self._timer: threading.Timer | None = None

    def get(self, options: Any, spill: Path) -> Any:
        """Returns a SparkContext for these options, the running one if it has the same."""
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        key = (options.spark_master, options.spark_spill, *options.spark_conf, os.environ["PYSPARK_PYTHON"])
        if self._timer:
            self._timer.cancel()
        if self._spark and (self._key != key or self._spark._jsc.sc().isStopped()):
            self.stop()
        if not self._spark:
            self._key = key
            self._start(options, spill)
        return self._spark

    def stop(self, after_s: float = 0) -> None:
        """Stops it: now, or after some seconds without another pipeline."""
        if after_s:
            self._timer = threading.Timer(after_s, self._stop_unused)
            self._timer.daemon = True
            self._timer.start()
        elif self._spark:
            with suppress(Exception):  # its Java may be gone
                self._spark.stop()
            self._spark = None

    def _stop_unused(self) -> None:
        with self.lock:
            if threading.current_thread() is self._timer:
                self.stop()

    def _start(self, options: Any, spill: Path) -> None:
        if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
            raise EdgelineError(
                "beam.engine is spark, but this machine has no Java.",
                "Spark's driver runs in Java.",
                "Install it: sudo apt-get install default-jre-headless",
            )
        try:
            from pyspark import SparkConf, SparkContext
        except ImportError:
            raise EdgelineError(
                "beam.engine is spark, but pyspark is not installed.",
                "It is not part of a default installation: it takes 430 MB.",
                "Run `make scale`, and run the same command again.",
            ) from None
        master = options.spark_master
        if not any(pair.startswith("spark.ssl.") for pair in options.spark_conf):
            _check_master(master)
        is_local = master.startswith("local")
        conf = SparkConf().setMaster(master).setAppName("edgeline")
        conf.set("spark.ui.enabled", "false").set("spark.ui.showConsoleProgress", "false")
        if is_local:
            conf.set("spark.driver.host", "127.0.0.1").set("spark.driver.bindAddress", "127.0.0.1")
        if master.startswith("k8s"):
            conf.setAll(pods.configure_executors(spill / "executor.json").items())
        for pair in options.spark_conf:
            conf.set(*pair.split("=", 1))
        try:
            self._spark = SparkContext(conf=conf)
            self._spark.setLogLevel("ERROR")
            if not is_local:
                _await_workers(self._spark, master)
            _check_workers(self._spark, spill)
        except EdgelineError:
            raise
        except Exception as error:
            raise explain_error(error) from None


_session = _Session()


def _check_master(master: str) -> None:
    """Checks that a master answers: Spark itself would try for a minute, and then print a page of Java."""
    match = re.fullmatch(r"spark://([^:/,]+):(\d+)", master)
    if not match:
        return
    try:
        with socket.create_connection((match[1], int(match[2])), _ANSWERS_WITHIN_S) as connection:
            connection.sendall(_NO_FILE)
            answer = connection.makefile("rb").read(9)
    except OSError as error:
        raise EdgelineError(
            f"Spark's master {master} does not answer: {error.strerror or error}.",
            "Nothing can run there.",
            "Start it, or correct beam.master.",
        ) from None
    if answer[8:] != bytes([_IS_NOT_THERE]):
        raise EdgelineError(
            f"The server at beam.master, {master}, is not a Spark master.",
            "It does not answer in Spark's protocol.",
            "Correct beam.master: use the master's own port, usually 7077, not that of its web page.",
        )


def _await_workers(spark: Any, master: str) -> None:
    """Waits until there is an executor, with a time limit: Spark itself would wait for ever."""
    within = _PODS_WITHIN_S if master.startswith("k8s") else _WORKERS_WITHIN_S
    ends = time.monotonic() + within
    while spark._jsc.sc().getExecutorMemoryStatus().size() < 2:  # the driver is one of them
        if time.monotonic() > ends:
            raise EdgelineError(
                f"Spark's master {master} started no executor within {within} s.",
                "It has no worker, or none with the requested cores and memory.",
                "Start a worker, or lower beam.workers or beam.memory_gb.",
            )
        time.sleep(0.2)


def _check_workers(spark: Any, spill: Path) -> None:
    driver = bundles.describe_worker(str(spill))
    count = spark.defaultParallelism
    for worker in spark.parallelize([str(spill)] * count, count).map(bundles.describe_worker).collect():
        if worker["spill"]:
            raise EdgelineError(
                f"A Spark worker {worker['spill']} the spill folder {spill.parent}.",
                "The next stage reads the files of a stage from there, on any worker.",
                "Set beam.spill to a folder that this machine and all workers share and can write.",
            )
        if other := next((name for name in _ALIKE if worker.get(name) != driver.get(name)), None):
            raise EdgelineError(
                f"A Spark worker has {other} {worker.get(other)}, but the driver has {driver.get(other)}.",
                "One version cannot read the pickles of another.",
                "Give the workers the same lock file or image.",
            )


def explain_error(error: Exception) -> EdgelineError:
    """Returns an error of Spark as our own, in three parts and without its Java."""
    text = str(error)
    meanings = read_meanings(_MEANINGS)
    if find_meaning(meanings, text):
        return EdgelineError.from_problem(explain(meanings, text))
    # The last cause says most: the one from Python, if there is one.
    causes = re.findall(r"^(?:Caused by: |: )?(?:\w+\.)*(\w*(?:Error|Exception)\b.*)", text, re.MULTILINE)
    return EdgelineError(
        f"Spark failed: {(causes or [repr(error)])[-1][:300]}",
        "It retried each task as often as its settings allow.",
        "Read the log, and run the same command again.",
    )
