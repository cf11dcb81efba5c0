"""Figures of images: each picture is where it belongs, in the colours that it has."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from bayesinn import plots
from bayesinn.core.errors import InputError
from bayesinn.plots.panels import BLUE

GREY = np.random.default_rng(1).uniform(0.2, 0.9, (2, 3, 8, 6))
COLOUR = np.random.default_rng(2).uniform(0.0, 1.0, (2, 3, 8, 6, 3))
TIMES = np.array([0.0, 0.5, 1.0])


def picture(figure: Figure) -> np.ndarray:
    return np.asarray(figure.axes[0].images[0].get_array())


def test_grey_images_lie_in_rows_and_columns_from_black_to_white() -> None:
    shown = picture(plots.image_grid(GREY))
    # A white line of one pixel between images.
    assert shown.shape == (17, 20, 3)
    scaled = (GREY - GREY.min()) / np.ptp(GREY)
    np.testing.assert_allclose(shown[9:, 7:13], scaled[1, 1, ..., None].repeat(3, axis=-1))
    assert (shown[8] == 1.0).all()
    assert (shown[:, 6] == 1.0).all()


def test_limits_cut_off_what_lies_outside() -> None:
    shown = picture(plots.image_grid(GREY, limits=(0.4, 0.6)))
    np.testing.assert_allclose(
        shown[:8, :6, 0], np.clip((GREY[0, 0] - 0.4) / 0.2, 0.0, 1.0), atol=1e-12
    )


def test_limits_may_be_the_other_way_round() -> None:
    """Dark ink on paper, as the tutorial on pictures draws digits."""
    dark, light = (
        picture(plots.image_grid(GREY, limits=ends)) for ends in ((1.0, 0.0), (0.0, 1.0))
    )
    np.testing.assert_allclose(dark[:8, :6], 1.0 - light[:8, :6], atol=1e-12)


def test_colours_stay_as_they_are() -> None:
    np.testing.assert_allclose(picture(plots.image_grid(COLOUR))[:8, 14:], COLOUR[0, 2])


@pytest.mark.parametrize("images", [GREY, COLOUR])
def test_missing_pixels_are_blue(images: np.ndarray) -> None:
    damaged = images.copy()
    damaged[0, 0, 2, 3] = np.nan
    shown, whole = (
        picture(plots.image_grid(some, limits=(0.0, 1.0))) for some in (damaged, images)
    )
    np.testing.assert_allclose(shown[2, 3], to_rgb(BLUE))
    assert np.argwhere((shown != whole).any(axis=-1)).tolist() == [[2, 3]]
    # By default the limits are those of what is known.
    assert np.isfinite(picture(plots.image_grid(damaged))).all()


def test_constant_images_are_drawn() -> None:
    assert np.isfinite(picture(plots.image_grid(np.ones((1, 1, 4, 4))))).all()


def test_titles_stand_at_their_rows_and_columns() -> None:
    figure = plots.image_grid(GREY, rows=["first", "second"], columns=["a", "b", "c"])
    (ax,) = figure.axes
    assert [text.get_text() for text in ax.get_yticklabels()] == ["first", "second"]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["a", "b", "c"]
    np.testing.assert_allclose(ax.get_yticks(), [3.5, 12.5])
    np.testing.assert_allclose(ax.get_xticks(), [2.5, 9.5, 16.5])
    assert figure.get_figwidth() <= 7.4


def test_a_walk_has_its_images_above_its_effect() -> None:
    effect = COLOUR.mean(axis=(2, 3, 4))
    figure = plots.latent_walk(
        COLOUR, TIMES, rows=["one", "two"], across="factor", effect=effect, upwards="brightness"
    )
    upper, lower = figure.axes
    np.testing.assert_allclose(picture(figure)[9:, :6], COLOUR[1, 0])
    assert [text.get_text() for text in upper.get_xticklabels()] == ["0", "0.5", "1"]
    for line, values, name in zip(lower.lines, effect, ["one", "two"], strict=True):
        np.testing.assert_array_equal(line.get_data(), [TIMES, values])
        assert line.get_label() == name
    assert (lower.get_xlabel(), lower.get_ylabel()) == ("factor", "brightness")


def test_a_walk_without_effect_is_one_panel() -> None:
    (ax,) = plots.latent_walk(GREY, TIMES).axes
    assert ax.get_xlabel() == "position along the walk"


@pytest.mark.parametrize(
    "draw", [plots.image_grid, lambda x, **to: plots.latent_walk(x, TIMES, **to)]
)
def test_images_are_drawn_into_a_figure_of_the_caller(draw: Callable[..., Figure]) -> None:
    half = Figure(figsize=(7.4, 3.0), layout="constrained").subfigures(1, 2)[1]
    assert draw(GREY, figure=half) is half
    assert picture(half).shape == (17, 20, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.image_grid(GREY[0]), "Argument 'images'.*shape"),
        (lambda: plots.image_grid(np.ones((1, 1, 4, 4, 2))), "Argument 'images'.*three"),
        (lambda: plots.image_grid(GREY * np.nan), "finite"),
        (lambda: plots.image_grid(GREY * np.inf), "finite"),
        (lambda: plots.image_grid(GREY, limits=(np.nan, 1.0)), "argument 'limits'"),
        (lambda: plots.image_grid(COLOUR * 255.0), r"limits=\(0, 255\)"),
        (lambda: plots.image_grid(GREY, rows=["one"]), "Argument 'rows'.*2 titles"),
        (lambda: plots.image_grid(GREY, columns=["one"]), "Argument 'columns'.*3 titles"),
        (lambda: plots.latent_walk(GREY, TIMES[:2]), "Argument 'positions'"),
        (lambda: plots.latent_walk(GREY, TIMES, rows=["one"]), "Argument 'rows'"),
        (lambda: plots.latent_walk(GREY, TIMES, effect=TIMES), "Argument 'effect'"),
    ],
)
def test_wrong_images_are_refused(call: Callable[[], Figure], message: str) -> None:
    with pytest.raises(InputError, match=f"(?s){message}"):
        call()
