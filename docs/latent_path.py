"""Write docs/_static/latent-data.js: draws on their way through a trained flow, for an animation.

    python -m docs.latent_path [--steps 4000]

Trains a posterior of two moons, and keeps where 600 draws are after each link of the flow, from the
latent normal distribution to the parameters.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import tensorflow as tf

import bayesinn as bi

FILE = Path(__file__).parent / "_static" / "latent-data.js"
DRAWS = 600
SEED = 1
#: The observation of the benchmark.
OBSERVED = {"x": np.zeros(2, np.float32)}


def main() -> None:
    """Train, follow the draws, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=4_000)
    steps = parser.parse_args().steps
    posterior = bi.AmortizedPosterior(bi.get_simulator("two_moons"))
    posterior.fit(steps=steps, seed=SEED)
    # A script, and no JSON: pages that are opened as files may not fetch.
    content = json.dumps(follow(posterior), separators=(",", ":"))
    FILE.write_text(f"window.bayesinnLatent = {content};\n")


def follow(posterior: bi.AmortizedPosterior) -> dict[str, object]:
    """Return names of the stations, and places (stations, draws, 2) with three decimals."""
    evaluator = posterior.evaluator
    condition, _ = evaluator.condition({"x": OBSERVED["x"][None]})
    z = tf.convert_to_tensor(evaluator.latent_draws(DRAWS, tf.constant([SEED, 2])))
    repeated = {name: tf.repeat(tf.convert_to_tensor(v), DRAWS, 0) for name, v in condition.items()}
    names = ["latent draws"]
    places = [z.numpy()]
    chain = evaluator.model.network.flow.chain
    for link in reversed(chain.bijections):
        z, _ = link.inverse(z, repeated)
        name = type(link).__name__.lower()
        if name == "coupling":
            names.append(f"after coupling {sum('coupling' in one for one in names) + 1}")
            places.append(z.numpy())
    values = evaluator.model.parameters.from_vector(z)
    names.append("parameters")
    places.append(np.stack([value.numpy() for value in values.values()], axis=1))
    rounded = [[[round(float(v), 3) for v in point] for point in cloud] for cloud in places]
    return {"names": names, "places": rounded, "axes": list(values)}


if __name__ == "__main__":
    main()
