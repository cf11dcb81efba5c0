"""The page of faults in a real browser: what is dragged is seen by the test that should see it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.browser import open_browser, sync_api

DOCS = Path(__file__).resolve().parents[2] / "docs"
PANELS = ("histogram", "ecdf", "coverage", "joint", "product")

browser = pytest.fixture(scope="module")(open_browser)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The HTML of the page, as Markdown hands it on, without the theme around it."""
    blocks = re.findall(
        r"(?ms)^<(?:div|script|link).*?(?=\n\n|\Z)", (DOCS / "faults.md").read_text()
    )
    head = f'<meta charset="utf-8"><base href="{DOCS.as_uri()}/">'
    file = tmp_path_factory.mktemp("page") / "faults.html"
    file.write_text(
        f"<!DOCTYPE html><html><head>{head}</head><body>{''.join(blocks)}</body></html>"
    )
    return file


@pytest.fixture
def page(browser: sync_api.Browser, file: Path) -> Iterator[sync_api.Page]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    found: list[str] = []
    page.on("console", lambda message: found.append(message.text))
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("request", lambda one: None if one.url.startswith("file:") else found.append(one.url))
    page.goto(file.as_uri())
    page.wait_for_function("document.getElementById('faults').dataset.milliseconds")
    yield page
    page.close()
    assert found == []


def outside(page: sync_api.Page) -> set[str]:
    """Names of the panels that say that something is outside of tolerance."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return {
        name
        for name in PANELS
        if page.locator(f"[data-says={name}]").get_attribute("class") == "outside"
    }


@pytest.mark.parametrize(
    ("fault", "seen", "blind"),
    [
        ("correct", set(), set(PANELS)),
        ("too wide", {"histogram"}, {"product"}),
        ("too narrow", {"histogram"}, {"product"}),
        ("shifted", {"histogram", "ecdf"}, {"coverage", "product"}),
        ("no correlation", {"joint", "product"}, {"histogram", "ecdf", "coverage"}),
    ],
)
def test_each_fault_is_seen_by_the_tests_that_can(
    page: sync_api.Page, fault: str, seen: set[str], blind: set[str]
) -> None:
    page.get_by_role("button", name=fault, exact=True).click()
    found = outside(page)
    assert seen <= found
    assert not blind & found


def test_sliders_and_the_posterior_are_dragged(page: sync_api.Page) -> None:
    page.get_by_label("Width").fill("1.6")
    assert {"histogram", "coverage", "joint"} <= outside(page)
    page.get_by_role("button", name="correct", exact=True).click()
    assert outside(page) == set()
    box = page.locator("[data-panel=posterior]").bounding_box()
    assert box
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 15, middle[1])
    page.mouse.up()
    assert float(page.get_by_label("Shift").input_value()) > 0.2
    assert "ecdf" in outside(page)


def test_draws_move_from_the_latent_distribution_to_two_moons(page: sync_api.Page) -> None:
    places = page.evaluate("bayesinnLatent.places")
    first, last = places[0], places[-1]
    assert len(first) == len(last) == 600
    # Normal: few at any single distance. Two crescents: all near one of two centres.
    spread = [sum(x * x + y * y for x, y in cloud) / 600 for cloud in (first, last)]
    assert 1.7 < spread[0] < 2.3
    assert max(abs(v) for point in last for v in point) < 1.0
    label = page.locator("#latent output")
    assert label.inner_text() == "latent draws"
    page.locator("#latent button").click()
    page.wait_for_function(
        "document.querySelector('#latent output').textContent == 'after coupling 1'"
    )
    page.locator("#latent input").fill(str(len(places) - 1))
    assert label.inner_text() == "parameters"


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits(browser: sync_api.Browser, file: Path, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme="dark")
    page.goto(file.as_uri())
    assert page.evaluate("document.scrollingElement.scrollWidth") == width
    page.close()
