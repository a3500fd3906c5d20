"""A SavedModel as TF Serving serves it: its warm-up requests, and its signatures over REST and gRPC."""

import base64
import json
from collections.abc import Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2, prediction_service_pb2_grpc

from trainer_module.export.warm_up import REQUESTS


def read_warm_up_requests(saved_model: Path) -> list[predict_pb2.PredictRequest]:
    """Returns the warm-up requests in a SavedModel, in their order."""
    records = tf.data.TFRecordDataset(str(saved_model / REQUESTS)).as_numpy_iterator()
    return [prediction_log_pb2.PredictionLog.FromString(record).predict_log.request for record in records]


def call_signature(served: Any, request: predict_pb2.PredictRequest) -> dict[str, Any]:
    """Calls the signature that a request names; returns its outputs by name."""
    inputs = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
    return dict(served.signatures[request.model_spec.signature_name](**inputs))


def send_warm_up(saved_model: Path, served: Any) -> dict[str, dict[str, tuple[int, ...]]]:
    """Sends each warm-up request; returns the shapes of the answers by signature and output."""
    return {
        request.model_spec.signature_name: {
            name: tuple(value.shape) for name, value in call_signature(served, request).items()
        }
        for request in read_warm_up_requests(saved_model)
    }


@contextmanager
def serve_model(served: Any, model: str, version: int) -> Iterator[tuple[str, str]]:
    """Answers as TF Serving does, over REST and gRPC; yields the addresses of both."""

    class Rest(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == f"/v1/models/{model}/versions/{version}:predict":
                status, reply = 200, self.predict(request)
            else:
                status, reply = 404, {"error": f"Servable not found for request: {self.path}"}
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(reply).encode())

        def predict(self, request: Mapping[str, Any]) -> dict[str, Any]:
            signature = served.signatures[request["signature_name"]]
            specs = signature.structured_input_signature[1]
            plain = {
                name: [base64.b64decode(v["b64"]) if isinstance(v, dict) else v for v in values]
                for name, values in request["inputs"].items()
            }
            inputs = {name: tf.constant(values, specs[name].dtype) for name, values in plain.items()}
            (output,) = signature(**inputs).values()
            return {"outputs": output.numpy().tolist()}

        def log_message(self, *_: object) -> None:
            pass

    class Grpc(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request: Any, context: grpc.ServicerContext) -> predict_pb2.PredictResponse:
            if (request.model_spec.name, request.model_spec.version.value) != (model, version):
                context.abort(grpc.StatusCode.NOT_FOUND, "Servable not found for request")
            outputs = call_signature(served, request).items()
            return predict_pb2.PredictResponse(
                outputs={name: tf.make_tensor_proto(value) for name, value in outputs}
            )

    http = ThreadingHTTPServer(("127.0.0.1", 0), Rest)
    Thread(target=http.serve_forever, daemon=True).start()
    remote = grpc.server(futures.ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Grpc(), remote)
    port = remote.add_insecure_port("127.0.0.1:0")
    remote.start()
    try:
        yield f"http://127.0.0.1:{http.server_port}", f"127.0.0.1:{port}"
    finally:
        http.shutdown()
        http.server_close()
        remote.stop(None).wait()


def write_bundle(folder: Path, model: str, labels: list[str], contract: Mapping[str, Any]) -> Path:
    """Writes the files of a pushed bundle that a client reads."""
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"model": model, "version": 3}))
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in labels))
    (folder / "preprocessing.json").write_text(json.dumps(contract))
    return folder
