"""Invertible residual networks: Lipschitz-bounded blocks whose inverse is found by iteration."""
