"""Headless Chromium, driven by Playwright, and what a person sees of a page.

    with browser(tmp_path) as (page, complaints):       # a playwright.sync_api.Page
        page.goto(file.as_uri())
        assert page.evaluate(SEEN)["broken"] == []
        colors(page.locator("figure img"))              # how many different ones are seen of it
        assert complaints == []                         # errors of the console, exceptions, failed requests
"""

import contextlib
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Locator, Page, sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# WebGL without a GPU is SwiftShader's; nothing is asked of a network
FLAGS = [
    "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-extensions", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
]  # fmt: skip

SEEN = """(() => {
  const box = element => element.getBoundingClientRect(), name = element => element.outerHTML.slice(0, 100);
  const all = selector => [...document.querySelectorAll(selector)].filter(element => element.checkVisibility());
  return {
    width: innerWidth,
    needed: document.documentElement.scrollWidth,
    broken: [...document.images].filter(image => !image.complete || !image.naturalWidth).map(name),
    invisible: [...document.querySelectorAll("h1, h2, h3, p, table, figure, img, button")]
      .filter(element => !element.checkVisibility() || Math.min(box(element).width, box(element).height) < 5)
      .map(name),
    beyond: all("h1, h2, h3, p, button, .wide").filter(element => box(element).right > innerWidth + 1).map(name),
  };
})()"""


@contextlib.contextmanager
def browser(folder: Path) -> Iterator[tuple[Page, list[str]]]:
    """A page in a profile of its own in `folder`, and what it complained of so far."""
    complaints: list[str] = []
    with sync_playwright() as playwright:
        settings = {"executable_path": CHROMIUM, "args": FLAGS, "is_mobile": True}
        context = playwright.chromium.launch_persistent_context(folder / "profile", **settings)
        [page] = context.pages
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda request: complaints.append(f"{request.url[:100]}: {request.failure}"))
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "assert") else None)
        yield page, complaints
        context.close()


def colors(seen: Locator) -> int:
    """How many different colors an element shows."""
    pixels = np.asarray(Image.open(io.BytesIO(seen.screenshot())).convert("RGB"))
    return len(np.unique(pixels.reshape(-1, 3), axis=0))
