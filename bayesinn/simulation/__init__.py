"""Simulators: prior, context, forward model, names, labels, units and coordinates.

For n draws, parameters and context variables are arrays or tensors (n, *event), observables are (n,
...); dicts map names to these. Nothing is imported here: worker processes import this package, and
must not load TensorFlow.
"""
