"""Truncated rounds against plain training at equal simulation numbers: classifier two-sample tests.

    python paper_results/sequential_rounds/run.py [--quick] [--anew]

For two observations of two moons and the counts of the SIR model in Germany, 2,000 posterior draws
are compared with as many exact ones: after each of three rounds of 1,000 simulations
(``bi.truncated_rounds``), and after training once on 3,000 and on 8,000 prior draws (``fit``).
Networks and training are those of :data:`PROBLEMS` and the defaults of ``fit`` on arrays, two
seeds. Rows that results.csv has are not measured again, unless ``--anew`` is given; so a run that
was stopped goes on. Writes results.csv, table.csv and c2st.svg beside this file; ``--quick`` runs
one problem briefly into a temporary folder, to check that it runs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import bayesinn as bi
from bayesinn import plots
from bayesinn.diagnostics import c2st
from bayesinn.plots.panels import BLACK, CURVES, DASHED, PAGE, styled
from bayesinn.simulators.sir import sir
from bayesinn.simulators.two_moons import two_moons

HERE = Path(__file__).parent
SEEDS = (1, 2)
ROUNDS = 3
BLOCKS = 6
FOLDS = 5
SIMULATIONS = 1_000
PLAIN = (3_000, 8_000)
DRAWS = 2_000
TITLES = {"two_moons": "two moons", "sir": "SIR, Germany"}
#: Simulator, summary network (None: the default), observations. The first two of two moons are the
#: sbi benchmark's.
PROBLEMS: dict[str, tuple[bi.Simulator, Any, list[dict[str, np.ndarray]]]] = {
    "two_moons": (
        two_moons,
        None,
        [
            {"x": np.array(x, np.float32)}
            for x in ((-0.6396706, 0.16234657), (-0.5676688, -0.33194834))
        ],
    ),
    # A small network: 14 numbers, and a tenth of the time of the default.
    "sir": (sir, bi.summaries.MLP(64), [{"cases": np.array(sir.observed["cases"])}]),
}
KEYS = ["problem", "seed", "observation", "method", "simulations"]


def main() -> None:
    """Measure what is missing, write, draw."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--anew", action="store_true")
    parser.add_argument(
        "--table",
        action="store_true",
        help="measure nothing, write table and figure of what there is",
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) if given.quick else HERE
        file = target / "results.csv"
        rows = [] if given.anew or not file.exists() else pd.read_csv(file).to_dict("records")
        known = {tuple(row[key] for key in KEYS) for row in rows}
        for row in [] if given.table else measured(known, given.quick):
            rows = [other for other in rows if any(other[key] != row[key] for key in KEYS)] + [row]
            print(", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
            pd.DataFrame(rows).to_csv(file, index=False, float_format="%.4g")
        table = summary(pd.DataFrame(rows))
        print(table.to_string(index=False))
        table.to_csv(target / "table.csv", index=False, float_format="%.3f")
        plots.save(draw(pd.DataFrame(rows)), target / "c2st.svg")


def new_posterior(simulator: bi.Simulator, summary: Any, blocks: int) -> bi.AmortizedPosterior:
    """Return an untrained posterior: one network of affine couplings, in rounds and without."""
    return bi.AmortizedPosterior(simulator, summary, bi.flows.coupling(blocks), networks=1)


def measured(known: set[tuple[Any, ...]], quick: bool) -> Iterator[dict[str, Any]]:
    """Yield the rows that are not known."""
    simulations, steps, draws = (100, 20, 100) if quick else (SIMULATIONS, None, DRAWS)
    rounds, blocks, folds = (2, 1, 2) if quick else (ROUNDS, BLOCKS, FOLDS)
    problems = ["two_moons"] if quick else list(PROBLEMS)
    for seed in SEEDS[: 1 if quick else None]:
        for name in problems:
            simulator, network, observations = PROBLEMS[name]
            observations = observations[: 1 if quick else None]
            posterior = new_posterior(simulator, network, blocks)
            exact = [
                bi.reference.exact_draws(simulator, data, draws=draws, seed=7)
                for data in observations
            ]
            case = {"problem": name, "seed": seed}
            for number, data in enumerate(observations, 1):
                case |= {"observation": number}
                last = {**case, "method": "rounds", "simulations": rounds * simulations}
                if tuple(last[key] for key in KEYS) in known:
                    continue
                started = time.process_time()
                result = bi.truncated_rounds(
                    posterior,
                    data,
                    rounds=rounds,
                    simulations=simulations,
                    seed=seed,
                    steps=steps,
                    progress=False,
                )
                seconds = time.process_time() - started
                fitted = [*(part.posterior for part in result.truncation.parts), result.posterior]
                cut = 1.0 - result.truncation.contains(exact[number - 1]).mean()
                for round_number, own in enumerate(fitted, 1):
                    row = {**case, "method": "rounds", "simulations": round_number * simulations}
                    row |= {
                        "c2st": c2st(
                            columns(own.sample(data, draws=draws, seed=seed)),
                            columns(exact[number - 1]),
                            folds=folds,
                        )
                    }
                    row |= {"prior share": result.rounds["share"].iloc[round_number - 1]}
                    is_last = round_number == rounds
                    yield row | {
                        "cut off": cut if is_last else np.nan,
                        "seconds": seconds if is_last else np.nan,
                    }
            for size in (200,) if quick else PLAIN:
                rows = [
                    {
                        "problem": name,
                        "seed": seed,
                        "observation": n + 1,
                        "method": "plain",
                        "simulations": size,
                    }
                    for n in range(len(observations))
                ]
                if all(tuple(row[key] for key in KEYS) in known for row in rows):
                    continue
                started = time.process_time()
                plain = new_posterior(simulator, network, blocks)
                plain.fit(
                    simulator.sample(size, seed=100 + seed), seed=seed, steps=steps, progress=False
                )
                seconds = time.process_time() - started
                for row, data, reference in zip(rows, observations, exact, strict=True):
                    found = c2st(
                        columns(plain.sample(data, draws=draws, seed=seed)),
                        columns(reference),
                        folds=folds,
                    )
                    yield row | {
                        "c2st": found,
                        "prior share": 1.0,
                        "cut off": np.nan,
                        "seconds": seconds,
                    }


def columns(draws: dict[str, np.ndarray]) -> np.ndarray:
    """Draws (n, d)."""
    return np.stack([np.asarray(value, np.float64) for value in draws.values()], axis=1)


def summary(results: pd.DataFrame) -> pd.DataFrame:
    """Mean and range of C2ST over seeds and observations, and equivalent plain simulations.

    That is the number of plain simulations that would give the same mean.

    The latter is interpolated along the logarithm of the number of simulations; the first round is
    plain training on as many. Where plain training needs more than the largest number measured, it
    is that number, as a lower bound.
    """
    table = results.groupby(["problem", "method", "simulations"], sort=False)["c2st"].agg(
        ["mean", "min", "max"]
    )
    table = table.reset_index()
    shares = results.groupby(["problem", "method", "simulations"], sort=False)[
        ["prior share", "cut off"]
    ].mean()
    table = table.merge(shares.reset_index(), sort=False)
    table["plain simulations"] = np.nan
    table["ratio"] = np.nan
    table["at least"] = False
    for row in table[table["method"] == "rounds"].index:
        own = table.loc[row]
        plain = table[(table["problem"] == own["problem"]) & (table["method"] == "plain")]
        first = table[(table["problem"] == own["problem"]) & (table["method"] == "rounds")].iloc[:1]
        curve = pd.concat([first, plain]).sort_values("simulations")
        # C2ST falls with the number of simulations, up to noise.
        curve = curve[curve["mean"] < curve["mean"].cummin().shift(fill_value=np.inf)]
        level = curve["mean"].to_numpy()
        equal = np.exp(
            np.interp(-own["mean"], -level, np.log(curve["simulations"].to_numpy(np.float64)))
        )
        table.loc[row, "plain simulations"] = equal
        table.loc[row, "ratio"] = equal / own["simulations"]
        table.loc[row, "at least"] = own["mean"] < level[-1]
    return table


@styled
def draw(results: pd.DataFrame) -> Figure:
    """C2ST of each observation and seed, by method and number of simulations, and their mean.

    A column a method, a panel a problem; too few are measured for a trend.
    """
    problems = list(results["problem"].unique())
    ways = results[["method", "simulations"]].drop_duplicates()
    ways = ways.sort_values(["method", "simulations"], ascending=[False, True])
    step = results["simulations"].min()
    names = [
        f"{'once' if method == 'plain' else f'round {size // step}'}\n{size:,}"
        for method, size in ways.itertuples(index=False)
    ]
    figure = Figure(figsize=(PAGE, 3.4), layout="constrained")
    grid = figure.subplots(1, len(problems), squeeze=False, sharey=True)[0]
    for ax, problem in zip(grid, problems, strict=True):
        own = results[results["problem"] == problem].set_index(["method", "simulations"])["c2st"]
        for place, way in enumerate(ways.itertuples(index=False)):
            values = own.loc[[tuple(way)]].to_numpy()
            colour, marker, _ = CURVES[way.method == "plain"]
            near = place + 0.12 * (np.arange(len(values)) - 0.5 * (len(values) - 1))
            label = "an observation and seed, " + ("once" if way.method == "plain" else "in rounds")
            ax.plot(near, values, marker, color=colour, markersize=4, label=label)
            ax.hlines(values.mean(), place - 0.3, place + 0.3, color=BLACK, label="mean")
        ax.axhline(0.5, **DASHED, label="ideal")
        ax.set(xlabel="simulations", title=TITLES.get(problem, problem))
        ax.set_xticks(range(len(names)), names)
    grid[0].set_ylabel("C2ST against exact draws")
    return plots.panels.legend_below(figure)


if __name__ == "__main__":
    main()
