"""The compiled pipeline, as Kubeflow reads it."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.dsl.compiler.compiler import Compiler

from edgeline.alerts.settings import AlertSettings
from edgeline.errors import UsageError
from edgeline.records.steps import STEPS, find_step
from edgeline.release.signing import KEY_VARIABLE
from pipeline.dag import Observed, Paths, create_pipeline
from pipeline.settings import Settings, load_settings
from pipeline.workloads import find_workload, with_features
from runners.kubeflow.compiler import compile_pipeline, require_gpus
from runners.kubeflow.run_steps import order_steps
from tests.pipeline.test_own_steps import CHECK, CLEAN, MODULE

PLATFORM = {
    "image": "registry.example/edgeline:7",
    "image_pull_policy": "IfNotPresent",
    "image_pull_secrets": ["registry"],
    "pipeline_root": "minio://mlpipeline/v2/artifacts",
    "data": "pvc://weeks/photos",
    "push": "pvc://releases/push",
    "checkpoints": "pvc://scratch",
    "env": {"AWS_ENDPOINT_URL": "http://minio:9000"},
    "secrets": {
        "AWS_ACCESS_KEY_ID": "minio/user",
        "AWS_SECRET_ACCESS_KEY": "minio/password",
        KEY_VARIABLE: "signing/key",
    },
    "retries": 3,
    "retry_backoff_s": 20,
    "every_step": {"cpu": 1.5, "memory_gb": 4.0},
    "steps": {
        "Trainer": {
            "memory_gb": 16.0,
            "gpu": 1,
            "node_selector": {"pool": "gpu"},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        }
    },
}
# With a search, so that every step is there.
TUNE = {"max_trials": 2, "space": {"trainer.learning_rate": [0.001, 0.01]}}
SPARK = {"engine": "spark", "master": "k8s://https://kubernetes.default.svc"}
STORE_STEPS = {"ProductionModel", "Pusher", "ReleaseGate", "RunReport", "DataGate", "StatisticsGen"}


SHELF = find_workload("shelf")
# Kubernetes takes the first for a variable, and Argo the second for a parameter.
REPLACED = "$(HOME) and {{workflow.name}}"


def load_of_cluster(*groups, **changes):
    """Loads settings of the shelf with a search, those of a platform with changes, and further groups."""
    base = {**SHELF.settings, "tune": TUNE, "kubeflow": {**PLATFORM, **changes}}
    return load_settings({**base, **dict(groups)})


def compile_documents(folder, settings, workload=SHELF):
    """Compiles a pipeline; returns its documents: the spec, and that of the platform."""
    path = folder / "pipeline.yaml"
    compile_pipeline(workload, settings, path)
    return parse(path.read_text())


def parse(text):
    return list(yaml.load_all(text, yaml.CSafeLoader))


@pytest.mark.parametrize(
    ("steps", "trainer", "required"),
    [
        ({"Trainer": {"gpu": 1}, "Tuner": {"gpu": 1}}, {}, True),
        ({"Trainer": {"gpu": 1}}, {}, False),  # The search has to run on a CPU.
        ({"Trainer": {"gpu": 1}, "Tuner": {"gpu": 1}}, {"require_gpu": False}, False),
        ({"Trainer": {"gpu": 4, "gpu_type": "google.com/tpu"}}, {"strategy": "tpu"}, False),
    ],
)
def test_a_pod_that_asks_for_a_gpu_requires_it_unless_a_setting_says_otherwise(steps, trainer, required):
    settings = load_settings({"trainer": trainer, "tune": TUNE, "kubeflow": {**PLATFORM, "steps": steps}})
    assert require_gpus(settings).trainer.require_gpu == required


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("compiled") / "pipeline.yaml"
    compile_pipeline(SHELF, load_of_cluster(), path)
    return path.read_text()


@pytest.fixture(scope="module")
def documents(text):
    return parse(text)


@pytest.fixture(scope="module")
def spec(documents):
    return documents[0]


@pytest.fixture(scope="module")
def tasks(spec):
    """The tasks of the pipeline by step."""
    return {find_step(name): task for name, task in spec["root"]["dag"]["tasks"].items()}


@pytest.fixture(scope="module")
def kubernetes(documents):
    """The entries of the platform document by step."""
    return index_by_step(documents[1])


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """The documents of a pipeline with three trainers, Beam on Spark, alerts, a registry and shards."""
    groups = {
        "tune": {},
        "trainer": {"strategy": "multi_worker", "workers": 3},
        "beam": {**SPARK, "workers": 2},
        "alerts": {"webhook": "$HOOK", "stale_days": 30, "command": ["notify", REPLACED]},
        "push": {"data_statement": REPLACED},
        "registry": {"uri": "http://mlflow:5000"},
    }
    places = {"shards": "s3://bucket/shards/", "spill": "pvc://shared/spill"}
    settings = load_of_cluster(*groups.items(), **places, push_in_every_step=True)
    return compile_documents(tmp_path_factory.mktemp("full"), settings)


def index_by_step(platform):
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    return {label.removesuffix("_executor"): config for label, config in executors.items()}


def get_containers(spec):
    executors = spec["deploymentSpec"]["executors"]
    return {step: executors[c["executorLabel"]]["container"] for step, c in spec["components"].items()}


def test_the_backend_can_parse_both_documents(documents, tasks):
    spec, platform = documents
    parsed = json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    assert {find_step(name) for name in parsed.root.dag.tasks} == set(tasks) == set(STEPS)
    assert parsed.schema_version == "2.1.0"
    json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())


def test_dependencies_and_wiring_are_those_of_the_dag_on_one_machine(tasks):
    paths = Paths("data", "artifacts", "metadata.sqlite", "push", "checkpoints")
    local = Compiler().compile(create_pipeline(SHELF, load_of_cluster(), paths, Observed()))
    expected, local_inputs = {}, {}
    for node in (node.pipeline_node for node in local.nodes):
        step = node.node_info.id
        expected[step] = set(node.upstream_nodes)
        local_inputs[step] = {
            (name, channel.producer_node_query.id, channel.output_key)
            for name, source in node.inputs.inputs.items()
            for channel in source.channels
        }
    for step, task in tasks.items():
        artifacts = task.get("inputs", {}).get("artifacts", {})
        inputs = {
            (name, find_step(source["taskOutputArtifact"]["producerTask"]), output)
            for name, source in artifacts.items()
            for output in [source["taskOutputArtifact"]["outputArtifactKey"]]
        }
        assert inputs - {("gate", "DataGate", "accepted_data")} == local_inputs[step]
        # The second event of an artifact that a step reads twice is refused by ML Metadata.
        assert len({(producer, output) for _, producer, output in inputs}) == len(inputs)
        implied, alone = {producer for _, producer, _ in inputs}, set(task.get("dependentTasks", ()))
        assert implied | alone == expected[step]
        # The UI draws an edge for each.
        assert not implied & alone


def resolve(source, group, spec):
    """Returns the task and output of an input, through the inputs and outputs of groups."""
    if "componentInputArtifact" in source:
        outer = spec["root"]["dag"]["tasks"][group]
        passed = outer["inputs"]["artifacts"][source["componentInputArtifact"]]["taskOutputArtifact"]
        owner = spec["components"][passed["producerTask"]]
        definitions = [owner["outputDefinitions"], spec["components"][group]["inputDefinitions"]]
        assert all(passed["outputArtifactKey"] in each["artifacts"] for each in definitions)
        [selector] = owner["dag"]["outputs"]["artifacts"][passed["outputArtifactKey"]]["artifactSelectors"]
        return selector["producerSubtask"], selector["outputArtifactKey"]
    return source["taskOutputArtifact"]["producerTask"], source["taskOutputArtifact"]["outputArtifactKey"]


def test_each_step_reads_the_same_with_and_without_groups(spec, tmp_path):
    grouped, _ = compile_documents(tmp_path, load_of_cluster(groups=True))
    json_format.ParseDict(grouped, pipeline_spec_pb2.PipelineSpec())
    groups, plain = grouped["root"]["dag"]["tasks"], spec["root"]["dag"]["tasks"]
    sources_by_step = {}
    for group in groups:
        for name, task in grouped["components"][group]["dag"]["tasks"].items():
            inputs = task.get("inputs", {})
            sources = inputs.get("artifacts", {}).items()
            sources_by_step[name] = {key: resolve(source, group, grouped) for key, source in sources}
            assert inputs.get("parameters") == plain[name].get("inputs", {}).get("parameters")
            names = {each.get("componentInputParameter") for each in inputs.get("parameters", {}).values()}
            assert names - {None} <= groups[group]["inputs"].get("parameters", {}).keys()
    assert sources_by_step == {
        name: {
            key: resolve(source, "", spec)
            for key, source in task.get("inputs", {}).get("artifacts", {}).items()
        }
        for name, task in plain.items()
    }
    assert order_steps(grouped) == order_steps(spec)
    earlier: set[str] = set()
    for group in ("Data", "Train", "Edge", "Release"):
        sources = groups[group]["inputs"].get("artifacts", {}).values()
        producers = {source["taskOutputArtifact"]["producerTask"] for source in sources}
        assert {*producers, *groups[group].get("dependentTasks", ())} <= earlier
        assert bool(producers) == (group != "Data")
        earlier.add(group)
    assert groups.keys() == earlier


def test_steps_behind_the_data_gate_need_its_output_and_not_only_its_end(spec, tasks):
    """A gate whose pod was lost can count as done, without an output."""
    for step in ("Transform", "ProductionModel"):
        source = {"producerTask": "refused-if-red", "outputArtifactKey": "accepted_data"}
        assert tasks[step]["inputs"]["artifacts"]["gate"] == {"taskOutputArtifact": source}
        declared = spec["components"][step]["inputDefinitions"]["artifacts"]["gate"]
        assert declared == spec["components"]["DataGate"]["outputDefinitions"]["artifacts"]["accepted_data"]


def test_no_step_is_served_from_a_cache_and_all_but_push_and_gates_are_tried_again(tasks):
    assert {task["cachingOptions"]["enableCache"] for task in tasks.values()} == {False}
    never = {step for step, task in tasks.items() if "retryPolicy" not in task}
    assert never == {"Pusher", "DataGate", "ReleaseGate"}
    policy = tasks["Trainer"]["retryPolicy"]
    assert (policy["maxRetryCount"], policy["backoffDuration"], policy["backoffFactor"]) == (3, "20s", 2.0)


def test_every_step_has_the_alerts_shards_and_registry_and_only_the_place_of_a_secret(full):
    for container in get_containers(full[0]).values():
        command = container["command"]
        alerts = AlertSettings.model_validate_json(command[command.index("--alerts") + 1])
        assert (alerts.webhook, alerts.stale_days) == ("$HOOK", 30)
        assert alerts.command == ("notify", REPLACED)
        assert command[command.index("--registry") + 1] == "http://mlflow:5000"
        assert command[command.index("--shards") + 1] == "s3://bucket/shards"


def test_texts_in_arguments_have_nothing_that_kubernetes_or_argo_would_replace(full):
    commands = {name: container["command"] for name, container in get_containers(full[0]).items()}
    assert not [text for command in commands.values() for text in command if "$(" in text or "{{" in text]
    command = commands["ExampleGen"]
    recorded = json.loads(command[command.index("--settings") + 1])
    assert recorded["push"]["data_statement"] == REPLACED


def test_pods_have_the_limits_of_the_settings_and_only_the_trainer_a_gpu_and_its_node(spec, kubernetes):
    resources = {step: container["resources"] for step, container in get_containers(spec).items()}
    gpu = {"type": "nvidia.com/gpu", "count": "1"}
    assert resources.pop("Trainer") == {"cpuLimit": 1.5, "memoryLimit": 16.0, "accelerator": gpu}
    assert all(limits == {"cpuLimit": 1.5, "memoryLimit": 4.0} for limits in resources.values())
    assert {step for step, config in kubernetes.items() if "nodeSelector" in config} == {"Trainer"}
    trainer = kubernetes["Trainer"]
    assert trainer["nodeSelector"] == {"labels": {"pool": "gpu"}}
    assert trainer["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]


def test_a_claim_is_mounted_in_the_steps_that_need_it_and_in_no_other(kubernetes):
    mounted = {
        (mount["constant"], mount["mountPath"], step)
        for step, config in kubernetes.items()
        for mount in config.get("pvcMount", ())
    }
    releases = {("releases", "/mnt/releases", step) for step in STORE_STEPS}
    assert mounted == releases | {
        ("weeks", "/mnt/weeks", "ExampleGen"),
        ("scratch", "/mnt/scratch", "Tuner"),
        ("scratch", "/mnt/scratch", "Trainer"),
    }


def test_a_workload_of_ones_own_has_a_name_that_kubeflow_takes_and_one_claim_is_mounted_once(tmp_path):
    one = load_of_cluster(data="pvc://all/photos", push="pvc://all/push", checkpoints=None)
    spec, platform = compile_documents(tmp_path, one, replace(SHELF, name="my_bottles"))
    for config in index_by_step(platform).values():
        assert config.get("pvcMount", []) in ([], [{"constant": "all", "mountPath": "/mnt/all"}])
    assert spec["pipelineInfo"]["name"] == "my-bottles"
    parameters = spec["root"]["dag"]["tasks"]["Pusher"]["inputs"]["parameters"]
    assert parameters["model_name"]["runtimeValue"]["constant"] == "my_bottles"


def test_the_claim_of_releases_is_mounted_in_every_step_that_leaves_a_page_when_it_fails(full):
    releases = {"constant": "releases", "mountPath": "/mnt/releases"}
    pods = index_by_step(full[1])
    assert all(releases in config["pvcMount"] for config in pods.values())
    assert set(pods) == {*STEPS, "Trainer-worker-1", "Trainer-worker-2"} - {"Tuner"}


def test_every_step_has_the_environment_the_secrets_and_the_way_to_its_image(spec, kubernetes):
    for step, container in get_containers(spec).items():
        assert container["env"] == [{"name": "AWS_ENDPOINT_URL", "value": "http://minio:9000"}]
        secret, *more = kubernetes[step]["secretAsEnv"]
        # Whoever has the signing key can release, so few steps have it; DataGate checks that it is a key.
        signing = {"secretName": "signing", "keyToEnv": [{"secretKey": "key", "envVar": KEY_VARIABLE}]}
        assert more == ([signing] if step in ("DataGate", "Pusher") else [])
        assert secret["secretName"] == "minio"
        assert {(key["envVar"], key["secretKey"]) for key in secret["keyToEnv"]} == {
            ("AWS_ACCESS_KEY_ID", "user"),
            ("AWS_SECRET_ACCESS_KEY", "password"),
        }
        assert kubernetes[step]["imagePullPolicy"] == "IfNotPresent"
        assert kubernetes[step]["imagePullSecret"] == [{"secretName": "registry"}]


def test_settings_that_people_change_are_parameters_of_the_run_with_their_defaults(spec, tasks):
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    trainer = load_of_cluster().trainer
    assert {name: each["defaultValue"] for name, each in parameters.items()} == {
        "epochs": trainer.epochs,
        "learning_rate": trainer.learning_rate,
        "seed": load_of_cluster().seed,
        "window": load_of_cluster().data.window,
    }
    assert parameters["window"]["description"] == "data.window: Number of newest spans to read."
    # The first step checks all of them, three record them, and two train with them.
    expected = dict.fromkeys(("ExampleGen", "DataGate", "RunReport", "Pusher"), parameters.keys())
    expected |= dict.fromkeys(("Tuner", "Trainer"), parameters.keys() - {"window"})
    for step, task in tasks.items():
        inputs = task.get("inputs", {}).get("parameters", {})
        names = {name for name, each in inputs.items() if "componentInputParameter" in each}
        assert names == expected.get(step, set())
    command = get_containers(spec)["ExampleGen"]["command"]
    assert json.loads(command[command.index("--settings") + 1]) == load_of_cluster().recorded()


def test_a_pipeline_has_its_image_its_changed_settings_and_its_schema_and_no_path_of_this_machine(
    spec, text, tasks
):
    assert spec["pipelineInfo"]["description"] == (
        "shelf in the image registry.example/edgeline:7; settings changed from the workload's:"
        " tune.max_trials=2, tune.space.trainer.learning_rate.choices=[0.001, 0.01]."
    )
    [schema] = tasks["ImportSchemaGen"]["inputs"]["parameters"].values()
    assert schema["runtimeValue"]["constant"] == Path(SHELF.schema).read_text()
    assert str(Path(SHELF.schema).parent.parent) not in text


def test_a_pipeline_that_needs_nothing_of_kubernetes_is_one_document_with_locations_as_they_are(
    tmp_path, capsys
):
    least = {"image": "edgeline:1", "pipeline_root": "gs://bucket"}
    least |= {"data": "s3://photos/weeks", "push": "s3://releases/"}
    registry = {"uri": "postgresql://me@db/mlflow"}
    [spec] = compile_documents(tmp_path, load_settings({"kubeflow": least, "registry": registry}))
    tasks = spec["root"]["dag"]["tasks"]
    assert "--registry" not in str(spec)
    assert "registry.uri is postgresql://me@db/mlflow, not a server" in capsys.readouterr().err

    def constant(step, name):
        return tasks[step]["inputs"]["parameters"][name]["runtimeValue"]["constant"]

    assert constant("ExampleGen", "data") == "s3://photos/weeks"
    assert constant("Pusher", "push") == "s3://releases"
    assert constant("RunReport", "records") == "s3://releases/runs/shelf"


def test_another_workload_compiles_to_the_same_steps_of_its_own_code(tmp_path):
    workload = with_features(find_workload("sensor"))
    settings = load_settings({**workload.settings, "kubeflow": PLATFORM})
    compiled, _ = compile_documents(tmp_path, settings, workload)
    assert set(STEPS) - set(map(find_step, compiled["root"]["dag"]["tasks"])) == {"Tuner"}
    for container in get_containers(compiled).values():
        command = [*container["command"], *container["args"]]
        assert command[command.index("--module") + 1] == "trainer_module.workloads.tables"
        assert command[command.index("--source") + 1] == "data.tables.source"
    parameters = compiled["root"]["dag"]["tasks"]["ExampleGen"]["inputs"]["parameters"]
    columns = parameters["workload"]["runtimeValue"]["constant"]
    assert tuple(columns["labels"]) == workload.labels


def test_each_pod_of_the_trainer_reads_the_same_and_only_the_first_has_outputs(full):
    step, own = "Trainer", {"model", "model_run", "training"}
    spec, platform = full
    json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    tasks, pods = spec["root"]["dag"]["tasks"], index_by_step(platform)
    names = [step, f"{step}-worker-1", f"{step}-worker-2"]
    assert {name for name in tasks if name.startswith(step)} == set(names)
    for number, name in enumerate(names):
        for same in ("inputs", "retryPolicy"):
            assert tasks[name][same] == tasks[step][same]
        container = get_containers(spec)[name]
        assert container["resources"] == get_containers(spec)[step]["resources"]
        command = " ".join(container["command"])
        assert f"--meeting /mnt/scratch/meetings --pods 3 --pod {number} --step {name}" in command
        assert pods[name] == pods[step]
        outputs = spec["components"][name].get("outputDefinitions", {}).get("artifacts", {})
        assert outputs.keys() == (set() if number else own)


def test_the_steps_that_are_drivers_of_spark_mount_what_they_share_with_their_executors(full):
    spec, platform = full
    drivers = {"ExampleGen", "StatisticsGen", "Transform", "Evaluator"}
    shared = {"constant": "shared", "mountPath": "/mnt/shared"}
    mounted = {step for step, config in index_by_step(platform).items() if shared in config["pvcMount"]}
    assert mounted == drivers
    assert all("--spark_spill=/mnt/shared/spill" in str(get_containers(spec)[step]) for step in drivers)


@pytest.mark.parametrize(
    ("settings", "message", "do"),
    [
        (
            Settings(),
            "kubeflow.image, kubeflow.pipeline_root, kubeflow.data, kubeflow.push",
            "--settings FILE",
        ),
        (load_of_cluster(("beam", SPARK)), "kubeflow.spill is not set", "kubeflow.spill=pvc://CLAIM/path"),
        # No pod has the file.
        (
            load_of_cluster(("push", {"key": "k.pem"})),
            "push.key",
            "kubeflow.secrets={EDGELINE_SIGNING_KEY: SECRET/KEY}",
        ),
        (
            load_of_cluster(("tune", {}), ("trainer", {"strategy": "multi_worker"}), checkpoints=None),
            "Trainer has 2 pods, and kubeflow.checkpoints is not set",
            "kubeflow.checkpoints=pvc://CLAIM/path",
        ),
    ],
    ids=["nothing", "Spark without a shared folder", "a key in a file", "no place to meet"],
)
def test_settings_that_no_pod_can_follow_are_refused(tmp_path, settings, message, do):
    with pytest.raises(UsageError) as caught:
        compile_documents(tmp_path, settings)
    assert message in caught.value.found and do in caught.value.do


def test_what_no_image_or_pod_could_hold_is_refused_and_without_kfp_its_extra_is_named(tmp_path, monkeypatch):
    schema = tmp_path / "wide.pbtxt"
    schema.write_text(Path(SHELF.schema).read_text() + "# A column of a wide table.\n" * 5_000)
    gone, wide = replace(SHELF, module="my_bottles.photos"), replace(SHELF, schema=str(schema))
    with pytest.raises(UsageError, match=r"my_bottles\.photos .* was not found") as caught:
        compile_documents(tmp_path, load_of_cluster(), gone)
    assert caught.value.why and caught.value.do
    with pytest.raises(UsageError, match=r"The schema of shelf has 14\d,\d{3} bytes") as caught:
        compile_documents(tmp_path, load_of_cluster(), wide)
    assert "--leave-out" in caught.value.do
    monkeypatch.setitem(sys.modules, "kfp", None)  # like a missing package
    with pytest.raises(UsageError, match="not installed") as caught:
        compile_documents(tmp_path, load_of_cluster())
    assert "edgeline[kubeflow]" in caught.value.do
    assert [path.name for path in tmp_path.iterdir()] == ["wide.pbtxt"]


CONTAINER = """
from tfx.dsl.component.experimental import placeholders
from tfx.dsl.component.experimental.container_component import create_container_component

