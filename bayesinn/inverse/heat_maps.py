"""Heat maps: which places of an image speak for one class rather than another."""

import numpy as np

from bayesinn.core.errors import InputError
from bayesinn.core.precision import full_precision
from bayesinn.inverse.mixture_network import MixtureModel


@full_precision()
def gap_maps(model: MixtureModel, codes: np.ndarray, first: int, second: int) -> np.ndarray:
    """Return what each place adds to the log odds of two classes, by number, (n, height, width).

    With unit scales the log odds are linear in codes (n, d). The chain ends with a rotation of an
    image, whose places therefore share them without remainder.
    """
    chain = model.network.chain
    latent = model.network.latent
    pooling = chain.final_rotation
    if pooling is None or latent.scales != "unit":
        raise InputError(
            "Heat maps of a LatentMixture",
            expected="a chain that ends with DCTPooling, and ClassNormal('unit'): log odds are "
            "then sums over places",
            got=f"{chain!r} and {latent!r}",
            do="train a LatentMixture of this kind",
        )
    means = latent.means.numpy()
    log_weights = latent.log_weights.numpy()
    direction, _ = pooling.inverse(means[[first]] - means[[second]])
    places, _ = pooling.inverse(codes - 0.5 * (means[first] + means[second]))
    maps = np.sum(places.numpy() * direction.numpy(), axis=-1, dtype=np.float64)
    # The frequencies of the classes belong to no place: all have an equal part.
    return maps + (log_weights[first] - log_weights[second]) / pooling.pixels
