"""What TensorBoard shows of a training, written while it goes on.

Three runs in one folder: `train` and `eval`, by epoch and with the same tags, so that TensorBoard draws them
into the same charts, and `steps`, by step. An event is in its file as soon as it was written, so that a kill
loses none. Event files are TFRecord files of protos that TensorFlow has; `tf.summary` writes them with a part
of TensorBoard, which is not there with every TensorFlow.
"""

import io
import logging
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from tensorflow.core.framework import summary_pb2
from tensorflow.core.util import event_pb2

from records.training import TENSORBOARD

_TRAIN, _EVAL, _STEPS = "train", "eval", "steps"
# Points of one chart by step: each step up to here, then ever fewer; a million steps give 6,000 of them.
_EACH_STEP = 1000
# Matrices: each epoch up to here, then ever fewer.
_EACH_EPOCH = 50
_MOST_MISTAKES = 16
_LARGEST_PHOTO = 256  # pixels
_MOST_CLASSES = 64  # that a matrix is drawn of
_MOST_NUMBERED = 20  # that its cells have numbers of

_progress = logging.getLogger("edgeline.progress")


class Board:
    """The event files of one training.

    Args:
        folder: Where they lie. A folder that has some already is that of a training that goes on.
        epochs: Done before. What the folder has of later epochs is not shown any more.
        steps: Done before, likewise.
    """

    def __init__(self, folder: Path, epochs: int = 0, steps: int = 0) -> None:
        self._epoch = epochs
        self._writers = {
            name: _EventFile(folder / name, done + 1)
            for name, done in ((_TRAIN, epochs), (_EVAL, epochs), (_STEPS, steps))
        }
        told = {"event": TENSORBOARD, "folder": str(folder.absolute())}
        _progress.info("TensorBoard: %s", folder, extra={"progress": told})

    def steps(self, step: int, values: Mapping[str, float]) -> None:
        """Points by step: `loss`, `learning_rate`, `input_wait` and the like.

        `step` counts the steps done over all epochs, from 1. Each is shown of the first thousand; later ones
        are passed over unless they are due, so that a file stays small, and cost nothing.
        """
        if _due(step, _EACH_STEP):
            self._writers[_STEPS].scalars(step, {f"{_STEPS}/{tag}": value for tag, value in values.items()})

    def epoch(
        self,
        epoch: int,
        logs: Mapping[str, float],
        confusion: NDArray[np.integer[Any]] | None = None,
        labels: Sequence[str] = (),
    ) -> None:
        """The numbers of an epoch, counted from 1.

        Args:
            epoch: Its number.
            logs: By name; those of `val_...` are of eval, under the name without it.
            confusion: Eval examples by label and answer, [labels, labels].
            labels: Names, in the order of ids.
        """
        self._epoch = epoch
        of_eval = {tag.removeprefix("val_"): value for tag, value in logs.items() if tag.startswith("val_")}
        of_train = {tag: value for tag, value in logs.items() if not tag.startswith("val_")}
        self._writers[_TRAIN].scalars(epoch, of_train)
        self._writers[_EVAL].scalars(epoch, of_eval)
        if confusion is not None and len(labels) <= _MOST_CLASSES and _due(epoch, _EACH_EPOCH):
            picture = draw_confusion(confusion, labels)
            said = "Of each label, a row, what the model said, a column; the darker, the more of its row."
            self._writers[_EVAL].image(epoch, "confusion", picture, said)

    def mistakes(
        self, inputs: Any, probabilities: NDArray[np.floating[Any]], true: Any, labels: Sequence[str]
    ) -> None:
        """The photos on which the model is most sure of a wrong answer, 16 at most; once, at the end.

        Args:
            inputs: What the model read, array, tensor, or None where it is not in memory; nothing is shown
                unless these are photos: uint8 [N, height, width, 1 or 3].
            probabilities: Its answers, [N, labels].
            true: Label ids, [N].
            labels: Names, in the order of ids.
        """
        if (
            inputs is None
            or len(inputs.shape) != 4
            or inputs.shape[-1] not in (1, 3)
            or inputs.dtype != np.uint8
        ):
            return
        said, true = probabilities.argmax(axis=1), np.asarray(true)
        scores = np.where(said != true, probabilities.max(axis=1), -1.0)
        worst = [int(i) for i in np.argsort(-scores, kind="stable")[:_MOST_MISTAKES] if scores[i] >= 0]
        for place, i in enumerate(worst, start=1):
            photo = Image.fromarray(np.asarray(inputs[i]).squeeze())
            photo.thumbnail((_LARGEST_PHOTO, _LARGEST_PHOTO))
            names = f"{labels[true[i]]} -> {labels[said[i]]}"
            text = f"{names}, of which it is {scores[i]:.0%} sure; eval example {i}"
            self._writers[_EVAL].image(self._epoch, f"mistakes/{place:02} {names}", photo, text)

    def close(self) -> None:
        """Closes the files; each event is in them before."""
        for writer in self._writers.values():
            writer.close()


