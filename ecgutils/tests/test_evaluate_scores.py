"""Predictions as an array in the order of other arrays."""

import numpy as np
import pandas as pd
import pytest

from ecgutils import FINDINGS
from ecgutils.evaluate import scores_by_id

TABLE = pd.DataFrame({"ID": ["a", "b"], **{finding: [0.2, np.nan] for finding in FINDINGS}})
SHARES = dict(zip(FINDINGS, (0.1, 0.2, 0.3, 0.4, 0.5), strict=True))


def test_scores_come_in_the_order_asked_for_with_the_unreadable_filled():
    np.testing.assert_array_equal(scores_by_id(TABLE, ["b", "a"], SHARES), [list(SHARES.values()), [0.2] * 5])


def test_an_id_without_a_prediction_is_an_error():
    with pytest.raises(KeyError, match="c"):
        scores_by_id(TABLE, ["a", "c"], SHARES)
