"""Rules of a workload's own: their forms, their mistakes, and the rows that break them."""

from dataclasses import replace

import pytest
import yaml

from data.settings import DataSettings
from data.spans.rule_counts import RuleCounts, judge_rules
from data.spans.rules import check_columns, find_mistakes, parse_rule
from data.spans.source import Rejected, Row
from data.tables.source import open_source
from data.texts.source import open_source as open_texts
from edgeline.errors import DataRefused, UsageError
from edgeline.records.workload import Rule, Workload
from tests.data.tables.test_source import SENSOR, WINDOWS, line, write_span
from tests.docstrings import ROOT

TABLES = "data.tables.source"


@pytest.mark.parametrize(
    ("rule", "cells", "holds"),
    [
        ("-40 <= temp <= 120", {"temp": "120"}, True),
        ("-40 <= temp <= 120", {"temp": "120.5"}, False),
        ("-40 <= temp <= 120", {"temp": "NA"}, True),
        ("-40 <= temp <= 120", {"temp": "warm"}, False),
        ("temp != 0", {"temp": "warm"}, False),
        ("start <= end", {"start": "2026-01-05", "end": "2026-01-05T06:00"}, True),
        ("start < end", {"start": "2026-01-05", "end": "2026-01-04"}, False),
        ("start >= 2020-01-01", {"start": "2019-12-31"}, False),
        ("net + vat == gross", {"net": "0.1", "vat": "0.2", "gross": "0.3"}, True),
        ("net + vat == gross", {"net": "10", "vat": "2", "gross": "12.01"}, False),
        ("net + vat == gross within 0.01", {"net": "10", "vat": "2", "gross": "12.01"}, True),
        ("gross - 2 == net", {"net": "10", "gross": "12"}, True),
        ('"net amount" <= 5e3', {"net amount": "5001"}, False),
        ("reason required", {"reason": "-"}, False),
        ("reason required if status is closed, lost", {"reason": "", "status": "lost"}, False),
        ("reason required if status is closed, lost", {"reason": "", "status": "open"}, True),
        ("status one of open, closed", {"status": "Open"}, False),
        ("status one of open, closed", {"status": ""}, True),
        ("code matches [A-Z]{3}-\\d+", {"code": "ABC-12"}, True),
        ("code matches [A-Z]{3}-\\d+", {"code": "ABC-12x"}, False),
    ],
)
def test_each_form_tells_cells_that_keep_a_rule_from_those_that_nearly_do(rule, cells, holds):
    parsed = parse_rule(rule, {})
    assert parsed.holds(cells) == holds and {*parsed.columns} == {*cells}


def test_a_number_is_read_in_the_form_of_its_column():
    rule = parse_rule("price <= 5", {"price": "number with decimal comma"})
    assert rule.holds({"price": "4,5"}) and not rule.holds({"price": "5,5"})


def test_all_mistakes_in_rules_are_named_at_once_with_the_rule():
    rules = [
        {"rule": "temp betwen 1 and 2", "severity": "warn"},
        {"rule": "temp <= ", "severity": "warn"},
        {"rule": "1 < 2", "severity": "warn"},
        {"rule": "code matches [", "severity": "warn"},
        {"rule": "temp > 1", "severity": "refuse"},
        {"rule": "temp > 1"},
        {"rule": "temp > 1", "severity": "warn", "why": "hot"},
        {"rule": "rows >= 500", "severity": "quarantine"},
        "temp > 1",
        {"rule": "temp > 1", "severity": "warn"},
    ]
    mistakes = list(find_mistakes(rules, TABLES))

    assert [mistake.partition(",")[0] for mistake in mistakes] == [f"rules[{number}]" for number in range(9)]
    assert "'temp betwen 1 and 2': it has none of the forms" in mistakes[0]
    assert "no row alone breaks it" in mistakes[7]
    assert list(find_mistakes({}, TABLES)) == ["rules: not a list"]
    assert "photos" not in " ".join(find_mistakes(rules[-1:], TABLES))
    assert list(find_mistakes(rules[-1:], "data.photos.source")) == [
        "rules: only rows of tables, readings and texts have cells to check"
    ]


def with_rules(workload: Workload, **severities: str) -> Workload:
    return replace(workload, rules=tuple(Rule(rule, severity) for rule, severity in severities.items()))


def count_rules(workload, *spans):
    """Reads spans, numbered from 1; returns the items of each, and the rules that they broke."""
    items = [list(open_source(workload, DataSettings()).rows(span)) for span in spans]
    counts, listed = {}, {}
    for number, of_span in enumerate(items, start=1):
        name = f"span-{number:05d}"
        (counts[name],) = (item for item in of_span if isinstance(item, RuleCounts))
        listed[name] = len(of_span) - 1
    return items, judge_rules(workload, counts, listed)


