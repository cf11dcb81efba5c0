"""Numbers that people write and read, without NumPy: the command line starts without it."""

import math

#: Numbers in between are written without an exponent.
_SMALL = 1e-4
_LARGE = 1e7


def read_number(text: str) -> float:
    """Return the number that a text is, NaN and infinity among them; else raise a ValueError.

    Python itself reads ``1_000`` and digits of other scripts, which are mistakes in data.
    """
    if "_" in text or not text.isascii():
        raise ValueError(f"could not convert string to float: {text!r}")
    return float(text)


def is_number(text: str) -> bool:
    """Tell whether a text is a number, NaN and infinity among them."""
    try:
        read_number(text)
    except ValueError:
        return False
    return True


def decimals_for(sd: float) -> int:
    """Return how many decimals a mean and its standard deviation deserve.

    The last digit is 0.3 to 3 % of the standard deviation, about as much as thousands of draws
    leave open: three digits of it if the first is 1 or 2, else two. Negative where a number ends in
    zeros.

    >>> [decimals_for(sd) for sd in (0.000409, 16.3, 34.0, 1900.0)]
    [5, 1, 0, -1]
    """
    if not (math.isfinite(sd) and sd > 0.0):
        return 3
    place = math.floor(math.log10(sd))
    leading = round(sd / 10.0**place, 6)
    return 2 - place if leading < 3.0 else 1 - place


def write_number(value: float, decimals: int) -> str:
    """Write a number with so many decimals; very small or large ones with an exponent.

    >>> [write_number(*pair) for pair in ((0.0040123, 5), (29.42, 1), (0.0, 9), (4.1234e-7, 9))]
    ['0.00401', '29.4', '0.0', '4.12e-07']
    """
    if not math.isfinite(value):
        return "" if math.isnan(value) else str(value)
    value = round(value, decimals)
    if value == 0.0:
        return "0.0"
    if not _SMALL <= abs(value) < _LARGE:
        digits = max(math.floor(math.log10(abs(value))) + decimals, 0)
        return f"{value:.{digits}e}"
    return f"{value:.{max(decimals, 0)}f}"
