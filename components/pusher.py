"""Pusher: pushes SavedModel and edge bundle into production as one version, or neither of them."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from msgspec import to_builtins
from msgspec.structs import asdict
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import Artifact
from tfx.types import standard_artifacts as kinds
from tfx.utils import path_utils

from components.artifacts import AcceptedData, EdgeModels, Quarantine, Verdict
from components.canary import ReleaseSettings, judge_canary, renew_pointer
from edgeline.edge.micro import HEADER, SOURCE
from edgeline.errors import HeldBack
from edgeline.gates.settings import ServedBound
from edgeline.journal import list_libraries, read_library_versions, utc_now
from edgeline.labels import parse_labels
from edgeline.records.edge import EDGE_FILES, GOLDEN_FOLDER, LABELS_FILE_NAME, PREPROCESSING, ReleasedFile
from edgeline.records.evaluation import METRICS, Metrics
from edgeline.records.run import Run
from edgeline.records.served import SERVED, Served
from edgeline.records.source import Source
from edgeline.records.verdict import ENDED_CANARY, PUSH, VERDICT, Push, list_reasons
from edgeline.release import store
from edgeline.release.acceptance import list_terms
from edgeline.release.history import read_history
from edgeline.release.layout import PushFolder
from edgeline.release.manifest import Code, Data, identify_model
from edgeline.release.settings import PushSettings
from edgeline.release.signing import list_public_keys, load_signing_key
from edgeline.release.verify import foresee_phone
from edgeline.report.card import render_card
from edgeline.report.collect import collect_facts
from edgeline.report.facts import Facts
from edgeline.report.sources import Sources
from edgeline.store.locations import locate

log = logging.getLogger("edgeline.push")


@component
def Pusher(
    examples: InputArtifact[kinds.Examples],
    model: InputArtifact[kinds.Model],
    evaluation: InputArtifact[kinds.ModelEvaluation],
    blessing: InputArtifact[kinds.ModelBlessing],
    edge_models: InputArtifact[EdgeModels],
    edge_verdict: InputArtifact[Verdict],
    model_run: InputArtifact[kinds.ModelRun],
    quarantine: InputArtifact[Quarantine],
    accepted_data: InputArtifact[AcceptedData],
    pushed_model: OutputArtifact[kinds.PushedModel],
    labels: Parameter[str],
    push: Parameter[str],
    model_name: Parameter[str],
    settings: Parameter[str],
    code: Parameter[str],
    lock: Parameter[str],
    source: Parameter[str],
    run: Parameter[str],
    search: InputArtifact[kinds.TunerResults] = None,
) -> None:
    """Pushes a release when both gates passed and the model is new.

    Nothing is pushed when a verdict is `fail`, while a canary is open, when a newer version came into
    production since the evaluation, or when the same model was pushed before: a model that was rolled back
    does not come back by itself.

    Args:
        examples: Written by ExampleGen; its custom properties say which spans the model was trained on.
        model: The SavedModel, written by Trainer.
        evaluation: Written by ModelValidator: the metrics.
        blessing: Written by ModelValidator: the verdict on the model.
        edge_models: Written by EdgeConverter: files, labels and contract for phones.
        edge_verdict: Written by EdgeValidator: the files that passed, and the golden vectors.
        model_run: Written by Trainer, for the card.
        quarantine: Written by ExampleGen, for the card; what phones answered judges an open canary.
        accepted_data: Written by DataGate; it has the end of a canary before this run.
        pushed_model: Read by RunReport and ReleaseGate; its custom properties are `outcome` and `version`.
        labels: A JSON list of texts in the order of the schema's domain, which labels.txt has to keep.
        push: The root of the release store, or its URL.
        model_name: The name of the model in the store.
        settings: All that made the model, as JSON; read as `ReleaseSettings`, whose key is written nowhere.
        code: The digest of the code of all steps, for the manifest.
        lock: The digest of the lock file, for the manifest.
        source: The commit as JSON, read as `Source`; empty for that of the container image.
        run: The id of the run, for which this step is never taken from the cache.
        search: Written by Tuner, for the card; None without a search.
    """
    made_with = json.loads(settings)
    rules = ReleaseSettings.model_validate_json(settings)
    made_with.pop("push")
    saved_model = Path(path_utils.serving_model_path(model.uri))
    served = SERVED.find(Path(quarantine.uri))
    outcome = (
        _hold_failed(Path(blessing.uri), Path(edge_verdict.uri))
        or _find_earlier_push(saved_model, push, model_name, run)
        or _wait_for_canary(push, model_name, served, rules.evaluation.served)
    )
    if outcome is None:
        sources = Sources(
            quarantine=Path(quarantine.uri),
            model_run=Path(model_run.uri),
            evaluation=Path(evaluation.uri),
            edge_models=Path(edge_models.uri),
            edge_verdict=Path(edge_verdict.uri),
            search=Path(search.uri) if search else None,
        )
        inputs = {"window": examples.get_string_custom_property("window"), "code": code, "lock": lock}
        about = _describe_run(run, model_name, made_with, source, inputs)
        bundle = _read_bundle(Path(edge_models.uri), Path(edge_verdict.uri), json.loads(labels))
        facts = collect_facts(sources, about)
        metrics = METRICS.read(Path(evaluation.uri))
        candidate = _make_candidate(saved_model, bundle, metrics, facts, _read_data(examples), rules.push)
        outcome = _push(push, candidate, model_name, rules.push)

    if ended := ENDED_CANARY.find(Path(accepted_data.uri)):
        outcome = replace(outcome, reasons=(*outcome.reasons, ended.sentence), ended_canary=ended)
    if outcome.outcome != "pushed":
        renew_pointer(push, model_name, rules.push)
    _record_outcome(pushed_model, outcome)


def _describe_run(
    run: str, model_name: str, made_with: Mapping[str, Any], source: str, inputs: Mapping[str, str]
) -> Run:
    """Returns the record of a run that pushes now, as the card and the provenance name it."""
    return Run(
        id=run,
        workload=model_name,
        outcome="pushed",
        started_at=utc_now(),
        settings=made_with,
        libraries=read_library_versions(),
        source=Source.parse(source),
        inputs=inputs,
    )


def _record_outcome(pushed_model: Artifact, outcome: Push) -> None:
    """Logs why the push ended so, and writes it into the artifact."""
    for reason in outcome.reasons:
        log.info(reason)
    PUSH.write(Path(pushed_model.uri), outcome)
    pushed_model.set_string_custom_property("outcome", outcome.outcome)
    pushed_model.set_int_custom_property("version", outcome.version)


def _hold_failed(*folders: Path) -> Push | None:
    """Returns the outcome of a model with a verdict that is `fail`; None if all passed."""
    failed = [verdict for verdict in map(VERDICT.read, folders) if not verdict.passed]
    return Push("held", 0, list_reasons(failed)) if failed else None


def _find_earlier_push(saved_model: Path, push: str, name: str, run: str) -> Push | None:
    """Returns the outcome of a model that was pushed before; None if it is new."""
    version = store.find_version(push, name, identify_model(saved_model))
    if version is None:
        return None
    store.repair(push)  # a push of this model may have been killed at its end
    # A cluster repeats this step if its pod was lost after the push.
    is_own = any(r.version == version and r.manifest.run == run for r in store.releases(push, name))
    return Push("pushed" if is_own else "unchanged", version, (_explain_unchanged(version, push, name),))


def _wait_for_canary(
    push: str, name: str, served: Served | None, bounds: Sequence[ServedBound]
) -> Push | None:
    """Returns the outcome of a model while a canary is open; None if none is."""
    opened = judge_canary(push, name, served, bounds)
    if opened is None:
        return None
    rollout, judgement = opened
    wait = (
        f"A canary of version {rollout.versions[1]} was open, and a new model waits until that has ended:"
        f" with more answers, or by `edgeline promote {rollout.versions[1]} --reason R` or"
        f" `edgeline rollback --to {rollout.to_version} --reason R`."
    )
    return Push("held", 0, (wait, *judgement.sentences))


def _make_candidate(
    saved_model: Path,
    bundle: Mapping[str, Any],
    metrics: Metrics,
    facts: Facts,
    data: Data,
    settings: PushSettings,
) -> store.Candidate:
    """Joins the model and its bundle with the facts of the run that made them."""
    run = facts.run
    terms_of_use = (bundle["labels"], settings.licence, settings.data_statement)
    return store.Candidate(
        saved_model=saved_model,
        **bundle,
        metrics=metrics.candidate,
        compared_with=metrics.baseline_version,
        data=data,
        code=Code(run.inputs["code"], run.inputs["lock"], run.source if run.source.commit else None),
        versions=run.libraries,
        run=run.id,
        **settings.model_dump(exclude={"key", "destination", "require_clean"}),
        signing_key=load_signing_key(settings.key),
        settings=run.settings,
        tuned=run.tuned,
        libraries=list_libraries(),
        card=lambda version: render_card(facts, version, *terms_of_use),
    )


def _push(push: str, candidate: store.Candidate, name: str, settings: PushSettings) -> Push:
    """Pushes a candidate; the store holds it back if a newer version came into production meanwhile."""
    try:
        release = store.push(push, name, candidate)
    except HeldBack as error:
        current = store.current(push, name)
        return Push("held", current.version if current else 0, (error.found, error.why, error.do))
    state = f"Version {release.version} of {name} went into production."
    if tried := store.find_rollout(push, name):
        state = f"After this push, {tried.tried}"
    outlook = foresee_phone(push, name, list_public_keys(settings.load_keys()))
    return Push("pushed", release.version, (state, *list_terms(release.manifest), outlook.after_push))


def _read_data(examples: Artifact) -> Data:
    """Reads which spans the model was trained on."""
    return Data(
        examples.get_int_custom_property("first_span"),
        examples.get_int_custom_property("last_span"),
        examples.get_string_custom_property("window"),
        json.loads(examples.get_string_custom_property("spans")),
    )


def _explain_unchanged(version: int, root: str, name: str) -> str:
    current = store.current(root, name)
    rollout = store.find_rollout(root, name)
    if rollout and version in rollout.versions[1:]:
        return f"This model was tried already: {rollout.tried}"
    if current is not None and current.version == version:
        return f"This model was in production already, as version {version}."
    if version not in store.list_known_versions(root, name):
        return (
            f"This model was pushed before, as version {version}, rolled back, and then garbage-collected."
            " It is not pushed again automatically: other data, settings or another seed give another model."
        )
    changes = read_history(PushFolder(locate(root)), name).changes
    end = next((c for c in changes[::-1] if c.from_version == version != c.to_version), None)
    how = f" ({end.action} by {end.who} at {end.when}: {end.reason.rstrip('.')})" if end else ""
    return (
        f"This model was pushed before, as version {version}, and was not in production{how}."
        f" It is not pushed twice; `edgeline promote {version} --reason R` puts it back into production."
    )


def _read_bundle(folder: Path, verdict: Path, labels: list[str]) -> dict[str, Any]:
    """Reads the part of a candidate that is for phones: the files that passed, with labels and contracts."""
    edge = EDGE_FILES.read(verdict)
    variants = tuple(
        ReleasedFile(
            name=item.name,
            inputs=file.inputs,
            outputs=file.outputs,
            ops=file.ops,
            op_versions=file.op_versions,
            least_runtime=file.least_runtime,
            **asdict(item.measured),
        )
        for item in edge.variants
        if not item.reasons and (file := item.inspected) and item.measured
    )

    raw = (folder / LABELS_FILE_NAME).read_bytes()
    outputs = variants[0].outputs[0].shape[-1]
    files = [variant.file for variant in variants]
    if "int8" in {variant.name for variant in variants}:  # the same file as C source, if it was written
        files += [name for name in (SOURCE, HEADER) if (folder / name).is_file()]
    return {
        "edge_files": {name: folder / name for name in files}
        | {f"{GOLDEN_FOLDER}/{path.name}": path for path in sorted((verdict / GOLDEN_FOLDER).glob("*"))},
        "labels": parse_labels(raw, LABELS_FILE_NAME, outputs, labels),
        "preprocessing": to_builtins(PREPROCESSING.read(folder)),
        "default_variant": edge.default_variant,
        "variants": variants,
    }
