"""Run a model in OHIF as an annotator would, in a headless browser, and keep a picture of what it shows.

Needs playwright and Chromium beside MONAI Label, and a server that `lvm_med_monai.apps.label` runs on a DICOMweb
server: ``python tools/ohif_screenshot.py --study UID --model NAME --output ohif.png``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

SOFTWARE_GL = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
"""OHIF draws with WebGL, which a machine without a graphics card computes."""
PATIENCE_MS = 120_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Take the picture.

    Returns:
        0 if the mask appeared; 1 if OHIF was shown but the picture did not change when the model had answered.
    """
    options = _parser().parse_args(arguments)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options.browser, args=SOFTWARE_GL)
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        page.route("**/fonts.g*", lambda route: route.abort())
        before, after = _annotate(page, options)
        browser.close()
    options.output.write_bytes(after)
    changed = before != after
    print(f"wrote {options.output}; the picture {'changed' if changed else 'did NOT change'} when the model answered")
    return 0 if changed else 1


def _annotate(page: Page, options: argparse.Namespace) -> tuple[bytes, bytes]:
    page.goto(f"{options.server}/ohif/monai-label?StudyInstanceUIDs={options.study}")
    canvas = page.locator("canvas.cornerstone-canvas").first
    expect(canvas).to_be_visible()
    page.get_by_text("Confirm and Hide").click()
    page.locator(".monaiLabelPanel button").first.click()
    auto = page.locator("label.tab-label", has_text="Auto-Segmentation")
    expect(auto).to_be_visible()
    page.wait_for_timeout(options.settle_ms)
    auto.click()
    tab = page.locator(".tab", has=auto)
    tab.locator("select").select_option(options.model)
    before = canvas.screenshot()
    with page.expect_response(lambda answer: f"/infer/{options.model}" in answer.url) as answered:
        tab.get_by_role("button", name="Run").click()
    status = answered.value.status
    if status != 200:
        raise SystemExit(f"error: the server answered {status} to OHIF's request")
    page.wait_for_timeout(options.settle_ms)
    if canvas.screenshot() == before:
        return before, before
    return before, page.screenshot(type="png")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default="http://127.0.0.1:8000", help="OHIF's panel calls this address alone")
    parser.add_argument("--study", required=True, metavar="UID")
    parser.add_argument("--model", required=True, metavar="NAME")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE")
    parser.add_argument("--browser", default="/usr/bin/chromium", metavar="FILE")
    parser.add_argument("--settle-ms", type=int, default=6000, help="time to draw (default: 6000)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
