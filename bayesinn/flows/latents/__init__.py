"""Latent distributions: what the flow maps parameters to.

- :class:`Normal`: the standard normal, the usual choice.
- :class:`StudentT`: heavier tails, for robust training.
- :class:`GaussianMixture`: several modes, trained with the flow.
- :class:`Latent`: the contract, for writing another.
"""

from bayesinn.flows.latents.gaussian_mixture import (
    SMALLEST_LOG_SCALE,
    GaussianMixture,
    floored,
    gaussian_log_probs,
    unfloored,
)
from bayesinn.flows.latents.latent import Latent, Seed, check_seed
from bayesinn.flows.latents.normal import Normal
from bayesinn.flows.latents.student_t import StudentT

__all__ = [
    "SMALLEST_LOG_SCALE",
    "GaussianMixture",
    "Latent",
    "Normal",
    "Seed",
    "StudentT",
    "check_seed",
    "floored",
    "gaussian_log_probs",
    "unfloored",
]
