"""Features of texts by how much each speaks for a class (Wang and Manning, 2012: Baselines and Bigrams)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin


class LogCountRatios(TransformerMixin, BaseEstimator):
    """Weights each n-gram by the logarithm of its share in a class to that in the others.

    A linear model on these is NBSVM: short texts tell too little for weights that are learned alone.
    """

    def fit(self, counts: Any, is_class: NDArray[np.int64]) -> "LogCountRatios":
        """Learns the ratios.

        Args:
            counts: Whether each text has each n-gram, 0 or 1, sparse [n, n-grams].
            is_class: Whether each text is of the class, 0 or 1, [n].
        """
        inside, outside = (1 + np.asarray(counts[is_class == value].sum(0)).ravel() for value in (1, 0))
        self.ratios_ = np.log(inside / inside.sum()) - np.log(outside / outside.sum())
        return self

    def transform(self, counts: Any) -> Any:
        """Returns the weighted n-grams, sparse [n, n-grams]."""
        return counts.multiply(self.ratios_).tocsr()
