"""Case counts from files: correct numbers, and a clear error for every way a file can be wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayesinn.core.errors import InputError
from bayesinn.simulators.case_counts import read_case_counts, read_johns_hopkins

NATIONAL = Path(__file__).parents[2] / "simulators" / "data" / "germany_national.csv"
SHARED = Path(__file__).parents[3] / "shared" / "data" / "covid19"
DAYS = [f"2020-03-{day:02d}" for day in range(1, 6)]


def write(folder: Path, **columns: list) -> Path:
    pd.DataFrame(columns).to_csv(folder / "cases.csv", index=False)
    return folder / "cases.csv"


def test_daily_and_cumulative_agree(tmp_path) -> None:
    # A correction of -2 on the fourth day is kept.
    file = write(tmp_path, date=DAYS, new=[3, 0, 4, -2, 1], total=[3, 3, 7, 5, 6])
    daily = read_case_counts(file, {"confirmed": "new"}, cumulative=False)
    totals = read_case_counts(file, {"confirmed": "total"}, cumulative=True)
    assert daily.counts["confirmed"].tolist() == [3, 0, 4, -2, 1]
    assert totals.counts["confirmed"].tolist() == [0, 4, -2, 1]
    assert daily.dates.astype(str).tolist() == DAYS
    assert totals.dates.astype(str).tolist() == DAYS[1:]
    assert daily.window(DAYS[2], 2)["confirmed"].tolist() == [4, -2]


def test_rows_in_any_order(tmp_path) -> None:
    file = write(tmp_path, date=DAYS[::-1], new=[5, 4, 3, 2, 1])
    assert read_case_counts(file, ["new"], cumulative=False).counts["new"].tolist() == [
        1,
        2,
        3,
        4,
        5,
    ]


def test_dates_may_be_numbers_of_eight_digits(tmp_path) -> None:
    file = write(tmp_path, date=[20200302, 20200303, 20200304], new=[1, 2, 3])
    counts = read_case_counts(file, ["new"], cumulative=False)
    assert counts.dates.astype(str).tolist() == ["2020-03-02", "2020-03-03", "2020-03-04"]


@pytest.mark.parametrize(
    ("columns", "cumulative", "message"),
    [
        (
            {"date": [DAYS[0], DAYS[1], DAYS[4]], "n": [1, 2, 3]},
            False,
            "2 missing: 2020-03-03, 2020-03-04",
        ),
        ({"date": [DAYS[0], DAYS[0], DAYS[1]], "n": [1, 2, 3]}, False, "several for 2020-03-01"),
        (
            {"date": DAYS[:3], "n": [1, -2, 3]},
            True,
            r"never negative\n  got:      -2 on 2020-03-02",
        ),
        (
            {"date": DAYS[:3], "n": [1, -3, 3]},
            False,
            r"never negative\n  got:      -2 on 2020-03-02",
        ),
        ({"date": DAYS[:3], "n": [1, None, 3]}, False, "no number on 2020-03-02"),
        ({"date": DAYS[:3], "n": [1, "many", 3]}, False, "no number on 2020-03-02"),
        ({"date": [*DAYS[:2], "tomorrow"], "n": [1, 2, 3]}, False, "expected: dates"),
        ({"date": [*DAYS[:2], None], "n": [1, 2, 3]}, False, "none in row 3 of the data"),
        ({"date": [20200302, 20200303, None], "n": [1, 2, 3]}, False, "none in row 3 of the data"),
        ({"date": [1, 2, 3], "n": [1, 2, 3]}, False, "expected: dates"),
        ({"date": DAYS[:3], "m": [1, 2, 3]}, False, "a column 'n'"),
        ({"date": DAYS[:1], "n": [1]}, True, "at least 2 days"),
    ],
)
def test_faulty_files(tmp_path, columns: dict, cumulative: bool, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_case_counts(write(tmp_path, **columns), ["n"], cumulative=cumulative)


def test_region_and_window_that_are_not_there(tmp_path) -> None:
    file = write(tmp_path, date=DAYS, n=[1] * 5, state=["Bavaria"] * 5)
    with pytest.raises(InputError, match=r"'Bayern' in column 'state'\n  got:      Bavaria"):
        read_case_counts(file, ["n"], cumulative=False, where={"state": "Bayern"})
    counts = read_case_counts(file, ["n"], cumulative=False, where={"state": "Bavaria"})
    for first, days in ((DAYS[0], 6), ("2020-02-29", 2), (DAYS[0], 0)):
        with pytest.raises(InputError, match="within 2020-03-01 to 2020-03-05"):
            counts.window(first, days)
    with pytest.raises(InputError, match="no file at this path"):
        read_case_counts(tmp_path / "none.csv", ["n"], cumulative=False)


def test_johns_hopkins(tmp_path) -> None:
    table = pd.DataFrame(
        {
            "Province/State": [None, "Hubei", None],
            "Country/Region": ["Germany", "China", "France"],
            "Lat": [51.0, 31.0, 46.0],
            "Long": [9.0, 112.0, 2.0],
            "3/1/20": [130, 5, 1],
            "3/2/20": [159, 6, 1],
            "3/3/20": [196, 9, 2],
        }
    )
    table.to_csv(tmp_path / "confirmed.csv", index=False)
    paths = {"confirmed": tmp_path / "confirmed.csv"}
    assert read_johns_hopkins(paths, "Germany").window("2020-03-02", 2)["confirmed"].tolist() == [
        29,
        37,
    ]
    assert read_johns_hopkins(paths, "China", province="Hubei").counts["confirmed"].tolist() == [
        1,
        3,
    ]
    with pytest.raises(InputError, match="0 rows"):
        read_johns_hopkins(paths, "China")
    table.assign(Total=485).to_csv(tmp_path / "total.csv", index=False)
    with pytest.raises(InputError, match="remove columns that are no days like 3/2/20"):
        read_johns_hopkins({"confirmed": tmp_path / "total.csv"}, "Germany")
    table.drop(columns="3/2/20").to_csv(tmp_path / "gap.csv", index=False)
    with pytest.raises(InputError, match="1 missing: 2020-03-02"):
        read_johns_hopkins({"confirmed": tmp_path / "gap.csv"}, "Germany")
    with pytest.raises(InputError, match="3 days"):
        read_johns_hopkins({"deaths": tmp_path / "gap.csv", **paths}, "Germany")


def test_national_file() -> None:
    counts = read_case_counts(NATIONAL, ["confirmed", "recovered", "deaths"], cumulative=False)
    assert (str(counts.dates[0]), str(counts.dates[-1])) == ("2020-03-02", "2020-06-11")
    fitted = counts.window("2020-03-02", 81)
    assert [int(values.sum()) for values in fitted.values()] == [178_891, 158_071, 8_203]
    assert counts.window("2020-04-11", 1)["deaths"].tolist() == [-31]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data are not here")
def test_shared_files() -> None:
    names = {"confirmed": "new_confirmed", "recovered": "new_recovered", "deaths": "new_deaths"}
    window = read_case_counts(SHARED / "germany_outbreakflow_window.csv", names, cumulative=False)
    shipped = read_case_counts(NATIONAL, list(names), cumulative=False)
    for name in names:
        np.testing.assert_array_equal(window.counts[name], shipped.counts[name])
    states = SHARED / "germany_states_daily.csv"
    with pytest.raises(InputError, match="choose one region"):
        read_case_counts(states, ["confirmed"], cumulative=True)
    totals = 0
    for state in pd.read_csv(states)["state"].unique():
        where = {"state": state}
        from_totals = read_case_counts(
            states, ["confirmed", "deaths"], cumulative=True, where=where
        )
        daily = {"confirmed": "new_confirmed", "deaths": "new_deaths"}
        new = read_case_counts(states, daily, cumulative=False, where=where)
        for name in daily:
            np.testing.assert_array_equal(from_totals.counts[name], new.counts[name][1:])
        totals += int(
            new.counts["confirmed"][: np.searchsorted(new.dates, np.datetime64("2020-05-22"))].sum()
        )
    assert totals == 176_752
