"""The verdict of a run in one sentence, and the sentences below it."""

import shlex
from pathlib import Path

from edgeline.errors import Problem
from edgeline.records.ingest import name_span
from edgeline.records.verdict import DRIFTED, ENDED_CANARY, SERVED_SLICE
from edgeline.report.facts import Evaluation, Facts
from edgeline.report.words import groups, percent
from edgeline.store.locations import is_url

# The text of the badge, and its tone, a variable of templates/style.css.
BADGES = {
    "running": ("running", "muted"),
    "pushed": ("pushed", "good"),
    "unchanged": ("unchanged", "muted"),
    "held": ("held back", "warn"),
    "refused": ("data refused", "warn"),
    "failed": ("failed", "bad"),
    "interrupted": ("interrupted", "bad"),
    "killed": ("killed", "bad"),
}
# A span with fewer answers lost than this is not named: one model differs from the next by as many by chance.
_FEWEST = 4
_HELD_BY = {"evaluation": "by its evaluation", "edge": "because no file for phones passed"}


def describe_outcome(facts: Facts) -> str:
    """Returns the outcome of the run in one sentence."""
    run = facts.run
    production, where = _describe_production(facts), _name_last_step(facts)
    after = f", after version {run.version} was pushed" if run.has_pushed else ""
    return {
        "running": "The run is in progress.",
        "pushed": _describe_push(facts),
        "unchanged": f"There was nothing new to push: {production}.",
        "held": f"A model was trained and held back{_list_failed_gates(facts)}; {production}.",
        "refused": f"The data was refused, so nothing was trained; {production}.",
        "failed": f"The run failed {where}{after or f', and nothing was pushed; {production}'}.",
        "interrupted": f"The run was interrupted {where}{after}; the same command resumes it.",
        "killed": f"The run was killed {where}{after}; the same command resumes it.",
    }[run.outcome]


def find_problem(facts: Facts) -> Problem | None:
    """Returns the problem that ended a run; a gate's finding is shown with the gate, and Ctrl-C is none."""
    outcome = facts.run.outcome
    is_gates = outcome in ("held", "refused") and any(not gate.passed for gate in facts.gates)
    return None if is_gates or outcome == "interrupted" else facts.run.error


def list_next_steps(facts: Facts) -> list[str]:
    """Returns sentences on what to do about a run that was held or refused, with the commands to type.

    Other runs have none: a failed one says what to do with its problem, as one does whose data no gate saw.
    """
    run, data = facts.run, facts.data
    of, failed = f"--workload {run.workload}", [gate for gate in facts.gates if not gate.passed]
    is_here = run.engine == "local"
    if run.log and is_here:  # WORKSPACE/runs/ID/run.log
        of += f" --workspace {shlex.quote(str(Path(run.log).parents[2]))}"
    blamed = {*run.blamed_spans, *(span for gate in failed for span in gate.spans)}
    evaluated = [gate.slices for gate in failed if gate.gate == "evaluation"]
    in_field = {name for slices in evaluated for name in slices if name.startswith(SERVED_SLICE)}
    # A hold by those alone is the fault of production.
    is_bad_model = run.outcome == "held" and any(
        not slices or not in_field.issuperset(slices) for slices in evaluated
    )
    drop = _find_drop(facts.evaluation) if is_bad_model and facts.evaluation else None
    if drop is not None:
        blamed.add(drop[0])
    # A folder has another name in a pod than where people type the command.
    place = shlex.quote(run.data) if run.data and (is_here or is_url(run.data)) else "DIR"
    spans = run.spans or (data.spans if data else ())
    exclusions = [
        f"If {span} is bad, leave it out and run again:"
        f" `edgeline data exclude {span} --reason R --data {place}`."
        for span in sorted(blamed)
        if len(spans) > 1  # without any there is nothing to train on
    ]
    if run.outcome == "refused":
        steps = exclusions
        broken = {item.feature for item in data.schema if item.breaks} if data else set()
        if any(name in broken for gate in failed for name in gate.features):
            how = "widen it by what the section Schema shows."
            if is_here:
                how = (
                    f"`edgeline schema diff {of}` shows the difference, and `edgeline schema accept FEATURE"
                    f" --reason R {of}` widens the schema."
                )
            steps.append(f"If the data is right and the schema too narrow: {how}")
        if any(DRIFTED in reason for gate in failed for reason in gate.reasons):
            steps.append(
                "If the world did change, run once with `--set"
                " gate.severity='{label_shift: warn, large_drift: warn}'`: later weeks are then compared with"
                " the release of this run."
            )
        if failed and not steps:
            steps.append("Add or fix data, and run again.")
        return steps
    if run.outcome != "held":
        return []
    steps = exclusions if failed else ["No gate failed: the reason says what to do.", *exclusions]
    if drop is not None:
        steps.insert(0, drop[1])
    if in_field:
        steps.append(
            "Production answers worse in the field than its bounds allow. Put the release before it back, if"
            f" that was better: `edgeline rollback --reason R {of}`. Or replace it with a new model: run once"
            " with `--set evaluation.served=[]`."
        )
    if is_bad_model:
        steps.append("Look at the weakest slices and the worst mistakes below: are their labels right?")
    if facts.evaluation and facts.evaluation.baseline_version and is_here:
        command = f"edgeline diff production {run.id} {of}"
        steps.append(f"Compare it with production, slice by slice: `{command}`.")
    if failed:
        steps.append(
            "If a bound is wrong for this task, change it in the workload's settings, and run again: what did"
            " not change comes from the cache."
        )
    is_promoted = any(reason.startswith(f"{ENDED_CANARY}promote ") for reason in run.reasons)
    if not is_promoted and not in_field:
        steps.append("Production is unchanged, so nothing has to be rolled back.")
    return steps


