"""The C array of a model is the model, for a compiler as well."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edgeline.edge.micro import write_c_array

PRINT = """
#include <cstdint>
#include <cstdio>
#include "model_data.h"

int main() {
  if (reinterpret_cast<std::uintptr_t>(g_model_data) % 16 != 0) return 1;
  return std::fwrite(g_model_data, 1, g_model_data_len, stdout) != g_model_data_len;
}
"""


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ here: apt-get install g++")
@pytest.mark.parametrize("length", [1, 20_001])
def test_the_compiled_array_is_aligned_and_holds_the_bytes_of_the_file(length: int, tmp_path: Path) -> None:
    content = np.random.default_rng(length).bytes(length)
    (tmp_path / "model_int8.tflite").write_bytes(content)
    write_c_array(tmp_path / "model_int8.tflite", tmp_path)
    source = tmp_path / "model_data.cc"
    (tmp_path / "print.cc").write_text(PRINT)
    program = tmp_path / "print"
    strict = ["-std=c++11", "-Wall", "-Wextra", "-Werror", "-pedantic"]
    subprocess.run(["g++", *strict, str(tmp_path / "print.cc"), str(source), "-o", str(program)], check=True)
    assert subprocess.run([str(program)], check=True, capture_output=True).stdout == content
