"""The split-latent flow: one bijection of parameters into latent and observables."""

from bayesinn.flows.split_latent.flow import SplitLatentFlow as SplitLatentFlow
from bayesinn.flows.split_latent.layout import SplitLayout as SplitLayout
from bayesinn.flows.split_latent.losses import SplitLosses as SplitLosses
