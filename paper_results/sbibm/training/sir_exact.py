"""Exact posteriors of the SIR model, a network's shortfall, and how much of it is a staircase.

    python paper_results/sbibm/training/sir_exact.py [--quick]

Delay and I0 enter the model rounded, so that the exact posterior has steps in both. For each of 400
data sets its density is normalised by importance sampling, in double precision; proposals are a
trained network, a Student t fitted to its weighted draws, and the prior. Three numbers of nats are
then compared, each a divergence from the exact posterior that is averaged over the data sets:

- of the default network;
- of the default network on the same model without rounding (``smooth``), which has no steps;
- of a density whose steps are replaced by straight ramps between the centres of cells, or across a
  part of each cell: what remains for any map that is no steeper than that.

The default network is that of the study of training, six affine coupling blocks after Conv + LSTM. It
is trained with three seeds; the first of them is also a proposal.

Writes ``sir_exact.npz`` (data sets, draws from their exact posteriors, densities),
``sir_exact.csv`` and ``smooth_sir_exact.csv`` (a row for each data set) and ``staircase.csv``
beside this file; ``--quick`` writes to a temporary folder, to check that it runs.
"""

from __future__ import annotations

import argparse
import functools
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import tensorflow as tf
from scipy import stats
from scipy.special import logsumexp

import bayesinn as bi
from bayesinn.flows import Flow, coupling
from bayesinn.simulators import sir as model
from bayesinn.summaries import MLP, ConvLSTM, Summary

HERE = Path(__file__).parent
DATA_SETS = 400
DRAWS = 6_000
KEPT = 64
SEED = 2_000
NETWORK_SEEDS = (1, 2, 3)
SHARES = {"network": 0.6, "Student t": 0.35, "prior": 0.05}
RAMPS = (1.0, 0.5, 0.25)
"""Widths of the ramps between steps, in cells."""

_DEGREES_OF_FREEDOM = 5.0
_WIDENED = 1.3
_CHUNK = 20