def _find_drop(evaluation: Evaluation) -> tuple[str, str] | None:
    """Returns the span with most of the answers lost since production, and a sentence on it.

    None if there is no such span, or it has half of the examples.
    """
    spans = evaluation.of("span")
    worst = max(spans, key=lambda span: span.lost, default=None)
    if worst is None or worst.lost < _FEWEST or 2 * worst.lost <= sum(max(span.lost, 0) for span in spans):
        return None
    if 2 * worst.examples >= sum(span.examples for span in spans):
        return None
    span = name_span(int(worst.name))
    return span, (
        f"Most of the drop is in {span}: accuracy {percent(worst.accuracy)} on its {worst.examples:,} eval"
        f" examples, {percent(worst.before)} with version {evaluation.baseline_version}."
    )


def _describe_push(facts: Facts) -> str:
    share = facts.canary_percent
    state = f"is tried by {share:g} % of phones" if share else "is in production"
    text = f"Version {facts.run.version} of {facts.run.workload} {state}"
    overall = facts.evaluation.overall if facts.evaluation else None
    judged = facts.evaluation.judged if facts.evaluation else None
    if facts.evaluation is None or overall is None or judged is None or judged.accuracy is None:
        return f"{text}."
    noun = facts.data.noun if facts.data else "example"
    of_groups = groups(judged.groups, facts.evaluation.group)
    what = f"{'eval' if judged is overall else 'out-of-fold'} {noun}s{of_groups}"
    text += f": accuracy {percent(judged.accuracy)} on {judged.examples:,} {what}"
    if overall.before is None or judged is not overall:
        return f"{text}."
    return f"{text}, compared with {percent(overall.before)} for version {facts.evaluation.baseline_version}."


def _list_failed_gates(facts: Facts) -> str:
    failed = [_HELD_BY[gate.gate] for gate in facts.gates if gate.result == "fail" and gate.gate in _HELD_BY]
    return f" {' and '.join(failed)}" if failed else ""


def _describe_production(facts: Facts) -> str:
    if not facts.run.version and facts.evaluation and facts.evaluation.baseline_version:
        return f"version {facts.evaluation.baseline_version} stays in production"
    return facts.run.production


def _name_last_step(facts: Facts) -> str:
    failed = [step.name for step in facts.run.steps if step.state in ("failed", "running")]
    if failed:
        return f"in {failed[-1]}"
    return f"after {facts.run.finished_steps[-1]}" if facts.run.finished_steps else "before its first step"


def list_other_reasons(facts: Facts) -> tuple[str, ...]:
    """Returns the reasons of the outcome that are not those of a gate or of the problem."""
    if facts.run.outcome == "pushed":
        return ()
    shown = {reason for gate in facts.gates for reason in gate.reasons}
    if (problem := find_problem(facts)) is not None:
        shown.add(problem.found)
    return tuple(reason for reason in facts.run.reasons if reason not in shown)


def list_notes(facts: Facts, before: Facts | None) -> list[str]:
    """Returns sentences on new and excluded spans: those of the runner, or else from the data."""
    sentences = facts.run.notes
    if sentences or facts.data is None:
        return sentences
    if before is not None and before.data is not None:
        earlier = {span.name for span in before.data.spans}
        new = [span.name for span in facts.data.spans if span.name not in earlier]
        since = f"since run {before.run.id}"
        sentences.append(f"New {since}: {', '.join(new)}." if new else f"No new span {since}.")
    return sentences + [excluded.sentence for excluded in facts.data.excluded]


def list_other_warnings(facts: Facts) -> tuple[str, ...]:
    """Returns the warnings that are not those of a gate."""
    shown = {warning for gate in facts.gates for warning in gate.warnings}
    return tuple(warning for warning in facts.run.warnings if warning not in shown)
