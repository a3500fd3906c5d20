"""The next steps after a run that was held back, refused or failed: a list of rules, a few sentences each.

The page, the end of a run, `edgeline status` and `edgeline show` print what `list_next_steps` returns. Each
command in it can be typed as it stands, in any folder.
"""

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from edgeline.labels import join_names
from edgeline.records.ingest import name_span
from edgeline.records.run import flatten
from edgeline.records.verdict import SERVED_SLICE, Finding, Verdict
from edgeline.report.facts import Facts, Slice
from edgeline.report.words import percent
from edgeline.store.locations import is_url

# A span with fewer answers lost than this is not named: one model differs from the next by as many by chance.
_FEWEST = 4
_MOST_SETTINGS = 8
# Rules that a world which has changed breaks each week, until a release was made of such a week.
_DRIFT = tuple(f"gate.severity.{rule}" for rule in ("drift", "large_drift", "label_shift"))
_LIMITS = ("lower", "upper", "max_drop")  # of an item of evaluation.bounds
_IN_LIST = re.compile(r"(?P<list>[\w.]+)\[(?P<number>\d+)\]\.(?P<limit>\w+)")
_PLAIN = re.compile(r"(?!(?:true|false|null|yes|no|on|off)$)[A-Za-z/][\w./-]*")


def list_next_steps(facts: Facts) -> list[str]:
    """Returns sentences on what to do about a run, with the commands to type; most runs have none.

    A run that failed says what to do with its problem, as one does whose data no gate saw.
    """
    ending = _Ending(facts)
    return [step for rule in _RULES.get(facts.run.outcome, ()) for step in rule(ending)]


@dataclass(frozen=True)
class _Ending:
    """A run that ended, as the rules look at it."""

    facts: Facts

    @cached_property
    def failed(self) -> list[Verdict]:
        """The gates that stopped the run."""
        return [gate for gate in self.facts.gates if not gate.passed]

    @property
    def is_here(self) -> bool:
        """Tells whether it ran on this machine, and not on a cluster."""
        return self.facts.run.engine == "local"

    @cached_property
    def place(self) -> str:
        """The options that name its model and its workspace."""
        return f"--workload {self.facts.run.workload}{self.workspace}"

    @cached_property
    def workspace(self) -> str:
        """The option that names its workspace, after a space; empty where that is not known."""
        log = self.facts.run.log
        # WORKSPACE/runs/ID/run.log
        return f" --workspace {shlex.quote(str(Path(log).parents[2]))}" if log and self.is_here else ""

    @cached_property
    def data(self) -> str:
        """The place of its data, as a word of a command; a folder of a pod has another name elsewhere."""
        data = self.facts.run.data
        return shlex.quote(data) if data and (self.is_here or is_url(data)) else "DIR"

    @cached_property
    def drop(self) -> Slice | None:
        """The span with most of the answers lost since production, unless it has half of the examples."""
        spans = self.facts.evaluation.of("span") if self.is_bad_model and self.facts.evaluation else ()
        worst = max(spans, key=lambda span: span.lost, default=None)
        if worst is None or worst.lost < _FEWEST:
            return None
        is_most = 2 * worst.lost > sum(max(span.lost, 0) for span in spans)
        is_small = 2 * worst.examples < sum(span.examples for span in spans)
        return worst if is_most and is_small else None

    @cached_property
    def evaluated(self) -> list[tuple[str, ...]]:
        """The slices for which the evaluation held the model back."""
        return [gate.slices for gate in self.failed if gate.gate == "evaluation"]

    @cached_property
    def in_field(self) -> set[str]:
        """The slices of what phones answered: a hold by these alone is the fault of production."""
        names = chain.from_iterable(self.evaluated)
        return {name for name in names if name.startswith(SERVED_SLICE)}

    @cached_property
    def is_bad_model(self) -> bool:
        """Tells whether the evaluation blames the model."""
        is_held = self.facts.run.outcome == "held"
        return is_held and any(
            not slices or not self.in_field.issuperset(slices) for slices in self.evaluated
        )


def _compare_settings(ending: _Ending) -> Iterator[str]:
    if changed := ending.facts.unlike_production:
        yield f"Settings differ from those of production: {join_names(changed, _MOST_SETTINGS)}."


