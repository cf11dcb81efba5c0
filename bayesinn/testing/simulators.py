"""The requirements of a simulator."""

import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.simulation.finite import finite_rows
from bayesinn.simulation.simulations import Simulations
from bayesinn.simulation.simulator import Simulator
from bayesinn.spaces.observations import check_observations
from bayesinn.spaces.parameters import ParameterSpace
from bayesinn.testing.measures import demand, demand_equal

ROWS = 64


def check_simulator(simulator: Simulator, *, finite_share: float = 0.5, seed: int = 1) -> None:
    """Check that a simulator keeps its contract; an AssertionError names what is broken.

    - It is a pure function of the seed, also when traced anew or run by another number of workers.
    - Names, shapes and dtypes are the same for every number of rows.
    - Simulations are finite.
    - Parameters lie inside the prior's support, and survive the map to the flow's vector and back.
    - The data, likelihood and exact posterior that it ships fit.

    ``finite_share`` is the smallest share of simulations that must be finite at the first attempt.

    Examples
    --------
    >>> import bayesinn as bi
    >>> check_simulator(bi.get("linear"))
    """
    name = f"Simulator {simulator.name!r}"
    batch = simulator.draw(ROWS, seed)
    for variable, good in finite_rows(batch.observables, batch.context, simulator).items():
        demand(good.all(), f"{name}: {variable!r} has NaN or infinity after {ROWS} simulations.")
    share = ROWS / (ROWS + int(batch.failed))
    law = f"{name}: only {100 * share:.0f} % of the simulations are finite, "
    law += f"expected {100 * finite_share:.0f} %."
    demand(share >= finite_share, law)
    for check in (_check_seeds, _check_shapes, _check_support, _check_attachments):
        check(simulator, batch, seed, name)


def _check_seeds(simulator: Simulator, batch: Simulations, seed: int, name: str) -> None:
    draws = {f"{name}: the same seed gives other simulations.": simulator.draw(ROWS, seed)}
    engine = simulator.engine
    if engine.in_graph:
        # Random numbers of NumPy, or of tf.random.normal, would be drawn while tracing, or ignore
        # the seed.
        law = (
            f"{name}: traced anew, the same seed gives other simulations; use "
            "tf.random.stateless_* with the seed."
        )
        draws[law] = engine.renew(engine.declared).sample(ROWS, seed, "simulations")
    else:
        for workers in (1, 2):
            crew = engine.renew(engine.declared, workers)
            law = (
                f"{name}: {workers} workers give other simulations; use no random numbers but "
                "the generator's."
            )
            draws[law] = crew.sample(ROWS, seed, "simulations")
    for law, got in draws.items():
        for variable, value in batch.flat().items():
            law_broken = f"{law}\n  first observed in {variable!r}"
            demand_equal(_filled(got.flat()[variable]), _filled(value), 0.0, law_broken)
    other = simulator.draw(ROWS, seed + 1).flat()
    for variable, value in {**batch.parameters, **batch.observables}.items():
        differs = not np.array_equal(_filled(value), _filled(other[variable])) or np.all(
            value == value[:1]
        )
        demand(
            differs,
            f"{name}: {variable!r} is the same for different seeds; use the seed it is given.",
        )
    given = batch.context or None
    first, second, third = (
        simulator.simulate(batch.parameters, s, given) for s in (seed, seed, seed + 1)
    )
    for variable, value in first.items():
        law = f"{name}: {variable!r} for given parameters changes, though the seed is the same."
        demand_equal(_filled(value), _filled(second[variable]), 0.0, law)
    demand(set(third) == set(first), f"{name}: the names of observables change with the seed.")


def _filled(value: np.ndarray) -> np.ndarray:
    """Return an array with zero in place of NaN, which equals nothing, and whether it is there."""
    lost = np.isnan(value)
    return np.stack([np.where(lost, 0, value), ~lost])


def _check_shapes(simulator: Simulator, batch: Simulations, seed: int, name: str) -> None:
    for rows in (1, 7):
        few = simulator.draw(rows, seed)
        for kind, shapes in simulator.shapes.items():
            values = getattr(few, kind)
            demand(
                set(values) == set(shapes),
                f"{name}: {kind} are {list(values)}, declared {list(shapes)}.",
            )
            for variable, shape in shapes.items():
                value = np.asarray(values[variable])
                usual = np.asarray(batch.flat()[variable]).dtype
                law = f"{name}: {variable!r} of {rows} simulations has"
                demand(
                    value.shape == (rows, *shape),
                    f"{law} shape {value.shape}, expected {(rows, *shape)}.",
                )
                demand(
                    value.dtype == usual,
                    f"{law} dtype {value.dtype}, that of {ROWS} simulations has {usual}.",
                )
                demand(
                    value.dtype.kind in "fiub", f"{law} dtype {value.dtype}, expected real numbers."
                )


def _check_support(simulator: Simulator, batch: Simulations, seed: int, name: str) -> None:
    space = ParameterSpace(simulator.prior, seed)
    tensors = {
        variable: tf.convert_to_tensor(value) for variable, value in batch.parameters.items()
    }
    inside = np.isfinite(space.prior_log_prob(tensors))
    demand(
        inside.all(),
        f"{name}: {100 * np.mean(~inside):.0f} % of the prior's draws have no density "
        "under the prior.",
    )
    vector, log_det = space.to_vector(
        space.dequantise(tensors, seeds.tensor_seed(seed, "dequantise"))
    )
    finite = np.isfinite(vector).all() and np.isfinite(log_det).all()
    demand(finite, f"{name}: some parameters map to vectors that are not finite.")
    for variable, value in space.from_vector(vector).items():
        law = f"{name}: parameter {variable!r} doesn't come back from the flow's vector."
        demand_equal(value, np.asarray(batch.parameters[variable], np.float32), 1e-4, law)


def _check_attachments(simulator: Simulator, batch: Simulations, seed: int, name: str) -> None:
    if simulator.observed is not None:
        check_observations(simulator, simulator.observed)
    one = {variable: value[0] for variable, value in batch.data.items()}
    if simulator.log_likelihood is not None:
        density = np.asarray(simulator.log_likelihood(batch.parameters, one))
        demand(
            density.shape == (ROWS,),
            f"{name}: log_likelihood has shape {density.shape}, expected ({ROWS},).",
        )
        law = f"{name}: log_likelihood of data under the parameters they come from is {density[0]}."
        demand(np.isfinite(density[0]), law)
    if simulator.exact is not None:
        exact = simulator.exact(one, 10, seed)
        for variable, shape in simulator.prior.event_shapes.items():
            got = np.shape(exact.get(variable, ()))
            demand(
                got == (10, *shape),
                f"{name}: exact draws of {variable!r} have shape {got}, not {(10, *shape)}.",
            )
