"""Latent walk: how an image changes on a path through the latent space of its flow."""

from collections.abc import Sequence

import numpy as np

from bayesinn.core.errors import InputError
from bayesinn.plots.image_grid import check_images, draw_images
from bayesinn.plots.panels import PAGE, canvas, legend_below
from bayesinn.plots.style import Canvas, curve_look, styled

_LARGEST = 0.9  # inches of an image along each side
_CURVE = 1.9  # inches for the effect


@styled
def latent_walk(
    images: np.ndarray,
    positions: Sequence[float] | np.ndarray,
    *,
    rows: Sequence[str] = (),
    across: str = "position along the walk",
    effect: np.ndarray | None = None,
    upwards: str = "effect",
    limits: tuple[float, float] | None = None,
    figure: Canvas | None = None,
) -> Canvas:
    """Draw images at positions of walks through latent space, and a measured effect.

    A row is a walk: another latent element, another observation, or another direction.

    Parameters
    ----------
    images : array (walks, positions, height, width), or with one channel or three
    positions : array (positions,), such as multiples of a latent code
    rows : sequence of str, titles of walks; by default none
    across, upwards : str, names of ``positions`` and ``effect``
    effect : array (walks, positions), drawn below the images; by default none
    limits : as for :func:`image_grid`

    Examples
    --------
    >>> import numpy as np
    >>> images = np.random.default_rng(1).uniform(size=(2, 5, 8, 8, 3))
    >>> figure = latent_walk(images, np.linspace(0, 1, 5), effect=images.mean(axis=(2, 3, 4)))
    >>> len(figure.axes)
    2
    """
    colours = check_images("Argument 'images'", images, limits)
    walks, count, height, width, _ = colours.shape
    size = () if effect is None else np.shape(effect)
    given = {"positions": np.shape(positions), "rows": np.shape(rows), "effect": size}
    fits = {"positions": {(count,)}, "rows": {(0,), (walks,)}, "effect": {(), (walks, count)}}
    for name, shape in given.items():
        if shape not in fits[name]:
            raise InputError(
                f"Argument {name!r}",
                expected=f"shape {' or '.join(map(str, sorted(fits[name], key=len)))}, for images "
                f"of {walks} walks at {count} positions",
                got=f"{shape}",
                do="give a value for each image that is drawn",
            )
    margin = 1.2 if rows else 0.6
    side = min(_LARGEST, (PAGE - margin) / count)
    high = side * walks * height / width + 0.3
    figure = canvas(figure, side * count + margin, high + _CURVE * (effect is not None))
    grid = figure.add_gridspec(
        1 + (effect is not None), 1, height_ratios=[high, _CURVE][: 1 + (effect is not None)]
    )
    titles = [f"{value:.3g}".replace("-", "\N{MINUS SIGN}") for value in positions]
    upper = figure.add_subplot(grid[0])
    draw_images(upper, colours, rows, titles, side)
    if effect is None:
        upper.set_xlabel(across)
        return figure
    lower = figure.add_subplot(grid[1])
    for number, values in enumerate(np.asarray(effect, float)):
        colour, marker, line = curve_look(number)
        label = rows[number] if rows else None
        lower.plot(
            positions,
            values,
            color=colour,
            marker=marker,
            linestyle=line,
            markersize=4,
            label=label,
        )
    lower.set(xlabel=across, ylabel=upwards)
    return legend_below(figure)
