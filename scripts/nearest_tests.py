"""Which tests are the nearest of a file."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
#: Rooms whose mutants are drawn; their tests have the same names.
FOLDERS = {
    "diagnostics": "bayesinn/diagnostics",
    "spaces": "bayesinn/spaces",
    "bijections": "bayesinn/bijections",
    "simulators": "simulators",
    "training": "bayesinn/training",
}
#: Files in which there is nothing that a test could see.
WITHOUT = {"__init__.py", "trainable.py", "transform.py"}
ROOMS = {
    room: sorted(
        str(file.relative_to(ROOT))
        for file in (ROOT / folder).rglob("*.py")
        if file.name not in WITHOUT
    )
    for room, folder in FOLDERS.items()
}
#: Tests of a file beside the one of its own name: in the room, or from the folder of tests on.
MORE = {
    # bijections
    "autoregressive": "bijections",
    "bijection": "event_shapes layers bijections",
    "chain": "layers event_shapes reversible repeated bijections",
    "coupling": "layers coupling_laws volume_preserving images hierarchical bijections",
    "image": "images",
    "mixing": "layers event_shapes bijections",
    "residual": "log_det_series lipschitz bijections",
    "subnet": "coupling_laws autoregressive hierarchical images bijections",
    "transforms": "spline_vectors volume_preserving images bijections",
    # simulators
    "bernoulli_glm": "simulators/sbibm/test_package",
    "bernoulli_glm_raw": "simulators/sbibm/test_package",
    "covid19_disease": "covid19 covid19_growth",
    "covid19_interventions": "covid19",
    "covid19_options": "covid19",
    "covid19_prior": "covid19",
    "covid19_reporting": "covid19",
    "covid19_scoring": "covid19_growth covid19_networks",
    "covid19_count_series": "summaries",
    "covid19_multi_kernel_lstm": "summaries recurrent",
    "gaussian": "exact",
    "gaussian_linear": "simulators/sbibm/test_densities simulators/sbibm/test_package",
    "gaussian_linear_uniform": "simulators/sbibm/test_densities simulators/sbibm/test_package",
    "gaussian_mixture": "simulators/sbibm/test_densities simulators/sbibm/test_package",
    "linear": "exact",
    "lotka_volterra": "simulators/sbibm/test_densities simulators/sbibm/test_package",
    "mixed_sources": "inverse/test_nonlinear_ica",
    "runge_kutta": "simulators/sbibm/test_densities",
    "sir": "exact simulators/sbibm/test_densities simulators/sbibm/test_package",
    "sir_numpy": "exact",
    "slcp": "simulators/sbibm/test_densities simulators/sbibm/test_package",
    "slcp_distractors": "simulators/sbibm/test_densities simulators/sbibm/test_package",
    "slide_toy": "inverse_kinematics",
    "tissue_camera": "tissue",
    # diagnostics
    "calibration": "sbc joint posterior_sbc",
    "coverage": "joint",
    "deviation": "errors tested",
    "information": "learning_curve",
    "likelihood": "joint",
    "local": "joint",
    "two_samples": "comparison c2st mmd sliced_wasserstein",
    # training
    "callbacks": "guard training faults deadline round_trip",
    "offline": "stored precomputation drawing",
    "sources": "random_numbers guard training bank_source streaming arrays",
    "step": "flat_weights guard training_options halves mixed_precision regularised",
    "train": "training training_options progress",
    # spaces
    "data": "scalings outliers missing posterior/test_missing",
    "observations": "missing posterior/test_missing",
    "parameters": "support",
}


def nearest_tests(file: str) -> tuple[str, ...]:
    """Return the files of tests of a file: by name, those of ``MORE``, and its own examples."""
    room = next(room for room, folder in FOLDERS.items() if file.startswith(f"{folder}/"))
    stem = Path(file).stem
    names = [stem, *MORE.get(stem, "").split()]
    tests = [
        f"tests/{name}.py" if "/" in name else f"tests/{room}/test_{name}.py" for name in names
    ]
    found = dict.fromkeys(test for test in tests if (ROOT / test).exists())
    own = [file] if ">>>" in (ROOT / file).read_text() and file.startswith("bayesinn") else []
    return (*own, *found)
