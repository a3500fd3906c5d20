"""Pusher: pushes SavedModel and edge bundle into production as one version, or neither of them."""

import json
import logging
from pathlib import Path
from typing import Any

from msgspec import to_builtins
from msgspec.structs import asdict
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Examples, Model, ModelBlessing, ModelEvaluation, PushedModel
from tfx.utils import path_utils

from components.artifacts import EdgeModels, Verdict
from edgeline.edge.micro import HEADER, SOURCE
from edgeline.errors import EdgelineError
from edgeline.journal import library_versions
from edgeline.labels import parse_labels
from edgeline.records.edge import EDGE_FILES, GOLDEN_FOLDER, LABELS_FILE_NAME, PREPROCESSING, ReleasedFile
from edgeline.records.evaluation import METRICS
from edgeline.records.verdict import PUSH, VERDICT, Push
from edgeline.release import store
from edgeline.release.acceptance import terms
from edgeline.release.manifest import Code, Data, model_identity
from edgeline.release.settings import PushSettings
from edgeline.release.signing import signing_key
from edgeline.settings_group import Group

log = logging.getLogger("edgeline.push")


class _Settings(Group):
    push: PushSettings


@component
def Pusher(
    examples: InputArtifact[Examples],
    model: InputArtifact[Model],
    evaluation: InputArtifact[ModelEvaluation],
    blessing: InputArtifact[ModelBlessing],
    edge_models: InputArtifact[EdgeModels],
    edge_verdict: InputArtifact[Verdict],
    pushed_model: OutputArtifact[PushedModel],
    labels: Parameter[str],
    push: Parameter[str],
    model_name: Parameter[str],
    settings: Parameter[str],
    code: Parameter[str],
    lock: Parameter[str],
    run: Parameter[str],
) -> None:
    """Pushes a release when both gates passed and the model is new.

    Nothing is pushed when a verdict is `fail`, or when the same model was pushed before: a model that was
    rolled back does not come back by itself.

    `examples` says which spans the model was trained on; `pushed_model` has the custom properties `outcome`
    (`pushed`, `unchanged` or `held`) and `version`. `labels` are class names as JSON, in the order of the
    schema's domain, which labels.txt has to keep; `lock` is the digest of the lock file. `run` makes each run
    execute this step. The signing key that the settings or the environment name is read here and written
    nowhere.
    """
    given = _Settings.model_validate_json(settings).push
    verdicts = [VERDICT.read(Path(artifact.uri)) for artifact in (blessing, edge_verdict)]
    saved_model = Path(path_utils.serving_model_path(model.uri))
    if not all(verdict.passed for verdict in verdicts):
        reasons = tuple(r for verdict in verdicts if not verdict.passed for r in verdict.reasons)
        outcome = Push("held", 0, reasons)
    elif (known := store.find_version(push, model_name, model_identity(saved_model))) is not None:
        store.repair(push)  # a push of this model may have been killed at its end
        outcome = Push("unchanged", known, (_explain_unchanged(known, push, model_name),))
    else:
        candidate = store.Candidate(
            saved_model=saved_model,
            **_read_bundle(Path(edge_models.uri), Path(edge_verdict.uri), json.loads(labels)),
            metrics=METRICS.read(Path(evaluation.uri)).candidate,
            data=Data(
                examples.get_int_custom_property("first_span"),
                examples.get_int_custom_property("last_span"),
                examples.get_string_custom_property("window"),
                json.loads(examples.get_string_custom_property("spans")),
            ),
            code=Code(code, lock),
            versions=library_versions(),
            run=run,
            **given.model_dump(exclude={"key", "destination"}),
            signing_key=signing_key(given.key),
        )
        release = store.push(push, model_name, candidate)
        notes = (f"Version {release.version} of {model_name} is in production.", *terms(release.manifest))
        outcome = Push("pushed", release.version, notes)
    if outcome.outcome != "pushed":  # phones must not take the pointer for an old one meanwhile
        try:
            store.renew(push, model_name, signing_key(given.key), given.pointer_days)
        except EdgelineError as error:
            log.warning("The pointer to production was not renewed: %s", error)
    for reason in outcome.reasons:
        log.info(reason)
    PUSH.write(Path(pushed_model.uri), outcome)
    pushed_model.set_string_custom_property("outcome", outcome.outcome)
    pushed_model.set_int_custom_property("version", outcome.version)


def _explain_unchanged(version: int, root: str, name: str) -> str:
    current = store.current(root, name)
    if current is not None and current.version == version:
        return f"This model is in production already, as version {version}."
    if version not in store.known_versions(root, name):
        return (
            f"This model was pushed before, as version {version}, rolled back, and then garbage-collected."
            " It is not pushed again automatically: other data, settings or another seed give another model."
        )
    return (
        f"This model was pushed before, as version {version}, and is not in production."
        f" It is not pushed twice; `edgeline promote {version} --reason R` puts it back into production."
    )


def _read_bundle(folder: Path, verdict: Path, labels: list[str]) -> dict[str, Any]:
    """Reads the part of a candidate that is for phones: the files that passed, with labels and contracts."""
    edge = EDGE_FILES.read(verdict)
    variants = tuple(
        ReleasedFile(
            name=each.name, inputs=file.inputs, outputs=file.outputs, ops=file.ops, **asdict(each.measured)
        )
        for each in edge.variants
        if not each.reasons and (file := each.inspected) and each.measured
    )
    raw, outputs = (folder / LABELS_FILE_NAME).read_bytes(), variants[0].outputs[0].shape[-1]
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
