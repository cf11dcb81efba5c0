"""Heat maps on one scale, with the sums that they explain."""

import numpy as np
import pytest

from bayesinn import plots
from bayesinn.core.errors import InputError
from tests.plots.legible import overlaps

IMAGES = np.random.default_rng(1).uniform(size=(6, 8, 8, 1))
MAPS = np.random.default_rng(2).normal(size=(6, 4, 4))


def test_maps_share_a_scale_and_show_their_sums() -> None:
    figure = plots.heat_map(IMAGES, MAPS, titles=[f"{i}, not {i + 1}" for i in range(6)])
    above = figure.axes[:6]
    below = figure.axes[6:12]
    reach = np.abs(MAPS).max()
    for index, ax in enumerate(below):
        (drawn,) = ax.get_images()
        np.testing.assert_array_equal(drawn.get_array(), MAPS[index])
        assert drawn.get_clim() == (-reach, reach)
        # Maps have fewer places than pixels, and cover the same area.
        assert drawn.get_extent() == above[index].get_images()[0].get_extent()
        shown = float(ax.get_xlabel().replace("\N{MINUS SIGN}", "-"))
        assert shown == pytest.approx(MAPS[index].sum(), rel=0.01)
    assert not overlaps(figure)


def test_a_single_map_of_an_image_without_contours() -> None:
    figure = plots.heat_map(np.zeros((1, 4, 4)), np.zeros((1, 2, 2)), name="log odds of 3 over 8")
    assert not overlaps(figure)


@pytest.mark.parametrize(
    ("images", "maps", "titles"),
    [
        (IMAGES, MAPS[:5], ()),
        (IMAGES[:0], MAPS[:0], ()),
        (IMAGES, MAPS, ["one"]),
        (IMAGES, np.full_like(MAPS, np.nan), ()),
    ],
)
def test_what_does_not_fit_is_explained(images, maps, titles) -> None:
    with pytest.raises(InputError, match=r"as many of each|one row or more"):
        plots.heat_map(images, maps, titles=titles)
