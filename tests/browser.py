"""Headless Chromium for tests of pages: Debian's packages chromium and chromium-driver, where they are installed."""

import base64
import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

needed = pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver")),
    reason="left out: no browser here; install Debian's chromium and chromium-driver to run it",
)
SCREENSHOTS = Path(__file__).parent.parent / "build" / "screenshots"
ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")

FAULTS = r"""
const faults = [];
const luminance = ([r, g, b]) => {
  const linear = [r, g, b].map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
};
const colour = text => text.match(/[\d.]+/g).map(Number);
const behind = node => {
  for (let each = node; each; each = each.parentElement) {
    const found = colour(getComputedStyle(each).backgroundColor);
    if (found.length < 4 || found[3] === 1) return found;
    if (found[3] > 0) return null;  // half transparent: over a picture
  }
  return [255, 255, 255];
};
const name = node => (node.getAttribute("aria-label") || node.textContent || "").trim();
for (const node of document.querySelectorAll("a, button, input, [role=img], [role=region], [role=group]"))
  if (!name(node)) faults.push("without a name: " + node.outerHTML.slice(0, 80));
for (const node of document.querySelectorAll("img:not([alt])"))
  faults.push("without alt: " + node.outerHTML.slice(0, 80));
for (const tag of ["h1", "main", "header"])
  if (document.querySelectorAll(tag).length !== 1) faults.push("not one " + tag);
const regions = [...document.querySelectorAll("[role=region]")].map(name);
if (new Set(regions).size !== regions.length) faults.push("regions of one name: " + regions);
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode.parentElement, style = getComputedStyle(node), ground = behind(node);
  const off = node.closest("script, [disabled]") || !node.getClientRects().length || !walker.currentNode.data.trim();
  if (off || !ground) continue;
  const both = [colour(node.closest("svg") ? style.fill : style.color), ground].map(luminance).sort((a, b) => b - a);
  const contrast = (both[0] + 0.05) / (both[1] + 0.05);
  if (contrast < 4.5) faults.push(contrast.toFixed(2) + " of contrast: " + walker.currentNode.data.trim().slice(0, 40));
}
return faults;
"""
"""Finds what `faults` returns."""


@contextlib.contextmanager
def opened(page: Path, downloads: Path, width: int = 1400) -> Iterator[Chrome]:
    """Open a page in a window of a width; what it saves goes to a folder. An error in its console fails the test."""
    options = ChromeOptions()
    for argument in ARGUMENTS:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.binary_location = shutil.which("chromium") or ""
    browser = Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get(page.as_uri())
        yield browser
        assert browser.get_log("browser") == []
    finally:
        browser.quit()


def screenshot(browser: Chrome, path: Path, *, dark: bool) -> None:
    """Write a picture of the whole page in a light or dark scheme."""
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(base64.b64decode(shot["data"]))


def faults(browser: Chrome) -> list[str]:
    """Return what keeps people from reading the page: names, landmarks and contrasts (WCAG's 4.5) that are missing."""
    found: list[str] = browser.execute_script(FAULTS)
    return found
