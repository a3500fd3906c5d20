"""The table of the steps of the DAG: all facts about each step outside of its code."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal


@dataclass(frozen=True)
class StepInfo:
    """One step: its purpose, the parts of its cache key, and what reports and UIs show of it."""

    purpose: str  # a sentence
    code: tuple[str, ...] = ()  # our modules that it runs; their digest is in its cache key
    workload_code: tuple[Literal["module", "source"], ...] = ()  # modules of the workload that it runs too
    after: tuple[str, ...] = ()  # steps whose outputs it reads, if they are in the DAG
    only_with_search: bool = False  # true if only the DAG of a run that searches settings has it
    inputs: tuple[str, ...] = ()  # further parts of the key, named as in `Run.inputs`; `data` is the folder
    settings: tuple[str, ...] = ()  # those that it gets, which are in the key: groups and dotted names
    each_run: bool = False  # true if the run's id is in the key: the step is never taken from the cache
    outputs: Mapping[str, str] = field(default_factory=dict)  # read by the report, with its names for them
    page: str = ""  # title of its page in a UI; empty if the page of a later step shows as much
    sections: tuple[str, ...] = ()  # sections of the report on that page
    figures: tuple[Literal["metrics", "confusion"], ...] = ()  # shown in a UI beside the page
    # Places in the settings that it accesses.
    opens: tuple[Literal["data", "push", "checkpoints", "spill"], ...] = ()
    # True if it can be retried by itself: a push cannot, since it may have succeeded before the step failed,
    # nor a step that stops a run on purpose.
    repeatable: bool = True
    # The outcome of a run that it stops on purpose; the record of that run is written already.
    stops_as: Literal["refused", "held"] | None = None

    @property
    def page_output(self) -> str:
        """Returns the name of the output that is its page in a UI; empty if it has no page."""
        return self.page.lower().replace(" ", "_")

    @property
    def has_code(self) -> bool:
        """True if it runs code of ours or of the workload."""
        return bool(self.code or self.workload_code)

    def modules(self, workload: Mapping[str, str]) -> tuple[str, ...]:
        """Returns the modules where its code begins, for a workload with these modules."""
        return (*self.code, *(workload[name] for name in self.workload_code))

    def takes(self, setting: str) -> bool:
        """Returns true if a setting, by its dotted name, is in its cache key."""
        return any(setting == name or setting.startswith(f"{name}.") for name in self.settings)


# The step that lets a run go on to training.
DATA_GATE = "DataGate"
# The last step, after which a run reports its push.
RELEASE_GATE = "ReleaseGate"
# Separates the name of a step from the number of a pod that helps it.
_HELPER = "-worker-"
# Follows the outcome of a run that a gate stops, in the name of its task: a UI has one red for all
# failures, and room for about twenty characters.
_IF_RED = "-if-red"

# Modules that are imported by the kind of a contract.
_CONTRACTS = tuple(f"edgeline.edge.contracts.{kind}" for kind in ("image", "row", "tokens"))

# The steps in an order in which they can run.
STEPS: Mapping[str, StepInfo] = {
    "ExampleGen": StepInfo(
        "Reads the newest spans and quarantines what cannot be used.",
        code=("components.example_gen",),
        workload_code=("source",),
        inputs=("data", "window", "workload"),
        settings=("data",),
        outputs={"quarantine": "quarantine"},
        opens=("data", "spill"),
    ),
    "StatisticsGen": StepInfo(
        "Computes statistics of the examples in the window.",
        code=("components.statistics_gen",),
        after=("ExampleGen",),
        inputs=("unjudged", "destination", "schema"),
        outputs={"statistics": "statistics"},
        opens=("push", "spill"),
    ),
    "SchemaGen": StepInfo(
        "Infers a schema from the statistics, which the report compares with the curated one.",
        after=("StatisticsGen",),
        outputs={"schema": "inferred"},
    ),
    "ImportSchemaGen": StepInfo(
        "Imports the curated schema, which the window is compared with.",
        inputs=("schema",),
        outputs={"schema": "schema"},
    ),
    "ExampleValidator": StepInfo(
        "Compares the statistics with the curated schema.",
        after=("StatisticsGen", "ImportSchemaGen"),
        outputs={"anomalies": "anomalies"},
    ),
    "DataValidator": StepInfo(
        "Judges each span of the window that no release was made from yet.",
        code=("components.data_validator",),
        after=("ExampleGen", "StatisticsGen", "ImportSchemaGen", "ExampleValidator"),
        settings=("gate",),
        outputs={"verdict": "data_verdict"},
        page="Verdict on the data",
        sections=("gates", "data", "quarantine", "features"),
        figures=("metrics",),
    ),
    "DataGate": StepInfo(
        "Ends an open canary, and lets the run go on to training, or stops it.",
        after=(
            *("ExampleGen", "StatisticsGen", "SchemaGen", "ImportSchemaGen", "ExampleValidator"),
            "DataValidator",
        ),
        each_run=True,
        opens=("push",),
        repeatable=False,
        stops_as="refused",
    ),
    "Transform": StepInfo(
        "Builds the preprocessing graph that ships inside the model.",
        code=("components.transform",),
        workload_code=("module",),
        after=("ExampleGen", "ImportSchemaGen"),
        inputs=("workload",),
        settings=("model",),
        opens=("spill",),
    ),
    "Tuner": StepInfo(
        "Searches for better settings of the network and its training.",
        code=("components.tuner", "trainer_module.search.tune"),
        workload_code=("module",),
        after=("ExampleGen", "ImportSchemaGen", "Transform"),
        only_with_search=True,
        inputs=("workload", "weights"),
        settings=("model", "trainer", "tune", "seed"),
        outputs={"tuner_results": "search"},
        page="Trials of the search",
        sections=("search",),
        opens=("checkpoints",),
    ),
    "Trainer": StepInfo(
        "Trains the model.",
        code=("trainer_module.run_fn",),
        workload_code=("module",),
        after=("ExampleGen", "ImportSchemaGen", "Transform", "Tuner"),
        inputs=("workload", "weights"),
        settings=("model", "trainer", "seed"),
        outputs={"model_run": "model_run"},
        page="Training",
        sections=("training",),
        opens=("checkpoints",),
    ),
    "ProductionModel": StepInfo(
        "Fetches the model in production for comparison.",
        code=("components.production_model", *_CONTRACTS),
        after=("ExampleGen",),
        inputs=("production", "destination"),
        settings=("push.canary_percent", "evaluation.served"),
        opens=("push",),
    ),
    "Evaluator": StepInfo(
        "Measures the model and the one in production by slice.",
        code=("components.evaluator", "components.eval_metrics"),  # TFMA imports the second by name
        after=("ExampleGen", "Trainer", "ProductionModel"),
        inputs=("workload",),
        settings=("evaluation.false_alarm_rate",),
        # The records of earlier releases have no ModelValidator: there the Evaluator judged.
        outputs={"evaluation": "evaluation", "blessing": "blessing"},
        opens=("spill",),
    ),
    "ModelValidator": StepInfo(
        "Judges the model.",
        code=("components.model_validator",),
        after=("ExampleGen", "Trainer", "ProductionModel", "Evaluator"),
        inputs=("workload",),
        settings=("evaluation", "gate"),
        outputs={"evaluation": "evaluation", "blessing": "blessing"},
    ),
    "EdgeConverter": StepInfo(
        "Converts the model to files for phones.",
        code=("components.edge_converter", "trainer_module.export.conversion_worker"),
        workload_code=("module",),
        after=("ExampleGen", "Transform", "Trainer"),
        inputs=("workload",),
        settings=("model", "edge.variants", "edge.calibration_examples", "edge.oldest_runtime"),
        outputs={"edge_models": "edge_models"},
    ),
    "EdgeValidator": StepInfo(
        "Measures the files that would ship, and compares them with the file in production.",
        code=("components.edge_validator", *_CONTRACTS),
        workload_code=("source",),
        after=("ExampleGen", "Transform", "Trainer", "ProductionModel", "EdgeConverter"),
        inputs=("workload", "slow"),
        settings=(
            "evaluation",
            *("edge.min_agreement", "edge.max_accuracy_drop", "edge.max_size_mb", "edge.max_latency_ms"),
            *("edge.max_ms", "edge.max_memory_mb", "edge.max_difference"),
            *("edge.max_input_saturation", "edge.max_output_saturation", "edge.golden_examples"),
            "edge.oldest_runtime",
        ),
        outputs={"verdict": "edge_verdict"},
    ),
    "Pusher": StepInfo(
        "Pushes model and files as one version, or neither.",
        after=(
            *("ExampleGen", "DataGate", "Tuner", "Trainer", "ModelValidator", "EdgeConverter"),
            "EdgeValidator",
        ),
        # All that made the model, for its provenance.
        settings=("push", "seed", "data", "gate", "model", "trainer", "tune", "evaluation", "edge"),
        each_run=True,
        outputs={"pushed_model": "pushed_model"},
        opens=("push",),
        repeatable=False,
    ),
    "RunReport": StepInfo(
        "Writes the report of the run.",
        after=(
            *("DataGate", "Tuner", "Trainer", "ModelValidator", "EdgeConverter", "EdgeValidator"),
            "Pusher",
        ),
        each_run=True,
        outputs={"report": "report"},
        page="Run report",
        figures=("metrics", "confusion"),
        opens=("push",),
    ),
    "ReleaseGate": StepInfo(
        "Ends a run whose model was held back, and checks that a push arrived.",
        after=("Pusher",),
        each_run=True,
        opens=("push",),
        repeatable=False,
        stops_as="held",
    ),
}


# A step of one's own, which may run a pipeline of Beam.
_CUSTOM = StepInfo("A custom step.", opens=("spill",))


def find_info(step: str) -> StepInfo:
    """Returns the facts about a step of the DAG, or about any custom one."""
    return STEPS.get(step, _CUSTOM)


def name_helper(step: str, number: int) -> str:
    """Returns the task name of a pod that does a part of a step beside it."""
    return f"{step}{_HELPER}{number}"


def find_helped_step(task: str) -> str:
    """Returns the step that a task runs or helps."""
    return task.partition(_HELPER)[0]


def name_task(step: str) -> str:
    """Returns the name of a step's task for people; that of a gate is what red means: `held-if-red`."""
    stops_as = STEPS[step].stops_as
    return f"{stops_as}{_IF_RED}" if stops_as else step