@bi.simulator(prior=model.PRIOR, name="smooth_sir", on_nonfinite="redraw")
def smooth_sir(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Simulate the SIR model with neither delay nor I0 rounded."""
    return {
        "cases": model.draw_cases(
            model.expected_cases(parameters, whole=False), parameters["psi"], seed
        )
    }


class Exact(NamedTuple):
    """Exact posteriors of n data sets.

    ``cases`` (n, 14); ``truth`` (n,) and ``draws`` (n, k), dicts by parameter; their log densities
    (n,) and (n, k); standard errors of the log evidence and effective sample sizes, (n,).
    """

    cases: np.ndarray
    truth: dict[str, np.ndarray]
    draws: dict[str, np.ndarray]
    log_prob_truth: np.ndarray
    log_prob: np.ndarray
    standard_error: np.ndarray
    effective_size: np.ndarray

    def save(self, path: Path) -> None:
        """Write a compressed file."""
        columns = {
            f"{part}/{name}": value
            for part in ("truth", "draws")
            for name, value in getattr(self, part).items()
        }
        rest = {
            name: value for name, value in self._asdict().items() if name not in ("truth", "draws")
        }
        np.savez_compressed(
            path, **columns, **{name: value.astype(np.float32) for name, value in rest.items()}
        )

    @classmethod
    def load(cls, path: Path) -> Exact:
        """Read what :meth:`save` wrote."""
        with np.load(path) as file:
            parts: dict[str, Any] = {"truth": {}, "draws": {}}
            for key in file.files:
                part, _, name = key.partition("/")
                parts.update(
                    {part: file[key]} if not name else {part: {**parts[part], name: file[key]}}
                )
        return cls(**parts)


def exact_posteriors(
    simulator: bi.Simulator,
    posterior: bi.AmortizedPosterior,
    whole: bool,
    data_sets: int,
    draws: int,
) -> tuple[Exact, np.ndarray, dict[str, np.ndarray]]:
    """Normalise posteriors by importance sampling, with a trained posterior as a proposal.

    Returns
    -------
    exact : Exact
    network : array (data_sets,)
        Divergence of the trained posterior from the exact one, in nats.
    ramps : dict of width to array (data_sets,)
        Divergences of densities with ramps of this width in place of steps.
    """
    generator = np.random.default_rng(SEED)
    simulations = simulator.sample(data_sets, seed=SEED)
    truth = {name: simulations[name] for name in model.PRIOR}
    cases = simulations["cases"]
    log_likelihood = functools.partial(model.log_likelihood, whole=whole)
    parts: list[tuple[Any, ...]] = []
    for start in range(0, data_sets, _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, data_sets))
        proposed = posterior.sample({"cases": cases[rows]}, draws=draws, seed=SEED + start)
        own = {name: value[rows] for name, value in truth.items()}
        # The truth comes along as one more column, which has no weight.
        values, log_network, log_proposal = _proposals(
            posterior, cases[rows], proposed, own, log_likelihood, generator
        )
        for i, row in enumerate(rows):
            given = {name: value[i] for name, value in values.items()}
            data = {"cases": cases[row]}
            log_joint = _log_prior(given) + log_likelihood(given, data)
            log_weights = log_joint[:-1] - log_proposal[i, :-1]
            log_evidence = logsumexp(log_weights) - np.log(len(log_weights))
            weights = np.exp(log_weights - logsumexp(log_weights))
            size = 1.0 / np.sum(weights**2)
            error = np.sqrt(max(1.0 / size - 1.0 / len(weights), 0.0))
            chosen = generator.choice(len(weights), KEPT, p=weights)
            log_prob = log_joint - log_evidence
            short = weights @ (log_prob[:-1] - log_network[i, :-1])
            ramps = (
                _ramps(given, data, log_joint[:-1], log_proposal[i, :-1], weights, log_evidence)
                if whole
                else {}
            )
            kept = {name: value[chosen] for name, value in given.items()}
            parts.append((kept, log_prob[-1], log_prob[chosen], error, size, short, ramps))
    kept, *columns, short, ramps = zip(*parts, strict=True)
    stacked = {name: np.stack([part[name] for part in kept]) for name in model.PRIOR}
    exact = Exact(cases, truth, stacked, *map(np.asarray, columns))
    return (
        exact,
        np.asarray(short),
        {key: np.asarray([part[key] for part in ramps]) for key in ramps[0]},
    )


def divergences(exact: Exact, posterior: bi.AmortizedPosterior) -> np.ndarray:
    """Return a trained posterior's divergence from the exact one by data set, (n,), in nats."""
    return np.mean(exact.log_prob - posterior.log_prob(exact.draws, {"cases": exact.cases}), axis=1)


def nats_above(exact: Exact, posterior: bi.AmortizedPosterior) -> tuple[float, float]:
    """Return the mean of the divergences over data sets, and its standard error."""
    short = divergences(exact, posterior)
    return float(short.mean()), float(short.std() / np.sqrt(len(short)))


def _log_prior(parameters: Mapping[str, np.ndarray]) -> np.ndarray:
    return sum(
        distribution.log_prob(tf.cast(parameters[name], tf.float32)).numpy().astype(np.float64)
        for name, distribution in model.PRIOR.items()
    )


def _proposals(
    posterior: bi.AmortizedPosterior,
    cases: np.ndarray,
    proposed: Mapping[str, np.ndarray],
    truth: Mapping[str, np.ndarray],
    log_likelihood: functools.partial[np.ndarray],
    generator: np.random.Generator,
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Return draws (n, m + 1) of the proposal mixture, truth last, and two log densities of each.

    The first is that of the network, the second that of the mixture.
    """
    names = list(model.PRIOR)
    n, draws = proposed["psi"].shape
    counts = [round(share * draws) for share in SHARES.values()]
    first = np.asarray(posterior.log_prob(proposed, {"cases": cases}), np.float64)
    from_prior = posterior.simulator.sample(n * counts[2], seed=int(generator.integers(2**31)))
    columns = []
    laws = []
    for i in range(n):
        given = {name: value[i] for name, value in proposed.items()}
        log_weights = _log_prior(given) + log_likelihood(given, {"cases": cases[i]}) - first[i]
        # Truncated: a fit to a single heavy draw would be useless.
        weights = np.exp(np.minimum(log_weights - logsumexp(log_weights), -np.log(0.01 * draws)))
        points = np.log(np.column_stack([given[name] for name in names]).astype(np.float64))
        mean = np.average(points, axis=0, weights=weights)
        covariance = np.cov(points.T, aweights=weights) * _WIDENED
        laws.append(stats.multivariate_t(mean, covariance, _DEGREES_OF_FREEDOM, seed=generator))
        of_prior = {
            name: value[i * counts[2] : (i + 1) * counts[2]] for name, value in from_prior.items()
        }
        of_t = np.exp(laws[i].rvs(counts[1])).astype(np.float32)
        columns.append(
            {
                name: np.concatenate(
                    [
                        given[name][: counts[0]],
                        of_t[:, k],
                        of_prior[name],
                        np.atleast_1d(truth[name][i]),
                    ]
                )
                for k, name in enumerate(names)
            }
        )
    values = {name: np.stack([column[name] for column in columns]) for name in names}
    log_network = np.asarray(posterior.log_prob(values, {"cases": cases}), np.float64)
    logs = np.log(np.stack([values[name] for name in names], axis=-1).astype(np.float64))
    log_t = np.stack(
        [law.logpdf(points) for law, points in zip(laws, logs, strict=True)]
    ) - logs.sum(axis=-1)
    log_prior = np.stack(
        [_log_prior({name: value[i] for name, value in values.items()}) for i in range(n)]
    )
    shares = np.log(np.asarray(counts) / sum(counts))
    mixture = logsumexp(np.stack([log_network, log_t, log_prior]) + shares[:, None, None], axis=0)
    return values, log_network, mixture


def _ramps(
    parameters: Mapping[str, np.ndarray],
    data: Mapping[str, np.ndarray],
    log_joint: np.ndarray,
    log_proposal: np.ndarray,
    weights: np.ndarray,
    log_evidence: float,
) -> dict[float, float]:
    """Divergences of densities whose likelihood is interpolated between the centres of cells."""
    given = {name: value[:-1].astype(np.float64) for name, value in parameters.items()}
    delay = given["delay"]
    people = given["I0"] + 0.5
    lower = np.floor(delay)
    fewer = np.floor(people)
    corners = np.stack(
        [
            model.log_likelihood(
                {**given, "delay": lower + i, "I0": np.maximum(fewer + j, 1.0)}, data
            )
            for i in (0, 1)
            for j in (0, 1)
        ]
    )
    log_prior = log_joint - model.log_likelihood(given, data)
    found = {}
    for width in RAMPS:
        up, more = (
            np.clip((part - 0.5) / width + 0.5, 0.0, 1.0)
            for part in (delay - lower, people - fewer)
        )
        with np.errstate(divide="ignore"):
            shares = np.log([(1 - up) * (1 - more), (1 - up) * more, up * (1 - more), up * more])
        log_smooth = log_prior + logsumexp(corners + shares, axis=0)
        normaliser = logsumexp(log_smooth - log_proposal) - np.log(len(log_proposal))
        found[width] = float(weights @ (log_joint - log_smooth) + normaliser - log_evidence)
    return found


def main() -> None:
    """Train the networks, normalise, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--steps", type=int, default=5_000)
    given = parser.parse_args()
    quick = given.quick
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) if quick else HERE
        for simulator, whole in ((model.sir, True), (smooth_sir, False)):
            steps = 20 if quick else given.steps
            networks = (ConvLSTM(32), coupling())
            if quick:
                networks = (MLP(16, hidden=(16,)), coupling(1, (16,)))
            posterior, minutes = _trained(simulator, steps, NETWORK_SEEDS[0], networks)
            sizes = (8, 500) if quick else (DATA_SETS, DRAWS)
            exact, short, ramps = exact_posteriors(simulator, posterior, whole, *sizes)
            if whole:
                exact.save(target / "sir_exact.npz")
            learned = [(NETWORK_SEEDS[0], short, minutes)]
            for seed in NETWORK_SEEDS[1 : 1 if quick else None]:
                other, minutes = _trained(simulator, steps, seed, networks)
                learned.append((seed, divergences(exact, other), minutes))
            for seed, found, minutes in learned:
                row = {
                    "density": f"default network on {simulator.name}",
                    "seed": seed,
                    **_mean(found),
                }
                rows.append({**row, "processor_minutes": minutes})
            rows += [
                {"density": f"ramps across {width:g} of a cell", **_mean(value)}
                for width, value in ramps.items()
            ]
            errors = {
                "standard_error": exact.standard_error,
                "effective_size": exact.effective_size,
            }
            table = {"log_prob_truth": exact.log_prob_truth, **errors, "network": short}
            table |= {f"ramps_{width:g}": value for width, value in ramps.items()}
            name = f"{simulator.name}_exact.csv"
            pd.DataFrame(table).to_csv(target / name, index_label="data_set", float_format="%.5g")
            quantiles = np.quantile(exact.effective_size, [0.0, 0.01, 0.5])
            print(
                f"{simulator.name}: held-out NLL of the exact posterior "
                f"{-exact.log_prob_truth.mean():.4f}, "
                f"effective sizes {quantiles.round()}, largest standard error "
                f"{exact.standard_error.max():.3f}; "
                f"check {nats_above(exact, posterior)}"
            )
        pd.DataFrame(rows).to_csv(target / "staircase.csv", index=False, float_format="%.4g")
        print(pd.DataFrame(rows).to_string(index=False))


def _trained(
    simulator: bi.Simulator, steps: int, seed: int, networks: tuple[Summary, Flow]
) -> tuple[bi.AmortizedPosterior, float]:
    """Return a posterior, trained, and the minutes of processor time that it took."""
    posterior = bi.AmortizedPosterior(simulator, *networks)
    started = time.process_time()
    posterior.fit(steps=steps, seed=seed, progress=False)
    return posterior, (time.process_time() - started) / 60.0


def _mean(values: np.ndarray) -> dict[str, float]:
    error = values.std() / np.sqrt(len(values))
    return {
        "nats": float(values.mean()),
        "standard_error": float(error),
        "median": float(np.median(values)),
    }


if __name__ == "__main__":
    main()
