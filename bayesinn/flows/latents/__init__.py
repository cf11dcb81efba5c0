"""Latent distributions: what the flow maps parameters to."""

from bayesinn.flows.latents.gaussian_mixture import GaussianMixture
from bayesinn.flows.latents.latent import Latent, Normal
from bayesinn.flows.latents.student_t import StudentT

__all__ = ["GaussianMixture", "Latent", "Normal", "StudentT"]
