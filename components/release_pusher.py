"""ReleasePusher: SavedModel and edge bundle go into production as one version, or neither does."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types import BaseChannel, Channel, artifact_utils
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.types.standard_artifacts import Examples, Model, ModelBlessing, ModelEvaluation, PushedModel
from tfx.utils import path_utils

from components.artifacts import EdgeModels, Verdict
from components.edge_validator import MEASURED_FILE_NAME
from components.library_versions import library_versions
from components.model_evaluator import METRICS_FILE_NAME
from components.verdict import read_verdict
from labels import parse_labels
from release import store
from release.manifest import model_digest

log = logging.getLogger("edgeline.push")


class ReleasePusherExecutor(BaseExecutor):
    """Pushes when both gates passed and the model is new."""

    def Do(
        self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]
    ) -> None:
        """See `ReleasePusher`."""
        pushed = artifact_utils.get_single_instance(output_dict["pushed_model"])
        outcome, number, reasons = _push(input_dict, exec_properties)
        for reason in reasons:
            log.info(reason)
        folder = Path(pushed.uri)
        folder.mkdir(parents=True, exist_ok=True)
        record = {"outcome": outcome, "version": number, "reasons": reasons}
        (folder / "push.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
        pushed.set_string_custom_property("outcome", outcome)
        pushed.set_int_custom_property("version", number)


def _push(input_dict: Mapping[str, Any], exec_properties: Mapping[str, Any]) -> tuple[str, int, list[str]]:
    """Returns `pushed`, `unchanged` or `held`, the version (0 when held), and the reasons."""
    root, name = exec_properties["push"], exec_properties["model_name"]
    blessing = artifact_utils.get_single_uri(input_dict["blessing"])
    edge = artifact_utils.get_single_uri(input_dict["edge_verdict"])
    failed = [verdict for verdict in (read_verdict(blessing), read_verdict(edge)) if not verdict.passed]
    if failed:
        return "held", 0, [reason for verdict in failed for reason in verdict.reasons]

    model = artifact_utils.get_single_instance(input_dict["model"])
    saved_model = Path(path_utils.serving_model_path(model.uri))
    known = store.find_model(root, name, model_digest(saved_model))
    if known is not None:
        current = store.current(root, name)
        if current is not None and current.version == known.version:
            reason = f"This very model is in production already, as version {known.version}."
        else:
            reason = (
                f"This very model was pushed before, as version {known.version}, and is not in production."
                f" It is not pushed twice; `edgeline promote {known.version} --reason R` puts it back."
            )
        return "unchanged", known.version, [reason]
    release = store.push(root, name, _candidate(input_dict, saved_model, Path(edge), exec_properties))
    return "pushed", release.version, [f"Version {release.version} of {name} is in production."]


def _candidate(
    input_dict: Mapping[str, Any], saved_model: Path, edge: Path, exec_properties: Mapping[str, Any]
) -> store.Candidate:
    examples = artifact_utils.get_single_instance(input_dict["examples"])
    evaluation = Path(artifact_utils.get_single_uri(input_dict["evaluation"]))
    bundle = Path(artifact_utils.get_single_uri(input_dict["edge_models"]))
    measured = json.loads((edge / MEASURED_FILE_NAME).read_text(encoding="utf-8"))
    metrics = json.loads((evaluation / METRICS_FILE_NAME).read_text(encoding="utf-8"))["candidate"]
    provenance = json.loads(exec_properties["provenance"])
    passed = [variant for variant in measured["variants"] if not variant["reasons"]]
    file, outputs = bundle / "labels.txt", passed[0]["inspected"]["outputs"][0]["shape"][-1]
    labels = parse_labels(file.read_bytes(), file.name, outputs, json.loads(exec_properties["labels"]))
    return store.Candidate(
        saved_model=saved_model,
        edge_files={variant["file"]: bundle / variant["file"] for variant in passed},
        labels=labels,
        preprocessing=json.loads((bundle / "preprocessing.json").read_text(encoding="utf-8")),
        default_variant=measured["default_variant"],
        variants=tuple(
            {
                "name": variant["name"],
                "inputs": variant["inspected"]["inputs"],
                "outputs": variant["inspected"]["outputs"],
                **variant["measured"],
            }
            for variant in passed
        ),
        metrics=metrics,
        data={
            "first_span": examples.get_int_custom_property("first_span"),
            "last_span": examples.get_int_custom_property("last_span"),
            "fingerprint": examples.get_string_custom_property("window"),
        },
        code={"digest": provenance["code"], "lock_digest": provenance["lock"]},
        versions=library_versions(),
        run=exec_properties["run"],
        expires_days=exec_properties["expires_days"],
    )


class ReleasePusherSpec(ComponentSpec):
    """Parameters and channels of `ReleasePusher`."""

    PARAMETERS = {
        "labels": ExecutionParameter(type=str),
        "push": ExecutionParameter(type=str),
        "model_name": ExecutionParameter(type=str),
        "expires_days": ExecutionParameter(type=int),
        "provenance": ExecutionParameter(type=str),
        "run": ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": ChannelParameter(type=Examples),
        "model": ChannelParameter(type=Model),
        "evaluation": ChannelParameter(type=ModelEvaluation),
        "blessing": ChannelParameter(type=ModelBlessing),
        "edge_models": ChannelParameter(type=EdgeModels),
        "edge_verdict": ChannelParameter(type=Verdict),
    }
    OUTPUTS = {"pushed_model": ChannelParameter(type=PushedModel)}


class ReleasePusher(BaseComponent):
    """Pushes a release.

    Its output has the custom properties `outcome` (`pushed`, `unchanged` or `held`) and `version`. Nothing
    is pushed when a verdict is `fail`, or when the same model was pushed before: a model that was rolled
    back does not come back by itself.

    Args:
        examples: Says which spans the model was trained on.
        model: The SavedModel.
        evaluation: The metrics that justify the push.
        blessing: The evaluation's verdict.
        edge_models: The files for a phone.
        edge_verdict: Which of them passed.
        labels: Class names, in the order of the schema's domain, which labels.txt has to have.
        push: Root of the release store, a folder or URL.
        model_name: Name of the model in it.
        expires_days: Days after which a phone should no longer trust the release.
        provenance: Digests of `code` and `lock`.
        run: Id of the run, which makes each run execute this step.
    """

    SPEC_CLASS = ReleasePusherSpec
    EXECUTOR_SPEC = ExecutorClassSpec(ReleasePusherExecutor)

    def __init__(
        self,
        examples: BaseChannel,
        model: BaseChannel,
        evaluation: BaseChannel,
        blessing: BaseChannel,
        edge_models: BaseChannel,
        edge_verdict: BaseChannel,
        labels: Sequence[str],
        push: str,
        model_name: str,
        expires_days: int,
        provenance: Mapping[str, str],
        run: str,
    ) -> None:
        super().__init__(
            ReleasePusherSpec(
                examples=examples,
                model=model,
                evaluation=evaluation,
                blessing=blessing,
                edge_models=edge_models,
                edge_verdict=edge_verdict,
                labels=json.dumps(list(labels)),
                push=push,
                model_name=model_name,
                expires_days=expires_days,
                provenance=json.dumps(dict(provenance), sort_keys=True),
                run=run,
                pushed_model=Channel(type=PushedModel),
            )
        )
