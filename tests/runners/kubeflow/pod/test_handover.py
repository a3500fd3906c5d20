"""The input of a step from KFP 2.0.5 or 2.17, in the form of their sources, becomes that of TFX."""

from copy import deepcopy
from pathlib import Path

import pytest

from edgeline.errors import EdgelineError
from runners.kubeflow.pod.handover import Locations, prepare, read_run_id, take_foreign_outputs

EXAMPLES = {"instanceSchema": "title: tfx.Examples\ntype: object\n"}
SPEC = {"artifacts": {"examples": {"artifactType": EXAMPLES}, "model": {"artifactType": EXAMPLES}}}
HTML = {"schemaTitle": "system.HTML", "schemaVersion": "0.0.1"}
LOCATIONS = Locations(Path("/"))


def make_artifact(uri, kind=None, **more):
    content = {"uri": uri, **more}
    return {"artifacts": [content if kind is None else {**content, "type": kind}]}


def make_old(step="Trainer", kind=EXAMPLES):
    """Returns an input of 2.0.5: a fixed output file, folders by run and step, ids as names, no types."""
    root = "minio://mlpipeline/v2/artifacts/shelf/0e7f"
    examples = make_artifact(
        f"{root}/ExampleGen/examples",
        {"instanceSchema": ""},
        name="12",
        metadata={"display_name": "examples", "first_span": 1.0, "lanes": {"list": ["a", "b"]}},
    )
    return {
        "inputs": {"parameterValues": {"count": 3.0}, "artifacts": {"examples": examples}},
        "outputs": {
            "artifacts": {
                "model": make_artifact(f"{root}/{step}/model", kind),
                "page": make_artifact(f"{root}/{step}/page", HTML),
            },
            "outputFile": "/tmp/kfp_outputs/output_metadata.json",
        },
    }


def make_new():
    """Returns an input since 2.15: folders by attempt, names of outputs, notes of the store, a log."""
    executor_input = make_old()
    examples = executor_input["inputs"]["artifacts"]["examples"]["artifacts"][0]
    examples["metadata"]["store_session_info"] = "{}"
    outputs = executor_input["outputs"]["artifacts"]
    for name, listed in outputs.items():
        (output,) = listed["artifacts"]
        output["uri"] = output["uri"].replace(f"/{name}", f"/9b1c/{name}")
        output["name"] = name
    log = "minio://mlpipeline/v2/artifacts/shelf/0e7f/Trainer/9b1c/executor-logs"
    outputs["executor-logs"] = make_artifact(log, {"schemaTitle": "system.Artifact"})
    return executor_input


def prepare_input(executor_input):
    take_foreign_outputs(executor_input)
    prepare(executor_input, SPEC, LOCATIONS)
    return executor_input


def get_only(side, name):
    (artifact,) = side["artifacts"][name]["artifacts"]
    return artifact


@pytest.mark.parametrize("executor_input", [make_old(), make_new()], ids=["2.0.5", "2.17"])
def test_the_input_of_both_backends_is_the_same_for_tfx(executor_input):
    prepared = prepare_input(deepcopy(executor_input))
    example = get_only(prepared["inputs"], "examples")
    assert example["type"] == EXAMPLES
    assert example["uri"] == "/minio/mlpipeline/v2/artifacts/shelf/0e7f/ExampleGen/examples"
    assert example["metadata"] == {"first_span": 1.0, "lanes": ["a", "b"]}
    assert prepared["inputs"]["parameterValues"] == {"count": 3.0}
    assert set(prepared["outputs"]["artifacts"]) == {"model"}
    assert get_only(prepared["outputs"], "model")["uri"].startswith(
        "/minio/mlpipeline/v2/artifacts/shelf/0e7f/Trainer/"
    )
    assert prepared["outputs"]["outputFile"] == executor_input["outputs"]["outputFile"]


@pytest.mark.parametrize(
    ("kind", "used"),
    [
        (None, EXAMPLES),
        ({"instanceSchema": ""}, EXAMPLES),
        ({"schemaTitle": "system.Artifact"}, EXAMPLES),
        ({"schemaTitle": "tfx.Other"}, {"schemaTitle": "tfx.Other"}),
    ],
)
def test_a_type_that_says_nothing_is_taken_from_the_inputs_spec(kind, used):
    executor_input = make_old()
    executor_input["inputs"]["artifacts"]["examples"] = make_artifact("minio://b/x/examples", kind)
    assert get_only(prepare_input(executor_input)["inputs"], "examples")["type"] == used


def test_artifacts_without_a_name_or_with_the_same_one_get_different_names():
    executor_input = make_old()
    executor_input["inputs"]["artifacts"] = {
        "examples": make_artifact("minio://b/one", name="model"),
        "model": make_artifact("minio://b/two", name="model"),
    }
    prepared = prepare_input(executor_input)
    names = [get_only(prepared["inputs"], name)["name"] for name in ("examples", "model")]
    names.append(get_only(prepared["outputs"], "model")["name"])
    assert len(set(names)) == 3 and all(names)
    assert names[0] == "model"


@pytest.mark.parametrize(
    ("executor_input", "step"),
    [
        (make_old(), "Trainer"),
        (make_new(), "Trainer"),
        (make_old("shelf"), "shelf"),
        (make_old("refused-if-red"), "DataGate"),
        ({"inputs": make_old()["inputs"]}, "ReleaseGate"),  # a step without outputs
    ],
)
def test_the_id_of_the_run_stands_before_the_step_in_the_outputs_or_an_input(executor_input, step):
    assert read_run_id(executor_input, step) == "0e7f"


def test_the_run_of_outputs_without_the_name_of_a_step_is_not_guessed():
    executor_input = make_old("elsewhere")
    executor_input["inputs"] = {}
    with pytest.raises(EdgelineError, match="outputs of ExampleGen") as error:
        read_run_id(executor_input, "ExampleGen")
    assert error.value.why and error.value.do


@pytest.mark.parametrize(
    ("uri", "local"),
    [
        ("minio://bucket/a/b", "/minio/bucket/a/b"),
        ("gs://bucket/a", "/gcs/bucket/a"),
        ("/already/local", "/already/local"),
    ],
)
def test_a_uri_is_found_where_the_launcher_put_it_and_goes_back(uri, local):
    assert LOCATIONS.local(uri) == local
    assert LOCATIONS.remote(local) == uri
