"""The headers for devices, compiled here: sensors on their golden vectors, pointers on the table."""

import base64
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeline.edge.golden import read_vectors
from edgeline.edge.micro import write_c_array
from edgeline.journal import parse_time
from edgeline.release.signing import encode_for_signing, is_signed
from tests.clients.make_pointers import POINTERS, TYPE
from tests.clients.readers import CLIENTS, compare_outcomes, read_current, run
from tests.edgeline.phone.releases import CANARY, push

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not shutil.which("g++"), reason="no g++ here: apt-get install g++"),
]
FLAGS = ("-std=c++17", "-Wall", "-Wextra", "-Werror", f"-I{CLIENTS / 'cpp'}")


def braces(value: Any) -> str:
    """Writes a value as C++."""
    if isinstance(value, list | tuple):
        return f"{{{', '.join(map(braces, value))}}}"
    if value is None:
        return "nullptr"
    return json.dumps(value).replace("NaN", "NAN")


MAIN = """
#include <cstdio>
#include "golden.h"
#include "model_data.h"
#include "sensors.h"

int main() {
  static float tensor[kReadings * kChannels];
  for (int n = 0; n < kGolden; ++n) {
    const float unlike = Preprocess(kReadingsOf[n], kWordsOf[n], tensor);
    if (std::fabs(unlike - kUnlike[n]) > 1e-4f) return 5;
    for (int at = 0; at < kReadings * kChannels; ++at) {
      if (std::fabs(tensor[at] - kTensors[n][at]) > 1e-4f || Quantise(tensor[at]) != kLevels[n][at]) return 1;
    }
  }
  float far[kReadings][kNumbers];
  std::fill(&far[0][0], &far[0][0] + kReadings * kNumbers, kMean[0]);
  if (Preprocess(far, kWordsOf[0], tensor) != 0) return 2;
  far[0][0] += 250 * kDeviation[0];
  far[1][0] = NAN;
  far[2][0] -= 250 * kDeviation[0];
  if (Preprocess(far, kWordsOf[0], tensor) < 0.99f) return 3;
  if (*std::max_element(tensor, tensor + kReadings * kChannels) > kClip) return 4;
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

    rows, size = len(readings[0]), vectors.tensors[0].size
    flat = levels.clip(-128, 127).astype(int).reshape(len(contents), -1).tolist()
    header.write_text(
        "#include <cmath>\n#include <cstdint>\n"
        f"constexpr int kGolden = {len(contents)};\n"
        f"const float kReadingsOf[][{rows}][1] = {braces(readings)};\n"
        f"const char* kWordsOf[][1] = {braces([[each['machine'][-1]] for each in contents])};\n"
        f"const float kTensors[][{size}] = {braces(vectors.tensors.reshape(len(contents), -1).tolist())};\n"
        f"const float kUnlike[] = {braces([each.unlike_input for each in vectors.about.examples])};\n"
        f"const int kLevels[][{size}] = {braces(flat)};\n"
    )


def test_cpp_makes_the_golden_tensors_of_sensors_beside_the_c_array(tmp_path):
    push(tmp_path / "push", tmp_path / "work", "device", variant="int8")
    bundle = tmp_path / "push/edge/device/1"
    write_c_array(bundle / "model_int8.tflite", tmp_path)
    write_golden(bundle, tmp_path / "golden.h")
    (tmp_path / "contract.h").write_text(run(sys.executable, CLIENTS / "cpp/contract.py", bundle))
    (tmp_path / "main.cc").write_text(MAIN)
    flags = (*FLAGS, f"-I{tmp_path}")
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


SIDES = """
#include "pointer.h"
#include "sides.h"

int main() {
  for (const Side& side : kSides) {
    if (TakesCandidate(side.digest, side.percent) != side.candidate) return 1;
  }
  return 0;
}
"""


def hash_client(model: str, version: int, client: str) -> list[int]:
    return list(hashlib.sha256(f"{model}\n{version}\n{client}".encode()).digest())


def test_cpp_takes_the_side_of_each_example_of_a_canary(tmp_path):
    sides = [
        [hash_client(each["model"], each["version"], each["client"]), each["percent"], each["candidate"]]
        for each in json.loads(CANARY.read_text())
    ]
    (tmp_path / "sides.h").write_text(
        "struct Side { uint8_t digest[32]; double percent; bool candidate; };\n"
        f"const Side kSides[] = {braces(sides)};\n"
    )
    (tmp_path / "main.cc").write_text(SIDES)
    run("g++", *FLAGS, f"-I{tmp_path}", tmp_path / "main.cc", "-o", tmp_path / "sides")
    run(tmp_path / "sides")


# Prints what a device does in each case of the table, as far as its fields are those of a pointer.
JUDGE = """
#include <cstdio>
#include <vector>
#include "pointer.h"

