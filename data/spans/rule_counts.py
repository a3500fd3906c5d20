"""The counts of how often the rows of spans break the rules of their workload, and what follows from them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from data.spans.rules import Cells, digest_key, parse_rule
from edgeline.errors import DataRefused
from edgeline.labels import join_names, show_label
from edgeline.records.ingest import BrokenRule
from edgeline.records.rejection import RowRejected
from edgeline.records.workload import Workload

_MOST_EXAMPLES = 3


@dataclass
class RuleCount:
    """The count of the rows of a span that break a rule."""

    rows: int = 0  # those that were checked
    broken: int = 0
    examples: list[str] = field(default_factory=list)  # the first of them
    keys: list[tuple[str, str]] = field(default_factory=list)  # digests that no other span may have, and rows

    def add(self, row: str, shown: str) -> None:
        """Counts a row that breaks the rule."""
        self.broken += 1
        if len(self.examples) < _MOST_EXAMPLES:
            self.examples.append(f"{row} ({shown})")


@dataclass(frozen=True)
class RuleCounts:
    """The counts of all rules of the workload, in its order, in one span."""

    counts: tuple[RuleCount, ...]


class RuleChecker:
    """Applies the rules of a workload to the rows of one span."""

    def __init__(self, workload: Workload) -> None:
        forms = {column.name: column.form for column in workload.columns.values()}
        self._rules = [(rule, parse_rule(rule.rule, forms), RuleCount()) for rule in workload.rules]

    def check(self, row: str, cells: Cells) -> None:
        """Counts a row. Raises RowRejected if it breaks a rule of the severity `quarantine`."""
        for rule, parsed, count in self._rules:
            count.rows += 1
            if parsed.kind == "across" and (key := digest_key(cells, parsed.columns)):
                count.keys.append((key, row))
            if not parsed.holds(cells):
                texts = {name: cells.get(name, "").strip() for name in parsed.columns}
                shown = ", ".join(
                    f"{name} is {show_label(text) if text else 'empty'}" for name, text in texts.items()
                )
                count.add(row, shown)
                if rule.severity == "quarantine":
                    raise RowRejected(f"against {rule.rule}", f"{shown}.")

    def summarize(self) -> RuleCounts:
        """Returns the counts of the rows so far."""
        return RuleCounts(tuple(count for _, _, count in self._rules))


def judge_rules(
    workload: Workload, by_span: Mapping[str, RuleCounts], listed: Mapping[str, int]
) -> tuple[BrokenRule, ...]:
    """Returns the rules that spans broke, other than by rows that are in quarantine for it.

    Args:
        workload: Its rules are in the order of the counts.
        by_span: The counts of each span, oldest first; rows that repeat an earlier span's are added to them.
        listed: The number of the rows of each span, by its name, for rules on the size.

    Raises:
        DataRefused: All rows of all spans break a rule.
    """
    _refuse_impossible(workload, by_span)
    broken = []
    for number, rule in enumerate(workload.rules):
        parsed = parse_rule(rule.rule, {})
        places = dict[str, str]()
        for span, counts in by_span.items():
            count = counts.counts[number]
            _count_repeats(count, span, places)
            rows = listed[span] if parsed.kind == "size" else count.rows
            is_broken = count.broken > parsed.share * count.rows or not parsed.fits(rows)
            if is_broken and rule.severity != "quarantine":
                examples = tuple(count.examples)
                broken.append(BrokenRule(span, rule.rule, rule.severity, rows, count.broken, examples))
    return tuple(broken)


def _count_repeats(count: RuleCount, span: str, places: dict[str, str]) -> None:
    """Counts the rows whose values an earlier row has; `places` are those of all earlier ones by digest."""
    for key, row in count.keys:
        place = f"{span}/{row}"
        first = places.setdefault(key, place)
        if first != place:
            count.add(row, f"as {first}")


def _refuse_impossible(workload: Workload, by_span: Mapping[str, RuleCounts]) -> None:
    """Refuses rules that no row of any span keeps. Raises DataRefused."""
    wrong = []
    for number, rule in enumerate(workload.rules):
        counts = [counts.counts[number] for counts in by_span.values()]
        rows, broken = (sum(count.rows for count in counts), sum(count.broken for count in counts))
        if rows and rows == broken and rule.severity != "warn" and parse_rule(rule.rule, {}).kind == "row":
            wrong.append(f"`{rule.rule}` ({counts[0].examples[0] if counts[0].examples else 'no row'})")
    if wrong:
        raise DataRefused(
            f"All {workload.nouns} of all spans are against {join_names(wrong)}.",
            "A rule that no row keeps is wrong, or its columns are in another unit.",
            "Correct `rules` in the workload's file.",
        )
