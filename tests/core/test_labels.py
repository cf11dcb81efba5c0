"""Columns of tables: one for each number."""

import numpy as np

from bayesinn.core.labels import columns


def test_each_element_of_a_vector_has_a_column() -> None:
    split = columns({"rate": np.zeros(5), "beta": np.arange(10).reshape(5, 2)}, batch_ndim=1)
    assert list(split) == ["rate", "beta[0]", "beta[1]"]
    assert split["beta[1]"].tolist() == [1, 3, 5, 7, 9]
