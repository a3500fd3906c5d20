"""From facts to HTML: one self-contained page, without a request, and without a script but for the index.

Everything that comes from people (labels, file names, reasons) is escaped by the templates; only the charts,
which escape what they are given themselves, go in as they are.
"""

import base64
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from report import charts, words
from report.changes import find_changes
from report.facts import Data, Facts
from report.verdict import BADGES, notes, other_reasons, other_warnings, sentence

# In the order of the page, with their titles; `templates/sections.html` has a macro for each.
SECTIONS = {
    "gates": "Gates",
    "changes": "What changed",
    "data": "Data",
    "features": "Drift",
    "schema": "Schema",
    "quarantine": "Quarantine",
    "search": "Search",
    "training": "Training",
    "metrics": "Metrics",
    "twins": "Near twins",
    "confusion": "Confusion",
    "mistakes": "Worst mistakes",
    "reliability": "Reliability",
    "edge": "Edge files",
    "steps": "Time",
    "lineage": "Lineage",
}


def render_run(facts: Facts, pictures: Mapping[str, bytes], before: Facts | None) -> str:
    """The page of a run, compared with one before; thumbnails by the names that the facts have for them."""
    view = View(facts, pictures, before)
    return render("run.html", view=view, sections=view.sections)


def render_part(title: str, text: str, sections: Collection[str], view: "View") -> str:
    """A page with a sentence under its title, and those of the sections that the view has something for."""
    shown = [name for name in sections if view.has(name)]
    return render("part.html", title=title, text=text, sections=shown, view=view)


def render(template: str, **values: object) -> str:
    """A page from one of the templates."""
    return str(_environment().get_template(template).render(values))


@cache
def _environment() -> Any:
    """The templates, with escaping on, our words as filters, and the charts, each of a name of its own."""
    import jinja2

    loader = jinja2.PackageLoader("report", "templates")
    made = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    for name in ("percent", "points", "count", "megabytes", "milliseconds", "seconds", "moment", "day"):
        made.filters[name] = getattr(words, name)
    made.policies["json.dumps_kwargs"] = {}  # as jinja has it, keys would be sorted
    made.filters["setting"] = words.setting
    made.globals |= {"titles": SECTIONS, "unknown": words.UNKNOWN, "charts": charts}
    return made


@dataclass(frozen=True)
class Figure:
    """One of the figures at the top: what, how much, and a line under it."""

    name: str
    value: str
    note: str = ""


