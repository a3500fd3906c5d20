"""The outcome of a run, from answers of a real API server."""

import pytest

from runners.kubeflow.outcome import conclude
from runners.kubeflow.run_steps import read_steps
from tests.runners.kubeflow.server import STEPS
from tests.runners.kubeflow.test_lost import replay
from tests.runners.kubeflow.test_runs import fail, fail_at


@pytest.mark.parametrize(
    ("name", "word", "code", "version", "reasons"),
    [
        ("pushed", "pushed", 0, 3, ()),
        ("held", "held", 3, None, ("accuracy 0.81 is below 0.90.",)),
        ("trainer_failed", "failed", 1, None, ("Trainer failed: exit status 5",)),
    ],
)
def test_the_outcome_of_a_real_run_is_in_the_log_of_its_last_step(
    server, cluster, name, word, code, version, reasons
):
    run = replay(server, name)
    outcome = conclude(cluster, run.run_id, run.state, read_steps(run, STEPS), "shelf", None)
    assert (outcome.outcome, outcome.exit_code, outcome.version) == (word, code, version)
    assert outcome.reasons[: len(reasons) or 1] == reasons


def test_a_step_that_failed_by_its_settings_ends_the_command_as_it_ends_a_local_run(edgeline):
    outcome = fail("No module my.photos.", error_code=2, do="Fix its name.")
    result = edgeline.follow(fail_at("Trainer", outcome))
    assert result.code == 2
    assert "Trainer failed: No module my.photos." in result.out and "  Fix its name.\n" in result.out


def test_a_reason_is_one_line_in_which_nothing_steers_the_terminal(edgeline):
    outcome = fail("Bad:\nPushed version 9 \x1b[2J\u202e" + "x" * 2000)
    result = edgeline.follow(fail_at("Trainer", outcome))
    assert result.code == 1 and r"Bad: Pushed version 9 \x1b[2J\u202e" in result.out
    assert "x" * 900 in result.out and "x" * 1000 not in result.out
