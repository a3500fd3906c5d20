"""Releases of every kind of workload: small real files with golden vectors, signed."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np

from edgeline.edge.inspect import inspect
from edgeline.edge.interpreter import EdgeModel, preprocess
from edgeline.journal import format_utc
from edgeline.release import store
from edgeline.release.pointer import Envelope, seal
from pipeline.workloads import find_workload
from tests.edgeline.cli.test_predict import TOKENS
from tests.edgeline.edge.contracts.test_image import contract as image_contract
from tests.edgeline.edge.contracts.test_image import jpeg
from tests.edgeline.release.candidates import make_candidate, make_key, released_file
from trainer_module.export.golden_writer import RawExample, write_vectors
from trainer_module.export.metadata import write_metadata

KEY = make_key()
# Examples of the side of a canary that a client takes.
CANARY = Path(__file__).parents[3] / "clients/canary.json"
LABELS = ("ok", "misplaced", "damaged")
WORKLOAD = replace(find_workload("shelf"), labels=LABELS)


def column(name: str, form: str = "number", part: str = "", until: str = "") -> dict[str, str]:
    return {"name": name, "form": form, "part": part, "until": until, "until_form": "year-month-day"}


def row_contract(readings: int) -> dict[str, Any]:
    """Makes a contract of rows with numbers, dates, ranks and categories, or of windows of numbers."""
    columns = [
        ("celsius", column("celsius")),
        ("price", column("price", "number with decimal comma")),
        ("people", column("people", "number with commas at thousands")),
        ("weekday", column("seen", "day.month.year", "weekday")),
        ("hour", column("seen", "day.month.year", "hour")),
        ("age", column("born", "month/day/year", "age", "at")),
        ("weight", column("weight", "number in kg")),
        ("lap", column("lap", "hours:minutes:seconds")),
        ("half", column("half", "fraction")),
    ]
    numbers = [
        {
            "name": name,
            "mean": 3.0 + n,
            "deviation": 2.5,
            "low": -5.0,
            "high": 15.0 if n < 2 else 1e6,
            "column": each,
        }
        | ({"boundaries": [0.5, 2.0, 4.5]} if readings == 1 else {})
        for n, (name, each) in enumerate(columns if readings == 1 else columns[:3])
    ]
    count = len(numbers) * (3 if readings == 1 else 2) + 5
    return {
        "version": 3,
        "kind": "row",
        "readings": readings,
        "channels": count,
        "clip": 6.0,
        "missing": ["", "na"],
        "numbers": numbers,
        "categories": [{"name": "machine", "vocabulary": ["m-01", "größe", "m, 3"]}],
        "vocabulary_size": 4,
        "input_dtype": "float32",
    }


KINDS = ("photo", "row", "window", "text")
CONTRACTS: dict[str, dict[str, Any]] = {
    "photo": image_contract(image_size=32, channels=3, color="rgb", max_side=96),
    "camera": image_contract(channels=3, color="rgb"),
    "row": row_contract(1),
    "window": row_contract(4),
    "device": {**row_contract(4), "numbers": row_contract(4)["numbers"][:1], "channels": 7},
    "text": {
        **TOKENS,
        "version": 3,
        "normalization": "NFC",
        "length": 6,
        "vocabulary": [
            *("sun", "café", "😀", "l'eau", "sun café", "entirely undefined"),
            *("ที่", "ญុំ", "ｶﾞ", "ที่ นี่", "ខ្ ញុំ"),
        ],
    },
}
_ROWS = [
    {
        **{"celsius": "21.5", "price": "-1.234,50", "people": "12,345", "seen": "05.01.2026 17:45"},
        **{"born": "2/29/2024", "at": "2026-03-01T12:30:00+02:00", "machine": "größe"},
        **{"weight": "\u22125 kg", "lap": "00:31:07", "half": "3/4"},
    },
    {
        **{"celsius": "na", "price": "3", "people": "+7", "seen": "31.12.1999"},
        **{"born": "", "at": "2026-03-01", "machine": "unseen"},
        **{"weight": "(1 234.5kg)", "lap": "0:07,5", "half": "-1 1/2"},
    },
    {
        **{"celsius": "1e1-", "price": "0,5", "people": "NA", "seen": "1-7-2025T3:04:05Z"},
        **{"born": "12/31/1969", "at": "1970-01-01 00:00", "machine": " m-01 "},
        **{"weight": "", "lap": "-1:00", "half": '="0.75"'},
    },
]
CONTENTS: dict[str, list[Any]] = {
    "photo": [jpeg(64, 48), jpeg(300, 200, quality=95), jpeg(97, 61, "L")],
    "camera": [jpeg(300, 200, quality=95)],
    "row": _ROWS,
    "window": [
        {
            name: tuple(row[name] for row in (_ROWS * 2)[n : n + 4])
            for name in ("celsius", "price", "people", "machine")
        }
        for n in range(3)
    ],
    "device": [
        {"celsius": ("21.5", "na", "-1e1", "3"), "machine": ("m-01",) * 4},
        {"celsius": ("1", "2", "", "99"), "machine": ("größe",) * 3 + ("other",)},
    ],
    "text": [
        "The SUN, the cafe\u0301!",
        "  'l\xe2\x80\x99eau' \U0001f600\xf0\x9f\x98\x80 \u65e5\u672c?",
        "so\u200dmething \x93else\x94\x81entirely\xe0\x80\x99",
        "ที่นี่ខ្ញុំ។sunｶﾞ",
    ],
}


@cache
def make_files(kind: str, seed: int) -> dict[str, bytes]:
    """Makes a linear classifier of a seed, as `fp32` and `int8`."""
    import tensorflow as tf

    inputs = np.concatenate([preprocess(each, CONTRACTS[kind]) for each in CONTENTS[kind]])
    rng, size = np.random.default_rng(seed), inputs[0].size
    weights = (
        rng.normal(0, 1, (size, len(LABELS)))
        / np.sqrt((inputs.astype(float) ** 2).sum(axis=tuple(range(1, inputs.ndim))).max())
    ).astype("float32")

    class Model(tf.Module):
        @tf.function
        def __call__(self, values: Any) -> Any:
            flat = tf.reshape(tf.cast(values, tf.float32), [1, size])
            probabilities = tf.nn.softmax(4 * tf.matmul(flat, tf.constant(weights)))
            if kind != "photo":
                return probabilities
            light = tf.reduce_mean(flat, axis=1, keepdims=True) / 255
            # A bright photo is unlike the others.
            return {"probabilities": probabilities, "unlike": tf.sigmoid(8 * (light - 0.7))}

    model = Model()
    files = {}
    examples = [*inputs, *([np.full_like(inputs[0], 255)] if kind == "photo" else [])]
    for name in ("fp32", "int8"):
        quantised = name == "int8" and kind != "text"
        spec = tf.TensorSpec((1, *inputs.shape[1:]), "float32" if quantised else inputs.dtype)
        function = model.__call__.get_concrete_function(spec)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function], model)
        if quantised:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ([each[None].astype("float32")] for each in examples)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            levels = tf.uint8 if inputs.dtype == np.uint8 else tf.int8
            converter.inference_input_type = converter.inference_output_type = levels
        files[name] = converter.convert()
        if kind == "photo":
            with TemporaryDirectory() as folder:
                path = Path(folder, "file")
                path.write_bytes(files[name])
                write_metadata(path, "serve_image", WORKLOAD, CONTRACTS[kind])
                files[name] = path.read_bytes()
    return files


def push(
    root: Path, work: Path, kind: str, seed: int = 1, contents: Sequence[Any] = (), **changes: Any
) -> store.Release:
    """Pushes a signed release of a kind; `changes` are fields of the candidate, `variant` its default."""
    work.mkdir(parents=True, exist_ok=True)
    contract, contents, variant = CONTRACTS[kind], contents or CONTENTS[kind], changes.pop("variant", "fp32")
    paths = {name: work / f"model_{name}.tflite" for name in ("fp32", "int8")}
    for name, path in paths.items():
        path.write_bytes(changes.pop(name, None) or make_files(kind, seed)[name])
    tensors = np.concatenate([preprocess(each, contract) for each in contents])
    answers = EdgeModel(paths["fp32"]).predict(tensors)
    examples = [
        RawExample(str(n), LABELS[int(answer.argmax())], {}, content, tensor, answer, True)
        for n, (content, tensor, answer) in enumerate(zip(contents, tensors, answers, strict=True))
    ]
    golden = work / f"golden-{len(list(work.iterdir()))}"
    write_vectors(golden, examples, contract, paths)
    variants = tuple(
        msgspec.structs.replace(released_file(name, path.name), inputs=report.inputs, outputs=report.outputs)
        for name, path in paths.items()
        for report in (inspect(path),)
    )
    fields: dict[str, Any] = {
        "labels": LABELS,
        "preprocessing": contract,
        "variants": variants,
        "default_variant": variant,
        "signing_key": make_key(),
    }
    candidate = make_candidate(work / "candidate", str(seed), **{**fields, **changes})
    candidate.edge_files.clear()  # type: ignore[attr-defined]
    candidate.edge_files.update(  # type: ignore[attr-defined]
        {path.name: path for path in paths.values()}
        | {f"golden/{path.name}": path for path in golden.iterdir()}
    )
    return store.push(root, kind, candidate)


def forge(key: Any = KEY, **changes: Any) -> Callable[[bytes], bytes]:
    """Returns a change of a pointer that signs it anew with a key, or with none."""

    def change(content: bytes) -> bytes:
        document = json.loads(content)
        pointer, _ = msgspec.convert(document["signed"], Envelope).read()
        signed = seal(msgspec.structs.replace(pointer, **changes), key)
        return json.dumps({**document, "signed": msgspec.to_builtins(signed)}).encode()

    return change


def at(days: float) -> str:
    return format_utc(datetime.now(timezone.utc) + timedelta(days=days))


def cut(content: bytes) -> bytes:
    return content[:-7]


def flip(content: bytes) -> bytes:
    return content[:-7] + bytes([content[-7] ^ 1]) + content[-6:]


POINTER = "current.json"
# A file of a second release, the change that the server makes to it, the reason, and the words of the page.
FAULTS: dict[str, tuple[str, Callable[[bytes], bytes | None], str, str]] = {
    "another key": (POINTER, forge(make_key(2)), "signature", "not signed with a key"),
    "no signature": (POINTER, forge(None), "signature", "not signed with a key"),
    **{
        name: (POINTER, change, "pointer", "no readable signed pointer")
        for name, change in (
            ("a changed payload", lambda raw: raw.replace(b'"payload": "eyJ', b'"payload": "eyI')),
            ("no signed pointer", lambda raw: b'{"version": 2}'),
            ("a captive portal", lambda raw: b"<html>log in</html>"),
        )
    },
    "an old counter": (POINTER, forge(counter=1), "replayed", "old pointer was replayed"),
    "one that is over": (POINTER, forge(issued=at(-9), expires=at(-1)), "stale", "the pointer expired at"),
    "one of next year": (POINTER, forge(issued=at(365), expires=at(380)), "clock", "in the future"),
    "one of another model": (POINTER, forge(model="shelf"), "other", "the model shelf, not row"),
    "a truncated file": ("2/model_fp32.tflite", cut, "truncated", "model_fp32.tflite has "),
    "a changed contract": ("2/preprocessing.json", flip, "swapped", "preprocessing.json is not the file"),
    "another manifest": ("2/manifest.json", flip, "swapped", "manifest.json is not the file"),
    "a missing file": ("2/golden/tensors.bin", lambda raw: None, "missing", "tensors.bin is missing"),
}