def draw_confusion(confusion: NDArray[np.integer[Any]], labels: Sequence[str]) -> Image.Image:
    """A confusion matrix, [labels, labels], as a picture: labels down, answers across, shares of each row."""
    count = len(labels)
    cell = max(12, min(72, 720 // count))
    font = ImageFont.load_default(max(9, min(14, cell // 3)))
    names = [label if len(label) <= 24 else f"{label[:23]}…" for label in labels]
    margin = 12 + math.ceil(max(font.getlength(name) for name in names))
    picture = Image.new("RGB", (margin + count * cell, margin + count * cell), "white")
    draw = ImageDraw.Draw(picture)
    across = Image.new("RGB", (count * cell, margin), "white")  # Turned by a quarter below.
    for i, name in enumerate(names):
        middle = i * cell + cell // 2
        draw.text((margin - 6, margin + middle), name, "black", font, anchor="rm")
        turned = Image.new("RGB", (margin, cell), "white")
        ImageDraw.Draw(turned).text((6, cell // 2), name, "black", font, anchor="lm")
        across.paste(turned.rotate(90, expand=True), (i * cell, 0))
    picture.paste(across, (margin, 0))
    for row, numbers in enumerate(confusion.tolist()):
        for column, number in enumerate(numbers):
            share = number / max(1, sum(numbers))
            left, top = margin + column * cell, margin + row * cell
            fill = tuple(round(255 - share * (255 - full)) for full in (8, 48, 107))
            draw.rectangle((left, top, left + cell - 1, top + cell - 1), fill, "#dddddd")
            if count <= _MOST_NUMBERED:
                colour = "white" if share > 0.5 else "black"
                draw.text((left + cell / 2, top + cell / 2), str(number), colour, font, anchor="mm")
    return picture


def _due(number: int, each: int) -> bool:
    """Every one up to `each`, every second up to twice as many, every fourth up to four times, and so on."""
    return number % (1 << max(0, (number - 1) // each).bit_length()) == 0


class _EventFile:
    """A new event file of a folder, in which what others have from a step on counts no longer."""

    def __init__(self, folder: Path, first: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads them in the order of their names, and knows them by `tfevents` in these.
        number = len(list(folder.iterdir()))
        self._file = tf.io.TFRecordWriter(str(folder / f"events.out.tfevents.{number:06}"))
        self._write(event_pb2.Event(file_version="brain.Event:2"))
        self._write(event_pb2.Event(step=first, session_log={"status": event_pb2.SessionLog.START}))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        found = [summary_pb2.Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        if found:
            self._write(event_pb2.Event(step=step, summary=summary_pb2.Summary(value=found)))

    def image(self, step: int, tag: str, picture: Image.Image, description: str) -> None:
        file = io.BytesIO()
        picture.save(file, "png")
        parts = [str(picture.width).encode(), str(picture.height).encode(), file.getvalue()]
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
