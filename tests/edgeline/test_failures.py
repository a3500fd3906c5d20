import errno
import os
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from edgeline.errors import DataRefused, Problem
from edgeline.failures import describe_error
from pipeline.beam_settings import FASTEST_ON_ONE_MACHINE


def get_error(call):
    try:
        call()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def test_an_error_of_ours_keeps_its_exit_code_and_its_parts_however_deep_it_lies():
    def executor():
        try:
            raise DataRefused("No photo is labelled.", "Nothing can be learned.", "Label some.")
        except DataRefused as error:
            raise RuntimeError("Execution 7 failed") from error

    def launcher():
        try:
            executor()
        except RuntimeError:
            raise ValueError("while publishing")  # noqa: B904 (the test is of its context)

    problem = describe_error(get_error(launcher), "ExampleGen")

    assert problem == Problem("No photo is labelled.", "Nothing can be learned.", "Label some.", exit_code=4)


def test_an_error_that_beam_raises_again_with_the_step_in_its_message_keeps_its_parts():
    def refuse(_):
        raise DataRefused("Too dark.", "Nothing can be seen.", "Turn on the light.", ("span-00001",))

    def run():
        with beam.Pipeline(options=PipelineOptions(list(FASTEST_ON_ONE_MACHINE))) as pipeline:
            _ = pipeline | beam.Create([1]) | beam.Map(refuse)

    problem = describe_error(get_error(run), "ExampleGen")

    assert problem == Problem(
        "Too dark.", "Nothing can be seen.", "Turn on the light.", ("span-00001",), exit_code=4
    )


class _ExecutionFailedError(Exception):
    """An error with the name of that of TFX's launcher."""


def test_any_other_error_names_the_step_and_what_its_outermost_exception_says():
    def executor():
        try:
            Path("/var/run/no-docker.sock").read_bytes()
        except OSError as error:
            raise RuntimeError("Docker cannot be reached") from error

    def step():
        try:
            try:
                executor()
            except RuntimeError:
                raise ValueError  # noqa: B904 (the test is of its context)
        except ValueError:
            raise _ExecutionFailedError("Execution 7 failed with a very long text")  # noqa: B904

    problem = describe_error(get_error(step), "Cont")

    assert problem.exit_code == 1
    assert problem.found == "The step Cont failed: RuntimeError: Docker cannot be reached"
    assert "same command goes on" in problem.do
    assert describe_error(get_error(lambda: {}["label"]), "Cont").found.endswith("failed: KeyError: 'label'")


def test_a_current_folder_that_was_removed_is_named(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()

    assert "this one was removed" in describe_error(get_error(os.getcwd)).do
    assert "this one was removed" not in describe_error(get_error(lambda: os.stat("/nowhere/a"))).do


def test_a_name_that_no_file_may_have_is_bad_usage():
    problem = describe_error(get_error(lambda: os.stat("w" * 300)))

    assert problem.exit_code == 2
    assert problem.found == f"{'w' * 60}... has 300 bytes."


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (OSError(errno.ENOSPC, "full"), "The disk is full."),
        (OSError(errno.EDQUOT, "quota", "/ws/x"), "The disk is full, writing /ws/x."),
        (RuntimeError("EXHAUSTED: /ws/ckpt-3.data; No space left on device"), "The disk is full."),
        (RuntimeError("database or disk is full"), "The disk is full."),
        (RuntimeError("disk I/O error query: COMMIT;"), "The database cannot be written: disk I/O error."),
    ],
    ids=str,
)
def test_a_full_disk_is_named_for_the_error_of_each_library(error, found):
    problem = describe_error(error, "Trainer")

    assert problem.found == found and "space" in problem.do


class ResourceExhaustedError(Exception):
    """An error with the name of TensorFlow's."""


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (ResourceExhaustedError("OOM when allocating tensor with shape[64,112,112,96]\n[Op:Conv2D]"), True),
        (MemoryError(), True),
        (ResourceExhaustedError("/tmp/shard; Too many open files"), False),
    ],
)
def test_a_step_that_runs_out_of_memory_is_named(error, is_memory):
    problem = describe_error(error, "Evaluator")

    assert problem.found.startswith("The step Evaluator ran out of memory") == is_memory
    assert ("data.window" in problem.do) == is_memory
