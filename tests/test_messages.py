import pytest

from tests.messages import GOLDEN, find_missing, format_golden, has_test, read_golden
from tests.places import find_all_places

# Places without a message, by reason; --messages=write with a slow test gives one to what it raises itself.
EXEMPT = {
    "its tests need Spark or are slow": """
        components/beam_on_spark/cluster.py _create_spill #1
        components/beam_on_spark/cluster.py _Session._start #1
        components/beam_on_spark/cluster.py _Session._start #2
        components/beam_on_spark/cluster.py _Session._start #3
        components/beam_on_spark/cluster.py _check_master #1
        components/beam_on_spark/cluster.py _check_master #2
        components/beam_on_spark/cluster.py _await_workers #1
        components/beam_on_spark/cluster.py _check_workers #1
        components/beam_on_spark/cluster.py _check_workers #2
        components/beam_on_spark/cluster.py explain_error #1
        components/beam_on_spark/cluster.py explain_error #2
        components/beam_on_spark/pods.py configure_executors #1
        components/beam_on_spark/pods.py _read_pod #1
        components/beam_on_spark/runner.py _refuse_state #1
        components/beam_on_spark/runner.py _Run._find_cause #1
        components/beam_on_spark/runner.py _Run._find_cause #2
    """,
    "its tests are slow": """
        edgeline/release/mirror.py Mirror._write #3
        trainer_module/training/devices.py _refuse_compilation #1
        trainer_module/training/fit.py _TrainingState.end_epoch #1
        trainer_module/training/workers.py _watch #1
        trainer_module/training/workers.py _watch #2
        trainer_module/training/workers.py _make_ended_error #1
        trainer_module/training/workers.py _make_lost_error #1
        trainer_module/training/workers.py main #1
    """,
    "no quick test was seen to raise them in its own process yet": """
        drill/simulation.py Simulation._answer #1
        drill/simulation.py Simulation._score #1
        runners/kubeflow/watch.py Follower.follow #1
    """,
}
EXEMPTED = {line.strip() for lines in EXEMPT.values() for line in lines.strip().splitlines()}


def test_each_place_has_a_message(pytestconfig):
    if pytestconfig.getoption("messages") != "check":
        pytest.skip("They are being written.")
    missing = {*find_missing()} - EXEMPTED
    assert not missing, f"Run tests that raise these with --messages=write: {', '.join(sorted(missing))}"


def test_a_place_that_may_lack_a_message_exists_and_lacks_it():
    assert {*find_missing()} >= EXEMPTED, "Take these off the list, they have a message now or are gone."


def test_each_message_has_a_place_and_a_test():
    places = {f"{place.path} {place.name}" for place in find_all_places()}
    for place, message in read_golden().items():
        assert places >= {*place.split(" > ")}, place
        assert has_test(message.test), place


def test_what_is_written_is_read_again():
    assert format_golden(read_golden()) == GOLDEN.read_text("utf-8")
