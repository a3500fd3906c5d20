"""Work lost with an executor or a worker in the middle of a step is done again elsewhere, once."""

import threading
from pathlib import Path

import pytest

from tests.scale.standalone import wait
from tests.scale.steps import Steps
from tests.scale.test_data_steps import same_examples, same_statistics

pytestmark = pytest.mark.scale


class Disaster(threading.Thread):
    """Kills once the first file of a pattern is there; `with` waits for it, and raises what went wrong."""

    def __init__(self, folder, pattern, kill):
        super().__init__()
        self._folder, self._pattern, self._kill = Path(folder), pattern, kill
        self._failed, self._over = None, threading.Event()

    def run(self):
        try:
            wait(lambda: any(self._folder.glob(self._pattern)), "the step did not begin")
            assert not self._over.is_set(), "the step ended before"
            self._kill()
        except BaseException as failed:
            self._failed = failed

    def __enter__(self):
        self.start()

    def __exit__(self, *_):
        self._over.set()
        self.join()
        if self._failed:
            raise self._failed


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    return Steps(tmp_path_factory.mktemp("shelf"), "shelf")


def test_an_executor_that_is_killed_while_photos_are_read(steps, cluster, flags, tmp_path):
    killed = []

    def kill():
        (executor,) = cluster.executors("first")
        executor.kill()
        killed.append(executor)

    # The worker begins another one.
    with Disaster(tmp_path, "**/scratch/span-*/made-*", kill):
        made = steps.again("ExampleGen", tmp_path, flags)
    same_examples(made, steps.outputs["ExampleGen"])
    assert killed


def test_a_worker_that_is_lost_with_its_executor_while_statistics_are_merged(
    steps, cluster, flags, spill, tmp_path
):
    try:
        # Behind the first files of a stage are a shuffle, and what was shuffled on the lost worker.
        with Disaster(spill, "*/*", lambda: cluster.kill("second")):
            made = steps.again("StatisticsGen", tmp_path, flags)
        same_statistics(made, steps.outputs["StatisticsGen"], steps.outputs["ExampleGen"]["examples"])
        assert not list(spill.iterdir())
    finally:
        cluster.add_worker("third")
