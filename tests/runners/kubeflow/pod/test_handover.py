"""The input of a step from a backend, as KFP 2.0.5 and 2.17 hand it over, becomes what TFX reads."""

from copy import deepcopy
from pathlib import Path

import pytest

from edgeline.errors import EdgelineError
from runners.kubeflow.pod.handover import Locations, prepare, read_run_id, take_foreign_outputs

EXAMPLES = {"instanceSchema": "title: tfx.Examples\ntype: object\n"}
SPEC = {"artifacts": {"examples": {"artifactType": EXAMPLES}, "model": {"artifactType": EXAMPLES}}}
HTML = {"schemaTitle": "system.HTML", "schemaVersion": "0.0.1"}
LOCATIONS = Locations(Path("/"))


def artifact(uri, kind=None, **more):
    made = {"uri": uri, **more}
    return {"artifacts": [made if kind is None else {**made, "type": kind}]}


def old(step="Trainer", kind=EXAMPLES):
    """2.0.5: a fixed output file, folders named by run and step, ids as names, types of inputs empty."""
    root = "minio://mlpipeline/v2/artifacts/shelf/0e7f"
    given = artifact(
        f"{root}/ExampleGen/examples",
        {"instanceSchema": ""},
        name="12",
        metadata={"display_name": "examples", "first_span": 1.0, "lanes": {"list": ["a", "b"]}},
    )
    return {
        "inputs": {"parameterValues": {"count": 3.0}, "artifacts": {"examples": given}},
        "outputs": {
            "artifacts": {
                "model": artifact(f"{root}/{step}/model", kind),
                "page": artifact(f"{root}/{step}/page", HTML),
            },
            "outputFile": "/tmp/kfp_outputs/output_metadata.json",
        },
    }


def new():
    """2.15 and later: a folder an attempt, names of outputs, notes of the store, the launcher's log."""
    made = old()
    given = made["inputs"]["artifacts"]["examples"]["artifacts"][0]
    given["metadata"]["store_session_info"] = "{}"
    for name, listed in made["outputs"]["artifacts"].items():
        (output,) = listed["artifacts"]
        output["uri"] = output["uri"].replace(f"/{name}", f"/9b1c/{name}")
        output["name"] = name
    log = "minio://mlpipeline/v2/artifacts/shelf/0e7f/Trainer/9b1c/executor-logs"
    made["outputs"]["artifacts"]["executor-logs"] = artifact(log, {"schemaTitle": "system.Artifact"})
    return made


def prepared(executor_input):
    take_foreign_outputs(executor_input)
    prepare(executor_input, SPEC, LOCATIONS)
    return executor_input


def only(side, name):
    (found,) = side["artifacts"][name]["artifacts"]
    return found


@pytest.mark.parametrize("given", [old(), new()], ids=["2.0.5", "2.17"])
def test_what_either_backend_hands_over_is_the_same_to_tfx(given):
    found = prepared(deepcopy(given))
    example = only(found["inputs"], "examples")
    assert example["type"] == EXAMPLES
    assert example["uri"] == "/minio/mlpipeline/v2/artifacts/shelf/0e7f/ExampleGen/examples"
    assert example["metadata"] == {"first_span": 1.0, "lanes": ["a", "b"]}
    assert found["inputs"]["parameterValues"] == {"count": 3.0}
    assert set(found["outputs"]["artifacts"]) == {"model"}
    assert only(found["outputs"], "model")["uri"].startswith(
        "/minio/mlpipeline/v2/artifacts/shelf/0e7f/Trainer/"
    )
    assert found["outputs"]["outputFile"] == given["outputs"]["outputFile"]


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
    given = old()
    given["inputs"]["artifacts"]["examples"] = artifact("minio://b/x/examples", kind)
    assert only(prepared(given)["inputs"], "examples")["type"] == used


def test_artifacts_without_a_name_or_with_the_same_one_are_told_apart():
    given = old()
    given["inputs"]["artifacts"] = {
        "examples": artifact("minio://b/one", name="model"),
        "model": artifact("minio://b/two", name="model"),
    }
    found = prepared(given)
    names = [only(found["inputs"], name)["name"] for name in ("examples", "model")]
    names.append(only(found["outputs"], "model")["name"])
    assert len(set(names)) == 3 and all(names)
    assert names[0] == "model"


@pytest.mark.parametrize(
    ("given", "step"),
    [
        (old(), "Trainer"),
        (new(), "Trainer"),
        (old("shelf"), "shelf"),
        (old("refused-if-red"), "DataGate"),
        ({"inputs": old()["inputs"]}, "ReleaseGate"),  # a step without outputs
    ],
)
def test_the_id_of_the_run_stands_before_the_step_in_the_outputs_or_an_input(given, step):
    assert read_run_id(given, step) == "0e7f"


def test_outputs_that_name_no_step_are_no_guess_at_a_run():
    given = old("elsewhere")
    given["inputs"] = {}
    with pytest.raises(EdgelineError, match="outputs of ExampleGen") as error:
        read_run_id(given, "ExampleGen")
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
