"""Calibration of model probabilities: which numbers of models are taken."""

from __future__ import annotations

import numpy as np
import pytest

from bayesinn.core.errors import InputError
from bayesinn.diagnostics.model_calibration import model_calibration

NUMBERS = np.array([0, 1, 1, 0, 1])
PROBABILITIES = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3], [0.1, 0.9]])


@pytest.mark.parametrize("kind", [bool, float, np.float32, np.uint8])
def test_numbers_of_models_may_be_of_any_type(kind: type) -> None:
    expected = model_calibration(NUMBERS, PROBABILITIES, ["a", "b"])
    found = model_calibration(NUMBERS.astype(kind), PROBABILITIES, ["a", "b"])
    assert repr(found) == repr(expected)
    assert found.accuracy == 0.8


@pytest.mark.parametrize(
    ("truth", "probabilities", "told"),
    [
        (np.zeros(0), np.zeros((0, 2)), r"(?s)an empty array"),
        (NUMBERS + 0.5, PROBABILITIES, "from 0 to 1"),
        (NUMBERS + 1, PROBABILITIES, "from 0 to 1"),
    ],
)
def test_what_numbers_no_model_is_refused(
    truth: np.ndarray, probabilities: np.ndarray, told: str
) -> None:
    with pytest.raises(InputError, match=told):
        model_calibration(truth, probabilities, ["a", "b"])
