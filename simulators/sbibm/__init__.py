"""The ten tasks of the sbibm benchmark, each one file that reads like its definition.

Nine are here; the tenth, two moons, is :mod:`simulators.two_moons`. Each is registered by its name
in the benchmark, but for the benchmark's ``sir``, whose name a model of ten thousand cases in
Germany has: it is ``sbibm_sir``.

Source: Lueckmann, Boelts, Greenberg, Goncalves and Macke (2021), Benchmarking simulation-based
inference, arXiv:2101.04653, and the package sbibm 1.1.0, whose observations and true parameters the
tests compare with.
"""
