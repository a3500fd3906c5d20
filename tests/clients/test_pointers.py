"""The table of what a phone does, which the tests of all readers read, and the page's reader on it."""

import json
import re
import shutil
import subprocess

import pytest

from tests.clients.make_pointers import POINTERS, make_pointers
from tests.clients.readers import CLIENTS, compare_outcomes, run

CASES = json.loads(POINTERS.read_text())
WORDS = json.loads((CLIENTS.parent / "edgeline/release/refusals.json").read_text())
WEB = CLIENTS / "web"
# Prints what the page does in each case, with a server that has its current.json.
PAGE = """
import {readFileSync} from "node:fs";
import {bindDocument, download} from "./src/download";
import {Refused} from "./src/refusal";
import {readCurrent} from "./src/release";

async function judge({model, client, now, keys, seen, current, fill}) {
  const text = fill ? current.padEnd(fill.length, fill.with) : current;
  globalThis.fetch = async () => text === null ? new Response("", {status: 404}) : new Response(text);
  const answer = await download("current.json", bindDocument("current.json"));
  if (!answer) throw new Refused("missing", {file: "current.json"});
  const last = seen && {
    key: seen.key, counter: seen.pointer.counter, rollbacks: seen.pointer.rollbacks, epoch: seen.epoch,
    version: seen.release.version, digest: seen.release.manifest_sha256, pointer: seen.pointer,
  };
  const {release} = await readCurrent(answer.content, model, keys, last, client, Date.parse(now));
  return {[release.manifest_sha256 === last?.digest ? "stays" : "switches"]: release.version};
}

for (const each of JSON.parse(readFileSync(process.argv[2], "utf8"))) {
  const refuse = (error) => {
    if (!(error instanceof Refused)) throw error;
    return {refused: error.reason, facts: error.facts};
  };
  console.log(JSON.stringify(await judge(each).catch(refuse)));
}
"""


def test_the_table_is_what_its_script_makes():
    assert POINTERS.read_text() == make_pointers()


def test_each_case_has_a_name_of_its_own_and_the_facts_that_the_words_of_its_reason_take():
    assert len({case["name"] for case in CASES}) == len(CASES)
    for case in CASES:
        expected = case["expected"]
        for sentence in WORDS[expected["refused"]].values() if "refused" in expected else ():
            assert set(re.findall(r"{(\w+)}", sentence)) == set(expected["facts"]), case["name"]


def test_the_page_does_what_the_table_of_pointers_says(tmp_path):
    bundler = WEB / "node_modules/.bin/esbuild"
    if not (bundler.is_file() and shutil.which("node")):
        pytest.skip("the page was built elsewhere")
    script = tmp_path / "judge.mjs"
    options = ("--bundle", "--format=esm", "--platform=node", "--loader=ts", f"--outfile={script}")
    subprocess.run([bundler, *options], input=PAGE.encode(), cwd=WEB, check=True, capture_output=True)
    compare_outcomes(CASES, run("node", script, POINTERS))


@pytest.mark.parametrize("source", ["kotlin/Edgeline.kt", "swift/Edgeline.swift", "cpp/pointer.h"])
def test_a_reader_gives_the_reasons_of_the_table_and_only_such_as_have_words(source: str):
    thrown = r'Refused\((?:reason: )?"(\w+)"'
    returned = r'(?:return|\?|:) "([a-z]+)"'
    pattern = returned if source.endswith(".h") else thrown
    reasons = set(re.findall(pattern, (CLIENTS / source).read_text()))
    expected = {case["expected"].get("refused") for case in CASES} - {None}
    assert expected - reasons <= ({"missing"} if source.endswith(".h") else set())
    assert reasons <= set(WORDS)
