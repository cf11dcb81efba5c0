"""Invertible residual networks: Lipschitz-bounded blocks whose inverse is found by iteration."""

from bayesinn.bijections.residual.residual import Residual

__all__ = ["Residual"]
