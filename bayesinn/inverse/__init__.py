"""Invertible networks beyond the posterior.

- :class:`LatentMixture`: a generative classifier, with one Gaussian a class in the latent space (:class:`ClassNormal`).
- :class:`SplitLatent`: the posterior from one bijection of parameters into observables and a latent.
- :func:`gin`, :class:`Spectrum`, :func:`match_sources`: non-linear ICA with volume-preserving networks;
  :func:`bayesinn.simulators.mixed_sources.mixed_sources` draws data whose sources are known.
"""

from bayesinn.flows.split_latent import SplitLosses
from bayesinn.inverse.class_normal import ClassNormal
from bayesinn.inverse.latent_mixture import LatentMixture
from bayesinn.inverse.nonlinear_ica import SourceMatch, Spectrum, gin, match_sources
from bayesinn.inverse.split_latent import SplitLatent

__all__ = [
    "ClassNormal",
    "LatentMixture",
    "SourceMatch",
    "Spectrum",
    "SplitLatent",
    "SplitLosses",
    "gin",
    "match_sources",
]
