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
from bayesinn.cli.explorer.server import ADDRESS, Server
from tests.helpers.browser import open_browser, overlaps, sync_api
from tests.helpers.models import small_flow

tfd = tfp.distributions

browser = pytest.fixture(scope="module")(open_browser)


@contextmanager
def serving(answers: Answers) -> Iterator[str]:
    server = Server(answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{ADDRESS}:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def url(trained: Path) -> Iterator[str]:
    with serving(Answers(bi.load(trained / "posterior", trust_source=True), draws=200)) as address:
        yield address


@pytest.fixture(scope="module")
def of_counts() -> Iterator[str]:
    """The page of counts that grow exponentially, of which one may be missing."""

    @bi.simulator(
        prior={"rate": tfd.Normal(0.0, 0.1), "size": tfd.Uniform(1.0, 2.0)},
        labels={"rate": r"$\lambda$"},
        missing="mask",
        observed={"cases": [1.0, np.nan, 3000.0]},
    )
    def counts(parameters, seed):
        mean = tf.exp(parameters["rate"][:, None] + [0.0, 4.0, 8.0])
        kept = tf.random.stateless_uniform((tf.shape(mean)[0], 3), seed) > 0.2
        return {"cases": tf.where(kept, tf.floor(mean * parameters["size"][:, None]), np.nan)}

    posterior = bi.AmortizedPosterior(counts, flow=small_flow(blocks=1, hidden=(8,)))
    with serving(Answers(posterior.fit(steps=5, batch_size=32, seed=1, progress=False))) as address:
        yield address


@pytest.fixture
def counts(browser: sync_api.Browser, of_counts: str) -> Iterator[sync_api.Page]:
    """The page of counts, with the answer to the observation that ships with them."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(of_counts)
    wait(page, 1)
    yield page
    page.close()


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


def test_missing_values_are_typed(counts: sync_api.Page) -> None:
    field = counts.get_by_label("Values of cases")
    assert field.input_value() == "1, NaN, 3000"
    field.fill("2, nan, 3")
    counts.keyboard.press("Tab")
    wait(counts, 2)
    assert counts.evaluate("explorer.state().data.cases") == [2, None, 3]
    assert counts.get_by_role("alert").count() == 0


def test_counts_that_grow_have_a_log_axis_and_stay_whole(counts: sync_api.Page) -> None:
    assert counts.get_by_label("log axis").is_checked()
    ticks = counts.evaluate("panels[0].axis.ticks(5)")
    assert len(ticks) > 2
    assert set(ticks) <= {0, 1, 10, 100, 1_000, 10_000, 100_000}
    canvas = counts.locator("#observables canvas")
    box = canvas.bounding_box()
    assert box
    # Nearly at the height of the last point; on a linear axis the first ones are one line.
    place = "[panels[0].x(2), margin.top + panels[0].tall * (1 - panels[0].axis.share(2500.3))]"
    across, down = counts.evaluate(place)
    counts.mouse.move(box["x"] + across, box["y"] + down)
    counts.mouse.down()
    counts.mouse.up()
    until(counts, "explorer.state().data.cases[2] != 3000")
    dragged = counts.evaluate("explorer.state().data.cases[2]")
    assert dragged == round(dragged)
    assert dragged == pytest.approx(2500, rel=0.1)


def test_data_are_black(counts: sync_api.Page) -> None:
    """Red means a failure."""
    ink = counts.evaluate(
        "(() => { const { canvas, x, axis, tall } = panels[0], ratio = window.devicePixelRatio;"
        "const y = margin.top + tall * (1 - axis.share(3000));"
        "return [...canvas.getContext('2d').getImageData(x(2) * ratio, y * ratio, 1, 1).data]; })()"
    )
    assert ink == [34, 34, 34, 255]


def test_the_truth_of_observed_data_is_not_known(counts: sync_api.Page) -> None:
    number = counts.locator("#number-rate")
    assert number.input_value() == ""
    assert counts.evaluate("getComputedStyle(byId('slide-rate')).opacity") == "0.4"
    number.fill("0.1")
    counts.keyboard.press("Tab")
    until(counts, "!document.querySelector('.stale')")
    assert [counts.locator(f"#number-{name}").input_value() for name in ("rate", "size")] != [
        "0.1",
        "",
    ]
    assert counts.evaluate("getComputedStyle(byId('slide-rate')).opacity") == "1"


def test_labels_are_drawn_and_pairs_stand_beside_marginals(counts: sync_api.Page) -> None:
    assert counts.locator("#sliders svg, #marginals svg").count() == 2
    for drawing in counts.locator("svg").all():
        assert drawing.get_attribute("aria-label") == "rate"
        box = drawing.bounding_box()
        assert box
        assert 5 < box["width"] < 12 < 3 * box["height"] < 50
    marginals, pairs = (
        counts.locator(f"#{name}").bounding_box() for name in ("posterior", "pairs")
    )
    assert marginals
    assert pairs
    assert pairs["x"] > marginals["x"] + marginals["width"]
    assert pairs["y"] == marginals["y"]


def test_pairs_show_the_posterior_and_the_truth(page: sync_api.Page) -> None:
    draws = np.array(page.evaluate("explorer.answer().draws.rate"))
    state = "(() => { state.parameters = { rate: %s }; return zoomed({ name: 'rate' }); })()"
    inside, beyond = (page.evaluate(state % truth) for truth in (np.median(draws), 99.0))
    low, high = np.quantile(draws, [0.005, 0.995])
    assert inside == pytest.approx([low, high], abs=0.15 * (high - low))
    assert beyond[1] > 99.0


def test_ticks_are_round(page: sync_api.Page) -> None:
    assert page.evaluate("rounds(143.7, 1253, 4)") == [500, 1000]
    assert page.evaluate("rounds(-0.31, 0.24, 3)") == pytest.approx([-0.2, 0.0, 0.2])
    assert page.evaluate("makeAxis(16, 2500, 1).ticks(5)") == [20, 50, 100, 200, 500, 1000, 2000]
    assert page.evaluate("makeAxis(-3, 8, 0).value(makeAxis(-3, 8, 0).share(7))") == 7
    back = "makeAxis(0, 500, 1).value(makeAxis(0, 500, 1).share(7))"
    assert page.evaluate(back) == pytest.approx(7)
    assert page.evaluate("[143.7, 1e8, -2e-7, 0].map(write)") == [
        "143.7",
        "10⁸",
        "\N{MINUS SIGN}2·10⁻⁷",
        "0",
    ]
    grows = "[[29, 66, 188, 281, 170, 1597, 3000], [85, 100, 115], [0, 1, 2, 3], [-1, 3000]]"
    assert page.evaluate(f"{grows}.map((one) => grows(one, true))") == [True, False, False, False]


def test_what_the_prior_never_draws_is_said(page: sync_api.Page) -> None:
    number = page.locator("#number-rate")
    number.fill("50")
    page.keyboard.press("Tab")
    until(page, "byId('notes').textContent.startsWith('rate = 50 lies beyond')")


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
