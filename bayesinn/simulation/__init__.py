"""Simulators: prior, context, forward model, names, labels and units.

Nothing is imported here: worker processes of the Python engine come through this package and must stay light.
"""
