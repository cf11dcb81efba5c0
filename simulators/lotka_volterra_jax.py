"""Lotka-Volterra by diffrax: the model of ``lotka_volterra``, with an adaptive solver in JAX.

Equations, prior and noise are those of the ready model ``lotka_volterra``, the benchmark's T.10.
It shows how a model that is written in JAX for one draw becomes a simulator, and needs
``bayesinn[jax]``.

Source: Kidger (2021), On neural differential equations, arXiv:2202.02435 (diffrax).
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

import bayesinn as bi
from bayesinn.simulators.sbibm.lotka_volterra import (
    LARGEST,
    NOISE,
    PRIOR,
    SMALLEST,
    SPECIES,
    START,
    TIMES,
)

# In logarithms, as the twin; single precision has seven digits.
_RELATIVE = 1e-6
_ABSOLUTE = 1e-6
_MOST_STEPS = 4096


def log_populations(parameters: dict[str, Any]) -> Any:
    """Return the logarithms of prey and predators at the ten times, (10, 2), of one draw."""
    # Diffrax checks its arguments by calls back to Python, which no compiled step can do: a solver
    # that fails gives NaN instead.
    os.environ.setdefault("EQX_ON_ERROR", "nan")
    import diffrax
    import jax.numpy as jnp

    alpha, beta, gamma, delta = (parameters[name] for name in PRIOR)

    def rate(_time: Any, logs: Any, _arguments: Any) -> Any:
        prey, predators = jnp.exp(logs)
        return jnp.stack([alpha - beta * predators, delta * prey - gamma])

    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(rate),
        diffrax.Tsit5(),
        t0=0.0,
        t1=TIMES[-1],
        dt0=0.01,
        y0=jnp.log(jnp.array(START)),
        saveat=diffrax.SaveAt(ts=jnp.array(TIMES)),
        stepsize_controller=diffrax.PIDController(rtol=_RELATIVE, atol=_ABSOLUTE),
        max_steps=_MOST_STEPS,
        throw=False,
    )
    logs = jnp.clip(solution.ys, *np.log([SMALLEST, LARGEST]))
    # What a solver that gave up has not reached is infinite, which the bounds would hide.
    return jnp.where(solution.result == diffrax.RESULTS.successful, logs, jnp.nan)


@bi.simulator(
    prior=PRIOR,
    labels={**{name: rf"$\{name}$" for name in PRIOR}, "prey": "$X$", "predators": "$Y$"},
    coordinates=dict.fromkeys(SPECIES, TIMES),
    engine="jax",
    batched=False,
    on_nonfinite="redraw",
)
def lotka_volterra_jax(parameters: dict[str, Any], key: Any) -> dict[str, Any]:
    """Draw noisy counts of prey and predators at ten times."""
    import jax

    logs = log_populations(parameters)
    counts = jax.numpy.exp(logs + NOISE * jax.random.normal(key, logs.shape))
    return {"prey": counts[:, 0], "predators": counts[:, 1]}
