"""The settings of a run: typed, frozen values, checked once; `settings_layers.py` reads their sources."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError

from data.settings import DataSettings
from edgeline.alerts.settings import AlertSettings
from edgeline.edge.variants import ConversionSettings
from edgeline.errors import UsageError, suggest
from edgeline.gates.settings import ALARM_METRICS, EdgeLimits, EvaluationSettings, GateSettings
from edgeline.records.run import flatten
from edgeline.records.served import name_kinds_of_phones
from edgeline.records.steps import STEPS, select_steps
from edgeline.records.workload import Workload
from edgeline.release.settings import PushSettings
from edgeline.settings_group import Group, make_absolute
from edgeline.settings_layers import describe_mistakes, merge_layers
from edgeline.settings_tree import Tree
from edgeline.workspace.runs import locate_registry
from pipeline.beam_settings import BeamSettings
from pipeline.kubeflow_settings import KubeflowSettings
from pipeline.own_steps import OwnStep, find_mistakes
from pipeline.workloads import BY_WEIGHTS
from trainer_module.search.tune_settings import NOT_SEARCHED, SEARCHED, TuneSettings, Values, count_trials
from trainer_module.settings import PRETRAINED, ModelSettings, TrainerSettings

# Each profile that has a name.
PROFILES = Path(__file__).parent / "profiles"


# The word that begins the description of a setting for the workloads of one module only.
_KINDS = {f"trainer_module.workloads.{word.lower()}": word for word in ("Photos", "Tables", "Texts")}


class EdgeSettings(ConversionSettings, EdgeLimits):
    """The files for phones to make, and the requirements for them."""


_SQLITE = "sqlite:///"


def _resolve_registry(uri: str) -> str:
    if "://" not in uri:
        raise ValueError(
            "the value is not http://HOST:PORT, postgresql+psycopg://USER@HOST/NAME or sqlite:///FILE"
        )
    return f"{_SQLITE}{make_absolute(Path(uri[len(_SQLITE) :]))}" if uri.startswith(_SQLITE) else uri


class RegistrySettings(Group):
    """The MLflow registry that mirrors runs and releases."""

    enabled: bool = True
    """Whether runs and releases are mirrored to MLflow."""
    uri: Annotated[str, AfterValidator(_resolve_registry)] | None = None
    """MLflow's server, http://HOST:PORT, or a database, postgresql+psycopg://USER@HOST/NAME or
    sqlite:///FILE; null for `mlflow.db` in the workspace."""

    def of(self, workspace: Path) -> str | None:
        """Returns MLflow's URI for the runs of a workspace; None if the registry is turned off."""
        return (self.uri or locate_registry(workspace)) if self.enabled else None

    @property
    def server(self) -> str | None:
        """Returns the URI if it is a server, which pods reach too; else None, also if turned off."""
        return self.uri if self.enabled and self.uri and self.uri.startswith("http") else None


class WorkspaceSettings(Group):
    """The limits of a workspace."""

    max_gb: float | None = Field(None, gt=0)
    """Largest size of the workspace in GB (10^9 bytes): when a run has ended, the oldest runs are removed
    until it fits. Null for no limit: records of past weeks are removed only on request."""


class Settings(Group):
    """All settings of a run."""

    seed: int = Field(20, ge=0, le=2**31 - 1)
    """Seed of training and search; equal data, settings and seed give an equal model."""
    data: DataSettings = DataSettings()
    gate: GateSettings = GateSettings()
    model: ModelSettings = ModelSettings()
    trainer: TrainerSettings = TrainerSettings()
    tune: TuneSettings = TuneSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    edge: EdgeSettings = EdgeSettings()
    steps: Mapping[str, OwnStep] = {}
    """Custom TFX components between the steps of the DAG: {NAME: {component: MODULE.NAME, ...}}."""
    beam: BeamSettings = BeamSettings()
    push: PushSettings = PushSettings()
    workspace: WorkspaceSettings = WorkspaceSettings()
    registry: RegistrySettings = RegistrySettings()
    alerts: AlertSettings = AlertSettings()
    kubeflow: KubeflowSettings = KubeflowSettings()

    def own_modules(self) -> dict[str, str]:
        """Returns the module of each custom step."""
        return {name: step.component.rpartition(".")[0] for name, step in self.steps.items()}

    def recorded(self) -> dict[str, Any]:
        """Returns the settings recorded with a run: without workspace, registry, alerts and kubeflow.

        Of alerts, the promised age of production is recorded, for `edgeline status`.
        """
        alerts = AlertSettings.model_fields.keys() - {"stale_days"}
        left_out: Any = {**dict.fromkeys(("workspace", "registry", "kubeflow"), True), "alerts": alerts}
        return self.model_dump(mode="json", exclude=left_out)

    def of(self, step: str) -> str:
        """Returns the settings that a step reads, those that `STEPS` names, as JSON nested by group."""
        chosen: dict[str, Any] = {}
        for name in STEPS[step].settings:
            group, _, leaf = name.partition(".")
            chosen[group] = {*chosen.get(group, ()), leaf} if leaf else True
        return self.model_dump_json(include=chosen)


