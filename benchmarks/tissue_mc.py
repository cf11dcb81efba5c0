"""Monte Carlo light transport: deviations from published values, photons per second beside NumPy.

    python benchmarks/tissue_mc.py [--quick]

Writes tissue_mc_validation.csv and tissue_mc_speed.csv beside this file. Validation: a million
photons for each case, and how many standard errors they are from the reference, together with the
reference's own error. Speed: colon-like tissue of three layers, on two threads, beside MCML in
NumPy on one (tests/helpers/mcml.py). A busy machine disturbs seconds more than processor time; both
are given, without compilation. The committed table was made beside some fifteen other processes on
two cores, so that its seconds say little. ``steps`` is the share of processor time that the
collisions and boundaries take; the rest starts packets, scores them, and plays roulette.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf

from bayesinn.simulators import tissue_mc

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # the yardstick is a helper of the tests

from tests.helpers import mcml  # noqa: E402

SEED = 1
#: Layers (n, mu_a, mu_s, g, thickness), in 1/cm and cm.
LAYERS: dict[str, list[mcml.Layer]] = {
    "matched slab": [(1.0, 10.0, 90.0, 0.75, 0.02)],
    "half-space": [(1.5, 10.0, 90.0, 0.0, math.inf)],
    "three layers": [(1.37, 1.0, 100.0, 0.9, 0.1), (1.37, 1.0, 10.0, 0.0, 0.1), (1.37, 2.0, 10.0, 0.7, 0.2)],
    "colon": [
        (1.36, 2.97564, 163.36816, 0.9, 0.0805), (1.36, 11.90256, 43.21909, 0.8, 0.05),
        (1.36, 7.4391, 518.62909, 0.95, 0.05),
    ],
    "colon, three indices": [
        (1.36, 2.97564, 163.36816, 0.9, 0.0805), (1.45, 11.90256, 43.21909, 0.8, 0.05),
        (1.38, 7.4391, 518.62909, 0.95, 0.05),
    ],
}  # fmt: skip
#: Case, quantity, reference, its standard error, and where it comes from.
REFERENCES = (
    ("matched slab", "diffuse", 0.09739, 0.0, "van de Hulst 1980"),
    ("matched slab", "transmitted", 0.66096, 0.0, "van de Hulst 1980"),
    ("half-space", "specular + diffuse", 0.2600, 0.00005, "Giovanelli 1955, four digits"),
    ("three layers", "diffuse", 0.237544, 0.00031, "MCML sample, 1e6"),
    ("three layers", "transmitted", 0.0964896, 0.00019, "MCML sample, 1e6"),
    ("three layers", "absorbed", 0.641594, 0.00029, "MCML sample, 1e6"),
    ("colon", "diffuse", 0.15289, 0.0, "adding-doubling, 32 streams"),
    ("colon", "transmitted", 0.02447, 0.0, "adding-doubling, 32 streams"),
    ("colon, three indices", "diffuse", 0.1514, 0.0002, "MCML in NumPy, 2.8e6"),
    ("colon, three indices", "transmitted", 0.0241, 0.0001, "MCML in NumPy, 2.8e6"),
)


def properties(*cases: str) -> dict[str, np.ndarray]:
    """Return the properties of cases with equally many layers, (cases, layers)."""
    table = np.moveaxis(np.array([LAYERS[case] for case in cases]), -1, 0)
    return dict(zip(("n", "mu_a", "mu_s", "g", "thickness"), table, strict=True))


def validate(photons: int) -> pd.DataFrame:
    """Compare all cases with their references."""
    found: dict[str, tissue_mc.Light] = {}
    for cases in (
        ("matched slab", "half-space"),
        ("three layers", "colon", "colon, three indices"),
    ):
        light = tissue_mc.monte_carlo(**properties(*cases), photons=photons, seed=SEED)
        found |= {
            case: tissue_mc.Light(*(float(value[row]) for value in light))
            for row, case in enumerate(cases)
        }
    rows = []
    for case, quantity, reference, its_error, source in REFERENCES:
        value, error = measured(found[case], quantity)
        deviations = (value - reference) / math.hypot(error, its_error)
        rows.append(
            (case, quantity, photons, value, error, reference, its_error, deviations, source)
        )
    columns = [
        "case",
        "quantity",
        "photons",
        "found",
        "error",
        "reference",
        "its_error",
        "deviations",
        "source",
    ]
    return pd.DataFrame(rows, columns=columns)


def measured(light: tissue_mc.Light, quantity: str) -> tuple[float, float]:
    """Return a quantity with its standard error."""
    both = math.hypot(light.diffuse_error, light.transmitted_error)
    return {
        "diffuse": (light.diffuse, light.diffuse_error),
        "specular + diffuse": (light.specular + light.diffuse, light.diffuse_error),
        "transmitted": (light.transmitted, light.transmitted_error),
        # Each packet leaves at one side, so that the two are not independent: an upper limit.
        "absorbed": (light.absorbed, both),
    }[quantity]


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Return seconds and processor seconds of a call."""
    started = time.perf_counter()
    processor = time.process_time()
    call()
    return time.perf_counter() - started, time.process_time() - processor


