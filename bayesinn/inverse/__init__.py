"""Other uses of invertible networks, each after a paper of its own.

- :class:`SplitLatent`: the posterior from one bijection, of parameters into observables and a
  latent (Ardizzone et al. 2019, inverse problems).
- :class:`LatentMixture`: a generative classifier, with one Gaussian a class in the latent space
  (:class:`ClassNormal`), and its loss with an information bottleneck (:class:`Bottleneck`).
- :func:`gin`, :func:`gin_image`, :class:`Spectrum`, :func:`latent_effects`,
  :func:`match_sources`: non-linear ICA with volume-preserving networks;
  :func:`bayesinn.simulators.mixed_sources.mixed_sources` draws data whose sources are known.
"""

import bayesinn.core.compilation  # noqa: F401
from bayesinn.flows.split_latent import SplitLosses as SplitLosses
from bayesinn.inverse.latent_mixture import (
    Bottleneck as Bottleneck,
    ClassNormal as ClassNormal,
    LatentMixture as LatentMixture,
)
from bayesinn.inverse.nonlinear_ica import (
    SourceMatch as SourceMatch,
    Spectrum as Spectrum,
    gin as gin,
    gin_image as gin_image,
    latent_effects as latent_effects,
    match_sources as match_sources,
)
from bayesinn.inverse.split_latent import SplitLatent as SplitLatent
