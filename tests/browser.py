"""A real browser, where there is one: how wide a page becomes, and what it complains of."""

from __future__ import annotations

import dataclasses
import html
import json
import pathlib
import re
import shutil
import subprocess

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)

# The page is opened in a frame: browsers refuse windows as narrow as a phone.
_FRAME = """<!DOCTYPE html><body style="margin:0">
<iframe id="frame" src="{page}" style="border:0;width:{width}px;height:{height}px"></iframe>
<script>
window.onload = () => {{
  const page = document.getElementById("frame").contentDocument;
  const wide = [...page.querySelectorAll("main *")]
    .filter(e => e.checkVisibility() && !e.closest("svg, .scroll"))
    .filter(e => e.getBoundingClientRect().right > {width} + 0.5);
  const said = JSON.stringify([page.title, page.documentElement.scrollWidth, wide.length]);
  document.body.append("found" + said + "end");
}};
</script>"""


@dataclasses.dataclass
class Seen:
    """What a browser made of a page."""

    title: str
    width: int
    sticking_out: int
    complaints: list[str]
    screenshot: pathlib.Path


def see(page: pathlib.Path, width: int, height: int = 3000) -> Seen:
    """Opens a page in a window of a width, beside which a screenshot is left."""
    frame = page.with_name(f"frame-{width}.html")
    frame.write_text(_FRAME.format(page=page.as_uri(), width=width, height=height))
    screenshot = page.with_name(f"{page.stem}-{width}.png")
    run = _run(frame, width, height, "--enable-logging=stderr", f"--screenshot={screenshot}")
    said = re.search(r"found(\[.*?\])end</body>", run.stdout, re.S)
    assert said is not None, run.stderr
    title, found, out = json.loads(said[1])
    complaints = [line for line in run.stderr.splitlines() if "CONSOLE" in line]
    return Seen(title, found, out, complaints, screenshot)


def faults(page: pathlib.Path, width: int, axe: pathlib.Path) -> list[list[str]]:
    """What axe finds wrong with a page, all of it unfolded: each rule, and the first element."""
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text())
    text = text.replace("<details", "<details open")
    code = axe.read_text().replace("</script>", "<\\/script>")
    find = """window.onload = () => axe.run(document).then(found => {
      const said = found.violations.map(rule => [rule.id, rule.nodes[0].html]);
      document.body.append("found" + JSON.stringify(said) + "end");
    });"""
    whole = page.with_name(f"axe-{width}.html")
    scripts = f"<script>{code}</script><script>{find}</script>"
    whole.write_text(text.replace("</body>", f"{scripts}</body>"))
    frame = page.with_name(f"axe-frame-{width}.html")
    frame.write_text(
        f'<!DOCTYPE html><title>frame</title><body><iframe id="page" src="{whole.as_uri()}" '
        f'style="border:0;width:{width}px;height:4000px"></iframe><script>setInterval(() => {{'
        'const own = document.getElementById("page").contentDocument.body.lastChild;'
        'if (own.textContent.startsWith("found")) document.body.append(own);}, 500);</script>'
    )
    run = _run(frame, width, 4000, "--virtual-time-budget=60000")
    said = re.search(r"found(\[.*?\])end", run.stdout, re.S)
    assert said is not None, run.stderr
    found: list[list[str]] = json.loads(html.unescape(said[1]))
    return found


def _run(
    frame: pathlib.Path, width: int, height: int, *more: str
) -> subprocess.CompletedProcess[str]:
    """Opens a page, with a profile of its own; what it became is on the standard output."""
    return subprocess.run(
        [
            str(BROWSER),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--allow-file-access-from-files",
            f"--user-data-dir={frame.parent / f'profile-{frame.stem}'}",
            f"--window-size={max(width, 500)},{height}",
            "--dump-dom",
            *more,
            frame.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