def _end_canary(ending: _Ending) -> Iterator[str]:
    if ending.failed:
        return
    place = ending.place
    candidate = ending.facts.run.inputs.get("candidate")
    if candidate and ending.is_here:
        yield (
            f"End the canary, if it is still open: `edgeline promote {candidate} --reason R {place}`, or"
            f" `edgeline rollback --reason R {place}`. Then run again."
        )
    else:
        yield "No gate failed: the reason says what to do."


def _name_drop(ending: _Ending) -> Iterator[str]:
    if (drop := ending.drop) and ending.facts.evaluation:
        yield (
            f"Most of the drop is in {name_span(int(drop.name))}: accuracy {percent(drop.accuracy)} on its"
            f" {drop.examples:,} eval examples, {percent(drop.before)} with version"
            f" {ending.facts.evaluation.baseline_version}."
        )


def _exclude_spans(ending: _Ending) -> Iterator[str]:
    run, data = ending.facts.run, ending.facts.data
    blamed = set(run.blamed_spans).union(*(gate.spans for gate in ending.failed))
    if ending.drop:
        blamed.add(name_span(int(ending.drop.name)))
    spans = run.spans or (tuple(span.name for span in data.spans) if data else ())
    if len(spans) < 2:  # without any there is nothing to train on
        return
    for span in sorted(blamed):
        command = f"edgeline data exclude {span} --reason R --data {ending.data}"
        yield f"If {span} is bad, leave it out and run again: `{command}`."


def _widen_schema(ending: _Ending) -> Iterator[str]:
    data, place = ending.facts.data, ending.place
    broken = {item.feature for item in data.schema if item.breaks} if data else set()
    if not any(name in broken for gate in ending.failed for name in gate.features):
        return
    how = "widen it by what the section Schema shows."
    if ending.is_here:
        how = (
            f"`edgeline schema diff {place}` shows the difference, and `edgeline schema accept FEATURE"
            f" --reason R {place}` widens the schema."
        )
    yield f"If the data is right and the schema too narrow: {how}"


def _add_data(ending: _Ending) -> Iterator[str]:
    if ending.failed and not (*_exclude_spans(ending), *_widen_schema(ending)):
        yield "Add or fix data, and run again."


def _roll_back(ending: _Ending) -> Iterator[str]:
    if ending.in_field:
        yield (
            "Production answers worse in the field than its bounds allow. Put the release before it back, if"
            f" that was better: `edgeline rollback --reason R {ending.place}`. Or replace it with a new"
            " model, as below."
        )


def _look_at_mistakes(ending: _Ending) -> Iterator[str]:
    if ending.is_bad_model:
        yield "Look at the weakest slices and the worst mistakes in the report: are their labels right?"


def _compare_with_production(ending: _Ending) -> Iterator[str]:
    evaluation = ending.facts.evaluation
    if evaluation and evaluation.baseline_version and ending.is_here:
        command = f"edgeline diff production {ending.facts.run.id} {ending.place}"
        yield f"Compare it with production, slice by slice: `{command}`."


def _lift_rules(ending: _Ending) -> Iterator[str]:
    """Names each setting that decided, and yields the command for a run in which none of them does."""
    findings = list(chain.from_iterable(map(_choose_findings, ending.failed)))
    settings = ending.facts.run.settings
    names = list(dict.fromkeys(finding.setting for finding in findings if finding.lifted_by))
    if not names:
        return
    decided = join_names([_show_setting(name, settings) for name in names], len(names))
    if not all(finding.lifted_by for finding in findings):
        yield f"Decided by {decided}, and by what no setting turns off: see the reasons."
        return
    it, is_wrong = ("them", "they are wrong") if len(names) > 1 else ("it", "it is wrong")
    text = f"Decided by {decided}. If {is_wrong} for this task, change {it} in the workload's settings"
    if ending.is_here and settings:  # those of a damaged record are not known
        text += f". One run without {it}: `{_make_command(ending, findings)}`"
    if any(name in _DRIFT for name in names):
        text += ". Later weeks are then compared with the release of that run"
    yield f"{text}. What did not change comes from the cache."


def _say_that_production_stays(ending: _Ending) -> Iterator[str]:
    run, ended = ending.facts.run, ending.facts.ended_canary
    has_promoted = ended is not None and ended.action == "promote"
    if run.version and not ending.in_field and not has_promoted:
        yield "The run changed nothing in production, so nothing has to be rolled back."


