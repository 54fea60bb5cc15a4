"""A page in Debian's chromium, headless, as tests drive it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

webdriver = pytest.importorskip("selenium.webdriver", reason="the report's browser tests need selenium")
from selenium.webdriver.chrome.service import Service  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")

needs_chromium = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no chromium and chromedriver (apt-get install chromium chromium-driver)"
)


class Browser:
    """A page in chromium, and what it logged and requested."""

    def __init__(self, profile: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for word in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", f"--user-data-dir={profile}"):
            options.add_argument(word)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        # The driver's path is given, so selenium looks for none in the network.
        self.driver = webdriver.Chrome(options=options, service=Service(DRIVER))

    def open(self, page: Path, width: int = 1280, height: int = 900, scheme: str = "light") -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        media = {
            "prefers-color-scheme": scheme,
            "prefers-reduced-motion": "reduce",
        }  # clicks wait for no scrolling
        features = [{"name": name, "value": value} for name, value in media.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.driver.get(page.as_uri())

    def js(self, code: str, *arguments: Any) -> Any:
        return self.driver.execute_script(f"return {code}", *arguments)

    def one(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def all(self, selector: str) -> list[Any]:
        return list(self.driver.find_elements("css selector", selector))

    def press(self, keys: str) -> None:
        """Type keys wherever the focus is."""
        self.driver.switch_to.active_element.send_keys(keys)

    def layers(self, within: str = "#cards") -> list[str]:
        return list(self.js(f"[...document.querySelectorAll('{within} .picture')].map(p => p.dataset.layer)"))

    def names(self) -> list[str]:
        return list(self.js("[...document.querySelectorAll('.card .name')].map(n => n.textContent)"))

    def index(self) -> dict[str, Any]:
        found: dict[str, Any] = self.js("JSON.parse(document.getElementById('index').textContent)")
        return found

    def requests(self) -> set[str]:
        """Addresses the page asked for, without those that hold their own content."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        urls = {e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"}
        return {url for url in urls if not url.startswith("data:")}
