"""Examples whose label is probably wrong, found by confident learning.

A model that did not learn from an example gives it probabilities. An example is suspect if another class than
its own reaches the mean probability that this class has among the examples with that label, and is above the
probability of the own label (Northcutt, Jiang and Chuang, 2021: Confident Learning, JAIR 70, 1373-1411).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def find_suspects(
    labels: NDArray[np.int64], probabilities: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the positions of the suspect examples, the surest first, and the class that each should have.

    Args:
        labels: The label of each example, [n].
        probabilities: The probabilities by a model that did not learn from the example, [n, classes]; an
            example with a NaN is not judged.
    """
    known = np.flatnonzero(np.isfinite(probabilities).all(1))
    given, scores = labels[known], probabilities[known]
    # A class without an example has no confident mean, and nothing is suspected to belong to it.
    thresholds = np.array(
        [scores[given == c, c].mean() if (given == c).any() else np.inf for c in range(scores.shape[1])]
    )
    confident = np.where(scores >= thresholds, scores, 0.0)
    confident[np.arange(len(given)), given] = 0.0
    suggested = confident.argmax(1)
    margins = confident.max(1) - scores[np.arange(len(given)), given]
    suspect = np.flatnonzero(margins > 0)
    suspect = suspect[np.argsort(-margins[suspect], kind="stable")]
    return known[suspect], suggested[suspect]
