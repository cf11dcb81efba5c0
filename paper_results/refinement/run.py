"""How near are refined draws to exact ones, and what does it cost? Four models.

    python paper_results/refinement/run.py [--quick] [--model NAME ...]

Refines amortized posteriors of observations by ``bi.refine``, and compares 1,000 amortized and
refined draws of each with as many exact ones by a classifier (C2ST). Adds a row to runs.csv for
each observation, and keeps draws of the first of each model in draws/; what is there is not made
again. tables.py makes tables and figures of these, predict.py simulates the German forecast.
``--quick`` does a little of a small model in a temporary folder.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import tables
from models import DRAWS, HERE, MODELS, Arrays, Model
from rows import Rows, columns

import bayesinn as bi
from bayesinn.diagnostics import c2st

QUICK = "linear"
QUICK_DRAWS = 200


def main() -> None:
    """Measure what is missing, then make tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    full = [name for name in MODELS if name != QUICK]
    parser.add_argument("--model", nargs="+", choices=full, default=full)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if arguments.quick else HERE
        for name in [QUICK] if arguments.quick else arguments.model:
            measure(name, MODELS[name], folder, arguments.quick)
        print(tables.write(folder))


def measure(name: str, model: Model, folder: Path, quick: bool) -> None:
    """Refine the observations of one model that have no row yet."""
    rows = Rows(folder / "runs.csv", ("model", "data"))
    data = model.data()
    missing = [key for key in data if (name, key) not in rows.done][: 1 if quick else None]
    if not missing:
        return
    posterior = model.posterior(100 if quick else None)
    names = posterior.simulator.prior.names
    print(f"{name}: posterior is there", flush=True)
    for key in missing:
        seed = list(data).index(key) + 1
        amortized = posterior.sample(data[key], draws=DRAWS, seed=seed)
        exact = model.exact(key, data[key], 1)
        if key == missing[0]:
            # Traces what the first call alone pays for.
            refine(model, posterior, data[key], seed, ("importance",))
        refined, facts = refine(model, posterior, data[key], seed, model.methods)
        row: dict[str, object] = {"model": name, "data": key, **facts}
        if model.before is None:
            row["before"] = compare(amortized, exact, names, quick)
        else:
            row["before"] = model.before(key)
        row["after"] = compare(refined, exact, names, quick)
        row["exact"] = float("nan")
        if seed == 1:
            again = model.exact(key, data[key], 2)
            row["exact"] = compare(again, exact, names, quick)
            keep(folder / "draws" / f"{name}.npz", amortized, refined, exact, names)
        rows.add(row)
        print(", ".join(f"{column} {value}" for column, value in row.items()), flush=True)


def refine(
    model: Model,
    posterior: bi.AmortizedPosterior,
    data: Arrays,
    seed: int,
    methods: tuple[str, ...] | None,
) -> tuple[Arrays, dict[str, object]]:
    """Return refined draws of one observation, and what is known of them."""
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", "Draws stay amortized")
        started = time.process_time()
        tree = bi.refine(
            posterior,
            data,
            log_likelihood=model.log_likelihood,
            methods=methods,
            draws=DRAWS,
            seed=seed,
            predictive=False,
        )
        seconds = time.process_time() - started
    found = tree["refinement"]
    names = ("method", "k_hat", "effective_size", "r_hat", "evaluations")
    facts = {name: found[name].item() for name in names}
    facts["seconds"] = seconds
    facts["why not"] = "".join(str(note.message).partition(" (")[2] for note in notes)
    values = tree["posterior"]
    draws = {name: values[name].to_numpy()[0] for name in posterior.simulator.prior.names}
    return draws, facts


def compare(draws: Arrays, exact: Arrays, names: tuple[str, ...], quick: bool) -> float:
    """Return the C2ST of draws to exact ones."""
    size = QUICK_DRAWS if quick else DRAWS
    sides = [columns({name: side[name][:size] for name in names}) for side in (draws, exact)]
    return c2st(*sides)


def keep(
    file: Path, amortized: Arrays, refined: Arrays, exact: Arrays, names: tuple[str, ...]
) -> None:
    """Keep draws for figures."""
    file.parent.mkdir(exist_ok=True)
    sides = {"amortized": amortized, "refined": refined, "exact": exact}
    arrays = {
        f"{side}/{name}": draws[name].astype(np.float32)
        for side, draws in sides.items()
        for name in names
    }
    np.savez_compressed(file, **arrays)


if __name__ == "__main__":
    main()
