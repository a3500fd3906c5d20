"""Scores earlier releases on the newest span, so that the page of all runs shows how releases age."""

import logging
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import tensorflow as tf

from components.serving import ServedModel, explain_mismatch
from components.transformed_examples import open_records
from edgeline.errors import EdgelineError
from edgeline.labels import parse_labels
from edgeline.records.edge import LABELS_FILE_NAME
from edgeline.records.evaluation import EarlierRelease
from edgeline.release import store
from edgeline.release.history import read_history
from edgeline.release.layout import PushFolder
from edgeline.release.releases import Release
from edgeline.release.verify import find_copy_problems
from edgeline.store.locations import copy_tree, locate
from trainer_module.raw_features import first_text
from trainer_module.workload_module import LABEL

# A release takes some seconds to load; a share of 500 examples is known to 2 points.
_MOST_RELEASES, _MOST_EXAMPLES = 4, 500

log = logging.getLogger("edgeline.production")


def score_releases(push: str, model: str, current: int, folder: str) -> Iterator[EarlierRelease]:
    """Yields the scores of the newest releases but the current one and those that were rolled back.

    Releases that cannot be read, or cannot read the examples, are logged.

    Args:
        push: The root of the release store, or its URL.
        model: The name of the model in the store.
        current: The version in production.
        folder: The folder of the split eval.
    """
    changes = read_history(PushFolder(locate(push)), model).changes
    left_out = {current, *(change.from_version for change in changes if change.action == "rollback")}
    releases = [release for release in store.releases(push, model) if release.version not in left_out]
    records, labels = _read_newest(folder) if releases else ([], [])
    if not records:
        return

    for release in releases[-_MOST_RELEASES:]:
        try:
            answers = _answer(release, records)
        except (EdgelineError, OSError, tf.errors.OpError, KeyError, ValueError) as error:
            why = explain_mismatch(error)
            log.warning("Version %d was not scored on the newest span: %s", release.version, why)
            continue
        right = sum(answer == label for answer, label in zip(answers, labels, strict=True))
        yield EarlierRelease(release.version, len(labels), right)


def _answer(release: Release, records: list[bytes]) -> list[str]:
    """Returns the label that a release's SavedModel gives to each serialized example."""
    names = parse_labels(release.read(LABELS_FILE_NAME), LABELS_FILE_NAME)
    with TemporaryDirectory(prefix="edgeline-release-") as scratch:
        target = Path(scratch, "model")
        copy_tree(release.serving, target)
        if problems := find_copy_problems(target, release.manifest):
            raise ValueError(problems[0])
        probabilities = ServedModel(str(target)).predict(records)
    return [names[number] for number in probabilities.argmax(axis=1)]


def _read_newest(folder: str) -> tuple[list[bytes], list[str]]:
    """Returns the first examples of the newest span, which are a random sample, and their labels."""
    records, labels = [], []
    for record in open_records(folder).as_numpy_iterator():
        features = tf.train.Example.FromString(record).features.feature
        if features["newest_span"].int64_list.value[0]:
            records.append(record)
            labels.append(first_text(features[LABEL]))
        if len(records) == _MOST_EXAMPLES:
            break
    return records, labels
