"""ProductionModel: the model and the file that phones run today, which the candidate is compared with.

It reads the release store itself: open-source Kubeflow Pipelines has no resolvers.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils
from tfx.types.standard_artifacts import Examples, Model
from tfx.utils import path_utils

from components.artifacts import PRODUCTION_EDGE, Quarantine
from components.canary import find_pushed
from components.earlier_releases import score_releases
from components.serving import ServedModel, explain_mismatch
from components.skew import measure_skew
from components.transformed_examples import open_records
from edgeline.errors import EdgelineError
from edgeline.labels import join_names, parse_labels
from edgeline.records.edge import LABELS_FILE_NAME
from edgeline.records.evaluation import EARLIER
from edgeline.records.served import PUSHED, SERVED, SKEW
from edgeline.release import store
from edgeline.release.verify import find_copy_problems
from edgeline.store.locations import copy_tree

log = logging.getLogger("edgeline.production")


@component
def ProductionModel(
    examples: InputArtifact[Examples],
    quarantine: InputArtifact[Quarantine],
    model: OutputArtifact[Model],
    push: Parameter[str],
    model_name: Parameter[str],
    production: Parameter[str],
    labels: Parameter[str],
    settings: Parameter[str],
    code: Parameter[str],
) -> None:
    """Copies the production SavedModel, its default edge file and labels out of the release store.

    Args:
        examples: Written by ExampleGen; its eval examples are what production and earlier releases answer.
        quarantine: Written by ExampleGen, with the record of what phones answered.
        model: Read by Evaluator, ModelValidator and EdgeValidator. Custom properties: `has_model` (1 or 0);
            `version`; `edge_file`, the file in the folder `edge` beside the SavedModel, empty if the bundle
            is damaged, which a new release repairs; `mismatch`, why it cannot answer these examples, empty if
            it can; `relabelled`, which labels are gone and which are new, empty if none is gone. Beside it,
            `pushed.json` has the versions in the record of answers that the store has too, `skew.json` how
            far scores are from those of its files, `earlier.json` how many examples of the newest span
            earlier releases answer right.
        push: The root of the release store, or its URL.
        model_name: The name of the model in the store.
        production: The digest of the pointer to production; only a part of the cache key, empty where each
            step runs afresh.
        labels: Those of today, a JSON list of texts: a SavedModel with others is given their ids, by name.
        settings: JSON; only a part of the cache key, since by them DataGate may have ended a canary.
        code: Digests of the step's code and of the libraries; only a part of the cache key.
    """
    release = store.current(push, model_name)
    model.set_int_custom_property("has_model", int(release is not None))
    model.set_int_custom_property("version", release.version if release else 0)
    target = Path(path_utils.serving_model_dir(model.uri))
    asked = list[int]()  # versions whose figures at their push are asked for
    if release is None:
        # On a cluster, an empty folder would not reach the next step.
        target.parent.mkdir(parents=True, exist_ok=True)
        (Path(model.uri) / "no_model_in_production").touch()
    else:
        copy_tree(release.serving, target)
        if problems := find_copy_problems(target, release.manifest):
            raise EdgelineError(
                f"{model_name} {release.version}, in production, is damaged: {' '.join(problems)}",
                "The new model would be compared with something else than what was pushed.",
                "Restore these files from a backup, or put an intact release in production with"
                " `edgeline rollback --reason R`.",
            )
        bundle = Path(model.uri) / PRODUCTION_EDGE
        bundle.mkdir()
        file = release.manifest.default.file
        try:
            for name in (file, LABELS_FILE_NAME):
                (bundle / name).write_bytes(release.read(name))
            own = parse_labels((bundle / LABELS_FILE_NAME).read_bytes(), LABELS_FILE_NAME)
            if own != (today := tuple(json.loads(labels))):
                from trainer_module.export.align import align_labels

                align_labels(target, own, today)
                model.set_string_custom_property("relabelled", _describe_relabelling(own, today))
        except EdgelineError as error:
            log.warning("The bundle in production cannot be read: %s", error)
            file = ""
        model.set_string_custom_property("edge_file", file)
        in_eval = artifact_utils.get_split_uri([examples], "eval")
        mismatch = _find_mismatch(target, in_eval)
        model.set_string_custom_property("mismatch", mismatch)
        if mismatch:
            asked.append(release.version)
        EARLIER.write(Path(model.uri), tuple(score_releases(push, model_name, release.version, in_eval)))
    if served := SERVED.find(Path(quarantine.uri)):
        # The ModelValidator names those that the store never had.
        asked += [version.version for version in served.versions]
        SKEW.write(Path(model.uri), tuple(measure_skew(push, model_name, Path(quarantine.uri))))
    if asked or served:
        PUSHED.write(Path(model.uri), find_pushed(push, model_name, dict.fromkeys(asked)))


def _find_mismatch(saved_model: Path, folder: str) -> str:
    """Returns why a SavedModel cannot answer the examples in the folder of a split; empty if it can.

    A column that was renamed or removed since would let no later model be evaluated (tensorflow/tfx#4390).
    """
    import tensorflow as tf

    records = list(open_records(folder).take(1).as_numpy_iterator())
    try:
        if records:
            ServedModel(str(saved_model)).answer(records)
    except (tf.errors.OpError, KeyError, TypeError, ValueError) as error:
        return explain_mismatch(error)
    return ""


def _describe_relabelling(own: Sequence[str], today: Sequence[str]) -> str:
    """Returns which labels of a model are gone and which it does not know; empty if none is gone."""
    gone = [label for label in own if label not in today]
    new = [label for label in today if label not in own]
    if not gone:
        return ""
    text = f"It answers with {join_names(gone)}, no label of today, and such an answer counts as wrong."
    return f"{text} It does not know {join_names(new)}: was a label renamed?" if new else text
