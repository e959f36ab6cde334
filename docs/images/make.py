#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take the picture of the dashboard again, from a running cluster.

    python docs/images/make.py [URL] [OUTPUT]

URL is the dashboard's address (http://127.0.0.1:9000), OUTPUT the PNG to write
(docs/images/dashboard.png). It needs Chromium or Chrome on the PATH and nothing else; the
picture is 1280 by 800 pixels in the light scheme. Put load on the cluster first
(`./playground load`), or the picture shows idle agents.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

URL = "http://127.0.0.1:9000"
OUTPUT = Path(__file__).with_name("dashboard.png")
WIDTH, HEIGHT = 1280, 800
LIMIT_BYTES = 200_000
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def command(browser: str, url: str, output: Path, profile: str) -> list[str]:
    """The browser's command line."""
    return [
        browser,
        "--headless",
        # Chromium's own sandbox refuses to run as root.
        *(["--no-sandbox"] if os.geteuid() == 0 else []),
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        f"--user-data-dir={profile}",
        f"--window-size={WIDTH},{HEIGHT}",
        # The page asks once a second: time for its first answers, and for the cards to appear.
        "--virtual-time-budget=4000",
        f"--screenshot={output}",
        url,
    ]


def size(png: bytes) -> tuple[int, int]:
    """Width and height of a PNG in pixels.

    Raises:
        ValueError: it is none.
    """
    if png[:8] != b"\x89PNG\r\n\x1a\n":
        raise ValueError("not a PNG")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def main(arguments: list[str]) -> int:
    if len(arguments) > 2 or any(each.startswith("-") for each in arguments):
        print(__doc__, file=sys.stderr)
        return 2
    url = arguments[0] if arguments else URL
    output = Path(arguments[1]) if len(arguments) > 1 else OUTPUT
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print("Error: no Chromium was found; install the package chromium", file=sys.stderr)
        return 1
    try:
        urllib.request.urlopen(f"{url.rstrip('/')}/api/v1/status", timeout=5).close()  # noqa: S310
    except (urllib.error.URLError, OSError, ValueError) as error:
        print(f"Error: {url} does not answer: {error}\n→ ./playground up", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        taken = Path(folder) / "dashboard.png"
        try:
            done = subprocess.run(  # noqa: S603 - a browser found on the PATH
                command(browser, url, taken, f"{folder}/profile"),
                capture_output=True,
                text=True,
                timeout=60,
            )
        except subprocess.TimeoutExpired:
            print("Error: the browser took longer than 60 s", file=sys.stderr)
            return 1
        if done.returncode or not taken.exists():
            print(f"Error: no picture was taken: {done.stderr.strip()[-500:]}", file=sys.stderr)
            return 1
        png = taken.read_bytes()
    if size(png) != (WIDTH, HEIGHT) or len(png) > LIMIT_BYTES:
        found = f"{size(png)[0]}x{size(png)[1]}, {len(png)} bytes"
        print(
            f"Error: the picture is {found}; expected {WIDTH}x{HEIGHT}, "
            f"at most {LIMIT_BYTES} bytes",
            file=sys.stderr,
        )
        return 1
    output.write_bytes(png)
    print(f"{output}: {len(png) // 1000} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