def load_settings(
    own: Mapping[str, object],
    profile: str | None = None,
    overrides: Sequence[str] = (),
    workload: Workload | None = None,
    platform: str | None = None,
    parameters: Mapping[str, object] | None = None,
) -> Settings:
    """Merges defaults < workload's settings < profile < platform < `a.b=c` overrides < parameters.

    Args:
        own: The workload's on top of its kind's, nested by group.
        profile: A YAML file, or the name of one in `pipeline/profiles/`; None for none.
        overrides: Texts `a.b=c`; a later one wins.
        workload: A name that it lacks, of a label or a kind of slices, is a mistake, and so is an override
            that its module does not read, or what needs its `normal` label where it has none. None checks
            none of it.
        platform: Another profile, for settings of a cluster; None for none.
        parameters: Those of one run on a cluster, nested by group.

    Raises:
        UsageError: A setting is wrong; the one error names every mistake.
    """
    tree, mistakes = merge_layers(own, profile, platform, overrides, PROFILES)
    tree.merge(parameters or {}, "the parameters of the run")
    _choose_learning_rate(tree)
    settings, wrong = _validate(tree.values, tree)
    mistakes += wrong
    if settings:
        mistakes += [
            *_find_unknown_names(settings, workload),
            *_find_conflicts(settings, tree),
            *_find_unread(settings, tree, workload),
            *_find_search_mistakes(settings, tree),
            *find_mistakes(settings.steps, select_steps(settings.tune.max_trials > 0, {})),
        ]
    if mistakes or settings is None:
        count = "One setting is" if len(mistakes) == 1 else f"{len(mistakes)} settings are"
        raise UsageError(
            [f"{count} wrong:", *(f"  {mistake}" for mistake in mistakes)],
            "Nothing was run.",
            "Fix them in the command, the profile or the workload, and run the same command again.",
        )
    return settings


def find_changed(settings: Settings, own: Mapping[str, object]) -> dict[str, Any]:
    """Returns the recorded settings that differ from the workload's own, none where those are wrong."""
    tree, _ = merge_layers(own, None, None, ())
    _choose_learning_rate(tree)
    usual = flatten((_validate(tree.values, tree)[0] or settings).recorded())
    return {name: value for name, value in flatten(settings.recorded()).items() if usual.get(name) != value}


def _validate(values: Mapping[str, object], tree: Tree) -> tuple[Settings | None, list[str]]:
    """Returns the settings, None if a value is wrong, and a sentence for each such value."""
    try:
        return Settings.model_validate(values), []
    except ValidationError as error:
        return None, describe_mistakes(error, _make_schema(), tree)


def _choose_learning_rate(tree: Tree) -> None:
    """Sets the learning rate that the kind of photos leaves open, by the weights that training begins with.

    docs/measurements.md compares rates.
    """
    trainer, model = (tree.values.get(group) for group in ("trainer", "model"))
    if isinstance(trainer, dict) and trainer.get("learning_rate") == BY_WEIGHTS:
        weights = model.get("weights") if isinstance(model, dict) else None
        rate = 2e-3 if weights in (None, "none") else 2e-4
        tree.merge({"trainer": {"learning_rate": rate}}, "the kind of workload")


@cache
def _make_schema() -> dict[str, Any]:
    """Makes the schema of all settings, which takes 30 ms."""
    return Settings.model_json_schema()


def _find_unknown_names(settings: Settings, workload: Workload | None) -> Iterator[str]:
    """Yields a sentence for each class weight and bound whose label, slice or metric the workload lacks."""
    if workload is None:
        return
    names = ", ".join(workload.labels)
    for label in settings.trainer.class_weights:
        if label not in workload.labels:
            yield f"trainer.class_weights.{label}: the schema has no label {label!r}; its labels: {names}."
    kinds = ("overall", *workload.slice_features)
    in_field = (*(kind for kind in kinds if kind != "span"), *name_kinds_of_phones(kinds))
    for name, allowed in (("bounds", kinds), ("served", in_field)):
        for number, bound in enumerate(getattr(settings.evaluation, name)):
            if bound.slice not in allowed:
                place = f"evaluation.{name}.{number}.slice"
                yield f"{place}: {bound.slice!r} is not one of {', '.join(allowed)}."

    if workload.normal:
        return
    for number, bound in enumerate(settings.evaluation.bounds):
        if bound.metric in ALARM_METRICS:
            yield (
                f"evaluation.bounds.{number}.metric: {bound.metric} compares alarms with normal examples, and"
                " the workload has no `normal`, the label that is not an alarm."
            )
    if settings.data.window_label == "event":
        yield (
            "data.window_label: an event is a label other than `normal` of the workload, which has none:"
            " write the name of the label that is no event as `normal` into workload.yaml."
        )