struct Case {
  int64_t size;
  Pointer pointer;
  uint8_t digest[32];
  std::vector<Signature> signatures;
  std::vector<const char*> keys;
  std::vector<Seen> seen;
  const char* model;
  int64_t now;
};

const std::vector<Case> kCases =
#include "cases.h"
;

int main() {
  for (const Case& each : kCases) {
    const Pointer& pointer = each.pointer;
    const bool tries = TakesCandidate(each.digest, pointer.candidate.percent);
    const Release& release = tries ? pointer.candidate : pointer.production;
    const List<Signature> signatures = {each.signatures.data(), static_cast<int>(each.signatures.size())};
    const List<const char*> keys = {each.keys.data(), static_cast<int>(each.keys.size())};
    const Seen* seen = each.seen.empty() ? nullptr : &each.seen[0];
    const char* key = nullptr;
    const char* reason = CheckDocument(each.size);
    if (!reason) reason = Judge(pointer, release, signatures, keys, seen, each.model, each.now, &key);
    const bool stays = seen && IsSame(release.digest, seen->release.digest);
    if (reason) {
      std::printf("{\\"refused\\": \\"%s\\"}\\n", reason);
    } else {
      std::printf("{\\"%s\\": %d}\\n", stays ? "stays" : "switches", static_cast<int>(release.version));
    }
  }
  if (CheckFile(9, 10)[0] != 't' || CheckFile(11, 10)[0] != 'l' || CheckFile(10, 10)) return 1;
  return 0;
}
"""


def read_release(fields: dict[str, Any], *more: str) -> tuple[Any, ...]:
    return tuple(fields[name] for name in ("version", "manifest_sha256", *more))


def read_pointer(fields: dict[str, Any]) -> tuple[Any, ...]:
    """Reads a pointer as the parser of a device does: each field is there, and has its type."""
    counters = [fields[name] for name in ("counter", "rollbacks")]
    if not all(isinstance(each, int) for each in counters):
        raise TypeError("a counter is a whole number")
    times = [int(parse_time(fields[name]).timestamp()) for name in ("issued", "expires")]
    candidate = fields.get("candidate")
    sides = read_release(fields["production"]), read_release(candidate, "percent") if candidate else ()
    return fields["model"], *counters, *times, *sides


def read_case(case: dict[str, Any], content: bytes) -> tuple[Any, ...]:
    """Reads current.json of a case as the caller of the header does, and checks its signatures."""
    envelope = json.loads(content)["signed"]
    payload = base64.b64decode(envelope["payload"], validate=True)
    if envelope["payloadType"] != TYPE:
        raise ValueError("it is the envelope of something else")
    encoded, signatures = encode_for_signing(TYPE, payload), []
    for each in envelope["signatures"]:
        bytes.fromhex(each["keyid"])
        signatures.append((each["keyid"], is_signed(encoded, decode_signature(each["sig"]), each["keyid"])))
    fields, seen = json.loads(payload), case["seen"]
    candidate = (fields.get("candidate") or {}).get("version", 0)
    digest = hash_client(fields["model"], candidate, case["client"])
    remembered = []
    if seen:
        remembered = [(seen["key"], read_pointer(seen["pointer"]), read_release(seen["release"]))]
    now = int(parse_time(case["now"]).timestamp())
    pointer, keys = read_pointer(fields), case["keys"]
    return len(content), pointer, digest, signatures, keys, remembered, case["model"], now


def decode_signature(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""


def test_cpp_does_what_the_table_of_pointers_says_once_the_documents_are_parsed(tmp_path):
    parsed: dict[str, Any] = {}
    cases = json.loads(POINTERS.read_text())
    for case in cases:
        try:
            parsed[case["name"]] = read_case(case, read_current(case))
        except (FileNotFoundError, LookupError, TypeError, ValueError, AttributeError, RecursionError):
            assert case["expected"]["refused"] in ("missing", "pointer"), case["name"]
    assert len(parsed) > len(cases) / 2
    (tmp_path / "cases.h").write_text(braces(list(parsed.values())))
    (tmp_path / "main.cc").write_text(JUDGE)
    run("g++", *FLAGS, f"-I{tmp_path}", tmp_path / "main.cc", "-o", tmp_path / "judge")
    compare_outcomes([case for case in cases if case["name"] in parsed], run(tmp_path / "judge"), facts=False)
