"""Figures of images: grids, latent walks, heat maps, spectra."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import SubFigure
from matplotlib.ticker import MaxNLocator

from bayesinn.core.arrays import numbers
from bayesinn.core.errors import InputError
from bayesinn.plots.panels import (
    BLACK,
    BLUE,
    CURVES,
    DASHED,
    GREY,
    PAGE,
    SMALL,
    Canvas,
    canvas,
    curve_look,
    legend_below,
    styled,
    wrapped,
)

_LARGEST = 1.1  # inches of an image along each side
_GAP = 0.06  # between images, as a share of their width
_MARGIN = 1.2  # inches for the titles of rows


@styled
def image_grid(
    images: np.ndarray,
    *,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    limits: tuple[float, float] | None = None,
    figure: Canvas | None = None,
) -> Canvas:
    """Draw images in rows and columns, with a title for each row and column.

    Parameters
    ----------
    images : array (rows, columns, height, width), or with one channel or three (red, green, blue)
        NaN where a pixel is missing: it is drawn in blue.
    rows, columns : sequence of str, one title for each row or column; by default none
    limits : (black, white)
        Values of black and white, for all images alike; (1, 0) draws dark ink on paper. By default
        the least and the greatest value of grey images, and 0 and 1 for coloured ones.

    Examples
    --------
    >>> import numpy as np
    >>> figure = image_grid(np.random.default_rng(1).uniform(size=(2, 5, 8, 8)), rows=["a", "b"])
    >>> len(figure.axes)
    1
    """
    images = check_images("Argument 'images'", images, limits)
    down, across, height, width, _ = images.shape
    for name, titles, count in (("rows", rows, down), ("columns", columns, across)):
        if titles and len(titles) != count:
            raise InputError(
                f"Argument {name!r}",
                expected=f"{count} titles, one for each of the {name}",
                got=f"{len(titles)}",
                do="give one for each, '' where there is none",
            )
    side = min(_LARGEST, (PAGE - _MARGIN * bool(rows)) / across)
    figure = canvas(
        figure,
        side * across + _MARGIN * bool(rows),
        side * down * height / width + 0.3 * bool(columns) + 0.1,
    )
    if isinstance(figure, SubFigure):
        side = min(side, float(figure.bbox.width / figure.dpi) / across)
    draw_images(figure.add_subplot(), images, rows, columns, side)
    return figure


def check_images(
    subject: str, images: np.ndarray, limits: tuple[float, float] | None
) -> np.ndarray:
    """Return images (rows, columns, height, width[, channels]) as colours between 0 and 1.

    The result has three channels.
    """
    images = numbers(subject, images, missing=True).astype(float)
    shape = images.shape
    images = images[..., None] if images.ndim == 4 else images
    if images.ndim != 5 or images.shape[-1] not in (1, 3) or images.size == 0:
        raise InputError(
            subject,
            expected="shape (rows, columns, height, width), or with one channel or three",
            got=f"{shape}",
            do="give posterior draws (observations, draws, height, width, channels), and other "
            "colours than red, green and blue converted",
        )
    missing = np.isnan(images).any(axis=-1)
    known = images[~missing]
    if known.size == 0 or not np.isfinite(known).all():
        odd = np.count_nonzero(~np.isfinite(images))
        raise InputError(
            subject,
            expected="finite numbers, and NaN for some missing pixels",
            got=f"{odd:,} of {images.size:,} that are not finite",
            do="leave out or correct these images",
        )
    grey = images.shape[-1] == 1
    low, high = (
        limits if limits is not None else ((known.min(), known.max()) if grey else (0.0, 1.0))
    )
    if limits is None and not grey and (known.min() < low or known.max() > high):
        raise InputError(
            subject,
            expected="colours between 0 and 1",
            got=f"from {known.min():.3g} to {known.max():.3g}",
            do="pass limits=(0, 255) for bytes; or limits=(0, 1), to cut off what lies outside",
        )
    scaled = np.clip((images - low) / ((high - low) or 1.0), 0.0, 1.0)
    colours = np.repeat(scaled, 3 if grey else 1, axis=-1)
    colours[missing] = to_rgb(BLUE)
    return colours


def draw_images(
    ax: Axes, images: np.ndarray, rows: Sequence[str], columns: Sequence[str], side: float
) -> None:
    """Draw images (rows, columns, height, width, 3) as one picture; ``side`` is in inches."""
    down, across, height, width, _ = images.shape
    gap = max(1, round(_GAP * width))
    # One picture with white gaps: hundreds of axes would take seconds to draw.
    picture = np.ones((down * (height + gap) - gap, across * (width + gap) - gap, 3))
    for row, column in np.ndindex(down, across):
        top = row * (height + gap)
        left = column * (width + gap)
        picture[top : top + height, left : left + width] = images[row, column]
    ax.imshow(picture, interpolation="nearest")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, labelsize=SMALL, top=False, labeltop=True, labelbottom=False)
    ax.set_xticks(
        [column * (width + gap) + 0.5 * (width - 1) for column in range(len(columns))],
        [wrapped(title, side, SMALL) for title in columns],
    )
    ax.set_yticks(
        [row * (height + gap) + 0.5 * (height - 1) for row in range(len(rows))],
        [wrapped(title, _MARGIN - 0.1, SMALL) for title in rows],
    )


_LARGEST_STEP = 0.9  # inches of an image along each side
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
    side = min(_LARGEST_STEP, (PAGE - margin) / count)
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


_MOST = 8
_POINTS = 9.0


@styled
def heat_map(
    images: np.ndarray,
    maps: np.ndarray,
    *,
    titles: Sequence[str] = (),
    name: str = "log odds",
    figure: Canvas | None = None,
) -> Canvas:
    """Draw grey images, and the contribution of each place to a sum, on one scale for all.

    See :meth:`bayesinn.inverse.LatentMixture.heat_maps`. Places may be larger than pixels. Contours
    of an image are drawn over its map, and the sum of the map is written below.

    Parameters
    ----------
    images : array (n, height, width), or with a last axis of channels, whose mean is drawn
    maps : array (n, rows, columns)
    titles : sequence of str, one for each image
    name : str, name of the sum of a map
    """
    images = np.asarray(images, float)
    images = images.mean(axis=-1) if images.ndim == 4 else images
    maps = np.asarray(maps, float)
    fit = images.ndim == maps.ndim == 3 and 0 < len(images) == len(maps) <= _MOST
    if not fit or len(titles) not in (0, len(images)) or not np.isfinite(maps).all():
        raise InputError(
            "Arguments 'images', 'maps' and 'titles'",
            expected=f"as many of each, at most {_MOST}: images (n, height, width), finite maps "
            "(n, rows, columns)",
            got=f"shapes {images.shape} and {maps.shape}, {len(titles)} titles",
            do="pass for example images[:6] and model.heat_maps(images[:6], label, other)",
        )
    each = PAGE / _MOST + 0.12
    figure = canvas(figure, min(each * len(images) + 1.2, PAGE), 2.0 * each + 0.5)
    grid = figure.subplots(2, len(images), squeeze=False)
    reach = float(np.abs(maps).max()) or 1.0
    colours = ScalarMappable(Normalize(-reach, reach), "RdBu")
    for index, (above, below) in enumerate(grid.T):
        height, width = images[index].shape
        place = (-0.5, width - 0.5, height - 0.5, -0.5)
        above.imshow(images[index], cmap="Greys", extent=place)
        below.imshow(maps[index], cmap=colours.cmap, norm=colours.norm, extent=place)
        middle = 0.5 * (images[index].min() + images[index].max())
        if middle > images[index].min():
            below.contour(images[index], [middle], colors=BLACK, linewidths=0.7)
        for ax in (above, below):
            ax.set(xticks=[], yticks=[], frame_on=False)
        total = math.fsum(maps[index].ravel())
        below.set_xlabel(f"{total:+.3g}".replace("-", "\N{MINUS SIGN}"), fontsize=_POINTS)
        if titles:
            above.set_title(wrapped(titles[index], each - 0.1, _POINTS), fontsize=_POINTS)
    bar = figure.colorbar(colours, ax=list(grid[1]), aspect=8)
    bar.set_label(wrapped(f"{name}, by place", each, _POINTS), fontsize=_POINTS)
    return figure


_MOST_MARKERS = 40  # more elements are drawn without markers


@styled
def spectrum(
    values: np.ndarray | Mapping[str, np.ndarray], *, figure: Canvas | None = None
) -> Canvas:
    """Draw sorted standard deviations of latent elements, and where they drop.

    See :func:`bayesinn.inverse.gin`.

    Elements before the drop carry information, those after it noise. Without a drop, they can't be
    told apart. A dict of several spectra is drawn into one figure, without the drops.
    """
    named = values if isinstance(values, Mapping) else {"": values}
    spectra = {name: np.sort(value, axis=None)[::-1].astype(float) for name, value in named.items()}
    ends = [(float(value[-1]), float(value[0])) for value in spectra.values() if value.size]
    fit = 0 < len(ends) == len(spectra) <= len(CURVES) and all(
        0.0 < low <= high < np.inf for low, high in ends
    )
    if not fit or any(np.ndim(value) != 1 for value in named.values()):
        raise InputError(
            "Argument 'values'",
            expected=f"one to {len(CURVES)} spectra, each an array of shape (d,) of positive "
            "standard deviations",
            got=f"shapes {[np.shape(value) for value in named.values()]}, from smallest to largest "
            f"{ends}",
            do="pass Spectrum.of(model.latent_scales).values",
        )
    figure = canvas(figure, 5.2, 3.4 if len(spectra) > 1 else 3.0)
    ax = figure.add_subplot()
    for (name, value), (colour, marker, _) in zip(spectra.items(), CURVES, strict=False):
        shape = marker if len(value) <= _MOST_MARKERS else ""
        ranks = np.arange(1, len(value) + 1)
        ax.plot(
            ranks,
            value,
            color=colour,
            linewidth=1.2,
            label=name or None,
            marker=shape,
            markersize=5,
        )
        if list(spectra) == [""] and len(value) > 1:
            drops = value[:-1] / value[1:]
            before = int(np.argmax(drops)) + 1
            ax.axvline(before + 0.5, **DASHED | {"color": GREY})
            ax.set_title(
                f"{before} before the largest drop, by a factor of {drops[before - 1]:.3g}"
            )
    ax.set(yscale="log", xlabel="latent element, by rank", ylabel="standard deviation")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return legend_below(figure)
