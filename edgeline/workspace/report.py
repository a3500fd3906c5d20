"""The page of a local run: `report.html` and `facts.json` in the folder of the run."""

import os
from dataclasses import fields, replace
from pathlib import Path
from urllib.parse import quote

from edgeline.library_versions import library_versions
from edgeline.records.ingest import Excluded
from edgeline.records.run import Course, Run
from edgeline.report import records
from edgeline.report.collect import collect, pictures
from edgeline.report.facts import About, Artifact, Facts, by_dotted_name
from edgeline.report.page import render_run
from edgeline.report.sources import OUTPUTS, Sources
from edgeline.workspace import artifact_records, runs
from edgeline.workspace.runs import RunFolder
from edgeline.workspace.spans import format_spans


def write_report(run: Run, folder: RunFolder) -> Path:
    """Builds the page of an ended run from the outputs of its steps; returns the page's path."""
    sources = find_sources(folder)
    facts = _collect(run, folder, sources)
    before = _find_facts_before(facts, folder)
    page = render_run(facts, pictures(sources), before, _find_links(facts, before, folder.path))
    records.write(folder.path, facts, page)
    return folder.path / records.PAGE


def _find_links(facts: Facts, before: Facts | None, folder: Path) -> dict[str, str]:
    """Returns the relative URLs of what the page of a run in `folder` can lead to, as far as it is there."""
    names = {"All runs": f"../index-{facts.about.model}.html", "Log": "run.log"}
    if before is not None:
        names["The run before"] = f"../{before.about.run}/{records.PAGE}"
    names |= {
        each.uri: os.path.relpath(each.uri, folder)
        for each in facts.about.artifacts
        if os.path.isabs(each.uri)
    }
    return {name: quote(path) for name, path in names.items() if (folder / path).exists()}


def recorded_facts(run: Run, folder: RunFolder) -> Facts | None:
    """Returns the facts that a run's page shows; None if it has no page, or one from before the run ended."""
    facts = records.read(folder.path)
    return facts if facts is not None and facts.about.outcome == run.outcome else None


def read_facts(run: Run, folder: RunFolder) -> Facts:
    """Returns the facts that a run's page shows; for a run without one, reads them from its artifacts."""
    return recorded_facts(run, folder) or _collect(run, folder, find_sources(folder))


def find_sources(folder: RunFolder) -> Sources:
    """Returns the folders of the artifacts that a run recorded, as far as they still exist."""
    folders = {
        OUTPUTS[record.step, record.key]: Path(record.uri)
        for record in artifact_records.read(folder.artifacts)
        if (record.step, record.key) in OUTPUTS and os.path.isdir(record.uri)
    }
    return Sources(**folders)


def _collect(run: Run, folder: RunFolder, sources: Sources) -> Facts:
    facts = collect(sources, build_about(run, folder))
    if facts.data is None:
        return facts
    # A cached ingest lists the spans that were excluded when it ran, so this run's own list replaces them.
    excluded = tuple(
        Excluded(each["span"], each["who"], each["when"], each["reason"]) for each in run.excluded_spans
    )
    return replace(facts, data=replace(facts.data, excluded=excluded))


def build_about(run: Run, folder: RunFolder) -> About:
    """Converts the record of a run to the report's type."""
    return About(
        **{each.name: getattr(run, each.name) for each in fields(Course)},
        run=run.id,
        model=run.workload,
        notes=tuple(format_spans(run)),
        problem=run.error if run.outcome != "interrupted" else None,
        log=str(folder.log) if folder.log.exists() else None,
        data=run.data,
        settings=by_dotted_name(run.settings),
        libraries=library_versions(),
        artifacts=tuple(
            Artifact(record.step, record.key, record.uri, record.properties)
            for record in artifact_records.read(folder.artifacts)
        ),
    )


def _find_facts_before(facts: Facts, folder: RunFolder) -> Facts | None:
    newest_first = reversed(runs.read_all(folder.path.parent.parent))
    return records.before(facts.about, filter(None, (records.read(known.path) for known, _ in newest_first)))
