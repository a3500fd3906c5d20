"""The verdict of a run in one sentence, and the sentences below it."""

from edgeline.errors import Problem
from edgeline.records.verdict import list_reasons
from edgeline.report.facts import Facts
from edgeline.report.words import groups, percent

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
_HELD_BY = {"evaluation": "by its evaluation", "edge": "because no file for phones passed"}


def describe_outcome(facts: Facts) -> str:
    """Returns the outcome of the run in one sentence."""
    run = facts.run
    production = _describe_production(facts)
    where = _name_last_step(facts)
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


def _describe_push(facts: Facts) -> str:
    share = facts.canary_percent
    state = f"went to {share:g} % of phones" if share else "went into production"
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
        return f"version {facts.evaluation.baseline_version} stayed in production"
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
    shown = set().union(*(gate.reasons for gate in facts.gates))
    # A sentence that two gates share is one in the record.
    shown.update(list_reasons([gate for gate in facts.gates if not gate.passed]))
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
    shown = set().union(*(gate.warnings for gate in facts.gates))
    return tuple(warning for warning in facts.run.warnings if warning not in shown)
