"""SIR in Germany, 2 to 15 March 2020: published, ours, and exact.

    python paper_results/sir_germany/run.py [--quick]

Trains the TensorFlow simulator and the same model in plain Python with the defaults of ``bayesinn
run``, infers from the 14 counts, and writes results.csv, facts.csv and figures beside this file.
``--quick`` trains briefly into a temporary folder, to check that it runs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import pandas as pd

import bayesinn as bi
from bayesinn import plots
from bayesinn.cli.networks import Wanted
from bayesinn.cli.run import Run
from bayesinn.cli.training import train_into
from bayesinn.diagnosis.report.sections import posterior_table
from bayesinn.flows import coupling
from bayesinn.summaries import MLP

SEED = 1
STEPS = 5_000
BATCH_SIZE = 256
EXACT_PRIOR_DRAWS = 3_000_000
# Posterior means of the authors' trained network, read off a figure of OutbreakFlow (see
# README.md).
PUBLISHED = {"lambda": 0.40, "mu": 0.125, "delay": 7.8, "I0": 29.0, "psi": 3.4}
NAMES = {"sir": "ours", "sir_numpy": "ours, plain Python"}


def main() -> None:
    """Train, infer, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    steps = 10 if quick else STEPS
    batch_size = 64 if quick else BATCH_SIZE
    small = Wanted(MLP(16, hidden=(16,)), coupling(1, (16,)))
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) if quick else Path(__file__).parent
        exact = bi.reference.importance(
            bi.get_simulator("sir"),
            bi.get_simulator("sir").observed,
            draws=100_000 if quick else EXACT_PRIOR_DRAWS,
            seed=SEED,
        )
        facts: dict[str, object] = {
            "effective size of the exact answer": exact.effective_size,
            "log evidence": exact.log_evidence,
        }
        columns = {("published", "mean"): pd.Series(PUBLISHED)}
        reference = posterior_table(exact.draws(50_000, SEED), bi.get_simulator("sir").labels)
        for statistic in ("mean", "sd", "2.5 %", "97.5 %"):
            columns["exact", statistic] = reference[statistic]
        for simulator, label in NAMES.items():
            run = Run(Path(folder) / simulator)
            started = time.monotonic()
            posterior = train_into(
                run.folder,
                bi.get_simulator(simulator),
                steps=steps,
                batch_size=batch_size,
                seed=SEED,
                wanted=small if quick else Wanted(),
            )
            print(f"{simulator}: trained in {time.monotonic() - started:.0f} s")
            # Exact draws are outlines in the figure of marginals.
            draws = 200 if quick else 20_000
            shown = simulator == "sir" and not quick
            _, table = run.infer(posterior, None, draws=draws, seed=SEED + 1, exact=shown)
            for statistic in ("mean", "sd", "2.5 %", "97.5 %"):
                columns[label, statistic] = table[statistic]
            columns[label, "error of mean / exact sd"] = (
                table["mean"] - reference["mean"]
            ) / reference["sd"]
            columns[label, "sd / exact sd"] = table["sd"] / reference["sd"]
            if simulator == "sir":
                diagnosis = run.diagnose(
                    posterior, simulations=50 if quick else None, seed=SEED + 2
                )
                print(diagnosis)
                diagnosis.verdict.to_csv(target / "verdict.csv", float_format="%.4g")
                ranks = diagnosis["sbc"]
                facts["parameters inside the 99 % band of SBC"] = int(ranks.inside.sum())
                pairs = zip(ranks.columns, ranks.inside, strict=True)
                facts["parameters outside of it"] = " ".join(
                    name for name, inside in pairs if not inside
                )
                facts["p-value of SBC of the log likelihood"] = float(
                    diagnosis["fit_to_data"].family_p_value
                )
                plots.save(
                    plots.verdict(diagnosis, labels=posterior.simulator.labels),
                    target / "verdict.png",
                )
                plots.save(
                    plots.ecdf(
                        diagnosis["sbc"],
                        labels=posterior.simulator.labels,
                        errors=diagnosis.errors.loc["SBC"].reset_index(),
                    ),
                    target / "sbc.png",
                )
                for figure in ("marginals", "predictive_cases"):
                    (target / f"{figure}.png").write_bytes(
                        (run.folder / "figures" / f"{figure}.png").read_bytes()
                    )
        results = pd.DataFrame(columns).loc[list(PUBLISHED)]
        results.columns = [f"{who}: {statistic}" for who, statistic in results.columns]
        results.to_csv(target / "results.csv", index_label="parameter", float_format="%.4g")
        print(results.T.to_string(float_format=lambda value: f"{value:.4g}"))
        table = pd.Series(facts, name="value").rename_axis("fact")
        table.to_csv(target / "facts.csv", float_format="%.6g")
        print(table.to_string())


if __name__ == "__main__":
    main()
