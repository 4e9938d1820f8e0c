"""A headless Chromium for tests of pages: what a page is like to those who open it, and what it asks for."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

# Looks into the page from outside, once it is there; the answer is read out of this page's own text.
_LOOK = """<!DOCTYPE html><title>a look</title><link rel="icon" href="data:,">
<style>iframe {{ border: 0; width: {width}px; height: 900px }}</style>
<iframe src="{page}"></iframe><pre id="found"></pre>
<script>
  const frame = document.querySelector("iframe")
  frame.onload = () => {{
    const seen = frame.contentDocument, view = frame.contentWindow, root = seen.documentElement
    const beyond = (each) => each.getBoundingClientRect().right > root.clientWidth + 1
      && !each.closest(".scroll") && !each.closest("svg")
    const found = {{
      title: seen.title,
      width: root.scrollWidth,
      room: root.clientWidth,
      beyond: [...seen.body.querySelectorAll("*")].filter(beyond).map((each) => each.outerHTML.slice(0, 200)),
      background: view.getComputedStyle(seen.body).backgroundColor,
      ink: view.getComputedStyle(seen.body).color,
      scripts: seen.scripts.length,
      pictures: seen.querySelectorAll("svg[role=img]").length,
      flat: [...seen.querySelectorAll("svg[role=img]")].filter(
        (each) => each.getBoundingClientRect().width < 50 || each.getBoundingClientRect().height < 4).length,
      unnamed: [...seen.querySelectorAll("svg[role=img]")].filter(
        (each) => each.getAttribute("aria-labelledby").split(" ").some(
          (id) => !seen.getElementById(id)?.textContent)).length,
      requests: view.performance.getEntriesByType("resource").length,
      folds: [...seen.querySelectorAll("summary")].filter((each) => each.tabIndex < 0).length,
    }}
    document.querySelector("#found").textContent = JSON.stringify(found)
  }}
</script>"""


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a page found, what was said on the console, and what was asked of the server."""

    found: Mapping[str, Any]
    console: tuple[str, ...]
    asked: tuple[str, ...]


def look(page: Path, folder: Path, *, width: int, dark: bool = False) -> Look:
    """Open the page in a browser of this width, in the light or the dark, and look around."""
    (folder / "look.html").write_text(_LOOK.format(width=width, page=page.name), encoding="utf-8")
    with _served(folder) as (address, asked):
        ended = _chromium(folder, "--dump-dom", f"{address}/look.html", dark=dark)
    found = re.search(r'<pre id="found">(.*?)</pre>', ended.stdout, re.DOTALL)
    assert found, ended.stderr
    said = [line for line in ended.stderr.splitlines() if "CONSOLE" in line]
    return Look(json.loads(html.unescape(found[1])), tuple(said), tuple(asked))


def paper(page: Path, folder: Path) -> bytes:
    """The page as it is printed."""
    to = folder / "page.pdf"
    _chromium(folder, "--no-pdf-header-footer", f"--print-to-pdf={to}", page.as_uri(), dark=True)
    return to.read_bytes()


def _chromium(folder: Path, *arguments: str, dark: bool) -> subprocess.CompletedProcess[str]:
    assert BROWSER
    return subprocess.run(
        [
            BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--no-first-run", "--disable-background-networking", "--enable-logging=stderr",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            f"--user-data-dir={folder / 'browser'}", *arguments,
        ],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@contextmanager
def _served(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """The folder on this machine's loopback, and the list of what is asked for."""
    asked: list[str] = []

    class Quiet(SimpleHTTPRequestHandler):
        def log_request(self, *_: object) -> None:
            asked.append(self.path)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
