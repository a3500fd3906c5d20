"""Classifies a photo, a text or a row with TF Serving, by REST or gRPC: an example for your own client.

    .venv/bin/python deploy/serving/client.py workspace/push/edge/shelf/1 photo.jpg
    .venv/bin/python deploy/serving/client.py workspace/push/edge/sensor/1 row.json --server localhost:8500

It needs the bundle that was pushed beside the SavedModel, Edgeline, which prepares photos and texts as
`edgeline predict` does, and `tensorflow-serving-api` for gRPC. A row is a JSON object of the arguments of the
signature serve_raw, which http://SERVER/v1/models/MODEL/metadata lists: numbers as a list of readings,
categories as a text.
"""

import argparse
import base64
import io
import json
import sys
import unicodedata
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

from edgeline.edge.contracts.image import decode
from edgeline.edge.photo_pixels import READER_ERRORS, open_photo, read_orientation
from edgeline.errors import EdgelineError
from edgeline.records.rejection import RowRejected, check_text, repair_text
from edgeline.tables.unpacking import decode_text

_SECONDS = 30
# Raised for a file that is no photo, no text that a model reads, or no row.
_UNUSABLE: tuple[type[Exception], ...] = (EdgelineError, RowRejected, *READER_ERRORS)


def make_request(file: Path, contract: Mapping[str, Any]) -> tuple[str, dict[str, list[Any]]]:
    """Returns the signature for preprocessing.json, and its arguments for the file, a batch of one."""
    if contract["kind"] == "image":
        return "serve_jpeg", {"jpeg": [_prepare_photo(file.read_bytes(), contract)]}
    if contract["kind"] == "tokens":
        text = decode_text(file.read_bytes())
        check_text(text)
        text = unicodedata.normalize(contract["normalization"], repair_text(text))  # as in the training data
        return "serve_raw", {contract["input"]: [text.encode()]}
    row = json.loads(file.read_text(encoding="utf-8"))
    return "serve_raw", {name: [value] for name, value in row.items()}


def _prepare_photo(photo: bytes, contract: Mapping[str, Any]) -> bytes:
    """Returns the photo as ingest stores it: upright, on white, no larger than `max_side`."""
    with open_photo(photo) as image:
        is_upright = read_orientation(image) == 1
        is_small = max(image.size) <= contract["max_side"]
        if image.format == "JPEG" and image.mode in ("L", "RGB") and is_upright and is_small:
            return photo
    file = io.BytesIO()
    decode(photo, contract).convert("RGB").save(file, "PNG")
    return file.getvalue()


def ask_rest(
    server: str, model: str, version: int, signature: str, inputs: Mapping[str, list[Any]]
) -> list[float]:
    """Requests the probabilities of the labels by POST /v1/models/MODEL/versions/VERSION:predict.

    Ends the program with a message if the server refuses or does not answer.

    Args:
        server: Its URL, with http:// or https://.
        model: The name under which the server has the model.
        version: The version of the bundle; the server has to serve it too.
        signature: The one of the SavedModel that takes these inputs.
        inputs: A batch of one for each argument of the signature; bytes are sent in Base64.
    """
    encoded = {
        name: [{"b64": base64.b64encode(v).decode()} if isinstance(v, bytes) else v for v in values]
        for name, values in inputs.items()
    }
    request = urllib.request.Request(
        f"{server}/v1/models/{model}/versions/{version}:predict",
        json.dumps({"signature_name": signature, "inputs": encoded}).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as response:
            probabilities: list[float] = json.load(response)["outputs"][0]
    except urllib.error.HTTPError as error:
        answer = error.read().decode(errors="replace")
        with suppress(ValueError, LookupError, TypeError):  # a proxy's answer is another
            answer = json.loads(answer)["error"]
        sys.exit(f"{server} refused: {error.code}: {answer}")
    except OSError as error:
        sys.exit(f"{server} does not answer: {error}")
    except (HTTPException, LookupError, ValueError) as error:  # the port of gRPC, or another server
        sys.exit(f"{server} does not answer as TF Serving does by REST: {error!r}")
    return probabilities


def _ask_grpc(
    server: str, model: str, version: int, signature: str, inputs: Mapping[str, list[Any]]
) -> list[float]:
    """Requests the probabilities by PredictionService.Predict."""
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis.predict_pb2 import PredictRequest
    from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

    request = PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, signature
    request.model_spec.version.value = version
    for name, values in inputs.items():
        dtype = tf.string if isinstance(values[0], (bytes, str)) else tf.float32
        request.inputs[name].CopyFrom(tf.make_tensor_proto(values, dtype))
    with grpc.insecure_channel(server) as channel:
        try:
            response = PredictionServiceStub(channel).Predict(request, timeout=_SECONDS)
        except grpc.RpcError as error:
            sys.exit(f"{server} refused: {error.code().name}: {error.details()}")
    probabilities: list[float] = tf.make_ndarray(response.outputs["probabilities"])[0].tolist()
    return probabilities


def main(arguments: list[str] | None = None) -> None:
    """Prints the most probable label and its score."""
    description, _, usage = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=description, epilog=usage, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path, help="PUSH/edge/MODEL/VERSION of a served version")
    parser.add_argument("file", type=Path, help="a photo, a text, or a row as JSON")
    parser.add_argument(
        "--server", default="http://localhost:8501", help="address of the server: http:// for REST, else gRPC"
    )
    options = parser.parse_args(arguments)

    try:
        manifest = json.loads((options.bundle / "manifest.json").read_bytes())
        contract = json.loads((options.bundle / "preprocessing.json").read_bytes())
        labels = (options.bundle / "labels.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, ValueError) as error:
        sys.exit(f"{options.bundle} is not a bundle, PUSH/edge/MODEL/VERSION: {error}")
    try:
        signature, inputs = make_request(options.file, contract)
    except _UNUSABLE as error:
        sys.exit(
            f"{options.file} is not a photo that Pillow reads, a text, or a row as a JSON object: {error}"
        )

    ask = ask_rest if options.server.startswith(("http://", "https://")) else _ask_grpc
    scores = ask(options.server, manifest["model"], manifest["version"], signature, inputs)
    score, label = max(zip(scores, labels, strict=True))
    print(f"{label} {score:.4f}")


if __name__ == "__main__":
    main()
