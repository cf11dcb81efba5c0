"""Simulators: prior, context, forward model, names, labels and units.

Shapes are the same everywhere. For n draws, a parameter or a context variable is an array or a tensor (n, *event), an
observable is (n, ...), and a dict maps names to these.

Nothing is imported here: worker processes of the Python engine import this package, and must not load TensorFlow.
"""
