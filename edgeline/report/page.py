"""Renders facts as HTML: one self-contained page without requests, and without a script except in the index.

The templates escape everything that comes from people (labels, file names, reasons). Only the charts, which
escape their own input, are inserted as they are. Should one miss something, the policy of each page
(Content-Security-Policy) lets it run no script but ours, by its digest, and load and send nothing.
"""

import base64
import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from edgeline.labels import format_count
from edgeline.report import charts, drawing, verdict, words
from edgeline.report.changes import find_changes
from edgeline.report.drawing import CLASS_COLOURS
from edgeline.report.facts import Data, Evaluation, Facts, list_served
from edgeline.report.next_steps import list_next_steps

_TEMPLATES = Path(__file__).parent / "templates"
# A page has to stay small, and a table may have a thousand classes.
_MOST_CONFUSED = 50


def render_run(
    facts: Facts, pictures: Mapping[str, bytes], before: Facts | None, links: Mapping[str, str] | None = None
) -> str:
    """Renders the page of a run, compared with an earlier one.

    Args:
        facts: All that is known of the run; parts that are None have no section.
        pictures: Thumbnails, JPEG or PNG, by name such as `thumbnails/01.jpg`; some or all may be missing.
        before: The earlier run of the same model; None if the page is to compare nothing.
        links: Quoted URLs, of other pages and files by their names, and of artifacts by their URIs.
    """
    view = View(facts, pictures, before)
    terms = [term for term in read_terms() if "section" not in term or view.has(term["section"])]
    explained = {term["section"]: term for term in reversed(terms) if "section" in term}
    values = {"sections": view.sections, "links": links or {}, "terms": terms, "explained": explained}
    return render("run.html", view=view, **values)


def render(template: str, **values: object) -> str:
    """Renders a page from one of the templates."""
    return str(make_environment().get_template(template).render(values))


@cache
def read_terms() -> list[dict[str, str]]:
    """Reads the terms that pages explain: `name`, `meaning`, and `section` where only that uses the term."""
    import yaml

    terms: list[dict[str, str]] = yaml.safe_load((_TEMPLATES / "terms.yaml").read_text(encoding="utf-8"))
    return terms


@cache
def make_environment() -> Any:
    """Makes the environment of the templates: with escaping, the formats of `words`, and the charts."""
    import jinja2
    from markupsafe import Markup

    loader = jinja2.PackageLoader("edgeline.report", "templates")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    formats = "percent points count megabytes milliseconds latency seconds moment day setting code"
    environment.filters |= {name: getattr(words, name) for name in formats.split()}
    environment.filters["format_count"] = format_count
    environment.policies["json.dumps_kwargs"] = {}  # jinja's default sorts keys

    def read_script(name: str) -> Markup:
        return Markup(loader.get_source(environment, name)[0])

    def digest_script(name: str) -> Markup:
        digest = hashlib.sha256(read_script(name).encode()).digest()
        return Markup(f"'sha256-{base64.b64encode(digest).decode()}'")

    environment.globals |= {
        "read_script": read_script,
        "digest_script": digest_script,
        "titles": {name: title for name, (title, _) in SECTIONS.items()},
        "unknown": words.UNKNOWN,
        "charts": charts,
        "drawing": drawing,
    }
    return environment


@dataclass(frozen=True)
class Figure:
    """One of the figures at the top of a page: its name, its value, and a line under it."""

    name: str
    value: str
    note: str = ""


