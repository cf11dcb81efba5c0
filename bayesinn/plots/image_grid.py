"""Grid of images: posterior draws of pictures beside data and truth, with titles."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import SubFigure

from bayesinn.core.errors import InputError
from bayesinn.plots.panels import PAGE, SMALL, canvas
from bayesinn.plots.style import BLUE, Canvas, styled
from bayesinn.plots.text import wrapped

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
    images = np.asarray(images, float)
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
    if limits is not None and not np.isfinite(limits).all():
        raise InputError(
            "Argument 'limits'",
            expected="the values of black and white",
            got=f"{limits}",
            do="pass for example limits=(0, 255), or leave it out",
        )
    grey = images.shape[-1] == 1
    low, high = limits or ((known.min(), known.max()) if grey else (0.0, 1.0))
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
