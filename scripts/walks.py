"""Count what must be read to follow two walks through the library.

``python -m scripts.walks`` prints, each with its names:

- the files of ``bayesinn/`` in which code runs from the call of ``fit`` to the first training step,
  of an affine coupling flow on the simulator ``linear``, online, when all is compiled: the rooms
  that fit (estimators, posterior, training) apart from those that the parts of the model come from;
- the types by which numbers travel from ``diagnose`` to a page: classes of ``bayesinn.diagnosis``
  and deviations of which objects are made, apart from the checks' own results, arguments and the
  descriptor of a field.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

LIBRARY = Path(__file__).resolve().parents[1] / "bayesinn"


@contextmanager
def watching(watch: Callable[[FrameType], None]) -> Iterator[None]:
    """Call a function with the frame of each call that is made inside."""

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            watch(frame)

    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)


def files_to_the_first_step() -> list[str]:
    """Return the files in which code runs from ``fit`` to the first step."""
    import bayesinn as bi

    linear = bi.get_simulator("linear")
    flow = bi.flows.coupling(blocks=1, hidden=(8,))
    bi.AmortizedPosterior(linear, flow=flow).fit(steps=1, seed=1, progress=False)
    posterior = bi.AmortizedPosterior(linear, flow=flow)
    files: dict[str, int] = {}
    started = False

    def watch(frame: FrameType) -> None:
        nonlocal started
        path = Path(frame.f_code.co_filename)
        if started or not path.is_relative_to(LIBRARY):
            return
        started = frame.f_code.co_name == "train_step"
        name = str(path.relative_to(LIBRARY))
        files[name] = files.get(name, 0) + 1

    with watching(watch):
        posterior.fit(steps=1, seed=1, progress=False)
    return sorted(files)


def types_to_the_page() -> list[str]:
    """Return the types of which ``diagnose`` and ``to_html`` make objects."""
    import numpy as np

    import bayesinn as bi

    def sample(data: Any, draws: int, seed: int) -> dict[str, np.ndarray]:
        noise = np.random.default_rng(seed).normal(size=(2, len(data["y"]), draws))
        mean = data["y"][:, None] / 2
        return {"x1": mean + noise[0], "x2": mean + noise[1]}

    posterior = bi.SampledPosterior(bi.get_simulator("linear"), sample)
    types: set[type] = set()

    def watch(frame: FrameType) -> None:
        if frame.f_code.co_name == "__init__":
            types.add(type(frame.f_locals.get("self")))
        elif frame.f_code.co_name == "__new__":
            types.add(frame.f_locals.get("_cls", object))

    with watching(watch), TemporaryDirectory() as folder:
        options = {"simulations": 60, "draws": 20, "seed": 1, "progress": False}
        diagnosis = bi.diagnose(posterior, observed={"y": 1.0}, **options)
        diagnosis.to_html(Path(folder) / "page.html")
    places = ("bayesinn.diagnosis", "bayesinn.diagnostics.deviation")
    known = {kind.__name__ for kind in types if kind.__module__.startswith(places)}
    return sorted(known - {"MissingEvidence", "Part", "Tolerances"})


if __name__ == "__main__":
    every = files_to_the_first_step()
    own = [name for name in every if name.startswith(("estimators", "posterior", "training"))]
    print(f"files from fit to the first step: {len(every)}, of which {len(own)} fit:", *own)
    print("others:", *(name for name in every if name not in own))
    types = types_to_the_page()
    print(f"types from diagnose to the page: {len(types)}:", *types)
