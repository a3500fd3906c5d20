"""TensorBoard's event files, written while a training runs.

There are three runs in one folder: `train` and `eval`, by epoch and with the same tags, so that TensorBoard
draws them into the same charts, and `steps`, by step. Each event is flushed to its file, so that a kill loses
none. Event files are TFRecord files of protos that TensorFlow has; `tf.summary` is not used, as it needs a
part of TensorBoard that does not come with every TensorFlow.
"""

import io
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image
from tensorflow.core.framework import summary_pb2
from tensorflow.core.util import event_pb2

from edgeline.records.events import LogOpened, report

_TRAIN, _EVAL, _STEPS = "train", "eval", "steps"
# A chart by step has each step up to this one, then ever fewer; a million steps give 6,000 points.
_EACH_STEP = 1000
# There is a confusion matrix for each epoch up to this one, then for ever fewer: TensorBoard shows ten, and
# to draw one takes as long as an epoch of a small table.
_EACH_EPOCH = 5
_MOST_MISTAKES = 16
_LARGEST_PHOTO = 256  # pixels
_MOST_CLASSES = 64  # of which a matrix is drawn
_MOST_NUMBERED = 10  # classes of a matrix with numbers in its cells


class Board:
    """The event files of one training, for a model of these labels, in the order of their ids.

    A training that resumes has done so many epochs and steps before; TensorBoard hides events of later ones.
    """

    def __init__(self, folder: Path, labels: Sequence[str], epochs: int = 0, steps: int = 0) -> None:
        self._labels, self._epoch = labels, epochs
        self._writers = {
            name: _EventFile(folder / name, done + 1)
            for name, done in ((_TRAIN, epochs), (_EVAL, epochs), (_STEPS, steps))
        }
        report(LogOpened(str(folder.absolute())))

    def steps(self, step: int, values: Mapping[str, float]) -> None:
        """Writes points by step: `loss`, `learning_rate`, `input_wait` and the like.

        `step` counts the steps of all epochs, from 1. All of the first thousand are written, and ever fewer
        of the later ones, so that the file stays small; skipped ones cost nothing.
        """
        if _is_due(step, _EACH_STEP):
            self._writers[_STEPS].scalars(step, {f"{_STEPS}/{tag}": value for tag, value in values.items()})

    def epoch(self, epoch: int, logs: Mapping[str, float], confusion: NDArray[np.integer[Any]]) -> None:
        """Writes the numbers of an epoch, counted from 1; `val_...` goes to `eval` without the prefix.

        Args:
            epoch: Of the later ones, ever fewer have a picture of `confusion`.
            logs: Metrics by the names that Keras uses, and `learning_rate`.
            confusion: Counts of eval examples by label and predicted label, [labels, labels].
        """
        self._epoch = epoch
        eval_logs = {tag.removeprefix("val_"): value for tag, value in logs.items() if tag.startswith("val_")}
        train_logs = {tag: value for tag, value in logs.items() if not tag.startswith("val_")}
        self._writers[_TRAIN].scalars(epoch, train_logs)
        self._writers[_EVAL].scalars(epoch, eval_logs)
        if len(self._labels) <= _MOST_CLASSES and _is_due(epoch, _EACH_EPOCH):
            picture = draw_confusion(confusion, self._labels)
            text = "Rows are labels, columns are predictions; the darker, the larger the share of the row."
            self._writers[_EVAL].image(epoch, "confusion", picture, text)

    def mistakes(self, inputs: Any, probabilities: NDArray[np.floating[Any]], true: Any) -> None:
        """Writes the photos, at most 16, on which the model is most sure of a wrong answer; once, at the end.

        Args:
            inputs: Nothing is written unless they are stored and photos: uint8 [N, height, width, 1 or 3].
            probabilities: The answers to them, [N, labels].
            true: Label ids, [N].
        """
        is_images = inputs is not None and len(inputs.shape) == 4 and inputs.shape[-1] in (1, 3)
        if not is_images or inputs.dtype != np.uint8:
            return
        predicted, true = probabilities.argmax(axis=1), np.asarray(true)
        scores = np.where(predicted != true, probabilities.max(axis=1), -1.0)
        worst = [int(i) for i in np.argsort(-scores, kind="stable")[:_MOST_MISTAKES] if scores[i] >= 0]
        for place, i in enumerate(worst, start=1):
            photo = Image.fromarray(np.asarray(inputs[i]).squeeze())
            photo.thumbnail((_LARGEST_PHOTO, _LARGEST_PHOTO))
            names = f"{self._labels[true[i]]} -> {self._labels[predicted[i]]}"
            text = f"{names} with a score of {scores[i]:.0%}; eval example {i}"
            photo.save(file := io.BytesIO(), "png")
            self._writers[_EVAL].image(self._epoch, f"mistakes/{place:02} {names}", file.getvalue(), text)

    def close(self) -> None:
        """Closes the files, to which each event was flushed already."""
        for writer in self._writers.values():
            writer.close()


def draw_confusion(confusion: NDArray[np.integer[Any]], labels: Sequence[str]) -> bytes:
    """Draws a confusion matrix, [labels, labels], as PNG: labels down, predictions across, shares of rows."""
    import matplotlib
    from matplotlib.figure import Figure

    count = len(labels)
    file = io.BytesIO()
    names = [label if len(label) <= 24 else f"{label[:23]}…" for label in labels]
    shares = confusion / confusion.sum(axis=1, keepdims=True).clip(1)
    with matplotlib.rc_context({"text.parse_math": False}):  # a label may contain $
        figure = Figure(figsize=(max(3, min(9, 0.8 * count)),) * 2, layout="constrained")
        axes = figure.subplots()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(count), names, rotation=90, fontsize=8)
        axes.set_yticks(range(count), names, fontsize=8)
        numbered = np.ndenumerate(confusion) if count <= _MOST_NUMBERED else ()
        for (row, column), number in numbered:
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(number), ha="center", va="center", color=colour)
        figure.savefig(file, format="png")
    return file.getvalue()


def _is_due(number: int, interval: int) -> bool:
    """Tells whether a number is due: each one up to `interval`, every second up to twice that, and so on."""
    return number % (1 << max(0, (number - 1) // interval).bit_length()) == 0


class _EventFile:
    """A new event file in a folder; it discards the other files' events from the step `first` on."""

    def __init__(self, folder: Path, first: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads the files in the order of their names, and recognises them by `tfevents`.
        number = len(list(folder.iterdir()))
        self._file = tf.io.TFRecordWriter(str(folder / f"events.out.tfevents.{number:06}"))
        self._write(event_pb2.Event(file_version="brain.Event:2"))
        self._write(event_pb2.Event(step=first, session_log={"status": event_pb2.SessionLog.START}))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        points = [summary_pb2.Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        if points:
            self._write(event_pb2.Event(step=step, summary=summary_pb2.Summary(value=points)))

    def image(self, step: int, tag: str, png: bytes, description: str) -> None:
        width, height = Image.open(io.BytesIO(png)).size
        parts = [str(width).encode(), str(height).encode(), png]
        value = summary_pb2.Summary.Value(
            tag=tag,
            metadata={"plugin_data": {"plugin_name": "images"}, "summary_description": description},
            tensor=tf.make_tensor_proto(parts),
        )
        self._write(event_pb2.Event(step=step, summary=summary_pb2.Summary(value=[value])))

    def close(self) -> None:
        self._file.close()

    def _write(self, event: Any) -> None:
        event.wall_time = time.time()
        self._file.write(event.SerializeToString())
        self._file.flush()
