"""The sample in Kotlin, compiled here: pointers, bundles, downloads, and golden vectors of each workload."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from edgeline.records.columns import (
    COMMA,
    FRACTION,
    HOURS,
    ISO,
    MINUTES,
    NUMBER,
    THOUSANDS,
    CellError,
    Column,
)
from edgeline.release.layout import hash_bytes
from edgeline.release.pointer import Production
from tests.attack import servers
from tests.clients.make_pointers import POINTERS, pointer
from tests.clients.readers import CLIENTS, compare_outcomes, run
from tests.edgeline.phone.releases import CANARY, CONTENTS, KINDS, at, cut, flip, forge, push
from tests.edgeline.release.candidates import name_key

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


# Prints what a phone does in each case of the table of pointers; what it remembers was kept as a text.
POINTERS_OF_TABLE = """
import java.io.File
import java.time.Instant
import org.json.*

fun main(arguments: Array<String>) {
    for (each in JSONArray(File(arguments[0]).readText()).objects()) {
        val fill = each.optJSONObject("fill")
        var current = if (each.isNull("current")) null else each.getString("current")
        if (fill != null) current = current!!.padEnd(fill.getInt("length"), fill.getString("with").single())
        val seen = each.optJSONObject("seen")?.let { Seen(JSONObject(Seen(it).toJson().toString())) }
        val keys = each.getJSONArray("keys").texts()
        val (model, client, now) = listOf("model", "client", "now").map(each::getString)
        println(JSONObject(try {
            val next = judgePointer(current?.toByteArray(), keys, seen, model, client, Instant.parse(now))
            val action = if (next.release.digest == seen?.release?.digest) "stays" else "switches"
            mapOf(action to next.release.version)
        } catch (error: Refused) {
            mapOf("refused" to error.reason, "facts" to JSONObject(error.facts))
        }))
    }
}
"""

# Reads the examples of the rule of sides.
SIDES = """
import java.io.File
import org.json.*

