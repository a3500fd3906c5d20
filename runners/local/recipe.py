"""The recipe of a release: the commit, the settings and the spans that it was made from."""

import json
import shlex
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.spans.layout import find_usable_spans
from data.spans.window import compute_span_digests
from edgeline.errors import EdgelineError, UsageError
from edgeline.records.ingest import describe_spans, name_span
from edgeline.records.run import Run, flatten
from edgeline.records.source import Source
from edgeline.release.layout import MOST_DOCUMENT_BYTES, PROVENANCE
from edgeline.release.releases import Release, get
from edgeline.report.next_steps import list_overrides, to_yaml
from edgeline.store.locations import Location, locate, read_bytes
from edgeline.workspace.known_runs import resolve_known_place
from edgeline.workspace.place import Place
from edgeline.workspace.runs import read_runs
from runners.shared.run_options import NamedSettings, find_own_workload

# Settings of these groups make no other model. A run that makes a release again has those of no workload:
# it pushes into its own workspace, and tells nobody.
_OUTSIDE = ("push.", "alerts.", "registry.")


@dataclass(frozen=True)
class Recipe:
    """All that a release was made from."""

    release: Release
    run: Run | None  # the record of its run, None where the workspace lacks it
    data: Location
    workload: str  # the value of --workload
    overrides: Mapping[str, str]  # the values of --set by name
    seed: int

    @property
    def source(self) -> Source:
        """Returns the commit."""
        return self.release.manifest.code.source or Source()

    def make_command(self, workspace: Path) -> str:
        """Returns the command that makes the release again, in a workspace of its own."""
        words = ["--workload", self.workload, "--data", str(self.data), "--workspace", str(workspace)]
        for name, value in self.overrides.items():
            words += ["--set", f"{name}={value}"]
        return f"edgeline run {shlex.join(words)}"

    def describe_changed_spans(self) -> Iterator[str]:
        """Yields a sentence for each span that is another now than when the release was made."""
        then = self.release.manifest.data.spans
        usable = {span.name: span for span in find_usable_spans(self.data)}
        now = compute_span_digests(span for name, span in usable.items() if name in then)
        for name, digest in then.items():
            if name not in now:
                yield f"{name} is gone or excluded."
            elif digest != now[name]:
                yield f"{name} has other files or labels than then."
        for name in usable:
            if name not in then and min(then, default=name) < name < max(then, default=name):
                yield f"{name} was not read then."

    def check_source(self, here: Source) -> None:
        """Refuses other code than that of the release. Raises UsageError."""
        then, version = self.source, self.release.version
        if then.commit and (here.commit, here.difference) != (then.commit, then.difference):
            raise UsageError(
                f"Version {version} has another source than what is here. Then: {then.sentence}"
                f" Here: {here.sentence}",
                "Other code may make another model.",
                f"Type the commands that `edgeline reproduce {version}` prints, first `git checkout`.",
            )


def read_recipe(place: Place, version: int | None, data: Location | None) -> Recipe:
    """Reads the recipe of a release from its files and its run's record.

    Args:
        place: The workspace, and the store and the model where they are named.
        version: None for the one in production.
        data: Where the release's spans are now; None for where the run read them.

    Raises:
        UsageError: There is no such release, or it is not known where its spans are.
        EdgelineError: The release cannot be read.
    """
    _, root, model = resolve_known_place(place, "It has the release to make again.")
    release = get(root, model, version)
    run = next((it for it in read_runs(place.workspace, model) if it.id == release.manifest.run), None)
    if run is None and data is None:
        raise UsageError(
            f"{place.workspace} has no record of run {release.manifest.run}, which made version"
            f" {release.version} of {model}.",
            "The release does not say where its spans are.",
            "Pass their folder with --data DIR.",
        )
    data = locate(run.data) if data is None and run else data
    assert data is not None
    settings = run.settings if run else _read_settings(release)
    workload = run.workload_source if run else _choose_workload(model, data)
    overrides = _list_overrides(workload, run, settings)
    overrides |= _spare_known_spans(run, release, settings)
    overrides["data.until"] = name_span(release.manifest.data.last_span)
    return Recipe(release, run, data, workload, overrides, settings.get("seed", 0))


def _read_settings(release: Release) -> Mapping[str, Any]:
    path = release.edge / PROVENANCE
    try:
        statement = json.loads(read_bytes(path, MOST_DOCUMENT_BYTES))
        return dict(statement["predicate"]["buildDefinition"]["externalParameters"]["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EdgelineError(
            f"{path} cannot be read: {type(error).__name__}: {error}.",
            "It has the settings that the release was made with.",
            "Name the workspace of its run with --workspace DIR.",
        ) from None


def _choose_workload(model: str, data: Location) -> str:
    from pipeline.workloads import BUILT_IN

    return model if model in BUILT_IN else find_own_workload(data)


def _list_overrides(workload: str, run: Run | None, settings: Mapping[str, Any]) -> dict[str, str]:
    """Returns the settings that a person set, and those that keep a run away from others' places."""
    from pipeline.settings import Settings, find_changed

    usual = flatten(Settings().model_dump(mode="json"))
    own = {}
    changed = run.changed if run else ()
    with suppress(UsageError):  # the workload's file may be that of another commit
        about, values = NamedSettings(workload, None, ()).load()
        own = flatten(values.model_dump(mode="json"))
        if run is None:
            then = NamedSettings(workload, None, (), base=settings).load()[1]
            changed = tuple(find_changed(then, about.settings))
    overrides = list_overrides([name for name in changed if not name.startswith(_OUTSIDE)], settings)
    for name, value in {**own, **flatten({"push": settings.get("push", {})})}.items():
        if name.startswith(_OUTSIDE) and name in usual and value != usual[name]:
            overrides[name] = to_yaml(usual[name])
    return overrides


def _spare_known_spans(run: Run | None, release: Release, settings: Mapping[str, Any]) -> dict[str, str]:
    """Returns the setting with which no span stops the run, unless the release's run judged all of them too.

    In a workspace without a release all spans are new, and some had passed when they came.
    """
    if run and run.inputs.get("unjudged") == describe_spans(release.manifest.data.spans):
        return {}
    severity = settings.get("gate", {}).get("severity", {})
    return {"gate.severity": to_yaml({rule: "warn" for rule, how in severity.items() if how == "block"})}
