"""The verdict of a run in one sentence, and the sentences that stand under it."""

from report.facts import Facts
from report.words import groups, percent

# What the badge says, and the tone of it: a variable of templates/style.css.
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


def sentence(facts: Facts) -> str:
    """What happened, in one sentence."""
    about = facts.about
    return {
        "running": "The run is going on.",
        "pushed": _pushed(facts),
        "unchanged": f"There was nothing new to push: {_stays(facts)}.",
        "held": f"A model was trained and held back{_held_by(facts)}; {_stays(facts)}.",
        "refused": f"The data was refused, so nothing was trained; {_stays(facts)}.",
        "failed": f"The run failed {_where(facts)}, and nothing was pushed; {_stays(facts)}.",
        "interrupted": f"The run was interrupted {_where(facts)}; the same command goes on from there.",
        "killed": f"The run was killed {_where(facts)}; the same command goes on from there.",
    }[about.outcome]


def _pushed(facts: Facts) -> str:
    text = f"Version {facts.about.version} of {facts.about.model} is in production"
    overall = facts.evaluation.overall if facts.evaluation else None
    judged = facts.evaluation.judged if facts.evaluation else None
    if facts.evaluation is None or overall is None or judged is None or judged.accuracy is None:
        return f"{text}."
    noun, of = facts.data.noun if facts.data else "example", groups(judged.groups, facts.evaluation.group)
    what = f"eval {noun}s{of}" if judged is overall else f"{noun}s{of} that it had not learned from"
    text += f": right on {percent(judged.accuracy)} of {judged.examples} {what}"
    if overall.before is None or judged is not overall:
        return f"{text}."
    return f"{text}, where version {facts.evaluation.baseline_version} is on {percent(overall.before)}."


def _held_by(facts: Facts) -> str:
    failed = [_HELD_BY[gate.gate] for gate in facts.gates if gate.result == "fail" and gate.gate in _HELD_BY]
    return f" {' and '.join(failed)}" if failed else ""


def _stays(facts: Facts) -> str:
    version = facts.about.version or (facts.evaluation.baseline_version if facts.evaluation else None)
    if version:
        return f"version {version} stays in production"
    # A cluster's step that refuses data has not looked at what is in production.
    return "nothing is in production" if facts.about.engine == "local" else "production is as it was"


def _where(facts: Facts) -> str:
    failed = [step.name for step in facts.about.steps if step.state in ("failed", "running")]
    return f"in {failed[-1]}" if failed else "before its first step"


def other_reasons(facts: Facts) -> tuple[str, ...]:
    """The reasons of the outcome that neither a gate nor the problem says already."""
    if facts.about.outcome == "pushed":
        return ()
    said = {reason for gate in facts.gates for reason in gate.reasons}
    if facts.about.problem is not None:
        said.add(facts.about.problem.found)
    return tuple(reason for reason in facts.about.reasons if reason not in said)


def notes(facts: Facts, before: Facts | None) -> tuple[str, ...]:
    """Which spans are new, and which were excluded: as the runner says, else as the data says."""
    if facts.about.notes or facts.data is None:
        return facts.about.notes
    found = []
    if before is not None and before.data is not None:
        seen = {span.name for span in before.data.spans}
        new = [span.name for span in facts.data.spans if span.name not in seen]
        since = f"since run {before.about.run}"
        found.append(f"New {since}: {', '.join(new)}." if new else f"No new span {since}.")
    found += [
        f"Excluded: {item.span}, by {item.who} on {item.when}: {item.reason}" for item in facts.data.excluded
    ]
    return tuple(found)


def other_warnings(facts: Facts) -> tuple[str, ...]:
    """The warnings that no gate says already."""
    said = {warning for gate in facts.gates for warning in gate.warnings}
    return tuple(warning for warning in facts.about.warnings if warning not in said)
