"""Tissues per second of the adding-doubling engine, for cameras of 3, 8 and 27 bands.

    python benchmarks/tissue_speed.py [--quick]

Reflectances at all wavelengths that a camera needs, compiled; the first call compiles, and is timed
apart. Seconds of processor time are shown beside those of the clock, as another process may share
the machine.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import tensorflow as tf

from bayesinn.simulators.tissue import NAMES, TissueOptions, prior, spectra

CAMERAS = ("gauss_rgb3", "spectrocam8", "ideal27")
SEED = 1


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="small: checks that it runs, the numbers mean little"
    )
    given = parser.parse_args()
    tissues, rounds = (64, 1) if given.quick else (4_000, 5)
    distributions = prior()
    parameters = {
        name: distributions[name].sample(tissues, seed=(SEED, number))
        for number, name in enumerate(NAMES)
    }
    started = time.perf_counter()
    spectra(parameters, np.array([500.0]))
    print(f"compilation: {time.perf_counter() - started:.1f} s")
    for camera in CAMERAS:
        wavelengths = TissueOptions(camera=camera).bands.wavelengths
        clock = []
        processor = []
        for _ in range(rounds):
            started = time.perf_counter()
            busy = time.process_time()
            spectra(parameters, wavelengths).numpy()
            clock.append(time.perf_counter() - started)
            processor.append(time.process_time() - busy)
        print(
            f"{camera:<12} {len(wavelengths):3d} wavelengths {tissues / np.median(clock):9,.0f} "
            f"tissues/s "
            f"{tissues / np.median(processor):9,.0f} for each second of processor time"
        )
    print(
        f"threads: {tf.config.threading.get_inter_op_parallelism_threads() or 'as many as cores'}"
    )


if __name__ == "__main__":
    main()