fun main(arguments: Array<String>) {
    val pointer = JSONObject(arguments[0])
    for (each in JSONArray(File(arguments[1]).readText()).objects()) {
        pointer.put("model", each["model"]).put("candidate", each.put("manifest_sha256", "c".repeat(64)))
        val chosen = Pointer(pointer).choose(each.getString("client"))
        check((chosen.percent != null) == each.getBoolean("candidate")) { each }
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


# Gives each reader of a contract one of a later version, and prints what it says.
VERSIONS = """
import org.json.*

fun main() {
    val later = JSONObject("{\\"version\\": 99}")
    val readers = listOf(
        { preprocessPhoto(arrayOf(), later) },
        { preprocessRow(mapOf(), later) },
        { preprocessText("a", later) },
    )
    for (read in readers) println(runCatching { read() }.exceptionOrNull()?.message)
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


# Checks a bundle for each argument, `STORE;TIME`: prints its version, why it is over, or the reason.
# With `STORE;TIME;EPOCH;KEY` the phone has run another release before, of this epoch and key.
BUNDLES = """
import java.io.File
import java.time.Instant

fun main(arguments: Array<String>) {
    for (each in arguments) {
        val (place, time, epoch, key) = "$each;;".split(";")
        val store = File(place)
        val now = Instant.now()
        val current = File(store, "current.json").readBytes()
        val first = judgePointer(current, listOf(), null, store.name, "", now)
        val before = first.copy(key.ifEmpty { null }, release = first.release.copy(digest = "b".repeat(64)))
        val seen = if (epoch == "") null else before.copy(epoch = epoch.toLong())
        val next = judgePointer(current, listOf(), seen, store.name, "", now)
        val outcome = try {
            val manifest = checkBundle(File(store, next.release.version.toString()), next, now)
            findExpired(next, manifest, Instant.parse(time)) ?: manifest["version"]
        } catch (error: Refused) { error }
        println((outcome as? Refused)?.message ?: outcome)
    }
}
"""

# Fetches each file of the store that the arguments name, of at most 1,000 bytes in a second.
FETCHES = """
fun main(arguments: Array<String>) {
    for (name in arguments.drop(1)) {
        println(try { fetch(arguments[0], name, 1000, 1).size } catch (error: Refused) { error.message })
    }
}
"""


@pytest.fixture(scope="module")
def kotlin(tmp_path_factory):
    """Returns the class path of the compiled sample."""
    if not (shutil.which("mvn") and shutil.which("java")):
        pytest.skip("no Java and Maven here: apt-get install default-jdk-headless maven")
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
    programs = {
        "Pointers": POINTERS_OF_TABLE,
        "Sides": SIDES,
        "Bundles": BUNDLES,
        "Fetches": FETCHES,
        "Cells": CELLS,
        "Goldens": GOLDENS,
        "Versions": VERSIONS,
        "Windows": WINDOWS,
    }
    for name, code in programs.items():
        (folder / f"{name}.kt").write_text(code)
    sources = *sorted((CLIENTS / "kotlin").iterdir()), *sorted(folder.glob("*.kt"))
    run(*JAVA, "-cp", path, *compiler, "-cp", path, "-d", target, *sources)
    return f"{target}{os.pathsep}{path}"


def test_kotlin_checks_each_bundle_and_makes_its_golden_tensors(bundles, kotlin, tmp_path):
    signer = name_key()
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
        assert "large {file=labels.txt" in changed and "signature {key=000" in other
    alone = [*JAVA, "-cp", kotlin, "GoldenKt", bundles / KINDS[0], "0" * 64]
    assert subprocess.run(list(map(str, alone)), capture_output=True).returncode != 0


def test_kotlin_refuses_contracts_of_versions_that_it_does_not_know(kotlin):
    lines = run(*JAVA, "-cp", kotlin, "VersionsKt").splitlines()
    assert len(lines) == 3 and all("has version 99, and this reader knows 3" in line for line in lines)


def test_kotlin_does_what_the_table_of_pointers_says(kotlin):
    output = run(*JAVA, "-cp", kotlin, "PointersKt", POINTERS)
    compare_outcomes(json.loads(POINTERS.read_text()), output)


def test_kotlin_names_the_fault_of_a_bundle_and_says_when_the_release_in_use_is_over(
    kotlin, bundles, tmp_path
):
    def change(path: str, edit: Callable[[bytes], bytes], pointer_days: float = 30) -> Path:
        """Copies the store of rows with a file changed, and signs the pointer to its manifest anew."""
        store = Path(shutil.copytree(bundles / "row", tmp_path / str(len(list(tmp_path.iterdir()))) / "row"))
        (store / path).write_bytes(edit((store / path).read_bytes()))
        production = Production(1, hash_bytes((store / "1/manifest.json").read_bytes()))
        current = store / "current.json"
        current.write_bytes(forge(production=production, expires=at(pointer_days))(current.read_bytes()))
        return store

    def set_key(name: str, value: object) -> Callable[[bytes], bytes]:
        return lambda content: json.dumps({**json.loads(content), name: value}).encode()

    labels, manifest, now, old = "1/labels.txt", "1/manifest.json", at(0), at(-1)
    whole, lost, swapped = (change(labels, bytes) for _ in range(3))
    (lost / labels).unlink()
    (swapped / manifest).write_bytes(flip((swapped / manifest).read_bytes()))
    longer = change(labels, lambda content: content * 9)
    huge, deep = change(manifest, lambda _: b" " * 4_000_001), change(manifest, lambda _: b"[" * 100_000)
    other, newer = change(manifest, set_key("version", 2)), change(manifest, set_key("min_reader_version", 3))
    expected = {
        f"{whole};{now}": "1",
        f"{whole};{at(31)}": "stale {expires=",
        f"{change(labels, bytes, 900)};{at(500)}": "expired {version=1, expires=",
        f"{change(manifest, set_key('expires', old))};{now}": f"expired {{version=1, expires={old}}}",
        f"{whole};{now};1;{name_key()}": "epoch {version=1, found=0, seen=1}",
        f"{whole};{now};1;": "1",  # nobody signed what was seen before
        f"{lost};{now}": "missing {file=labels.txt}",
        f"{change(labels, flip)};{now}": "swapped {file=labels.txt}",
        f"{change(labels, cut)};{now}": "truncated {file=labels.txt, found=",
        f"{longer};{now}": "large {file=labels.txt, most=",
        f"{swapped};{now}": "swapped {file=manifest.json}",
        f"{huge};{now}": "large {file=manifest.json, most=4000000}",
        f"{deep};{now}": "swapped {file=manifest.json}",
        f"{other};{now}": "swapped {file=manifest.json}",
        f"{newer};{now}": "newer {version=3}",
    }
    lines = run(*JAVA, "-cp", kotlin, "BundlesKt", *expected).splitlines()
    for argument, line, beginning in zip(expected, lines, expected.values(), strict=True):
        assert line.startswith(beginning), argument


def test_a_download_in_kotlin_ends_at_its_deadline_and_its_bound_whatever_the_server_does(kotlin):
    expected = {
        "whole": (partial(servers.send, content=bytes(1000)), "1000"),
        "larger": (servers.stream, "large {file=larger, most=1000}"),
        "lost": (servers.find_nothing, "missing {file=lost}"),
        "silent": (servers.say_nothing, "slow {file=silent, seconds=1}"),
        "slow-answer": (servers.drip, "slow {file=slow-answer, seconds=1}"),
        "slow-head": (servers.drip_head, "slow {file=slow-head, seconds=1}"),
    }
    with servers.serve({f"/{name}": answer for name, (answer, _) in expected.items()}) as place:
        lines = run(*JAVA, "-cp", kotlin, "FetchesKt", place, *expected).splitlines()
    assert lines == [line for _, line in expected.values()]


def test_kotlin_refuses_a_cell_that_python_refuses_and_reads_the_others_alike(kotlin, tmp_path):
    cells = [
        *((COMMA, cell) for cell in ("1.5", "1.500", "-2,5", "1.234,5", "12d", "1,2,3")),
        *((THOUSANDS, cell) for cell in ("3,14", "1,5", "1,500.5", "12,345", "7")),
        *(
            (NUMBER, cell)
            for cell in ("12d", "0x1p3", "1e39", "1e3", "-.5", "5.", "soon", "1_000", "\uff11\uff12")
        ),
        *(
            (NUMBER, cell)
            for cell in ("6.41-", "\u22126.41", "(6.41)", '="1.25"', "1 234.5", "12 34", "5-10")
        ),
        *((COMMA, cell) for cell in ("1,5E3", "(1.234,5)", "1\u202f234 567,5")),
        *((f"{NUMBER} in kg", cell) for cell in ("5 kg", "5kg", "(5 kg)", "5", "5 g", "nan kg")),
        *((f"{THOUSANDS} in $", cell) for cell in ("$1,234.5", "-$5", "$-5", "5 $", "5 €")),
        *((MINUTES, cell) for cell in ("1:02.5", "-0:05", "1:60", "1:02:03", "5")),
        *((HOURS, cell) for cell in ("00:31:07", "59:07", "06:01", "1:02:03,5")),
        *((FRACTION, cell) for cell in ("3/4", "-1 1/2", "0.75", "3/0", "1:02")),
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
    output = run(*JAVA, "-cp", kotlin, "SidesKt", json.dumps(pointer()), CANARY)
    assert len(output.splitlines()) == len(json.loads(CANARY.read_text()))
