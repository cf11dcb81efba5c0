"""When does amortized inference pay? Cost and accuracy of five methods on five models.

    python paper_results/amortization/run.py [--quick] [--model NAME ...]

Trains a network for each model, then answers simulated data sets by the network, by the network
refined, by NUTS, SMC-ABC and KDE-MCMC. The first few answers are compared with exact draws by a
classifier (C2ST). Adds a row to runs.csv for each answer, to estimates.csv for each of its
parameters, to training.csv for each training, and saves networks in posteriors/; what is there is
not made again. Then tables.py makes the tables and the figure. ``--quick`` does a little of one model, in a temporary
folder.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import tables
from methods import METHODS, Answer, Methods
from problems import PROBLEMS, Arrays, Problem
from rows import Rows, columns

import bayesinn as bi
from bayesinn.diagnostics import c2st
from bayesinn.reference.importance import ExactDensity

SETS = 10
COMPARED = 3
COMPARED_DRAWS = 500
LEVEL = 0.9
#: Less than the smallest budgets: to compile, and for the quick mode.
LITTLE = {"amortized": 0, "refined": 0, "NUTS": 20, "SMC-ABC": 2_000, "KDE-MCMC": 20}


def main() -> None:
    """Measure what is missing, then make tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--model", nargs="+", choices=list(PROBLEMS), default=list(PROBLEMS))
    arguments = parser.parse_args()
    quick = arguments.quick
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if quick else Path(__file__).parent
        for name in ["linear"] if quick else arguments.model:
            measure(name, PROBLEMS[name], folder, quick)
        print(tables.write(folder))


def measure(name: str, problem: Problem, folder: Path, quick: bool) -> None:
    """Answer the data sets of one model by all methods."""
    rows = Rows(folder / "runs.csv", ("model", "method", "budget", "set"))
    estimates = Rows(folder / "estimates.csv", ("model", "method", "budget", "set", "parameter"))
    trainings = Rows(folder / "training.csv", ("model",))
    sets = 2 if quick else SETS
    compared = 1 if quick else COMPARED
    plan = [
        (method, budget, number)
        for method, (_, budgets) in METHODS.items()
        for place, budget in enumerate([LITTLE[method]] if quick else budgets)
        for number in range(sets if place == 0 else compared)
    ]
    # A run that is cut short has all methods on some data sets.
    plan.sort(key=lambda row: row[2])
    missing = [
        (method, budget, number)
        for method, budget, number in plan
        if (name, method, str(budget), str(number)) not in rows.done
    ]
    if not missing:
        return
    simulator = problem.simulator
    saved = folder / "posteriors" / name
    if saved.exists() and (name,) in trainings.done:
        posterior = bi.load(saved, simulator)
    else:
        posterior = bi.AmortizedPosterior(simulator, **problem.network())
        started = time.process_time()
        steps = 20 if quick else problem.steps
        posterior.fit(steps=steps, batch_size=256, seed=1, progress=False)
        seconds = time.process_time() - started
        posterior.save(saved)
        trainings.add({"model": name, "seconds": seconds, "simulations": steps * 256})
    print(f"{name}: trained", flush=True)
    density = ExactDensity(simulator, problem.log_likelihood)
    methods = Methods(problem, posterior, density)
    simulations = simulator.draw(sets, seed=11)
    references: dict[int, np.ndarray] = {}
    warm: set[str] = set()
    for method, budget, number in missing:
        function = METHODS[method][0]
        data = {key: value[number] for key, value in simulations.observables.items()}
        truth = {key: value[number : number + 1] for key, value in simulations.parameters.items()}
        if method == "NUTS" and density.obstacle:
            continue
        if method not in warm:
            # All that is compiled once, or traced.
            little = 1 if method == "refined" and not quick else LITTLE[method]
            function(methods, data, little, 99)
            warm.add(method)
        answer = function(methods, data, budget, number + 1)
        score = float("nan")
        if number < compared:
            if number not in references:
                size = 200 if quick else COMPARED_DRAWS
                references[number] = columns(problem.exact(density, data, truth, size))
            score = compare(answer, references[number])
        key = {"model": name, "method": method, "budget": budget, "set": number}
        for row in summary(simulator, answer.draws, truth):
            if (*map(str, key.values()), str(row["parameter"])) not in estimates.done:
                estimates.add({**key, **row})
        rows.add({**key, "seconds": answer.seconds, "runs": answer.runs, "c2st": score})
        print(name, method, budget, number, f"{answer.seconds:.3g} s, C2ST {score:.3f}", flush=True)


def compare(answer: Answer, reference: np.ndarray) -> float:
    """Return the C2ST of as many draws as the reference has."""
    drawn = columns(answer.draws)
    rows = np.random.default_rng(3).permutation(len(drawn))[: len(reference)]
    return c2st(drawn[rows], reference)


def summary(simulator: bi.Simulator, draws: Arrays, truth: Arrays) -> list[dict[str, object]]:
    """Return mean and interval of each number, with the truth."""
    names = [
        f"{name}[{place}]" if shape else name
        for name, shape in simulator.prior.event_shapes.items()
        for place in range(int(np.prod(shape)))
    ]
    values = columns({name: draws[name] for name in simulator.prior.names}).astype(np.float64)
    true = columns({name: truth[name] for name in simulator.prior.names})[0]
    tail = 0.5 * (1.0 - LEVEL)
    low, high = np.quantile(values, [tail, 1.0 - tail], axis=0)
    return [
        {
            "parameter": parameter,
            "truth": float(true[place]),
            "mean": float(values[:, place].mean()),
            "low": float(low[place]),
            "high": float(high[place]),
        }
        for place, parameter in enumerate(names)
    ]


if __name__ == "__main__":
    main()
