"""Engines: where a forward model runs, in TensorFlow, in worker processes or on a cluster.

The contract is :class:`bayesinn.simulation.engines.engine.Engine`. Nothing is imported here: worker
processes import this package, and must not load TensorFlow.
"""
