import pytest

from edgeline.edge import runtimes
from edgeline.edge.runtimes import find_least_runtime, find_newer, parse_runtime


@pytest.mark.parametrize(
    ("op_versions", "least"),
    [
        ({"CONV_2D": 3, "FULLY_CONNECTED": 9, "SOFTMAX": 1}, "2.3"),
        ({"CONV_2D": 3, "FULLY_CONNECTED": 12, "SOFTMAX": 1}, "2.17"),
        ({"SIGN": 1, "ABS": 2}, "2.11"),
        ({"FULLY_CONNECTED": 99}, None),
        ({"NOT_LISTED": 1, "ABS": 2}, None),
    ],
)
def test_a_file_needs_the_newest_of_the_runtimes_that_its_operators_need(op_versions, least):
    assert find_least_runtime(op_versions) == least


def test_each_operator_that_an_old_runtime_lacks_or_that_is_not_listed_is_named():
    op_versions = {"CONV_2D": 3, "FULLY_CONNECTED": 12, "NOT_LISTED": 1}
    assert find_newer(op_versions, "2.14") == ["FULLY_CONNECTED version 12", "NOT_LISTED version 1"]
    assert find_newer(op_versions, "2.17.0") == ["NOT_LISTED version 1"]


def test_each_listed_operator_is_one_of_the_schema_and_a_later_version_needs_no_older_runtime():
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    for op, versions in runtimes._read_list().items():
        assert hasattr(BuiltinOperator, op)
        assert versions == sorted(versions, key=parse_runtime)
