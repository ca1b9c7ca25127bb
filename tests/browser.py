"""A real Chromium for tests, without a screen, with a profile of its own."""

import base64
import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


@contextlib.contextmanager
def chromium() -> Iterator["Browser"]:
    """A browser that is closed with the block; skips where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.service import Service

    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (browser and driver):
        pytest.skip("needs chromium and chromium-driver")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = browser
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        running = webdriver.Chrome(options=options, service=Service(driver))
        try:
            yield Browser(running)
        finally:
            running.quit()


class Browser:
    """What the tests ask of a browser."""

    def __init__(self, driver) -> None:
        self.driver = driver

    def look(self, url: str, width: int = 1280, height: int = 800, scheme: str = "light") -> None:
        """Open a page in a window of that size, on a phone where it is narrow."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.driver.get(url)

    def js(self, code: str, *arguments):
        """What a script gives back."""
        return self.driver.execute_script(code, *arguments)

    def text(self, name: str) -> str:
        """The text of an element, by its id."""
        return self.js("return document.getElementById(arguments[0])?.textContent ?? ''", name)

    def find(self, name: str):
        """An element, by its id."""
        return self.driver.find_element("id", name)

    def complaints(self) -> list[str]:
        """What the page wrote to the console, refusals of its security policy included."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def screenshot(self, path: Path) -> None:
        """The whole page as a PNG."""
        whole = {"format": "png", "captureBeyondViewport": True}
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", whole)
        path.write_bytes(base64.b64decode(shot["data"]))