def _find_conflicts(settings: Settings, tree: Tree) -> Iterator[str]:
    """Yields a sentence for each setting that does not work with another one."""
    steps = [*STEPS, *settings.steps]
    for name in settings.kubeflow.steps:
        if name not in steps:
            place = f"kubeflow.steps.{name}"
            problem = f"the DAG has no step of that name (from {tree.origin(place)})."
            yield f"{place}: {problem} {suggest(name, steps)}".rstrip()

    if settings.model.frozen_stages == "all" and settings.model.weights == "none":
        yield (
            "model.frozen_stages: all keeps the weights that training begins with, but model.weights is none:"
            f" set it to a file of weights (from {tree.origin('model.frozen_stages')})."
        )
    if settings.model.weights == "imagenet" and settings.model.backbone not in PRETRAINED:
        yield (
            f"model.backbone: {settings.model.backbone} has no weights of ImageNet: set model.weights=none"
            f" beside it, or choose an efficientnet_lite (from {tree.origin('model.backbone')})."
        )

    if settings.trainer.check_numerics and settings.trainer.precision != "float32":
        yield (
            "trainer.check_numerics: in float16 gradients overflow now and then, and Keras skips the step:"
            f" set trainer.precision=float32 beside it (from {tree.origin('trainer.check_numerics')})."
        )

    if settings.trainer.strategy == "multi_worker":
        if settings.trainer.folds:
            yield (
                "trainer.folds: folds need a single process, but trainer.strategy is multi_worker"
                f" (from {tree.origin('trainer.folds')})."
            )
        if settings.tune.max_trials:
            yield (
                "tune.max_trials: a trial needs a single process, but trainer.strategy is multi_worker:"
                " search with trainer.strategy=auto and a batch of that size, then train with its result"
                f" (from {tree.origin('tune.max_trials')})."
            )


def _find_unread(settings: Settings, tree: Tree, workload: Workload | None) -> Iterator[str]:
    """Yields a sentence for each override that is for another kind of workloads, and would have no effect."""
    kind = _KINDS.get(workload.module) if workload else None
    if kind is None:
        return
    groups = {"model": ModelSettings.model_fields, "trainer": TrainerSettings.model_fields}
    for name in (name for name, origin in tree.origins.items() if origin == "--set"):
        group, _, leaf = name.partition(".")
        field = groups.get(group, {}).get(leaf)
        reader = str(field.description).partition(":")[0] if field else ""
        if reader != kind and reader in _KINDS.values():
            yield f"{name}: it has no effect here; it is for {reader.lower()} (from --set)."
    if settings.data.readings > 1 and tree.origins.get("model.members") == "--set":
        yield "model.members: it has no effect here; windows of readings have one (from --set)."


def _find_search_mistakes(settings: Settings, tree: Tree) -> list[str]:
    """Returns a sentence for each setting that cannot be searched, each wrong value, and too few trials.

    `settings` are valid otherwise, and `tree` is the tree that they were read from.
    """
    tune, epochs = settings.tune, settings.trainer.epochs
    mistakes = [
        f"tune.space.{sentence}"
        for name, values in tune.space.items()
        for sentence in _check_searched(name, values, tree)
    ]
    least = count_trials(epochs)
    if tune.algorithm == "hyperband" and 0 < tune.max_trials < least:
        mistakes.append(
            f"tune.max_trials: {tune.max_trials} is too few for hyperband: it needs {least} trials to train"
            f" one for all {epochs} trainer.epochs (from {tree.origin('tune.max_trials')})."
        )
    return mistakes


def _check_searched(name: str, values: Values, tree: Tree) -> Iterator[str]:
    origin = tree.origin(f"tune.space.{name}")
    group, _, leaf = name.partition(".")
    tree = Tree(tree.values, {name: origin, group: origin})
    wrong = dict.fromkeys(
        sentence for value in values.ends for sentence in _try_value(group, leaf, value, tree)
    )
    if wrong:
        yield from wrong
    elif group not in SEARCHED:
        yield f"{name}: only settings of {' and '.join(SEARCHED)} can be searched (from {origin})."
    elif reason := NOT_SEARCHED.get(name):
        yield f"{name}: it cannot be searched: {reason} (from {origin})."
    elif name == "model.weights" and "none" in values.choices and len(set(values.choices)) > 1:
        yield (
            f"{name}: none cannot be searched beside weights: the learning rate of photos and the words of"
            f" texts depend on it before the first trial; compare runs with --set instead (from {origin})."
        )
    elif not values.choices and SEARCHED[group].model_fields[leaf].annotation not in (int, float):
        yield f"{name}: min and max are for numbers; list the values, [a, b] (from {origin})."
    elif SEARCHED[group].model_fields[leaf].annotation is int and (values.step or 1) % 1:
        yield f"{name}: it is a whole number, but step is {values.step:g} (from {origin})."


def _try_value(group: str, leaf: str, value: Any, tree: Tree) -> list[str]:
    changed = value
    if leaf:
        current = tree.values.get(group)
        changed = {**current, leaf: value} if isinstance(current, Mapping) else {leaf: value}
    return _validate({**tree.values, group: changed}, tree)[1]