class View:
    """What the templates ask of one run."""

    def __init__(self, facts: Facts, pictures: Mapping[str, bytes], before: Facts | None = None) -> None:
        self.facts, self.before, self._pictures = facts, before, pictures
        self.about = facts.about
        self.badge, self.tone = BADGES[facts.about.outcome]
        self.sentence = sentence(facts)
        # What a gate found has its place beside the gate.
        self.problem = None if any(gate.result == "fail" for gate in facts.gates) else facts.about.problem
        self.reasons, self.warnings = other_reasons(facts), other_warnings(facts)
        self.notes = notes(facts, before)
        self.changes = find_changes(facts, before) if before else ()

    @property
    def data(self) -> Data:
        """The window; only sections that there is a window for ask."""
        assert self.facts.data is not None
        return self.facts.data

    @property
    def nouns(self) -> str:
        """What several examples are called."""
        return f"{self.facts.data.noun}s" if self.facts.data else "examples"

    @property
    def sections(self) -> list[str]:
        """Those that there is something for."""
        return [name for name in SECTIONS if self.has(name)]

    @property
    def absent(self) -> list[str]:
        """Titles of what the run did not get to."""
        parts = ("data", "training", "metrics", "edge")
        return [SECTIONS[name].lower() for name in parts if not self.has(name)]

    def has(self, section: str) -> bool:
        """Whether there is something to show in a section."""
        facts = self.facts
        return {
            "gates": bool(facts.gates),
            "changes": self.before is not None,
            "data": facts.data is not None and bool(facts.data.spans),
            "features": facts.data is not None and bool(facts.data.features or facts.data.anomalies),
            "schema": facts.data is not None and bool(facts.data.schema),
            "quarantine": facts.data is not None and any(span.quarantined for span in facts.data.spans),
            "search": facts.search is not None,
            "training": facts.training is not None and bool(facts.training.epochs),
            "metrics": facts.evaluation is not None,
            "twins": facts.twins is not None,
            "confusion": facts.evaluation is not None and facts.evaluation.confusion is not None,
            "mistakes": facts.mistakes is not None,
            "reliability": facts.reliability is not None,
            "edge": facts.edge is not None,
            "steps": bool(self.about.steps),
            "lineage": bool(self.about.inputs or self.about.libraries or self.about.artifacts),
        }[section]

    @property
    def figures(self) -> list[Figure]:
        """The few figures that a person looks for first."""
        facts, found = self.facts, []
        evaluation = facts.evaluation
        if evaluation and (judged := evaluation.judged) and (overall := evaluation.overall):
            note = f"{words.percent(judged.low)} to {words.percent(judged.high)}"
            note += words.groups(judged.groups, evaluation.group).replace(" of", ",")
            if judged.before is not None and judged.accuracy is not None:
                version = evaluation.baseline_version
                note = f"{words.points(judged.accuracy - judged.before)} to version {version}"
            name = "Eval accuracy" if judged is overall else "Accuracy out of fold"
            found.append(Figure(name, words.percent(judged.accuracy), note))
            alarms = overall.measures.get("recall_at_false_alarms")
            if alarms is not None:
                auc = overall.measures.get("auc", math.nan)
                found.append(
                    Figure(
                        "Alarms found",
                        words.percent(alarms),
                        f"at the allowed rate of false ones; AUC {auc:.3f}",
                    )
                )
            worst = evaluation.worst("class")
            if worst:
                found.append(Figure("Weakest class", words.percent(worst.accuracy), worst.name))
        if facts.edge and (measured := facts.edge.default_measured):
            note = f"{facts.edge.default_variant}, {words.milliseconds(measured.latency.p50_ms)}"
            found.append(Figure("File for phones", words.megabytes(measured.size_bytes), note))
        if facts.data and facts.data.spans:
            newest = facts.data.spans[-1]
            note = f"{words.count(newest.quarantined)} of {words.count(newest.rows)} quarantined"
            found.append(Figure(f"New {self.nouns}", words.count(newest.accepted), note))
        if self.about.seconds is not None:
            found.append(Figure("Time", words.seconds(self.about.seconds), words.day(self.about.started_at)))
        return found

    def picture(self, file: str) -> str | None:
        """A thumbnail as a data URI; None where there is none."""
        content = self._pictures.get(file)
        if content is None:
            return None
        kind = "png" if file.endswith(".png") else "jpeg"
        return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"

    @property
    def coloured_classes(self) -> list[tuple[str, str]]:
        """The most frequent classes with their colours."""
        most = sorted(self.data.classes, key=lambda label: -self.data.classes[label])
        return list(zip(most, charts.CLASS_COLOURS, strict=False))

    def class_shares(self) -> list[tuple[str, int, float, float | None]]:
        """Of each class: examples in the newest span, its share there, and its share in the spans before."""
        *older, newest = self.data.spans
        before = sum(span.accepted for span in older)
        return [
            (
                label,
                newest.classes.get(label, 0),
                newest.classes.get(label, 0) / max(1, newest.accepted),
                sum(span.classes.get(label, 0) for span in older) / before if before else None,
            )
            for label in self.data.classes
        ]

    def rejected(self) -> list[tuple[str, list[int]]]:
        """Each reason of quarantine with its examples by span, the newest first."""
        spans = self.data.spans[::-1]
        reasons = sorted({reason for span in spans for reason in span.rejected})
        return [(reason, [span.rejected.get(reason, 0) for span in spans]) for reason in reasons]

    @property
    def sample(self) -> str:
        """How many eval examples there are, in brackets, where files and mistakes are of some of them."""
        edge, evaluation = self.facts.edge, self.facts.evaluation
        overall = evaluation.overall if evaluation else None
        if edge is None or overall is None or edge.eval_examples >= overall.examples:
            return ""
        return f" (a sample of {words.count(overall.examples)})"

    @property
    def floor(self) -> float:
        """Where the scale of all slices begins: the tenth under the lowest end of any."""
        assert self.facts.evaluation is not None
        slices = [*self.facts.evaluation.slices, *self.facts.evaluation.out_of_fold]
        # Of one group there is no interval.
        lows = [(item.accuracy or 0.0) if item.groups == 1 else item.low for item in slices]
        ends = [*lows, *(item.before for item in slices if item.before is not None)]
        return min(0.9, math.floor(min(ends, default=0.0) * 10) / 10)
