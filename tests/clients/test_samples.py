"""The samples in other languages, compiled here, on the golden vectors of every workload."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgeline.edge.golden import read_vectors
from edgeline.edge.micro import write_c_array
from edgeline.records.columns import COMMA, ISO, NUMBER, THOUSANDS, CellError, Column
from edgeline.release.signing import format_public_key
from tests.edgeline.phone.releases import CANARY, CONTENTS, KEY, KINDS, push

CLIENTS = Path(__file__).parents[2] / "clients"
KOTLIN = "2.2.20"
# The parts of the compiler, and the org.json of Android, which differs from the usual one of the JVM.
ARTIFACTS = (
    f"org.jetbrains.kotlin:kotlin-compiler-embeddable:{KOTLIN}",
    f"org.jetbrains.kotlin:kotlin-stdlib:{KOTLIN}",
    "com.vaadin.external.google:android-json:0.0.20131108.vaadin1",
)

# Each process lives for seconds only, so the second compiler costs more than it saves.
SHORT = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
JAVA = ("java", *SHORT)

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("releases")
    for kind in KINDS:
        push(folder / "push", folder / kind, kind)
    return folder / "push/edge"


def run(*command: object, cwd: Path | None = None) -> str:
    process = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=cwd)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


# Reads the examples of the rule of sides.
SIDES = """
import java.io.File
import org.json.*

fun main(arguments: Array<String>) {
    val production = JSONObject().put("version", 1)
    for (each in JSONArray(File(arguments[0]).readText()).objects()) {
        val pointer = JSONObject(each, arrayOf("model")).put("production", production).put("candidate", each)
        val chosen = chooseRelease(pointer, each.getString("client"))
        check((chosen === each) == each.getBoolean("candidate")) { each }
        println(each["client"])
    }
}
"""

# Reads cells, `FORM;CELL` in each line, and prints the number of each, or "refused".
CELLS = """
import java.io.File

fun main(arguments: Array<String>) = File(arguments[0]).forEachLine {
    val (form, cell) = it.split(";")
    println(runCatching { readCell(cell, form, listOf("")) }.getOrElse { "refused" })
}
"""


# Runs the sample on arguments, `FOLDER;KEY` each, and prints its output or its error.
GOLDENS = """
fun main(arguments: Array<String>) {
    val sample = Class.forName("GoldenKt").getMethod("main", Array<String>::class.java)
    for (each in arguments) {
        runCatching { sample.invoke(null, each.split(";").toTypedArray()) }.onFailure { println(it.cause) }
    }
}
"""


# Reads the windows of a file, and prints the size of each, or why it is refused.
WINDOWS = """
import java.io.File
import org.json.*

