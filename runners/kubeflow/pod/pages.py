"""The outputs of a step for the UI of Kubeflow Pipelines: a page, metrics, a confusion matrix and a ROC.

An error in one of them never fails a step that did its work.
"""

import html
import logging
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from edgeline.records.steps import find_info
from runners.kubeflow.pod.handover import Json, Locations, artifacts

if TYPE_CHECKING:
    from edgeline.report.sources import Sources

# Names of the outputs that a UI shows beside the pages.
METRICS, CONFUSION = "metrics", "confusion"
_log = logging.getLogger("edgeline.kubeflow")


def make_pages(
    step: str, wanted: Mapping[str, Json], executor_input: Json, locations: Locations
) -> dict[str, Json]:
    """Writes the outputs for the UI of a step that ended well; returns them for the executor output, by name.

    The other pods of a training, which are not steps of the DAG, have no page.

    Args:
        step: The name of the step, or of a pod that helps it.
        wanted: The backend's definitions of these outputs, by name; others are not written.
        executor_input: The step's, in the form of TFX, with local URIs.
        locations: The launcher's folders, to which the page is written.
    """
    outputs: dict[str, Json] = {}
    info = find_info(step)
    if (name := info.page_output) in wanted:
        page = Path(locations.local(wanted[name]["uri"]))
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(_make_page(step, executor_input), encoding="utf-8")
        outputs[name] = {"display_name": _add_week(info.page, step)}
    for name, collect in ((METRICS, _collect_metrics), (CONFUSION, _collect_confusion)):
        if name in wanted:
            try:
                outputs[name] = collect(step, executor_input)
            except Exception:
                _log.exception("The UI will show no %s of %s", name, step)
                outputs[name] = {}
    return {
        name: {"artifacts": [{"uri": wanted[name]["uri"], "metadata": metadata}]}
        for name, metadata in outputs.items()
    }


def _make_page(step: str, executor_input: Json) -> str:
    try:
        from edgeline.report.step_pages import render_page

        return render_page(step, _find_sources(step, executor_input))
    except Exception as error:
        _log.exception("The page of %s could not be created", step)
        reason = html.escape(f"{type(error).__name__}: {error}")
        return f"<!doctype html><p>{step} succeeded. Its page could not be created: {reason}</p>\n"


def _add_week(title: str, step: str) -> str:
    """Adds the ISO week to the titles of RunReport, since scheduled runs get their names from the cluster."""
    return f"{title}, {datetime.now(timezone.utc):%G-W%V}" if step == "RunReport" else title


def _collect_metrics(step: str, executor_input: Json) -> Json:
    from edgeline.report.step_pages import collect_metrics

    name = _add_week(f"Figures of {step}", step)
    return {"display_name": name, **collect_metrics(step, _find_sources(step, executor_input))}


def _collect_confusion(step: str, executor_input: Json) -> Json:
    from edgeline.report.step_pages import find_worst_roc, read_confusion

    sources = _find_sources(step, executor_input)
    page: Json = {}
    if (confusion := read_confusion(sources)) is not None:
        labels = [{"displayName": label} for label in confusion.labels]
        rows = [{"row": list(row)} for row in confusion.rows]
        page = {"display_name": "Confusion", "confusionMatrix": {"annotationSpecs": labels, "rows": rows}}
    label, points = find_worst_roc(sources)
    if points:
        page["display_name"] = f"Confusion, and {label} against the rest"
        page["confidenceMetrics"] = [
            {"confidenceThreshold": round(t, 4), "falsePositiveRate": round(f, 4), "recall": round(r, 4)}
            for t, f, r in points
        ]
    return page


def _find_sources(step: str, executor_input: Json) -> "Sources":
    """Returns the folders that the step read and wrote, under the report's names for them."""
    from edgeline.report.sources import OUTPUTS, Sources

    by_name = dict(artifacts(executor_input.get("inputs", {})))
    for name, artifact in artifacts(executor_input.get("outputs", {})):
        by_name[OUTPUTS.get((step, name), "")] = artifact
    fields = Sources.__dataclass_fields__
    return Sources(**{name: Path(artifact["uri"]) for name, artifact in by_name.items() if name in fields})
