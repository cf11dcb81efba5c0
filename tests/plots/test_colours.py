"""Colours are told apart in grey, and by people who see two of the three primary colours."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from bayesinn.plots import panels

#: Linear RGB as seen without one kind of cones: Machado, Oliveira & Fernandes 2009, "A
#: physiologically-based model for simulation of color vision deficiency", severity 1.
SEEN = {
    "full": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
_XYZ = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
#: CIE 1976 differences: 2.3 is just noticed side by side; curves and points lie apart, and are
#: thin.
DISTINCT = 25.0
#: Of lightness alone, 100 from black to white. With the red of Okabe & Ito it was 3.
DISTINCT_IN_GREY = 10.0


def lab(colour: str, seen: Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
    """CIE L*a*b* of a colour (3,), D65."""
    encoded = np.array(to_rgb(colour))
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    light = np.clip(np.asarray(seen) @ linear, 0.0, 1.0)
    x, y, z = np.cbrt(np.maximum(np.array(_XYZ) @ light / [0.9505, 1.0, 1.089], 0.008856))
    return np.array([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)])


def pairs(colours: Sequence[str]) -> list[tuple[str, str]]:
    return list(itertools.combinations(dict.fromkeys(colours), 2))


CURVES = [colour for colour, *_ in panels.CURVES]
GRADES = [colour for colour, *_ in panels.GRADES.values()]


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("colours", [CURVES, GRADES], ids=["curves", "grades"])
def test_colours_stay_apart_for_colour_blind_readers(colours: list[str], seen: str) -> None:
    for one, other in pairs(colours):
        assert np.linalg.norm(lab(one, SEEN[seen]) - lab(other, SEEN[seen])) > DISTINCT, (
            one,
            other,
        )


@pytest.mark.parametrize("colours", [CURVES, GRADES], ids=["curves", "grades"])
def test_colours_stay_apart_in_grey(colours: list[str]) -> None:
    for one, other in pairs(colours):
        lightness = abs(lab(one, SEEN["full"])[0] - lab(other, SEEN["full"])[0])
        assert lightness > DISTINCT_IN_GREY, (one, other)


def test_the_simulation_sees_what_colour_blind_readers_do_not() -> None:
    # Red and green of equal lightness: the pair that deuteranopes confuse.
    one, other = "#d03030", "#6b7a1f"
    assert np.linalg.norm(lab(one, SEEN["full"]) - lab(other, SEEN["full"])) > 2 * DISTINCT
    assert (
        np.linalg.norm(lab(one, SEEN["deuteranopia"]) - lab(other, SEEN["deuteranopia"])) < DISTINCT
    )


def test_grades_differ_without_colour_too() -> None:
    judged = [panels.GRADES[grade][1] for grade in ("within", "undecided", "outside")]
    assert len(set(judged)) == 3
    assert len({(marker, line) for _, marker, line in panels.CURVES}) == len(panels.CURVES)
