"""Numbers that people write, read without NumPy: the command line starts without it."""


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