def test_a_row_against_a_rule_goes_to_quarantine_or_is_counted_with_its_cells(tmp_path):
    workload = with_rules(
        SENSOR, **{"temperature <= 30": "quarantine", "temperature >= 21": "warn", "pressure > 7": "warn"}
    )
    span = write_span(tmp_path, line(0), line(1), line(40), line(5))
    (items,), broken = count_rules(workload, span)

    (rejected,) = (item for item in items if isinstance(item, Rejected))
    assert (rejected.id, rejected.reason) == ("readings.csv:4", "against temperature <= 30")
    assert rejected.detail == "temperature is '60'."
    assert [row.id for row in items if isinstance(row, Row)] == [f"readings.csv:{n}" for n in (2, 3, 5)]
    low, pressure = broken
    assert (low.rule, low.rows, low.broken, low.examples) == (
        "temperature >= 21", 3, 1, ("readings.csv:2 (temperature is '20')",)
    )  # fmt: skip
    # All three are, which a warning says and refuses nothing.
    assert (pressure.rows, pressure.broken) == (3, 3)


def test_a_reading_against_a_rule_is_in_no_window_and_originals_agree(tmp_path):
    workload = with_rules(SENSOR, **{"temperature != 22": "quarantine"})
    span = write_span(tmp_path, *(line(minute) for minute in range(6)))
    source = open_source(workload, WINDOWS)
    ids = {item.id for item in source.rows(span) if isinstance(item, Row)}
    assert ids == {"readings.csv:5", "readings.csv:6", "readings.csv:7"}
    ((_, cells),) = source.originals(span, {"readings.csv:5"})
    assert cells["temperature"] == ("20", "21", "23")


def test_a_rule_that_all_rows_break_is_refused_and_all_such_rules_are_named(tmp_path):
    workload = with_rules(
        SENSOR, **{"temperature > 300": "block", "pressure < 1": "quarantine", "temperature < 99": "block"}
    )
    with pytest.raises(DataRefused) as refused:
        count_rules(workload, write_span(tmp_path, line(0), line(1)))
    assert "`temperature > 300` (readings.csv:2 (temperature is '20')), `pressure < 1`" in refused.value.found


def test_shares_and_numbers_of_rows_and_values_across_spans_are_of_whole_spans(tmp_path):
    of_spans = {"2 <= rows <= 3": "warn", "timestamp unique across spans": "warn"}
    workload = with_rules(SENSOR, **{"pressure missing <= 40 %": "block"}, **of_spans)
    empty = line(3).replace("6.1", "")
    spans = [write_span(tmp_path / "1", line(0), line(1), empty), write_span(tmp_path / "2", line(1))]
    _, broken = count_rules(workload, *spans)
    assert [(item.span, item.rule, item.rows, item.broken) for item in broken] == [
        ("span-00002", "2 <= rows <= 3", 1, 0),
        ("span-00002", "timestamp unique across spans", 1, 1),
    ]
    assert broken[1].examples == ("readings.csv:2 (as span-00001/readings.csv:3)",)

    # The number of rows is that of the span, also of those that have no cells to check.
    _, (missing,) = count_rules(workload, write_span(tmp_path / "3", empty, "ragged"))
    assert (missing.rule, missing.rows, missing.broken) == ("pressure missing <= 40 %", 1, 1)
    assert missing.examples == ("readings.csv:2 (pressure is empty)",)


def test_values_that_come_twice_in_a_span_leave_the_first_row(tmp_path):
    workload = with_rules(SENSOR, **{"machine_id, temperature unique": "quarantine"})
    span = write_span(tmp_path, line(0), line(1, temperature="20"), line(2, "m-02", "20"))
    (items,), _ = count_rules(workload, span)
    assert [item.id for item in items if isinstance(item, Rejected)] == ["readings.csv:3"]


def test_a_rule_about_a_column_that_no_span_has_is_refused_with_the_nearest(tmp_path):
    span = write_span(tmp_path, line(0))
    check_columns([span], with_rules(SENSOR, **{"pressure > 1": "warn", "rows > 5": "warn"}))
    with pytest.raises(UsageError) as refused:
        check_columns([span], with_rules(SENSOR, **{"presure > 1": "warn", "wind > temperature": "block"}))
    assert "rules about 'presure', 'wind', and no span has" in refused.value.found
    assert "Did you mean pressure?" in refused.value.do


def test_the_rules_on_the_page_of_tables_have_no_mistake_and_each_form_is_there():
    page = (ROOT / "docs/start/table.md").read_text()
    rules = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])["rules"]
    assert len(rules) == 11 and list(find_mistakes(rules, TABLES)) == []


def test_texts_are_checked_by_their_cells(tmp_path):
    texts = Workload("text", "", "", "data.texts.source", labels=("bad", "good"))
    workload = with_rules(texts, **{"source one of shop, app": "quarantine"})
    span = write_span(tmp_path, "fine,good,shop", "so so,bad,fax", header="text,label,source")
    row, rejected, counts = open_texts(workload, DataSettings()).rows(span)
    assert row.id == "readings.csv:2" and rejected.reason == "against source one of shop, app"
    assert (counts.counts[0].rows, counts.counts[0].broken) == (2, 1)
