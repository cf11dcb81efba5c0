"""What is known of numbers that quick modes print: bounds that hold however briefly networks are trained.

A pattern has one group, a number. It must be found, and each number that it finds must lie within
the bounds: an exact value with room for the error of few draws, or what no network, correct or not,
can pass.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

NUMBER = r"(-?\d[\d.,]*(?:e[+-]?\d+)?)"
#: Greater than zero, and finite: of times, speeds and sizes nothing else is known on a machine that
#: one shares.
SOME = (5e-324, 1e300)


class Truth(NamedTuple):
    """Bounds of all numbers that a pattern finds in what a script prints."""

    pattern: str
    least: float
    most: float


def column(name: str, least: float, most: float) -> Truth:
    """Return bounds of what stands behind a name: in lines of ``name value``, ``name: value`` or ``name=value``."""
    return Truth(
        rf"{re.escape(name)}'?[:=,]?[ ]+(?:np\.float64\()?{NUMBER}|{re.escape(name)}={NUMBER}",
        least,
        most,
    )


def row(name: str, place: int, least: float, most: float) -> Truth:
    """Return bounds of one number, counted from 0, in rows of a table that start with a name."""
    return Truth(rf"(?m)^\s*{re.escape(name)}\s+(?:\S+\s+){{{place}}}{NUMBER}", least, most)


TRUTHS: dict[str, list[Truth]] = {
    # Deviations from published values in standard errors, of ten quantities.
    "benchmarks/tissue_mc.py": [
        Truth(rf"(?m){NUMBER}\s+(?:van de Hulst|Giovanelli|MCML|adding-doubling)", -4.5, 4.5),
        row("matched slab            diffuse", 1, 0.08, 0.12),
    ],
    "benchmarks/simulation_speed.py": [column("simulations_per_second", *SOME)],
    "benchmarks/bank.py": [
        row("write: bank", 0, *SOME),
        row("train: peak memory", 0, 100.0, 20_000.0),
    ],
    "benchmarks/jax_step.py": [row("linear 64", 2, *SOME)],
    # A network that is hardly trained is above the exact posterior.
    "benchmarks/augment.py": [row("new noise", 1, 0.05, 100.0)],
    "benchmarks/integers.py": [
        row("three integers", 1, 0.0, 1.0),
        row("excluded categories", 4, 0.0, 0.0),
    ],
    "benchmarks/paths.py": [row("random walk", 1, 0.05, 1.0)],
    "benchmarks/combine.py": [row("mean of 2", 3, *SOME)],
    "benchmarks/workers.py": [row("one worker", 1, 1.0, 1.0), row("two workers", 2, *SOME)],
    "benchmarks/tissue_speed.py": [
        Truth(r"spectrocam8\s+(\d+) wavelengths", 45, 45),
        Truth(rf"wavelengths\s+{NUMBER} tissues/s", *SOME),
    ],
    # As many weights as in the committed table.
    "benchmarks/flow_speed.py": [column("weights", 207_408, 207_408), column("ms_per_step", *SOME)],
    "benchmarks/draws.py": [column("seconds", *SOME)],
    # A step takes longer than its matrix products, but where the machine is busy with others just
    # then.
    "benchmarks/growth.py": [
        Truth(r"'batch', 'size': \d+, 'weights': (\d+)", 219_000, 219_000),
        column("floor_ms", *SOME),
    ],
    "benchmarks/reversible_memory.py": [
        column("peak_mb", 100.0, 20_000.0),
        column("ms_per_step", 0.0, 1e300),
    ],
    "benchmarks/start_up.py": [Truth(rf"(?m)^.*\S\s+{NUMBER}$", *SOME)],
    "benchmarks/training_step.py": [Truth(rf"{NUMBER} ms/step", *SOME)],
    "benchmarks/peers/run.py": [column("ms_per_step", *SOME)],
    # Off by standard deviations of the exact posterior: after 40 steps not by nothing, and not by a
    # hundred.
    "benchmarks/how_to.py": [
        Truth(
            rf"(?m)^\s*(?:pharmacokinetics|drift_diffusion)\s+40\s+\S+\s+\S+\s+{NUMBER}",
            0.01,
            100.0,
        )
    ],
    # Nothing is denser than the exact posterior in the mean; after 20 steps a tenth of it is not
    # found.
    "paper_results/two_moons/run.py": [
        column("nats above the entropy", -0.1, 8.0),
        column("ours and exact", 0.5, 1.0),
    ],
    # Of exact draws against exact ones; exact draws reach the hand, and land where they have to.
    "paper_results/inverse_benchmark/run.py": [
        row("exact posterior, drawn again", 1, -0.05, 0.05),
        row("exact posterior, drawn again", 5, 0.0, 1e-12),
        row("prior", 1, 0.1, 1.0),
    ],
    # The entropy of the moons, and no network below it.
    "paper_results/densities_2d/run.py": [
        column("floor", 1.0076, 1.0076),
        column("gap", -0.1, 8.0),
    ],
    # Of the paper's example; importance sampling with 100,000 draws in place of three million.
    "paper_results/sir_germany/run.py": [
        column("log evidence", -91.5, -90.6),
        column("effective size of the exact answer", 1_300.0, 3_200.0),
    ],
    # Accuracies, and how far heat maps are from the log odds that they sum to.
    "paper_results/generative_classifier/run.py": [
        Truth(rf"(?m)^\s*digits\s+flow\s+\S+\s+1\s+\d+\s+[\d.]+\s+{NUMBER}", 0.0, 1.0),
        Truth(rf"(?m)^\s*digits\s+flow\s+\S+\s+1\s+\d+\s.*\s{NUMBER}$", 0.0, 1e-4),
    ],
    "paper_results/reversible_classifier/run.py": [
        column("error", 0.0, 1.0),
        column("round trip", 0.0, 1e-3),
    ],
    # The uniform density has 4.09 bits; independent pixels, where networks start, about 2.4.
    "paper_results/image_densities/run.py": [
        column("bits", 2.0, 4.0),
        column("accuracy", 0.0, 1.0),
    ],
    "paper_results/gin_artificial/run.py": [
        column("mean correlation", 0.2, 1.0),
        # Of the best two elements of x, before training; sources are turned by 45 degrees.
        column("mean correlation of x", 0.7, 0.9),
        column("test loss", -24.0, 20.0),
        # Volumes are kept, and no law with these scales has more entropy than the Gaussian.
        column("least excess of a class", -0.1, 100.0),
    ],
    "paper_results/gin_digits/run.py": [
        column("rank and effect", -1.0, 1.0),
        column("accuracy", 0.0, 1.0),
    ],
    # Distances, and p-values.
    "paper_results/gaussian_field/run.py": [
        Truth(rf"(?m)^\s*\w+\s+(?:amplitude|slope|noise)\s+{NUMBER}", 0.0, 1.0),
    ],
    # Of 200 draws of each: what can't be told apart may be a little below one half.
    "paper_results/amortization/run.py": [Truth(rf"C2ST {NUMBER}", 0.35, 1.0)],
    # As before, of 200 draws; a hundred steps teach the linear problem well enough for weights.
    "paper_results/refinement/run.py": [
        column("before", 0.35, 1.0),
        column("after", 0.35, 0.65),
        column("k_hat", -1.0, 0.7),
    ],
    # Errors of posterior means in exact standard deviations, and p-values.
    "paper_results/hierarchical/run.py": [
        row("unknown", 2, 0.0, 1e3),
        Truth(rf"(?m)^\s*unknown\s+(?:mean|sd|level)\s+{NUMBER}", 0.0, 1.0),
    ],
    # Ten steps of a small network; nothing is below the floor, and codes lead back.
    "paper_results/colorization/run.py": [
        Truth(rf"(?m)^floor\s+{NUMBER}", -2.5, -2.4),
        Truth(rf"(?m)^gap  \s+{NUMBER}", 0.0, 4.0),
        Truth(rf"(?m)^transfer\s+{NUMBER}", 0.0, 1e-3),
    ],
    # Ten steps; codes of colours lead back to them.
    "paper_results/colorization/cifar10.py": [
        Truth(rf"(?m)^chroma rises with t\s+{NUMBER}", -1.0, 1.0),
        Truth(rf"(?m)^transfer to itself\s+{NUMBER}", 0.0, 1e-3),
    ],
    # Trained for two steps; the exact posterior has -2.2.
    "paper_results/sir_fisher_scoring/run.py": [
        column("log density at the truth [nats]", -30.0, -2.2)
    ],
    # Of posteriors that were trained for 20 steps, on a plane whose prior is 400 large.
    "paper_results/sbibm/run.py": [
        column("c2st", 0.5, 1.0),
        column("nats", 0.8, 8.0),
        column("exact_nats", 0.8, 1.3),
    ],
    "paper_results/sequential_rounds/run.py": [
        column("c2st", 0.45, 1.0),
        column("prior share", 1e-3, 1.0),
    ],
    # The exact density of the linear problem, and how far networks are from it, which can't be
    # nearer than that.
    "paper_results/sbibm/training/run.py": [
        Truth(rf"(?m)^\s*linear .* batch 64\s+1\s+\S+\s+{NUMBER}", 1.735, 1.737),
        Truth(rf"(?m)^\s*(?:linear|sir) .* batch 64\s+1\s+\S+\s+\S+\s+{NUMBER}", -0.02, 8.0),
    ],
    "paper_results/sbibm/training/sir_exact.py": [
        column("held-out NLL of the exact posterior", 0.5, 4.0)
    ],
    # Data of the declared prior are rejected at 5 %, twenty of one that is shifted by three
    # standard deviations always.
    "paper_results/diagnostics_power/run.py": [
        Truth(rf"(?m)^\s*0\.0+\s+\d+\s+{NUMBER}\s+\S+\s+0\.95", 0.0, 0.35),
        Truth(rf"(?m)^\s*3\.0+\s+20\s+{NUMBER}\s+\S+\s+0\.95", 0.8, 1.0),
    ],
    # Of the draws of the flow none lies outside of the prior's support.
    "paper_results/multispectral/run.py": [
        Truth(rf"(?m)^conditional flow\s.*\s{NUMBER}\s+\S+\s*$", 0.0, 0.0)
    ],
    # Nats, of which networks that were trained for an hour have -15.4.
    "paper_results/covid19_germany/train.py": [
        Truth(rf"(?m)^\s*\d+\s+\d+\s+\S+\s+\S+\s+{NUMBER}\s+\S+\s*$", -16.0, 1e3)
    ],
    "paper_results/covid19_germany/networks.py": [
        Truth(rf"(?m)\s{NUMBER}\s+[\d.]+\s*$", -16.0, 1e3)
    ],
    "paper_results/covid19_germany/simulations_only.py": [
        Truth(
            rf"(?m)^\s*(?:reproduction|published network).*?\s{NUMBER}\s+\S+\s+\d+ of \d+",
            -16.0,
            1e6,
        )
    ],
    # The p-value of the German counts.
    "paper_results/covid19_germany/run.py": [
        Truth(
            rf"(?m)\s{NUMBER}\s+(?:learnt features|values together|largest value|overall size"
            r"|order in time|gap in time)\s*$",
            0.0,
            1.0,
        )
    ],
    # Shares of the counts inside of intervals.
    "paper_results/covid19_germany/ablations.py": [
        Truth(rf"(?m)\s{NUMBER}\s+[\d.]+\s*$", 0.0, 1.0)
    ],
}


def check_numbers(script: str, printed: str) -> None:
    """Check the numbers that a script has printed."""
    for pattern, least, most in TRUTHS[script]:
        found = [next(filter(None, match.groups())) for match in re.finditer(pattern, printed)]
        assert found, f"{script} prints no {pattern}\n{printed}"
        values = [float(text.replace(",", "")) for text in found]
        assert all(math.isfinite(value) and least <= value <= most for value in values), (
            f"{pattern}: {values}"
        )
