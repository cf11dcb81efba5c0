"""The comparison with other libraries: tables and figure of its results."""

import pytest

from benchmarks.peers import report


def run(library, task, result, seed, **case):
    case = {"task": task, "problem": "toy", "settings": "equal", "seed": seed, **case}
    result = {"weights": 7, "versions": f"{library} 1.0", **result}
    return {"library": library, "case": case, "threads": 2, "result": result}


RUNS = [
    *(
        run("bayesinn", "step", {"ms_per_step": 1.0 + seed, "beyond_steps_s": 9.0}, seed, batch=64)
        for seed in (1, 2, 5)
    ),
    run("bayesinn", "step", {"ms_per_step": 2.0}, 1, batch=2048),
    run("bayesinn", "first", {"ms_per_step": 3.5}, 1, batch=64),
    run("sbi", "step", {"ms_per_step": 40.0}, 1, batch=64),
    *(
        run(
            "sbi",
            "accuracy",
            {"seconds": 10.0 * budget, "nll": 3.0 + gap},
            seed,
            budget=budget,
            exact=3.0,
        )
        for seed, gaps in (
            (1, (0.06, 0.04, 0.01)),
            (2, (0.04, 0.03, 0.03)),
            (3, (0.04, 0.03, 0.01)),
        )
        for budget, gap in enumerate(gaps, 1)
    ),
]


def test_tables_have_medians_ranges_and_the_first_sufficient_budget(tmp_path):
    report.aggregate(RUNS).to_csv(tmp_path / "results.csv", index=False)
    text = report.tables(tmp_path / "results.csv")
    assert "| toy, batch 64, ms/step | 3 (2 to 6) | 40 |" in text
    assert "| toy, batch 2048, ms/step | 2 | — |" in text
    # What short fits take, which aren't compiled, is shown beside it in both forms.
    assert "| toy, batch 64, in a fit of 500 steps, ms/step | 3.5 | — |" in text
    assert "| toy, fit of 2,000 steps beyond them, s | 9 | — |" in text
    # Accuracy has a table of its own, with the libraries that were measured.
    assert "| | sbi |\n|---|---|\n| toy, to 0.02 nats, s | 30 (30 to not reached) |" in text
    assert "| toy, to 0.05 nats, s | 10 (10 to 20) |" in text
    assert "Threads: 2. Versions: bayesinn 1.0; sbi 1.0." in text


def test_figure_has_a_panel_for_each_kind_of_time():
    figure = report.draw(report.aggregate(RUNS))
    assert [ax.get_title(loc="left") for ax in figure.axes] == [
        report.HEADINGS[task] for task in ("step", "accuracy")
    ]
    points = {line.get_label(): list(line.get_xdata()) for line in figure.axes[0].lines}
    # Over 3 ms of bayesinn.
    assert points["bayesinn"] == [1.0]
    assert points["sbi"] == [pytest.approx(40.0 / 3.0)]
