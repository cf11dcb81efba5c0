"""Heat maps: images above, and below them the places that favour one class or the other."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from bayesinn.core.errors import InputError
from bayesinn.plots.panels import PAGE, canvas
from bayesinn.plots.style import BLACK, Canvas, styled
from bayesinn.plots.text import wrapped

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