fun main(arguments: Array<String>) {
    val contract = JSONObject(File(arguments[0]).readText())
    for (window in JSONArray(File(arguments[1]).readText()).objects()) {
        val cells = window.keys().asSequence().associate { it as String to window.getJSONArray(it).texts() }
        println(runCatching { preprocessRow(cells, contract).size }.getOrElse { it.message })
    }
}
"""


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
    short = {**os.environ, "MAVEN_OPTS": f"{os.environ.get('MAVEN_OPTS', '')} {' '.join(SHORT)}"}
    if subprocess.run(fetch, cwd=folder, env=short, capture_output=True).returncode != 0:
        pytest.skip("Maven cannot fetch the Kotlin compiler here")
    path = (folder / "path").read_text()
    compiler = ("org.jetbrains.kotlin.cli.jvm.K2JVMCompiler", "-no-stdlib", "-no-reflect", "-nowarn")
    target = folder / "edgeline.jar"
    for name, code in (("Sides", SIDES), ("Cells", CELLS), ("Goldens", GOLDENS), ("Windows", WINDOWS)):
        (folder / f"{name}.kt").write_text(code)
    sources = *sorted((CLIENTS / "kotlin").iterdir()), *sorted(folder.glob("*.kt"))
    run(*JAVA, "-cp", path, *compiler, "-cp", path, "-d", target, *sources)
    return f"{target}{os.pathsep}{path}"


def test_kotlin_checks_each_bundle_and_makes_its_golden_tensors(bundles, kotlin, tmp_path):
    signer = format_public_key(KEY.public_key())
    arguments = []
    for kind in KINDS:
        folder = Path(shutil.copytree(bundles / kind, tmp_path / kind))
        with (folder / "1/labels.txt").open("a") as file:
            file.write("x\n")
        arguments += [f"{bundles / kind};{signer}", f"{folder};{signer}", f"{bundles / kind};{'0' * 64}"]
    lines = run(*JAVA, "-cp", kotlin, "GoldensKt", *arguments).splitlines()
    for kind, whole, changed, other in zip(KINDS, lines[0::3], lines[1::3], lines[2::3], strict=True):
        count, _, _, close, _, values, *_ = whole.replace(":", "").split()
        assert int(count) == len(CONTENTS[kind]) and int(close) >= 0.999 * int(values)
        assert "was swapped" in changed and "another key" in other
    alone = [*JAVA, "-cp", kotlin, "GoldenKt", bundles / KINDS[0], "0" * 64]
    assert subprocess.run(list(map(str, alone)), capture_output=True).returncode != 0


def test_kotlin_refuses_a_cell_that_python_refuses_and_reads_the_others_alike(kotlin, tmp_path):
    cells = [
        *((COMMA, cell) for cell in ("1.5", "1.500", "-2,5", "1.234,5", "12d", "1,2,3")),
        *((THOUSANDS, cell) for cell in ("3,14", "1,5", "1,500.5", "12,345", "7")),
        *(
            (NUMBER, cell)
            for cell in ("12d", "0x1p3", "1e39", "1e3", "-.5", "5.", "soon", "1_000", "\uff11\uff12")
        ),
        *(("month/day/year", cell) for cell in ("05.01.2026", "05/01/2026", "05/13/2026 7:05")),
        *(("day.month.year", cell) for cell in ("05.01.26", "05.01.2026", "31.02.2026")),
        *((ISO, cell) for cell in ("2026-01-05T10:00:00+02", "2026-01-05T10:00:00Z", "2026-1-5", "soon")),
    ]
    (tmp_path / "cells").write_text("".join(f"{form};{cell}\n" for form, cell in cells), "utf-8")

    def read(form: str, cell: str) -> float | str:
        try:
            return Column("it", form).number({"it": cell})
        except CellError:
            return "refused"

    lines = run(*JAVA, "-cp", kotlin, "CellsKt", tmp_path / "cells").splitlines()
    expected = [read(*each) for each in cells]
    assert [each if each == "refused" else float(each) for each in lines] == expected
    assert 10 < expected.count("refused") < len(cells) - 10


def test_kotlin_refuses_a_window_of_another_length(kotlin, bundles, tmp_path):
    window = {name: list(cells) for name, cells in CONTENTS["window"][0].items()}
    windows = [
        *(window, {**window, "machine": ["m-01"]}),  # a window may have one cell of a category
        *({**window, "celsius": window["celsius"] * 2}, {**window, "celsius": window["celsius"][1:]}),
        {**window, "machine": window["machine"][1:]},
    ]
    (tmp_path / "windows").write_text(json.dumps(windows))
    contract = bundles / "window/1/preprocessing.json"
    size = str(4 * json.loads(contract.read_text())["channels"])
    assert run(*JAVA, "-cp", kotlin, "WindowsKt", contract, tmp_path / "windows").splitlines() == [
        *(size, size, "celsius has 8 readings, not 4", "celsius has 3 readings, not 4"),
        "machine has 3 readings, not 4",
    ]


def test_kotlin_takes_the_side_of_each_example_of_a_canary(kotlin):
    output = run(*JAVA, "-cp", kotlin, "SidesKt", CANARY)
    assert len(output.splitlines()) == len(json.loads(CANARY.read_text()))


MAIN = """
#include <cstdio>
#include "golden.h"
#include "model_data.h"
#include "sensors.h"