@tf.function(jit_compile=True, autograph=False)
def only_steps(columns: list[tf.Tensor], steps: tf.Tensor, lanes: int) -> tf.Tensor:
    """Take steps in lanes that nothing is done with otherwise."""
    stack = tissue_mc._Stack(*(tf.unstack(value, axis=0) for value in columns))
    state = tissue_mc._idle(stack, lanes, tf.constant([SEED, 0]))
    state = state._replace(layer=state.layer + 1)
    loop = tf.while_loop(
        lambda step, _: step < steps,
        lambda step, each: (step + 1, tissue_mc._step(each)),
        (0, state),
    )
    return tf.reduce_sum(loop[1].z)


def share_of_steps(photons: int) -> float:
    """Return the share of processor time that steps take in colon-like tissue, in one thread."""
    given = {name: tf.constant(value, tf.float32) for name, value in properties("colon").items()}
    n = tf.pad(given["n"], [[0, 0], [1, 1]], constant_values=1.0)
    arguments = (
        given["mu_a"][:, None],
        given["mu_s"],
        given["g"],
        n,
        given["thickness"],
        tf.constant(photons),
    )
    edges = tf.pad(tf.cumsum(given["thickness"], axis=1), [[0, 0], [1, 0]])
    columns = [tf.transpose(value) for value in (1.0 / given["mu_s"], given["g"], edges, n)]
    steps = tissue_mc.simulate(*arguments, tf.constant([SEED, 0]), lanes=tissue_mc.LANES)[1]
    only_steps(columns, steps, tissue_mc.LANES)
    ratios = []
    for number in range(3):
        seed = tf.constant([SEED, number])
        _, whole = timed(
            lambda seed=seed: tissue_mc.simulate(*arguments, seed, lanes=tissue_mc.LANES)[1].numpy()
        )
        _, alone = timed(lambda: only_steps(columns, steps, tissue_mc.LANES).numpy())
        ratios.append(alone / whole)
    return float(np.median(ratios))


def speed(photons: int, plain: int) -> pd.DataFrame:
    """Time colon-like tissue: compiled, and in plain NumPy by photon and by arrays; medians.

    The medians are of rounds in turns.
    """
    layers = LAYERS["colon"]

    def ours() -> object:
        return tissue_mc.monte_carlo(
            **properties("colon"), photons=photons, seed=SEED, workers=2, shown=False
        )

    calls: dict[str, tuple[int, Callable[[], object]]] = {
        "compiled, two threads": (photons, ours),
        "NumPy, by photon": (plain, lambda: mcml.by_photon(layers, plain, SEED)),
        "NumPy, by arrays": (50 * plain, lambda: mcml.by_arrays(layers, 50 * plain, SEED)),
    }
    ours()
    seconds = {
        name: np.median([timed(call) for _ in range(3)], axis=0)
        for name, (_, call) in calls.items()
    }
    rows = [
        {
            "program": name, "photons": count, "photons_per_second": count / seconds[name][0],
            "photons_per_processor_second": count / seconds[name][1],
        }
        for name, (count, _) in calls.items()
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    for column in ("second", "processor_second"):
        rate = table[f"photons_per_{column}"]
        table[f"ours_is_faster_by_{column}"] = rate[0] / rate
    table["steps"] = [share_of_steps(photons // 4), math.nan, math.nan]
    return table


def main() -> None:
    """Validate, measure, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="few photons: checks that it runs, writes nothing here"
    )
    quick = parser.parse_args().quick
    tables = {
        "tissue_mc_validation.csv": lambda: validate(20_000 if quick else 1_000_000),
        "tissue_mc_speed.csv": lambda: speed(20_000, 20) if quick else speed(500_000, 500),
    }
    with tempfile.TemporaryDirectory() as temporary:
        for name, made in tables.items():
            table = made()
            table.to_csv(
                (Path(temporary) if quick else HERE) / name, index=False, float_format="%.5g"
            )
            print(table.to_string(index=False, float_format="%.5g"), flush=True)


if __name__ == "__main__":
    main()
