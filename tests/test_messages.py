import os
import subprocess
import sys

import pytest

from tests.docstrings import ROOT
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

# The files of errors.
ERRORS = ("edgeline/errors.py", "edgeline/secrets.py", "edgeline/visible.py")
TILL = """
from edgeline.errors import UsageError

def pay(cents, file):
    if cents < 0:
        raise UsageError(f"{cents} cents were paid.", "That is a refund.", f"Note it in {file}.")
    if not cents:
        raise _refuse("Nothing was paid.")

def _refuse(found) -> UsageError:
    return UsageError(found, do="Pay.")
"""
TESTS = """
import pytest
from edgeline.errors import UsageError
from shop.till import pay

@pytest.mark.parametrize("cents", [0, -3])
def test_pay(cents, tmp_path):
    with pytest.raises(UsageError):
        pay(cents, tmp_path / "refunds")
"""


def run_tests(folder, *args):
    command = [sys.executable, "-m", "pytest", "--import-mode=importlib", "-p", "no:cacheprovider", *args]
    plugins = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "xdist"}
    environment = {**os.environ, **plugins, "PYTHONPATH": str(folder), "PYTEST_ADDOPTS": ""}
    files = ["tests/test_till.py", "tests/test_messages.py::test_each_place_has_a_message"]
    return subprocess.run([*command, *files], cwd=folder, env=environment, text=True, stdout=subprocess.PIPE)


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


def test_messages_are_written_in_the_order_of_the_code_compared_and_dropped_with_their_places(tmp_path):
    """A project with one room."""
    files = {"shop/__init__.py": "", "shop/till.py": TILL, "tests/test_till.py": TESTS}
    files |= {"edgeline/__init__.py": "", "tests/conftest.py": 'pytest_plugins = ["tests.messages"]'}
    copied = [f"tests/{name}.py" for name in ("docstrings", "messages", "places", "test_messages")]
    files |= {name: (ROOT / name).read_text("utf-8") for name in (*copied, *ERRORS)}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    written = run_tests(tmp_path, "-n", "2", "--dist", "loadfile", "--messages=write")
    assert written.returncode == 0, written.stdout
    golden = tmp_path / "tests" / "messages.txt"
    assert golden.read_text("utf-8").split("\n\n", 1)[1] == (
        "shop/till.py\n\n"
        "pay #1: UsageError, exit code 2\n"
        "  found: -3 cents were paid.\n  why: That is a refund.\n  do: Note it in <tmp>/refunds.\n"
        "  test: tests/test_till.py::test_pay[-3]\n\n"
        "pay #2 > _refuse #1: UsageError, exit code 2\n"
        "  found: Nothing was paid.\n  do: Pay.\n"
        "  test: tests/test_till.py::test_pay[0]\n"
    )

    # Another message and other parameters fail the test until it is written.
    (tmp_path / "shop" / "till.py").write_text(TILL.replace("Nothing was paid.", "It was free."))
    (tmp_path / "tests" / "test_till.py").write_text(TESTS.replace("-3]", "-4]"))
    changed = run_tests(tmp_path)
    assert changed.returncode == 1
    assert "FAILED tests/test_till.py::test_pay[0]" in changed.stdout
    assert "-   found: Nothing was paid.\n" in changed.stdout
    assert "+   found: It was free.\n" in changed.stdout
    assert "shop/till.py pay #1 makes no error in this test any more." in changed.stdout
    assert "`.venv/bin/python -m pytest tests/test_till.py --messages=write`" in changed.stdout
    assert "1 failed, 2 passed" in changed.stdout
    assert run_tests(tmp_path, "--messages=write").returncode == 0
    assert run_tests(tmp_path).returncode == 0

    # A new place without a message is named, and one that is gone is dropped.
    other = TILL.replace(
        "    if not cents:\n        raise _refuse(", "def give(found):\n    raise UsageError("
    )
    (tmp_path / "shop" / "till.py").write_text(other)
    (tmp_path / "tests" / "test_till.py").write_text(TESTS.replace("[0, -3]", "[-3]"))
    named = run_tests(tmp_path)
    assert named.returncode == 1
    assert "--messages=write: shop/till.py give #1\n" in named.stdout
    assert run_tests(tmp_path, "--messages=write").returncode == 0
    assert "pay #2" not in golden.read_text("utf-8")
