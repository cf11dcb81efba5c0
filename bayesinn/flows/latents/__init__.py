"""Latent distributions: what the flow maps parameters to."""

from bayesinn.flows.latents.gaussian_mixture import GaussianMixture as GaussianMixture
from bayesinn.flows.latents.latent import Latent as Latent, Normal as Normal
from bayesinn.flows.latents.student_t import StudentT as StudentT
