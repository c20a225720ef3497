"""The browser of the browser tests: the system's chromium, driven by playwright, or why they skip."""

import shutil

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
BROWSER_MARKS = [
    pytest.mark.slow,
    pytest.mark.campaign,  # .ci/run asks for these files
    pytest.mark.skipif(CHROMIUM is None, reason="the browser test needs chromium: apt-get install chromium"),
]
