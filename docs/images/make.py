#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take the pictures of the dashboard again, from a running cluster.

    .venv/bin/python docs/images/make.py [URL] [FOLDER]

URL is the dashboard's address (http://127.0.0.1:9000), FOLDER where the PNG files go (docs/images).
Put load on the cluster first (`./playground load`), or the pictures show idle agents. They look as
meant with the font Inter (Debian: fonts-inter). The end-to-end tests take theirs by the same code.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Error, Page, sync_playwright

URL = "http://127.0.0.1:9000"
FOLDER = Path(__file__).parent
CHROMIUM = "/usr/bin/chromium"
LIMIT_BYTES = 400_000
LIVE_MS = 60_000
"""How long a busy machine may take until the page is live."""
SETTLE_MS = 2500
"""Lines and numbers come with the first seconds of the stream."""


@dataclass(frozen=True)
class Picture:
    """One picture: its file, the window (CSS pixels), and the colours."""

    name: str
    width: int = 1280
    height: int = 800
    colours: str = "light"
    scale: float = 1.5
    still: bool = False
    """Nothing moves in it, as for readers who ask for that: drawing without a GPU is work."""


PICTURES = (
    Picture("dashboard"),
    Picture("dashboard-dark", colours="dark"),
    Picture("dashboard-phone", width=390, height=844),
)


def visit(browser: Browser, url: str, picture: Picture) -> Page:
    """The page as the picture shows it, once it is live.

    Raises:
        playwright.sync_api.Error: it does not get there.
    """
    context = browser.new_context(
        viewport={"width": picture.width, "height": picture.height},
        color_scheme="dark" if picture.colours == "dark" else "light",
        device_scale_factor=picture.scale,
        reduced_motion="reduce" if picture.still else "no-preference",
    )
    page = context.new_page()
    page.goto(url, timeout=LIVE_MS)
    page.locator('#link[data-state="live"]').wait_for(timeout=LIVE_MS)
    return page


def take(browser: Browser, url: str, folder: Path, pictures: tuple[Picture, ...]) -> list[Path]:
    """Take pictures; returns their files."""
    taken = []
    for picture in pictures:
        page = visit(browser, url, picture)
        page.wait_for_timeout(SETTLE_MS)
        path = folder / f"{picture.name}.png"
        page.screenshot(path=path)
        page.context.close()
        taken.append(path)
    return taken


def main(arguments: list[str]) -> int:
    if len(arguments) > 2 or any(each.startswith("-") for each in arguments):
        print(__doc__, file=sys.stderr)
        return 2
    url = arguments[0] if arguments else URL
    folder = Path(arguments[1]) if len(arguments) > 1 else FOLDER
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM)
            taken = take(browser, url, folder, PICTURES)
    except Error as error:
        reason = str(error).splitlines()[0]
        print(f"Error: no picture of {url}: {reason}\n→ ./playground up", file=sys.stderr)
        return 1
    for path in taken:
        size = path.stat().st_size
        print(f"{path}: {size // 1000} kB")
        if size > LIMIT_BYTES:
            print(f"Error: {path} is over {LIMIT_BYTES // 1000} kB", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