Count = create_container_component(
    name="Count",
    image="busybox",
    inputs={"examples": Examples},
    command=["wc", placeholders.InputUriPlaceholder("examples")],
)
"""


def test_a_component_of_ones_own_is_a_task_between_the_steps_in_its_group(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_task.py").write_text(MODULE + CONTAINER, encoding="utf-8")
    clean = {**CLEAN, "component": "own_task.Clean", "parameters": {"most": 1.0}}
    check = {**CHECK, "component": "own_task.Check"}
    count = {"component": "own_task.Count", "inputs": CLEAN["inputs"], "before": ["Trainer"]}
    own = ("steps", {"Clean": clean, "Check": check, "Count": count})
    spec, platform = compile_documents(tmp_path, load_of_cluster(own, groups=True))
    json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    tasks = spec["components"]["Data"]["dag"]["tasks"]
    cleaned, checked = tasks["Clean"]["inputs"], tasks["Check"]["inputs"]["artifacts"]
    assert cleaned["artifacts"]["examples"]["taskOutputArtifact"]["producerTask"] == "ExampleGen"
    assert cleaned["parameters"]["most"]["runtimeValue"]["constant"] == 1.0
    assert checked["gate"]["taskOutputArtifact"]["producerTask"] == "refused-if-red"
    trainer = spec["components"]["Train"]["dag"]["tasks"]["Trainer"]
    assert trainer["inputs"]["artifacts"]["examples"] == {"componentInputArtifact": "Clean-cleaned"}
    command = spec["deploymentSpec"]["executors"]["Clean_executor"]["container"]["command"]
    assert json.loads(command[command.index("--own") + 1]) == dict.fromkeys(own[1], "own_task")
    container = spec["deploymentSpec"]["executors"]["Count_executor"]["container"]
    assert (container["image"], container["command"][0], len(container["command"])) == ("busybox", "wc", 2)
    assert index_by_step(platform)["Clean"]["imagePullPolicy"] == "IfNotPresent"
