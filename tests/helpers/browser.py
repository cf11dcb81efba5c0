"""The system's own Chromium, without a word to anybody: none is ever downloaded."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed (pip install playwright)"
)

#: Chromium's sandbox doesn't run as root, nor in most containers; the pages are our own.
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

#: Pairs of texts that lie over each other by more than half of a line, as they are seen: not what
#: is scrolled out of its box, and not letters of drawings and formulas.
_OVERLAPS = """() => {
  const boxes = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const drawings = "svg, mjx-container, script, style, option, textarea, canvas";
  for (let node; (node = texts.nextNode());) {
    const parent = node.parentElement;
    const seen = {opacityProperty: true, visibilityProperty: true};
    if (!node.data.trim() || parent.closest(drawings) || !parent.checkVisibility(seen)) continue;
    const box = {left: -1e9, right: 1e9, top: -1e9, bottom: 1e9};
    for (let one = parent; one && one !== document.body; one = one.parentElement) {
      const style = getComputedStyle(one);
      if (style.position === "fixed") box.right = -1e9;
      if (style.overflowX === "visible" && style.clipPath === "none") continue;
      const edge = one.getBoundingClientRect();
      for (const side of ["left", "top"]) box[side] = Math.max(box[side], edge[side]);
      for (const side of ["right", "bottom"]) box[side] = Math.min(box[side], edge[side]);
    }
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const line of range.getClientRects()) {
      const left = Math.max(line.left, box.left), right = Math.min(line.right, box.right);
      const top = Math.max(line.top, box.top), bottom = Math.min(line.bottom, box.bottom);
      const text = node.data.trim().slice(0, 40);
      if (right - left > 2 && bottom - top > 2) boxes.push({left, right, top, bottom, text});
    }
  }
  boxes.sort((a, b) => a.top - b.top);
  const found = [];
  boxes.forEach((a, i) => {
    for (let j = i + 1; j < boxes.length && boxes[j].top < a.bottom; j++) {
      const b = boxes[j];
      const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const high = Math.min(a.bottom, b.bottom) - b.top;
      const line = Math.min(a.bottom - a.top, b.bottom - b.top);
      if (wide > 3 && high > 0.45 * line) found.push(`${a.text} over ${b.text}`);
    }
  });
  return found.slice(0, 5);
}"""


def overlaps(page: sync_api.Page) -> list[str]:
    """Return pairs of texts of a page that lie over each other."""
    return list(page.evaluate(_OVERLAPS))


def open_browser() -> Iterator[sync_api.Browser]:
    """Yield a browser; skip the test where none is installed."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip(f"no browser is installed (looked for {', '.join(names)})")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=OPTIONS, timeout=60_000)
        yield browser
        browser.close()
