"""The samples in other languages, compiled here, on the golden vectors of every workload."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgeline.edge.micro import write_c_array
from edgeline.release.signing import digits_of
from tests.edgeline.phone.releases import CONTENTS, KEY, KINDS, make_files, push

CLIENTS = Path(__file__).parents[2] / "clients"
KOTLIN = "2.2.20"
# What the compiler is made of, and what the sample needs; Android has org.json.
ARTIFACTS = (
    f"org.jetbrains.kotlin:kotlin-compiler-embeddable:{KOTLIN}",
    f"org.jetbrains.kotlin:kotlin-stdlib:{KOTLIN}",
    "org.json:json:20240303",
)

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def pushed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("releases")
    for kind in KINDS:
        push(folder / "push", folder / kind, kind)
    return folder / "push/edge"


def run(*command: object, cwd: Path | None = None) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def kotlin(tmp_path_factory):
    """Returns the class path of the compiled sample."""
    if not (shutil.which("mvn") and shutil.which("java")):
        pytest.skip("no Java and Maven on this machine")
    folder = tmp_path_factory.mktemp("kotlin")
    dependencies = "".join(
        "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>".format(
            *artifact.split(":")
        )
        for artifact in ARTIFACTS
    )
    (folder / "pom.xml").write_text(
        "<project><modelVersion>4.0.0</modelVersion><groupId>a</groupId><artifactId>a</artifactId>"
        f"<version>1</version><dependencies>{dependencies}</dependencies></project>"
    )
    fetch = ["mvn", "-q", "dependency:build-classpath", "-Dmdep.outputFile=path"]
    if subprocess.run(fetch, cwd=folder, capture_output=True).returncode != 0:
        pytest.skip("Maven cannot fetch the Kotlin compiler here")
    path = (folder / "path").read_text()
    compiler = ("org.jetbrains.kotlin.cli.jvm.K2JVMCompiler", "-no-stdlib", "-no-reflect", "-nowarn")
    source, target = CLIENTS / "kotlin/Edgeline.kt", folder / "edgeline.jar"
    run("java", "-cp", path, *compiler, "-cp", path, "-d", target, source)
    return f"{target}{os.pathsep}{path}"


@pytest.mark.parametrize("kind", KINDS)
def test_kotlin_checks_a_bundle_and_makes_its_golden_tensors(pushed, kotlin, kind, tmp_path):
    signer = digits_of(KEY.public_key())
    said = run("java", "-cp", kotlin, "EdgelineKt", pushed / kind, signer)
    count, _, _, close, _, values, *_ = said.replace(":", "").split()
    assert int(count) == len(CONTENTS[kind]) and int(close) >= 0.999 * int(values)
    folder = Path(shutil.copytree(pushed / kind, tmp_path / kind))
    with (folder / "1/labels.txt").open("a") as file:
        file.write("x\n")
    for arguments in ((folder, signer), (pushed / kind, "0" * 64)):
        command = ["java", "-cp", kotlin, "EdgelineKt", *map(str, arguments)]
        refused = subprocess.run(command, capture_output=True, text=True)
        assert refused.returncode != 0 and (
            "was swapped" in refused.stderr or "another key" in refused.stderr
        )


def test_cpp_makes_the_golden_tensors_of_sensors_from_the_c_array(pushed, tmp_path):
    if not shutil.which("g++"):
        pytest.skip("no g++ on this machine")
    (tmp_path / "model_int8.tflite").write_bytes(make_files("device", 1)["int8"])
    push(tmp_path / "push", tmp_path / "work", "device", variant="int8")
    bundle = tmp_path / "push/edge/device/1"
    write_c_array(bundle / "model_int8.tflite", tmp_path)
    header = run(sys.executable, CLIENTS / "cpp/contract.py", bundle)
    (tmp_path / "contract.h").write_text(header)
    flags = ("-std=c++17", "-Wall", "-Wextra", "-Werror", f"-I{tmp_path}")
    run("g++", *flags, CLIENTS / "cpp/sensors.cc", tmp_path / "model_data.cc", "-o", tmp_path / "sensors")
    assert f"{len(CONTENTS['device'])} golden vectors: values differ by up to" in run(tmp_path / "sensors")