_RULES: Mapping[str, Sequence[Callable[[_Ending], Iterator[str]]]] = {
    "held": (
        _compare_settings,
        _end_canary,
        _name_drop,
        _exclude_spans,
        _roll_back,
        _look_at_mistakes,
        _compare_with_production,
        _lift_rules,
        _say_that_production_stays,
    ),
    "refused": (_compare_settings, _exclude_spans, _widen_schema, _add_data, _lift_rules),
    "failed": (_exclude_spans,),
}


def _choose_findings(gate: Verdict) -> Sequence[Finding]:
    """Returns the findings to lift for a gate to pass: of files for phones, those of one that then ships."""
    findings = gate.blocking
    files = list(dict.fromkeys(finding.file for finding in findings if finding.file))
    of_all = [finding for finding in findings if not finding.file]
    choices = [[*of_all, *(item for item in findings if item.file == file)] for file in files]
    liftable = [choice for choice in choices if all(finding.lifted_by for finding in choice)]
    return min(liftable, key=lambda choice: len({item.lifted_by for item in choice}), default=findings)


def _make_command(ending: _Ending, findings: Sequence[Finding]) -> str:
    """Returns the command of a run like this one, but without the rules of some findings."""
    run = ending.facts.run
    overrides = {**list_overrides(run.changed, run.settings), **lift(findings, run.settings)}
    sets = "".join(f" --set {shlex.quote(f'{name}={value}')}" for name, value in overrides.items())
    workload = shlex.quote(run.workload_source or run.workload)
    return f"edgeline run --workload {workload} --data {ending.data}{ending.workspace}{sets}"


def lift(findings: Sequence[Finding], settings: Mapping[str, Any]) -> dict[str, str]:
    """Returns the settings, with their values for `--set`, with which the rules of findings hold nothing.

    `settings` are those of the run, nested by group: of a list of bounds, those that held stay.
    """
    lifted: dict[str, str] = {}
    lists: dict[str, list[dict[str, Any]]] = {}
    for finding in findings:
        name, _, value = finding.lifted_by.partition("=")
        item = _IN_LIST.fullmatch(name)
        if item is None:
            lifted[name] = value
            continue
        bounds = lists.setdefault(item["list"], deepcopy(_find_setting(item["list"], settings)))
        bounds[int(item["number"])][item["limit"]] = None
    for name, bounds in lists.items():
        kept = [bound for bound in bounds if any(bound.get(limit) is not None for limit in _LIMITS)]
        lifted[name] = to_yaml([{k: v for k, v in bound.items() if v is not None} for bound in kept])
    return lifted


def list_overrides(changed: Sequence[str], settings: Mapping[str, Any]) -> dict[str, str]:
    """Returns settings by dotted name with their values; those inside a mapping as a whole one."""
    names = (".".join(name.split(".")[:2]) for name in changed)
    return {name: to_yaml(_find_setting(name, settings)) for name in names}


def _find_setting(name: str, settings: Mapping[str, Any]) -> Any:
    """Returns the value of a setting by its dotted name; None for one that is not recorded."""
    value: Any = settings
    for key in re.split(r"[.\[\]]+", name):
        if isinstance(value, Mapping):
            value = value.get(key)
        else:
            value = value[int(key)] if isinstance(value, list) else None
    return value


def _show_setting(name: str, settings: Mapping[str, Any]) -> str:
    value = _find_setting(name, settings)
    return f"{name} ({to_yaml(value)})" if isinstance(value, str | int | float) else name


def to_yaml(value: Any) -> str:
    """Returns the value of a setting as YAML for `--set`."""
    return value if isinstance(value, str) and _PLAIN.fullmatch(value) else json.dumps(value)


def find_production(facts: Facts) -> int | None:
    """Returns the version that was in production while a run that was stopped judged; None for other runs."""
    if facts.run.outcome not in ("held", "refused"):
        return None
    if facts.evaluation and facts.evaluation.baseline_version:
        return facts.evaluation.baseline_version
    version = facts.run.inputs.get("production", "").partition("-")[0]
    return int(version) if version.isdecimal() else None


def list_unlike(settings: Mapping[str, Any], production: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the settings of a run that are others than in the run that made production: `a.b 12 -> 2`.

    Those of the release store and of alerts make no other model, and a setting that only one has is of
    another version of this code.
    """
    then = flatten(production)
    return tuple(
        f"{name} {then[name]} -> {value}"
        for name, value in flatten(settings).items()
        if then.get(name, value) != value and not name.startswith(("push.", "alerts."))
    )
