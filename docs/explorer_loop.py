"""Record the explorer of the demo's posterior: six seconds for the README and its own page.

A parameter is dragged, and the posterior follows; then the first count is dragged far above all others, as in no
epidemic of the prior.
``python -m docs.explorer_loop`` needs runs/sir (``make demo``), playwright and an installed Chromium. Times of answers
are those of this machine: record when it is idle.
"""

from __future__ import annotations

import io
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageDraw
from playwright.sync_api import Page, sync_playwright

import bayesinn as bi
from bayesinn.cli.explorer.answers import Answers
from bayesinn.cli.explorer.server import ADDRESS, Server

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs" / "_static" / "explorer.webp"
WIDTH = 1_110
HEIGHT = 970
#: Milliseconds of a frame that moves, and of one that is looked at.
MOVING = 90
LOOKED_AT = 1_000
#: Values of lambda that the slider passes, as shares of its way: up and back.
WAY = [0.15 + 0.02 * step for step in range(13)]
# An arrow, from its tip.
_POINTER = ((0, 0), (0, 17), (4, 13), (7, 19), (10, 18), (7, 12), (12, 12))

Frame = tuple[Image.Image, int]


def record(page: Page) -> Iterator[Frame]:
    """Yield pictures of the page, each with its milliseconds."""
    page.evaluate("setParameter(model.parameters[0], 0.3, true)")
    _settle(page)
    slider = page.get_by_role("slider", name="lambda").bounding_box()
    assert slider
    height = slider["y"] + slider["height"] / 2
    # Half a thumb is left free at both ends.
    places = [slider["x"] + 8 + share * (slider["width"] - 16) for share in WAY]
    page.mouse.move(places[0], height)
    page.mouse.down()
    for place in [*places, *reversed(places[4:-1])]:
        page.mouse.move(place, height)
        _settle(page)
        yield _picture(page, place, height), MOVING
    page.mouse.up()
    _settle(page)
    yield _picture(page, place, height), LOOKED_AT
    canvas = page.locator("#observables canvas").bounding_box()
    assert canvas
    across, down = page.evaluate(
        "(() => { const panel = panels[0], data = state.data.cases;"
        "return [panel.x(0), margin.top + panel.tall * (1 - panel.axis.share(data[0]))]; })()"
    )
    across += canvas["x"]
    start = canvas["y"] + down
    end = canvas["y"] + 9
    page.mouse.move(across, start)
    page.mouse.down()
    for step in range(9):
        place = start + step / 8 * (end - start)
        page.mouse.move(across, place)
        _settle(page)
        yield _picture(page, across, place), MOVING
    page.mouse.up()
    _settle(page)
    yield _picture(page, across, place), 2 * LOOKED_AT


def _settle(page: Page) -> None:
    """Wait until the page shows the answer to what was done last."""
    page.wait_for_timeout(20)
    while page.evaluate("busy"):
        page.wait_for_timeout(10)


def _picture(page: Page, x: float, y: float) -> Image.Image:
    """Return what is seen, with the pointer that browsers leave out of pictures."""
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    arrow = [(x + across, y + down) for across, down in _POINTER]
    ImageDraw.Draw(image).polygon(arrow, fill="black", outline="white")
    return image


def main() -> None:
    """Write docs/_static/explorer.webp."""
    server = Server(Answers(bi.load(ROOT / "runs" / "sir" / "posterior")))
    server.answers.recover({"seed": 1})
    threading.Thread(target=server.serve_forever, daemon=True).start()
    program = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(f"http://{ADDRESS}:{server.server_address[1]}/")
        page.wait_for_timeout(2_000)
        images, times = zip(*record(page), strict=True)
        speeds = page.evaluate("explorer.times.slice(5)")
        browser.close()
    server.shutdown()
    first, *others = images
    first.save(
        TARGET,
        save_all=True,
        append_images=others,
        duration=list(times),
        loop=0,
        quality=60,
        method=6,
    )
    print(
        f"{TARGET}: {len(images)} frames, {sum(times) / 1e3:.1f} s, {TARGET.stat().st_size / 1e6:.2f} MB; "
        f"answers in {min(speeds):.0f} to {max(speeds):.0f} ms"
    )


if __name__ == "__main__":
    main()
