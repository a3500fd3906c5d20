import pytest

from data.importers.table_file import Roles
from data.importers.table_roles import Named
from data.importers.tables import inspect_table
from edgeline.errors import DataRefused
from tests.data.importers.named import import_table
from tests.data.importers.test_tables import make_labels

SENSORS = {"temperature": "C", "pressure": "bar", "flow": "l"}


def write_table(tmp_path, value="value", sensors=SENSORS):
    lines = [f"row,at,sensor,unit,{value},state"]
    for n, label in enumerate(make_labels(200)):
        for sensor, unit in sensors.items():
            at = f"2026-01-{n // 24 + 1:02}T{n % 24:02}:00:00Z"
            lines.append(f"{len(lines)},{at},{sensor},{unit},{n * 13 % 29 + len(sensor) / 8},{label}")
    (tmp_path / "long.csv").write_text("\n".join(lines))
    return tmp_path / "long.csv"


def find_warnings(path):
    report = import_table(path, path.parent / "data", "state", time="at")
    return [warning for warning in report.warnings if "long table" in warning]


def test_a_table_of_one_reading_a_row_is_recognised_with_how_to_turn_it(tmp_path):
    (warning,) = find_warnings(write_table(tmp_path))
    assert "sensor says what value is (flow, pressure, temperature)" in warning
    assert "index=['at', 'state'], columns='sensor', values='value'" in warning
    lines = inspect_table(str(tmp_path / "long.csv"), tmp_path / "x", Named(Roles("state", time="at")))
    assert any("long table" in line for line in lines)


def test_it_cannot_be_read_as_windows(tmp_path):
    with pytest.raises(DataRefused, match=r"readings of .*long\.csv are one to a row"):
        import_table(write_table(tmp_path), tmp_path / "data", "state", time="at", readings=4)


@pytest.mark.parametrize("options", [{"sensors": {"temperature": "C"}}, {"value": "price"}], ids=str)
def test_a_table_of_one_row_a_time_or_with_a_number_of_another_name_is_not_long(tmp_path, options):
    assert not find_warnings(write_table(tmp_path, **options))
