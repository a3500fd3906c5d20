"""Errors that cross from one process to another."""

import pickle

import pytest

from edgeline.errors import DataRefused, EdgelineError, Problem


@pytest.mark.parametrize(
    "error",
    [
        DataRefused("found", "why", "do", ("span-00001",)),
        EdgelineError.from_problem(Problem("found", "why", "do", exit_code=5)),
    ],
)
def test_an_error_is_the_same_in_another_process(error: EdgelineError) -> None:
    other = pickle.loads(pickle.dumps(error))
    assert type(other) is type(error) and str(other) == str(error)
    assert other.problem == error.problem and other.exit_code == error.exit_code
