"""Opening a dossier in real Chromium, without network, and seeing what it finds and what it asks for."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page

__all__ = ["CHROMIUM", "FLAGS", "Opened", "in_a_browser"]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, which the distribution packages")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
WATCH = """
window.ran = 0; window.violations = [];
document.addEventListener("securitypolicyviolation", (one) => window.violations.push(one.violatedDirective));
"""


class Opened:
    """A dossier in the browser: a context without network, and what the page asked for."""

    def __init__(self, browser: Browser, folder: Path, **options: Any) -> None:
        self.context = browser.new_context(offline=True, **options)
        self.context.add_init_script(WATCH)
        self.page: Page = self.context.new_page()
        self.requests: list[str] = []
        self.said: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.file = folder / "run.html"

    def show(self, content: bytes) -> str:
        """Open it; return the verdict."""
        self.file.write_bytes(content)
        self.page.goto(self.file.as_uri())
        self.page.wait_for_selector("html[data-verdict]", timeout=20_000, state="attached")
        return str(self.page.locator("html").get_attribute("data-verdict"))

    def findings(self) -> dict[str, tuple[str, str]]:
        """Return of each check its finding and what it says."""
        found = self.page.eval_on_selector_all(
            "[data-check]",
            "all => all.map(one => [one.dataset.check, one.dataset.finding, one.querySelector('.says').textContent])",
        )
        return {name: (finding, says) for name, finding, says in found}
