import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from msgspec import Struct

from edgeline.records.edge import Measurement
from edgeline.records.json_file import UNREADABLE, JsonFile, JsonLines, convert, decode, encode
from tests.edgeline.records.samples import MEASURED


class Part(Struct, frozen=True):
    name: str
    share: float | None = None


@dataclass(frozen=True)
class Whole:
    state: Literal["open", "closed"]
    number: int = 0
    parts: tuple[Part, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.number < 0:
            raise ValueError(f"number is {self.number}")


WHOLE = JsonFile[Whole]("whole.json", Whole)
PARTS = JsonLines[Part]("parts.jsonl", Part)
A_WHOLE = Whole("closed", 3, (Part("größe 棚", 0.1), Part("x")), {"ok": 2})


@pytest.fixture
def write_file(tmp_path):
    """Writes the bytes of a file; returns its folder."""

    def write(content):
        (tmp_path / WHOLE.name).write_bytes(content)
        return tmp_path

    return write


def test_what_is_written_is_read(tmp_path):
    folder = tmp_path / "new" / "folder"
    WHOLE.write(folder, A_WHOLE)
    assert WHOLE.read(folder) == WHOLE.find(folder) == WHOLE.find_readable(folder) == A_WHOLE
    assert (folder / "whole.json").read_bytes() == WHOLE.to_bytes(A_WHOLE)
    assert json.loads((folder / "whole.json").read_text())["parts"][0] == {"name": "größe 棚", "share": 0.1}


def test_lines_that_are_written_are_read_up_to_one_that_is_torn(tmp_path):
    PARTS.write(tmp_path / "new", iter(A_WHOLE.parts))
    assert tuple(PARTS.read(tmp_path / "new")) == A_WHOLE.parts
    assert len((tmp_path / "new" / "parts.jsonl").read_bytes().splitlines()) == 2
    with (tmp_path / "new" / "parts.jsonl").open("a") as file:
        file.write('\n\n{"name": "to')
    lines = PARTS.read(tmp_path / "new")
    assert (next(lines), next(lines)) == A_WHOLE.parts
    with pytest.raises(UNREADABLE):
        next(lines)


def test_a_missing_file_is_none(tmp_path, caplog):
    (tmp_path / "file").touch()
    for folder in (tmp_path, tmp_path / "nowhere", tmp_path / "file"):
        assert WHOLE.find(folder) is None and WHOLE.find_readable(folder) is None
        assert list(PARTS.read(folder)) == []
    assert WHOLE.find(None) is None and list(PARTS.read(None)) == []
    assert not caplog.records
    with pytest.raises(FileNotFoundError):
        WHOLE.read(tmp_path)


def test_keys_that_the_type_lacks_are_left_out_and_others_have_their_defaults(write_file):
    content = b'{"mood": [1], "state": "open", "parts": [{"name": "a", "mood": 1}]}'
    assert WHOLE.read(write_file(content)) == Whole("open", parts=(Part("a"),))


def test_the_count_of_examples_keeps_the_name_that_manifests_always_had():
    assert json.loads(encode(MEASURED))["photos"] == 40
    assert decode(encode(MEASURED), Measurement) == MEASURED


DAMAGED = {
    "empty": b"",
    "torn": b'{"state": "open", "parts": [{"na',
    "not UTF-8": b'{"state": "open", "parts": [{"name": "\xff"}]}',
    "of another kind": b"[]",
    "without a key that it needs": b"{}",
    "with a value that is none of those known": b'{"state": "ajar"}',
    "damaged deep in it": b'{"state": "open", "parts": [{"name": "a"}, {"name": 7}]}',
    "damaged in a mapping": b'{"state": "open", "counts": {"a": "b"}}',
    "with NaN": b'{"state": "open", "parts": [{"name": "a", "share": NaN}]}',
    "with one larger than any of ours": b'{"state": "open", "parts": [{"name": "a", "share": 1e300}]}',
    "with one in a mapping": b'{"state": "open", "counts": {"a": -1' + b"0" * 30 + b"}}",
    "with hundreds of digits": b'{"state": "open", "parts": [{"name": "a", "share": 1' + b"0" * 400 + b"}]}",
    "nested deep in what is left out": b'{"state": "open", "mood": ' + b"[" * 100_000,
    "of values without sense": b'{"state": "open", "number": -1}',
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_reported(write_file, caplog, content):
    folder = write_file(content)
    for read in (WHOLE.read, WHOLE.find):
        with pytest.raises(UNREADABLE):
            read(folder)
    assert WHOLE.find_readable(folder) is None
    (warning,) = caplog.messages
    assert warning.startswith(f"{folder / 'whole.json'} cannot be read: ")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_pipe_and_a_folder_are_reported_at_once(tmp_path, make):
    for file in (WHOLE, PARTS):
        make(tmp_path / file.name)
    with pytest.raises(OSError):
        WHOLE.read(tmp_path)
    with pytest.raises(OSError):
        list(PARTS.read(tmp_path))
    assert WHOLE.find_readable(tmp_path) is None


def test_values_that_no_file_can_hold_are_written_so_that_they_can_be_read():
    assert decode(encode(Part("a", math.nan)), Part) == decode(encode(Part("a", math.inf)), Part) == Part("a")
    # The system gives the name of a file that is not UTF-8 like this.
    whole = Whole("open", parts=(Part("da\udcff", math.nan),), counts={"\udcff": 1})
    assert decode(encode(whole), Whole) == Whole("open", parts=(Part(r"da\udcff"),), counts={r"\udcff": 1})


def test_values_are_checked_as_a_file_is():
    values = {"state": "open", "parts": [{"name": "a", "mood": 1}]}
    assert convert(values, Whole) == Whole("open", parts=(Part("a"),))
    nan = {"state": "open", "parts": [{"name": "a", "share": math.nan}]}
    for wrong in ({"state": "ajar"}, {"state": "open", "number": "3"}, nan, {}, [], None):
        with pytest.raises(ValueError):
            convert(wrong, Whole)


_FIRST_AT_ONCE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import make_dataclass
from threading import Barrier
from edgeline.records.json_file import decode

sys.setswitchinterval(1e-6)
together = Barrier(4)


def first(kind):
    together.wait()
    return decode(b'{"inner": [{"a0": 1, "a1": "x"}]}', kind)


with ThreadPoolExecutor(4) as pool:
    for _ in range(150):
        inner = make_dataclass("Inner", [("a0", int), ("a1", str), *((f"b{n}", int, 0) for n in range(20))])
        kind = make_dataclass("Outer", [("inner", tuple[inner, ...])])
        assert len(set(map(repr, pool.map(first, [kind] * 4)))) == 1
"""


def test_threads_that_are_the_first_to_decode_a_type_do_not_end_the_process():
    subprocess.run([sys.executable, "-c", _FIRST_AT_ONCE], check=True, cwd=Path(__file__).parents[3])
