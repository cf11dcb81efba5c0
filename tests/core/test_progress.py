"""The progress display in lines, as a log file holds them."""

from __future__ import annotations

import pytest

from bayesinn.core.progress import Progress, duration


def test_the_last_line_says_how_much_was_done(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("counting", total=3, unit="sheep") as progress:
        for number in range(1, 4):
            progress.update(number)
    assert capsys.readouterr().out == "counting: 3 of 3 sheep\n"


@pytest.mark.parametrize("options", [{"shown": False}, {"delay": 60.0}])
def test_what_is_hidden_or_short_says_nothing(
    options: dict, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("counting", total=3, unit="sheep", **options) as progress:
        for number in range(1, 4):
            progress.update(number)
    assert capsys.readouterr().out == ""


def test_seconds_are_written_for_people() -> None:
    assert [duration(seconds) for seconds in (75.2, 3.0)] == ["1 min 15 s", "3 s"]
