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


def read_events(folder, name):
    events = EventAccumulator(str(folder / name), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    return events


def read_points(events, tag):
    return [(event.step, round(event.value, 6)) for event in events.Scalars(tag)]


def read_pictures(events, tag):
    files = [(event.step, event.tensor_proto.string_val[2]) for event in events.Tensors(tag)]
    return [(step, Image.open(io.BytesIO(file))) for step, file in files]


def test_numbers_of_train_and_eval_have_the_same_names_in_two_runs_of_a_folder_that_is_reported(tmp_path):
    events = []
    with listen(events.append):
        board = Board(tmp_path, LABELS)
    assert events == [LogOpened(str(tmp_path))]
    for epoch in (1, 2):
        board.epoch(epoch, {**LOGS, "loss": 1 / epoch}, CONFUSION)
    train, evaluation = read_events(tmp_path, "train"), read_events(tmp_path, "eval")
    assert set(train.Tags()["scalars"]) == {"loss", "accuracy", "learning_rate", "input_wait"}
    assert set(evaluation.Tags()["scalars"]) == {"loss", "accuracy", "recall"}
    assert read_points(train, "loss") == [(1, 1.0), (2, 0.5)]
    assert read_points(evaluation, "recall") == [(1, 0.65), (2, 0.65)]


def test_many_steps_are_thinned_out(tmp_path):
    board = Board(tmp_path, LABELS)
    for step in range(1, 20_001):
        board.steps(step, {"loss": 1 / step})
    steps = [step for step, _ in read_points(read_events(tmp_path, "steps"), "steps/loss")]
    assert steps[:1000] == list(range(1, 1001))
    assert steps[-1] == 20_000
    assert len(steps) < 3_500
    assert sum(file.stat().st_size for file in tmp_path.rglob("*tfevents*")) < 300_000


def write(board, epochs, value):
    """Writes epochs of two steps that all have the same value."""
    for epoch in epochs:
        for step in (1, 2):
            board.steps(2 * epoch - 2 + step, {"loss": value})
        board.epoch(epoch, {"loss": value, "val_loss": value}, CONFUSION)


def test_a_training_that_goes_on_after_a_kill_has_each_point_once(tmp_path):
    board = Board(tmp_path, LABELS)  # in the third epoch, after the checkpoint of the second
    write(board, (1, 2, 3), 9.0)
    # The points are there although the board was not closed.
    assert read_points(read_events(tmp_path, "train"), "loss") == [(1, 9.0), (2, 9.0), (3, 9.0)]

    write(Board(tmp_path, LABELS, epochs=2, steps=4), (3, 4), 1.0)
    by_epoch = [(1, 9.0), (2, 9.0), (3, 1.0), (4, 1.0)]
    for name in ("train", "eval"):
        assert read_points(read_events(tmp_path, name), "loss") == by_epoch
    by_step = [(step, 9.0 if step <= 4 else 1.0) for step in range(1, 9)]
    assert read_points(read_events(tmp_path, "steps"), "steps/loss") == by_step


def test_an_event_cut_off_by_a_kill_does_not_affect_others(tmp_path):
    board = Board(tmp_path, LABELS)
    for epoch in (1, 2):
        board.epoch(epoch, LOGS, CONFUSION)
    (file,) = (tmp_path / "train").iterdir()
    file.write_bytes(file.read_bytes()[:-7])
    Board(tmp_path, LABELS, epochs=1, steps=1).epoch(2, {"loss": 0.25}, CONFUSION)
    assert read_points(read_events(tmp_path, "train"), "loss") == [(1, 0.5), (2, 0.25)]


def test_the_confusion_matrix_is_darkest_at_the_most_frequent_predictions(tmp_path):
    Board(tmp_path, LABELS).epoch(1, LOGS, CONFUSION)
    ((step, picture),) = read_pictures(read_events(tmp_path, "eval"), "confusion")
    assert step == 1
    # The darkest blues are on the diagonal.
    red = np.asarray(picture.convert("RGB"))[..., 0].astype(int)
    blue = np.asarray(picture.convert("RGB"))[..., 2].astype(int)
    rows, columns = np.nonzero(blue - red > 60)
    assert np.corrcoef(rows, columns)[0, 1] > 0.5


@pytest.mark.parametrize("count", [1, 64])
def test_a_matrix_of_any_labels_and_any_number_fits_on_a_screen(count):
    labels = [f"$5_$10 is no formula and far too long {i} ✓" for i in range(count)]
    picture = Image.open(io.BytesIO(draw_confusion(np.eye(count, dtype=int), labels)))
    assert max(picture.size) < 1000


def test_the_photos_of_the_surest_mistakes_are_shown_with_label_and_prediction(tmp_path):
    photos = np.full((40, 8, 8, 1), 100, np.uint8)
    photos[7] = 200
    probabilities = np.tile([0.7, 0.2, 0.1], (40, 1))
    probabilities[7] = [0.02, 0.97, 0.01]
    true = np.array([0] * 20 + [2] * 20)
    board = Board(tmp_path, LABELS)
    board.epoch(5, LOGS, CONFUSION)
    board.mistakes(photos, probabilities, true)
    events = read_events(tmp_path, "eval")
    tags = sorted({*events.Tags()["tensors"]} - {"confusion"})
    assert tags[:2] == ["mistakes/01 ok -> misplaced", "mistakes/02 damaged -> ok"]
    assert len(tags) == 16
    ((step, worst),) = read_pictures(events, tags[0])
    assert (step, worst.size, worst.getpixel((4, 4))) == (5, (8, 8), 200)
    assert "a score of 97%" in events.SummaryMetadata(tags[0]).summary_description


@pytest.mark.parametrize(
    "inputs",
    [np.zeros((2, 5), np.float32), np.zeros((2, 8), np.int64), np.zeros((2, 4, 4, 3), np.float32), None],
    ids=["a table", "a text", "features", "not in memory"],
)
def test_inputs_other_than_photos_are_not_shown(tmp_path, inputs):
    Board(tmp_path, ("no", "yes")).mistakes(inputs, np.array([[0.9, 0.1], [0.2, 0.8]]), [1, 1])
    assert read_events(tmp_path, "eval").Tags()["tensors"] == []
