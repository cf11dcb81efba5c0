"""The explorer in a real browser: drag, simulate, type, drop, and the link to the exact state."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.cli.explorer.answers import Answers
from bayesinn.cli.explorer.server import ADDRESS, make_server
from tests.helpers.browser import open_browser, overlaps, sync_api
from tests.helpers.models import small_flow

tfd = tfp.distributions

browser = pytest.fixture(scope="module")(open_browser)


@contextmanager
def serving(answers: Answers) -> Iterator[str]:
    server = make_server(answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{ADDRESS}:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def url(trained: Path) -> Iterator[str]:
    with serving(Answers(bi.load(trained / "posterior", trust_source=True), draws=200)) as address:
        yield address


@pytest.fixture(scope="module")
def of_gaps() -> Iterator[str]:
    """The page of a model with missing values, of which its own observation has one."""

    @bi.simulator(
        prior={"rate": tfd.Normal(0.0, 1.0)}, missing="mask", observed={"cases": [1.0, np.nan, 3.0]}
    )
    def gaps(parameters, seed):
        mean = parameters["rate"][:, None]
        kept = tf.random.stateless_uniform((tf.shape(mean)[0], 3), seed) > 0.2
        return {"cases": tf.where(kept, mean, np.nan)}

    posterior = bi.AmortizedPosterior(gaps, flow=small_flow(blocks=1, hidden=(8,)))
    with serving(Answers(posterior.fit(steps=5, batch_size=32, seed=1, progress=False))) as address:
        yield address


@pytest.fixture
def page(browser: sync_api.Browser, url: str) -> Iterator[sync_api.Page]:
    """The page with its first answer; errors and requests to elsewhere fail the test."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    found: list[str] = []
    page.on("console", lambda message: found.append(message.text))
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on(
        "request", lambda one: None if one.url.startswith((url, "data:")) else found.append(one.url)
    )
    page.goto(url)
    wait(page, 1)
    yield page
    page.close()
    assert found == []


def until(page: sync_api.Page, condition: str) -> None:
    """Wait for a condition; the page's policy forbids playwright's own way."""
    for _ in range(600):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"never: {condition}")


def wait(page: sync_api.Page, answers: int) -> None:
    until(page, f"window.explorer && explorer.times.length >= {answers}")


def test_a_dragged_parameter_moves_data_and_posterior(page: sync_api.Page) -> None:
    before = page.evaluate("explorer.answer()")
    slider = page.get_by_role("slider", name="rate")
    box = slider.bounding_box()
    assert box
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.2 * box["width"], middle)
    page.mouse.down()
    for share in (0.4, 0.6, 0.8):
        page.mouse.move(box["x"] + share * box["width"], middle)
    page.mouse.up()
    until(page, "explorer.state().parameters.rate > 2.0")
    until(page, f"explorer.answer().data.cases[0] != {before['data']['cases'][0]}")
    # Something is drawn on every canvas.
    empty = page.evaluate(
        "[...document.querySelectorAll('canvas')].filter(c => c.clientWidth && "
        "!c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v)).length"
    )
    assert empty == 0


def test_the_link_leads_to_the_exact_state(page: sync_api.Page, browser: sync_api.Browser) -> None:
    page.get_by_role("spinbutton").first.fill("1.7")
    page.keyboard.press("Tab")
    wait(page, 2)
    page.get_by_role("button", name="New noise").click()
    wait(page, 3)
    page.get_by_role("button", name="Copy link").click()
    other = browser.new_page()
    other.goto(page.url)
    wait(other, 1)
    shown = "({...explorer.answer(), milliseconds: 0})"
    assert other.evaluate(shown) == page.evaluate(shown)
    assert other.evaluate("explorer.state()") == page.evaluate("explorer.state()")
    other.close()


def test_data_are_typed_dragged_and_dropped(page: sync_api.Page, tmp_path: Path) -> None:
    field = page.get_by_label("Values of cases")
    field.fill("1, 2, 3")
    page.keyboard.press("Tab")
    wait(page, 2)
    assert page.evaluate("explorer.state().mode") == "data"
    assert page.evaluate("explorer.state().data.cases") == [1, 2, 3]
    field.fill("1, 2")
    page.keyboard.press("Tab")
    assert "3 numbers are needed" in page.get_by_role("alert").inner_text()
    canvas = page.locator("#observables canvas")
    box = canvas.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] - 20, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 20, box["y"] + 40)
    page.mouse.up()
    until(page, "explorer.state().data.cases[2] != 3")
    file = tmp_path / "mine.csv"
    file.write_text("cases,days\n4,2\n5,2\n6,2\n")
    page.get_by_label("File of data").set_input_files(file)
    until(page, "explorer.state().data.cases[0] == 4")
    assert page.evaluate("explorer.state().context.days") == 2


def test_context_that_is_shown_is_that_of_the_answer(page: sync_api.Page, tmp_path: Path) -> None:
    page.get_by_role("button", name="Simulate and recover").click()
    wait(page, 2)
    file = tmp_path / "mine.csv"
    file.write_text("cases,days\n4,2\n5,2\n6,2\n")
    page.get_by_label("File of data").set_input_files(file)
    until(page, "explorer.state().data.cases[0] == 4")
    field = page.locator("#context-days")
    until(page, "document.getElementById('context-days').value == '2'")
    field.fill("")
    page.keyboard.press("Tab")
    assert "a number is needed" in page.get_by_role("alert").inner_text()
    assert page.evaluate("explorer.state().context.days") == 2


def test_missing_values_are_typed(browser: sync_api.Browser, of_gaps: str) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(of_gaps)
    wait(page, 1)
    field = page.get_by_label("Values of cases")
    assert field.input_value() == "1, NaN, 3"
    field.fill("2, nan, 3")
    page.keyboard.press("Tab")
    wait(page, 2)
    assert page.evaluate("explorer.state().data.cases") == [2, None, 3]
    assert page.get_by_role("alert").count() == 0
    page.close()


def test_a_panel_reaches_to_the_draws_of_the_answer(page: sync_api.Page) -> None:
    draws = np.array(page.evaluate("explorer.answer().draws.rate"))
    low, high = page.evaluate("ends({ name: 'rate', low: 100, high: 101 })")
    assert np.mean(draws < low) <= 0.005
    assert high == 101
    low, high = page.evaluate("ends({ name: 'rate', low: -101, high: -100 })")
    assert low == -101
    assert np.mean(draws > high) <= 0.005


def test_simulate_and_recover_counts(page: sync_api.Page) -> None:
    for number in (2, 3):
        page.get_by_role("button", name="Simulate and recover").click()
        wait(page, number)
    assert " of 2 true values" in page.locator("#tally").inner_text()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits(browser: sync_api.Browser, url: str, width: int, scheme: str) -> None:
    page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page.goto(url)
    wait(page, 1)
    assert page.evaluate("document.scrollingElement.scrollWidth") == width
    assert overlaps(page) == []
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(22, 24, 27)" if scheme == "dark" else "rgb(255, 255, 255)")
    page.close()
