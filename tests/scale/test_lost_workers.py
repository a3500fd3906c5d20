"""Work that is lost with an executor or a worker in the middle of a step is done again once."""

import threading
from pathlib import Path

import pytest

from tests.scale.standalone import wait
from tests.scale.steps import Steps
from tests.scale.test_data_steps import assert_same_examples, assert_same_statistics

pytestmark = pytest.mark.scale


class Disaster(threading.Thread):
    """Calls `kill` once a file matches a pattern; `with` waits for it, and raises its error."""

    def __init__(self, folder, pattern, kill):
        super().__init__()
        self._folder, self._pattern, self._kill = Path(folder), pattern, kill
        self._error, self._over = None, threading.Event()

    def run(self):
        try:
            wait(lambda: any(self._folder.glob(self._pattern)), "the step did not begin")
            assert not self._over.is_set(), "the step ended before"
            self._kill()
        except BaseException as error:
            self._error = error

    def __enter__(self):
        self.start()

    def __exit__(self, *_):
        self._over.set()
        self.join()
        if self._error:
            raise self._error


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    return Steps(tmp_path_factory.mktemp("shelf"), "shelf")


def test_an_executor_that_is_killed_while_photos_are_read(steps, cluster, flags, tmp_path):
    executors = []

    def kill():
        (executor,) = cluster.list_executors("first")
        executor.kill()
        executors.append(executor)

    # The worker starts another one.
    with Disaster(tmp_path, "**/scratch/span-*/made-*", kill):
        there = steps.run_again("ExampleGen", tmp_path, flags)
    assert_same_examples(there, steps.outputs["ExampleGen"])
    assert executors


def test_a_worker_that_is_lost_with_its_executor_while_statistics_are_merged(
    steps, cluster, flags, spill, tmp_path
):
    try:
        # The first files of a stage come after a shuffle, whose output is on the lost worker.
        with Disaster(spill, "*/*", lambda: cluster.kill("second")):
            there = steps.run_again("StatisticsGen", tmp_path, flags)
        assert_same_statistics(there, steps.outputs["StatisticsGen"], steps.outputs["ExampleGen"]["examples"])
        assert not list(spill.iterdir())
    finally:
        cluster.add_worker("third")
