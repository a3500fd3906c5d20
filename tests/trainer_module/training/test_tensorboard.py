"""Event files, read back with TensorBoard's own reader."""

import io

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from edgeline.records.events import LogOpened, listen
from trainer_module.training.tensorboard import Board, draw_confusion

LABELS = ("ok", "misplaced", "damaged")
LOGS = {"loss": 0.5, "accuracy": 0.8, "learning_rate": 0.01, "input_wait": 0.1}
LOGS |= {"val_loss": 0.6, "val_accuracy": 0.7, "val_recall": 0.65}
CONFUSION = np.array([[90, 8, 2], [5, 15, 0], [3, 0, 7]])


def read(folder, name):
    events = EventAccumulator(str(folder / name), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    return events


def points(events, tag):
    return [(event.step, round(event.value, 6)) for event in events.Scalars(tag)]


def pictures(events, tag):
    files = [(event.step, event.tensor_proto.string_val[2]) for event in events.Tensors(tag)]
    return [(step, Image.open(io.BytesIO(file))) for step, file in files]


def test_numbers_of_train_and_eval_have_the_same_names_in_two_runs(tmp_path):
    board = Board(tmp_path, LABELS)
    for epoch in (1, 2):
        board.epoch(epoch, {**LOGS, "loss": 1 / epoch}, CONFUSION)
    train, evaluation = read(tmp_path, "train"), read(tmp_path, "eval")
    assert set(train.Tags()["scalars"]) == {"loss", "accuracy", "learning_rate", "input_wait"}
    assert set(evaluation.Tags()["scalars"]) == {"loss", "accuracy", "recall"}
    assert points(train, "loss") == [(1, 1.0), (2, 0.5)]
    assert points(evaluation, "recall") == [(1, 0.65), (2, 0.65)]


def test_a_run_is_told_where_its_training_writes(tmp_path):
    events = []
    with listen(events.append):
        Board(tmp_path, LABELS)
    assert events == [LogOpened(str(tmp_path))]


def test_steps_are_thinned_out_the_more_there_are(tmp_path):
    board = Board(tmp_path, LABELS)
    for step in range(1, 20_001):
        board.steps(step, {"loss": 1 / step})
    found = [step for step, _ in points(read(tmp_path, "steps"), "steps/loss")]
    assert found[:1000] == list(range(1, 1001))
    assert found[-1] == 20_000
    assert len(found) < 3_500
    assert sum(file.stat().st_size for file in tmp_path.rglob("*tfevents*")) < 300_000


def write(board, epochs, value):
    """Writes epochs of two steps, whose values are all the same."""
    for epoch in epochs:
        for step in (1, 2):
            board.steps(2 * epoch - 2 + step, {"loss": value})
        board.epoch(epoch, {"loss": value, "val_loss": value}, CONFUSION)


def test_a_training_that_goes_on_after_a_kill_has_each_point_once(tmp_path):
    killed = Board(tmp_path, LABELS)  # in the third epoch; the checkpoint is of the second
    write(killed, (1, 2, 3), 9.0)
    assert points(read(tmp_path, "train"), "loss") == [(1, 9.0), (2, 9.0), (3, 9.0)]  # without a close

    write(Board(tmp_path, LABELS, epochs=2, steps=4), (3, 4), 1.0)
    by_epoch = [(1, 9.0), (2, 9.0), (3, 1.0), (4, 1.0)]
    for name in ("train", "eval"):
        assert points(read(tmp_path, name), "loss") == by_epoch
    by_step = [(step, 9.0 if step <= 4 else 1.0) for step in range(1, 9)]
    assert points(read(tmp_path, "steps"), "steps/loss") == by_step


def test_an_event_that_a_kill_tore_costs_no_other(tmp_path):
    board = Board(tmp_path, LABELS)
    for epoch in (1, 2):
        board.epoch(epoch, LOGS, CONFUSION)
    (file,) = (tmp_path / "train").iterdir()
    file.write_bytes(file.read_bytes()[:-7])
    Board(tmp_path, LABELS, epochs=1, steps=1).epoch(2, {"loss": 0.25}, CONFUSION)
    assert points(read(tmp_path, "train"), "loss") == [(1, 0.5), (2, 0.25)]


def test_the_confusion_matrix_is_darkest_where_most_of_a_label_went(tmp_path):
    Board(tmp_path, LABELS).epoch(1, LOGS, CONFUSION)
    ((step, picture),) = pictures(read(tmp_path, "eval"), "confusion")
    assert step == 1
    # Each column of pixels in the blue of at most one share: the darkest blues are of the diagonal.
    red = np.asarray(picture.convert("RGB"))[..., 0].astype(int)
    blue = np.asarray(picture.convert("RGB"))[..., 2].astype(int)
    rows, columns = np.nonzero(blue - red > 60)
    assert np.corrcoef(rows, columns)[0, 1] > 0.5


@pytest.mark.parametrize("count", [1, 64])
def test_a_matrix_of_any_labels_and_number_of_them_fits_on_a_screen(count):
    labels = [f"$5_$10 is no formula and far too long {i} ✓" for i in range(count)]
    picture = Image.open(io.BytesIO(draw_confusion(np.eye(count, dtype=int), labels)))
    assert max(picture.size) < 1000


def test_the_photos_of_the_surest_mistakes_are_shown_with_what_was_true_and_said(tmp_path):
    photos = np.full((40, 8, 8, 1), 100, np.uint8)
    photos[7] = 200
    probabilities = np.tile([0.7, 0.2, 0.1], (40, 1))
    probabilities[7] = [0.02, 0.97, 0.01]
    true = np.array([0] * 20 + [2] * 20)
    board = Board(tmp_path, LABELS)
    board.epoch(5, LOGS, CONFUSION)
    board.mistakes(photos, probabilities, true)
    events = read(tmp_path, "eval")
    tags = sorted({*events.Tags()["tensors"]} - {"confusion"})
    assert tags[:2] == ["mistakes/01 ok -> misplaced", "mistakes/02 damaged -> ok"]
    assert len(tags) == 16
    ((step, worst),) = pictures(events, tags[0])
    assert (step, worst.size, worst.getpixel((4, 4))) == (5, (8, 8), 200)
    assert "a score of 97%" in events.SummaryMetadata(tags[0]).summary_description


@pytest.mark.parametrize(
    "inputs",
    [np.zeros((2, 5), np.float32), np.zeros((2, 8), np.int64), np.zeros((2, 4, 4, 3), np.float32), None],
    ids=["a table", "a text", "features", "not in memory"],
)
def test_what_is_no_photo_is_not_shown(tmp_path, inputs):
    Board(tmp_path, ("no", "yes")).mistakes(inputs, np.array([[0.9, 0.1], [0.2, 0.8]]), [1, 1])
    assert read(tmp_path, "eval").Tags()["tensors"] == []
