"""The golden report as a browser shows it, from a telephone to a wide window, light and dark: pictures of the whole
page have the window's width, the scheme's background, and something to see all the way down. To look at them:

    python -m pytest -m slow tests/analysis/test_golden_in_browser.py --basetemp pictures
"""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from analysis.report import write_report

RESULTS = Path(__file__).parent / "golden" / "results"
BACKGROUNDS = {"light": (246, 247, 248), "dark": (21, 24, 27)}
SCREEN = 900  # pixels from top to bottom


@pytest.fixture(scope="module")
def words(browser, tmp_path_factory):  # asks for the browser first: without one no report is made
    """The page without its figures, which take most of a report's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("analysis.report.draw_all", lambda findings: [])
        return write_report(RESULTS, tmp_path_factory.mktemp("words")).page


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    return write_report(RESULTS, tmp_path_factory.mktemp("golden")).page


@pytest.mark.parametrize("width", [320, 390, 1400])
def test_the_path_of_a_torn_file_does_not_widen_the_page(words, browser, width):
    browser.open(words, width)
    assert browser.evaluate("document.querySelectorAll('.warning').length") >= 1
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_a_picture_of_the_page_is_whole_as_wide_as_the_window_and_nowhere_blank(page, browser, tmp_path, width, scheme):
    browser.open(page, width, scheme)
    browser.screenshot(tmp_path / f"{width}-{scheme}.png")
    with Image.open(tmp_path / f"{width}-{scheme}.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels.shape[:2] == (browser.evaluate("document.documentElement.scrollHeight"), width)
    assert tuple(pixels[2, 2]) == BACKGROUNDS[scheme]
    grey = pixels.mean(axis=2)
    screens = [grey[top : top + SCREEN] for top in range(0, len(grey) - SCREEN, SCREEN)]
    assert len(screens) > 5
    for number, screen in enumerate(screens):
        is_inked = np.abs(screen - np.median(screen)) > 40
        assert is_inked.mean() > 0.005, f"screen {number} of {len(screens)} is blank"