class View:
    """The values of one run that the templates use."""

    def __init__(self, facts: Facts, pictures: Mapping[str, bytes], before: Facts | None = None) -> None:
        self.facts, self.before, self._pictures = facts, before, pictures
        self.run = facts.run
        self.data = facts.data or Data()
        self.evaluation = facts.evaluation or Evaluation()
        self.badge, self.tone = verdict.BADGES[facts.run.outcome]
        self.sentence = verdict.describe_outcome(facts)
        self.problem = verdict.find_problem(facts)
        self.reasons = verdict.list_other_reasons(facts)
        self.warnings = verdict.list_other_warnings(facts)
        self.next_steps = list_next_steps(facts)
        self.notes = verdict.list_notes(facts, before)
        self.changes = find_changes(facts, before) if before else ()
        self.served = list(list_served(facts.served, facts.pushed))

    @property
    def nouns(self) -> str:
        """Returns the plural noun for the examples."""
        return f"{self.facts.data.noun}s" if self.facts.data else "examples"

    @property
    def sections(self) -> list[str]:
        """Returns the sections that have content."""
        return [name for name in SECTIONS if self.has(name)]

    @property
    def absent(self) -> list[str]:
        """Returns the titles of the main sections that the run did not get to."""
        parts = ("data", "training", "metrics", "edge")
        return [SECTIONS[name][0].lower() for name in parts if not self.has(name)]

    def has(self, section: str) -> bool:
        """Tells whether a section has content."""
        _, has_content = SECTIONS[section]
        return bool(has_content(self))

    @property
    def figures(self) -> Iterator[Figure]:
        """Yields the few figures that a person looks for first."""
        facts, evaluation = self.facts, self.facts.evaluation
        if evaluation and (judged := evaluation.judged) and (overall := evaluation.overall):
            note = f"{words.percent(judged.low)} to {words.percent(judged.high)}"
            note += words.groups(judged.groups, evaluation.group).replace(" of", ",", 1)
            if judged.before is not None and judged.accuracy is not None:
                version = evaluation.baseline_version
                note = f"{words.points(judged.accuracy - judged.before)} points vs. version {version}"
            name = "Eval accuracy" if judged is overall else "Out-of-fold accuracy"
            yield Figure(name, words.percent(judged.accuracy), note)
            alarms = overall.measures.get("recall_at_false_alarms")
            if alarms is not None:
                note = f"at the allowed false alarm rate; AUC {overall.measures.get('auc', math.nan):.3f}"
                yield Figure("Recall of alarms", words.percent(alarms), note)
            if (false := overall.measures.get("false_alarms")) is not None:
                missed, f1 = overall.measures["missed_alarms"], overall.measures["alarm_f1"]
                note = f"of normal {self.nouns}; {words.percent(missed)} of alarms missed, F1 {f1:.3f}"
                yield Figure("False alarms", words.percent(false), note)
            if worst := evaluation.worst("class", judged=True):
                yield Figure("Weakest class", words.percent(worst.accuracy), worst.name)

        if facts.edge and (measured := facts.edge.default_measured):
            note = f"{facts.edge.default_variant}, {words.latency(measured)}"
            yield Figure("Edge file", words.megabytes(measured.size_bytes), note)
        if facts.data and facts.data.spans:
            newest = facts.data.spans[-1]
            note = f"{words.count(newest.quarantined)} of {words.count(newest.rows)} quarantined"
            yield Figure(f"New {self.nouns}", words.count(newest.accepted), note)
        if self.run.seconds is not None:
            yield Figure("Run time", words.seconds(self.run.seconds), words.day(self.run.started_at))

    def picture(self, file: str) -> str | None:
        """Returns a thumbnail as a data URI; None where there is none."""
        content = self._pictures.get(file)
        if content is None:
            return None
        kind = "png" if file.endswith(".png") else "jpeg"
        return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"

    @property
    def coloured_classes(self) -> list[tuple[str, str]]:
        """Returns the most frequent classes with their colours."""
        most = sorted(self.data.classes, key=lambda label: -self.data.classes[label])
        return list(zip(most, CLASS_COLOURS, strict=False))

    def class_shares(self) -> list[tuple[str, int, float, float | None]]:
        """Returns each class with its examples in the newest span, and its shares, 0..1, there and before."""
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

    @property
    def confused(self) -> list[int]:
        """Returns the places of the classes that the confusion matrix shows: those with the most mistakes."""
        assert self.evaluation.confusion is not None
        rows = self.evaluation.confusion.rows
        mistakes = [
            sum(row) + sum(column) - 2 * row[place]
            for place, (row, column) in enumerate(zip(rows, zip(*rows, strict=True), strict=True))
        ]
        most = sorted(range(len(rows)), key=lambda place: -mistakes[place])
        return sorted(most[:_MOST_CONFUSED])

    def rejected(self) -> list[tuple[str, list[int]]]:
        """Returns each reason of quarantine with its examples by span, the newest first."""
        spans = self.data.spans[::-1]
        reasons = sorted(set().union(*(span.rejected for span in spans)))
        return [(reason, [span.rejected.get(reason, 0) for span in spans]) for reason in reasons]

    @property
    def sample(self) -> str:
        """Returns the number of eval examples in brackets where files and mistakes are of a sample."""
        edge, evaluation = self.facts.edge, self.facts.evaluation
        overall = evaluation.overall if evaluation else None
        if edge is None or overall is None or edge.eval_examples >= overall.examples:
            return ""
        return f" (a sample of {words.count(overall.examples)})"

    @property
    def floor(self) -> float:
        """Returns the start of the scale of all slices: the lowest value, rounded down to a tenth."""
        slices = [*self.evaluation.slices, *self.evaluation.out_of_fold]
        # A slice of one group has no interval.
        lows = [(item.accuracy or 0.0) if item.groups == 1 else item.low for item in slices]
        ends = [*lows, *(item.before for item in slices if item.before is not None)]
        return min(0.9, math.floor(min(ends, default=0.0) * 10) / 10)


# The sections in the order of the page, each with its title and the test whether it has content;
# `templates/sections.html` has a macro for each.
SECTIONS: Mapping[str, tuple[str, Callable[["View"], object]]] = {
    "gates": ("Gates", lambda view: view.facts.gates),
    "changes": ("What changed", lambda view: view.before),
    "data": ("Data", lambda view: view.data.spans),
    "features": ("Drift", lambda view: view.data.features or view.data.anomalies),
    "photo_drift": ("Photos unlike earlier ones", lambda view: view.facts.photo_drift),
    "schema": ("Schema", lambda view: view.data.schema),
    "quarantine": ("Quarantine", lambda view: any(span.quarantined for span in view.data.spans)),
    "search": ("Hyperparameter search", lambda view: view.facts.search),
    "training": ("Training", lambda view: view.facts.training and view.facts.training.epochs),
    "metrics": ("Metrics", lambda view: view.facts.evaluation),
    "served": ("In the field", lambda view: view.served),
    "twins": ("Near twins", lambda view: view.facts.twins),
    "importance": ("Columns that matter", lambda view: view.evaluation.importance),
    "confusion": ("Confusion matrix", lambda view: view.evaluation.confusion),
    "mistakes": ("Worst mistakes", lambda view: view.facts.mistakes is not None),
    "label_issues": (
        "Suspect labels",
        lambda view: (it := view.facts.label_issues) and (it.total or it.unjudged),
    ),
    "reliability": ("Calibration", lambda view: view.facts.reliability),
    "edge": ("Edge files", lambda view: view.facts.edge),
    "steps": ("Step times", lambda view: view.run.steps),
    "lineage": ("Lineage", lambda view: view.run.inputs or view.run.libraries or view.run.artifacts),
}