def find_step(task: str) -> str:
    """Returns the step or helper of a task, by the task's name or by a name that begins with it."""
    for step, info in STEPS.items():
        if info.stops_as and task.startswith(name := name_task(step)):
            return f"{step}{task.removeprefix(name)}"
    return task


def place_own_step(order: Sequence[str], sources: Sequence[str], readers: Sequence[str]) -> int:
    """Returns the place of a custom step in the order of all steps.

    It is behind the steps that it reads from, and behind DataGate unless a step before that waits for it.

    Args:
        order: The names of the steps so far, in the order in which they run.
        sources: The steps that it reads from.
        readers: The steps that read from it, or wait for it.
    """
    gate = order.index(DATA_GATE)
    is_behind_gate = all(order.index(reader) > gate for reader in readers)
    before = [*sources, *([DATA_GATE] if is_behind_gate else [])]
    return max((order.index(step) for step in before), default=-1) + 1


def select_steps(searches: bool, own: Mapping[str, Any]) -> Mapping[str, StepInfo]:
    """Returns the steps of a DAG in an order in which they can run; `after` has only steps of this DAG.

    Args:
        searches: Whether the run searches settings.
        own: The setting `steps`, in JSON's types; what it says of steps that are not there is left out, as
            of the Tuner in the record of a run without a search.
    """
    steps = {name: info for name, info in STEPS.items() if searches or not info.only_with_search}
    for name, step in own.items():
        sources, fed, waiting = (
            [other for place in places if (other := place.partition(".")[0]) in steps]
            for places in (step["inputs"].values(), step["feeds"], step["before"])
        )
        info = replace(
            _CUSTOM,
            code=(step["component"].rpartition(".")[0],),
            after=tuple(dict.fromkeys(sources)),
            settings=(f"steps.{name}",),
        )
        for reader in fed:
            steps[reader] = replace(steps[reader], after=(*steps[reader].after, name))
        items = list(steps.items())
        items.insert(place_own_step(list(steps), sources, [*fed, *waiting]), (name, info))
        steps = dict(items)
    return {
        name: replace(info, after=tuple(step for step in info.after if step in steps))
        for name, info in steps.items()
    }
