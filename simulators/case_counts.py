"""Case counts from public files: one row a day (RKI) or one column a day (Johns Hopkins)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bayesinn.core.errors import InputError

_MOST_SHOWN = 5


@dataclass(frozen=True)
class CaseCounts:
    """New cases on consecutive days.

    Attributes
    ----------
    dates : array (days,) of datetime64[D]
    counts : dict of name to array (days,)
        New cases of each day. Single days may be negative, where authorities corrected earlier
        ones.
    """

    dates: np.ndarray
    counts: dict[str, np.ndarray]

    def window(self, first: str, days: int) -> dict[str, np.ndarray]:
        """Return counts of ``days`` days from ``first`` ("2020-03-02"), as observations.

        The date is the first day; the observations are for a simulator.

        Raises
        ------
        InputError
            When the data don't cover these days.
        """
        start = _dates(pd.Series([first]), "Argument 'first'").to_numpy().astype("datetime64[D]")[0]
        row = int((start - self.dates[0]).astype(int))
        if row < 0 or days < 1 or row + days > len(self.dates):
            raise InputError(
                "Window of the case counts",
                expected=f"days within {self.dates[0]} to {self.dates[-1]}",
                got=f"{days} days from {start}",
                do="choose another first day or fewer days",
            )
        return {name: values[row : row + days] for name, values in self.counts.items()}


def read_case_counts(
    path: str | Path,
    columns: Mapping[str, str] | Sequence[str],
    *,
    cumulative: bool,
    date: str = "date",
    where: Mapping[str, str] | None = None,
) -> CaseCounts:
    """Read a CSV file with a row for each day, and for each region if it has several.

    Parameters
    ----------
    path : file
    columns : names, or dict of name to column
        Columns to read, and the names of their counts.
    cumulative : bool
        Whether the columns hold totals up to each day. Their differences lose the first day.
    date : str
        Name of the column with dates.
    where : dict of column to value
        Rows to read, such as ``{"state": "Bavaria"}``.

    Returns
    -------
    CaseCounts

    Raises
    ------
    InputError
        When a column is missing, no row is selected, a day has no row or several, a count is
        missing, or cumulative counts are negative.

    Examples
    --------
    >>> national = Path(__file__).parent / "data" / "germany_national.csv"
    >>> read_case_counts(national, ["confirmed", "deaths"], cumulative=False).window(
    ...     "2020-03-09", 4
    ... )
    {'confirmed': array([136, 281, 451, 170]), 'deaths': array([2, 0, 1, 0])}
    """
    subject = f"Case counts {str(path)!r}"
    table = _read(path, subject)
    wanted = dict(columns) if isinstance(columns, Mapping) else {name: name for name in columns}
    for column in (date, *(where or {}), *wanted.values()):
        if column not in table:
            raise InputError(
                subject,
                expected=f"a column {column!r}",
                got=f"columns {list(table)}",
                do="name the column that has it",
            )
    for column, value in (where or {}).items():
        kept = table[table[column].astype(str) == str(value)]
        if kept.empty:
            raise InputError(
                subject,
                expected=f"rows with {value!r} in column {column!r}",
                got=f"{_some(sorted(table[column].astype(str).unique()))}",
                do="choose one of them",
            )
        table = kept
    table = table.assign(**{date: _dates(table[date], subject)}).sort_values(date)
    return _counts(
        table[date], {name: table[column] for name, column in wanted.items()}, cumulative, subject
    )


def read_johns_hopkins(
    paths: Mapping[str, str | Path], country: str, *, province: str | None = None
) -> CaseCounts:
    """Read Johns Hopkins CSSE time series: a file a count, a row a region, a column a day.

    Parameters
    ----------
    paths : dict of name to file
        For example ``{"confirmed": "time_series_covid19_confirmed_global.csv", ...}``; totals up to
        each day.
    country : str
        Entry of the column "Country/Region".
    province : str
        Entry of the column "Province/State"; by default the row without one.

    Returns
    -------
    CaseCounts
        Counts from the second day of the files, which must all have the same days.

    Raises
    ------
    InputError
        See :func:`read_case_counts`.
    """
    series: dict[str, pd.Series] = {}
    dates: pd.Series | None = None
    for name, path in paths.items():
        subject = f"Case counts {str(path)!r}"
        table = _read(path, subject)
        missing = {"Country/Region", "Province/State"} - set(table)
        if missing:
            text = "columns 'Province/State' and 'Country/Region', then one for each day"
            do = "give a global time series of Johns Hopkins CSSE, or use read_case_counts"
            raise InputError(subject, expected=text, got=f"columns {_some(list(table))}", do=do)
        region = table["Province/State"]
        rows = table[
            (table["Country/Region"] == country)
            & (region.isna() if province is None else region == province)
        ]
        if len(rows) != 1:
            raise InputError(
                subject,
                expected=f"one row for country {country!r}, province {province!r}",
                got=f"{len(rows)} rows",
                do="spell both as in the file; some countries are listed by province only",
            )
        own = rows.drop(
            columns=["Province/State", "Country/Region", "Lat", "Long"], errors="ignore"
        ).iloc[0]
        days = _dates(pd.Series(own.index), subject, form="%m/%d/%y")
        if dates is not None and not days.equals(dates):
            raise InputError(
                subject,
                expected=f"the same days as in {str(next(iter(paths.values())))!r}",
                got=f"{len(days)} days against {len(dates)}",
                do="use files of the same date",
            )
        dates = days
        series[name] = pd.Series(own.to_numpy())
    if dates is None:
        raise InputError(
            "Argument 'paths'",
            expected="a file for each count",
            got="no file",
            do="pass at least one",
        )
    return _counts(dates, series, cumulative=True, subject=f"Case counts of {country}")


def _read(path: str | Path, subject: str) -> pd.DataFrame:
    if not Path(path).is_file():
        raise InputError(
            subject, expected="a file", got="no file at this path", do="check the path"
        )
    try:
        return pd.read_csv(path)
    except (ValueError, pd.errors.ParserError) as error:
        raise InputError(
            subject, expected="a CSV file", got=f"{error}", do="correct the file"
        ) from error


def _dates(values: pd.Series, subject: str, form: str | None = None) -> pd.Series:
    written = form
    try:
        if pd.api.types.is_numeric_dtype(values):
            # Numbers such as 20200302, which pandas would take for nanoseconds.
            values = values.astype("Int64").astype("string")
            written = form or "%Y%m%d"
        dates = pd.to_datetime(values, format=written).dt.normalize()
    except (ValueError, TypeError) as error:
        do = (
            "write dates like 2020-03-02"
            if form is None
            else "remove columns that are no days like 3/2/20"
        )
        raise InputError(
            subject, expected="dates", got=str(error).partition(".")[0], do=do
        ) from error
    if dates.isna().any():
        row = int(np.argmax(dates.isna()))
        do = "remove rows without a date, such as totals"
        raise InputError(
            subject, expected="a date in each row", got=f"none in row {row + 1} of the data", do=do
        )
    return dates


def _counts(
    dates: pd.Series, series: Mapping[str, pd.Series], cumulative: bool, subject: str
) -> CaseCounts:
    """Check that days are consecutive and totals not negative, and return the new cases."""
    days = dates.to_numpy().astype("datetime64[D]")
    if len(days) < 1 + cumulative:
        do = "give more rows"
        raise InputError(
            subject, expected=f"at least {1 + cumulative} days", got=f"{len(days)}", do=do
        )
    steps = np.diff(days).astype(int)
    if np.any(steps == 0):
        twice = days[1:][steps == 0]
        do = "choose one region: where={column: value}"
        raise InputError(
            subject, expected="one row for each day", got=f"several for {_some(twice)}", do=do
        )
    if np.any(steps != 1):
        missing = np.setdiff1d(np.arange(days.min(), days.max() + 1), days)
        do = "fill the gaps from the source, or shorten the file to days without gaps"
        text = f"{len(missing)} missing: {_some(missing)}" if len(missing) else "days out of order"
        raise InputError(subject, expected="consecutive days", got=text, do=do)
    counts = {}
    for name, values in series.items():
        numbers = pd.to_numeric(values, errors="coerce").to_numpy(np.float64)
        gaps = ~np.isfinite(numbers)
        if np.any(gaps):
            text = f"no number on {_some(days[gaps])}"
            raise InputError(
                f"{subject}, {name!r}",
                expected="a number for each day",
                got=text,
                do="fill the gaps",
            )
        totals = numbers if cumulative else np.cumsum(numbers)
        if np.any(totals < 0):
            worst = int(np.argmin(totals))
            raise InputError(
                f"{subject}, {name!r}",
                expected="cumulative counts that are never negative",
                got=f"{totals[worst]:g} on {days[worst]}",
                do="check the column, and whether it is cumulative or daily"
                + (
                    ""
                    if cumulative
                    else "; add earlier days to a file that begins with a correction"
                ),
            )
        new = np.diff(numbers) if cumulative else numbers
        counts[name] = new.astype(np.int64) if np.all(new == np.round(new)) else new
    return CaseCounts(days[1:] if cumulative else days, counts)


def _some(values: Sequence[object] | np.ndarray) -> str:
    shown = ", ".join(str(value) for value in values[:_MOST_SHOWN])
    return shown + (f" and {len(values) - _MOST_SHOWN} more" if len(values) > _MOST_SHOWN else "")