int main() {
  static float tensor[kReadings * kChannels];
  for (int n = 0; n < kGolden; ++n) {
    Preprocess(kReadingsOf[n], kWordsOf[n], tensor);
    for (int at = 0; at < kReadings * kChannels; ++at) {
      if (std::fabs(tensor[at] - kTensors[n][at]) > 1e-4f || Quantise(tensor[at]) != kLevels[n][at]) return 1;
    }
  }
  for (const Side& side : kSides) {
    if (TakesCandidate(side.digest, side.percent) != side.candidate) return 2;
  }
  return std::memcmp(g_model_data + 4, "TFL3", 4) != 0;
}
"""


def write_golden(bundle: Path, header: Path) -> None:
    """Writes the golden vectors as C: the inputs, the tensors, and these as int8."""
    vectors = read_vectors(bundle)
    (tensor,) = json.loads((bundle / "manifest.json").read_text())["variants"][1]["inputs"]
    levels = np.rint(vectors.tensors / np.float32(tensor["scale"])) + tensor["zero_point"]
    contents = vectors.contents
    readings = [
        [[float(cell if cell not in ("", "na") else "nan")] for cell in each["celsius"]] for each in contents
    ]

    def braces(values) -> str:
        return (
            f"{{{', '.join(map(braces, values))}}}"
            if isinstance(values, list)
            else str(values).replace("nan", "NAN")
        )

    sides = [
        [list(hashlib.sha256("\n".join(map(str, text)).encode()).digest()), percent, int(candidate)]
        for *text, percent, _, candidate in map(dict.values, json.loads(CANARY.read_text()))
    ]
    rows, size = len(readings[0]), vectors.tensors[0].size
    flat = levels.clip(-128, 127).astype(int).reshape(len(contents), -1).tolist()
    header.write_text(
        "#include <cmath>\n#include <cstdint>\n"
        "struct Side { uint8_t digest[32]; double percent; bool candidate; };\n"
        f"const Side kSides[] = {braces(sides)};\nconstexpr int kGolden = {len(contents)};\n"
        f"const float kReadingsOf[][{rows}][1] = {braces(readings)};\n"
        f"const char* kWordsOf[][1] = {braces([[json.dumps(each['machine'][-1])] for each in contents])};\n"
        f"const float kTensors[][{size}] = {braces(vectors.tensors.reshape(len(contents), -1).tolist())};\n"
        f"const int kLevels[][{size}] = {braces(flat)};\n"
    )


def test_cpp_makes_the_golden_tensors_of_sensors_beside_the_c_array(tmp_path):
    if not shutil.which("g++"):
        pytest.skip("no g++ on this machine")
    push(tmp_path / "push", tmp_path / "work", "device", variant="int8")
    bundle = tmp_path / "push/edge/device/1"
    write_c_array(bundle / "model_int8.tflite", tmp_path)
    write_golden(bundle, tmp_path / "golden.h")
    (tmp_path / "contract.h").write_text(run(sys.executable, CLIENTS / "cpp/contract.py", bundle))
    (tmp_path / "main.cc").write_text(MAIN)
    flags = ("-std=c++17", "-Wall", "-Wextra", "-Werror", f"-I{tmp_path}", f"-I{CLIENTS / 'cpp'}")
    run("g++", *flags, tmp_path / "main.cc", tmp_path / "model_data.cc", "-o", tmp_path / "sensors")
    run(tmp_path / "sensors")
    header = tmp_path / "contract.h"
    # A window with more readings than the model takes does not compile.
    longer = MAIN.replace("kReadingsOf[n],", "reinterpret_cast<const float(&)[9][1]>(kReadingsOf[n]),")
    (tmp_path / "longer.cc").write_text(longer)
    command = ["g++", *flags, "-fsyntax-only", tmp_path / "longer.cc"]
    assert "[9][1]" in subprocess.run(command, capture_output=True, text=True).stderr
    header.write_text(header.read_text().replace("kMean[] = {3.0f", "kMean[] = {3.1f"))
    run("g++", *flags, tmp_path / "main.cc", tmp_path / "model_data.cc", "-o", tmp_path / "sensors")
    assert subprocess.run([tmp_path / "sensors"]).returncode == 1
