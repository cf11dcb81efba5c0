"""Simulators: prior, context, forward model, names, labels and units.

Shapes are the same everywhere. Of n draws, a parameter or a context variable is an array or a tensor (n, *event), an
observable is (n, ...), and a dict holds one of these under each name.

Nothing is imported here: worker processes of the Python engine come through this package and must stay light.
"""
