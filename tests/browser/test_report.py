"""`bdry report` in a real Chromium: no request, no complaint, readable at both widths and themes, usable by keyboard.

Needs Debian's chromium and chromium-driver (`make test-all` installs them); skips where they are absent.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: pip install -e '.[dev]'")
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no Chromium: apt-get install chromium chromium-driver"),
]

TRAIN = ("dataset=digits", "dataset.num_train=120", "dataset.num_test=60", "training.epochs=2", "threads=1")
MARGINS = ("probe.margin.num_train=10", "probe.margin.num_test=10", "evaluation.robust_images=10")
THEMES = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}


def bdry(*words: str, cwd: Path) -> str:
    done = subprocess.run([sys.executable, "-m", "bdry", *words], cwd=cwd, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    """The report on one run with margins, boundary points by two estimators, and borderline instances."""
    folder = tmp_path_factory.mktemp("report")
    bdry("train", *TRAIN, *MARGINS, cwd=folder)
    (run,) = (path.relative_to(folder) for path in (folder / "outputs" / "runs").glob("*/seed=0"))
    small = ("num_train=10", "num_test=10", "norms=[l2]", "threads=1")
    bdry("margin", f"run={run}", "check=[walk]", "keep_points=3", *small, cwd=folder)
    bdry("deepdig", f"run={run}", "pairs=[[0,1]]", "steps=20", "methods=[rpbs,margin_bisect]", "threads=1", cwd=folder)
    bdry("report", "num_images=6", cwd=folder)
    return folder / "outputs" / "report.html"


@pytest.fixture(scope="module")
def driver():
    """One headless Chromium, which may reach nothing but files."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    found = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield found
    found.quit()


@pytest.fixture
def shown(driver, page):
    """`shown(width, theme)` opens the page anew; afterwards no console message and no request but for the page."""

    def show(width: int, theme: str):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        driver.get(page.as_uri())
        return driver

    for kind in ("browser", "performance"):
        driver.get_log(kind)
    yield show
    assert driver.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = {event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"}
    assert {url for url in asked if not url.startswith("data:")} == {page.as_uri()}


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits_the_width_and_follows_the_theme(shown, width, theme):
    found = shown(width, theme)
    for details in found.find_elements(By.TAG_NAME, "details"):
        found.execute_script("arguments[0].open = true", details)
    widths = found.execute_script("const e = document.documentElement; return [e.scrollWidth, e.clientWidth]")
    assert widths[0] <= widths[1] <= width
    assert found.execute_script("return getComputedStyle(document.body).backgroundColor") == THEMES[theme]
    low = found.execute_script(CONTRASTS)
    assert low == []
    if folder := os.environ.get("BDRY_SCREENSHOTS"):
        Path(folder, f"{width}-{theme}.png").write_bytes(found.get_screenshot_as_png())


def test_the_explorer_works_by_keyboard(shown):
    found = shown(1280, "light")
    first = found.find_element(By.CSS_SELECTOR, "#explorer-images input:checked")
    heading = found.find_element(By.CSS_SELECTOR, "#explorer-detail h3")
    before = heading.text
    found.execute_script("arguments[0].focus()", first)
    first.send_keys(Keys.ARROW_RIGHT)
    after = found.find_element(By.CSS_SELECTOR, "#explorer-detail h3").text
    assert after != before
    assert found.find_element(By.ID, "explorer-status").get_attribute("textContent") == f"showing {after}"
    reached = set()
    for _ in range(40):
        found.switch_to.active_element.send_keys(Keys.TAB)
        reached.add(found.switch_to.active_element.tag_name)
    assert {"summary", "div"} <= reached


def test_the_explorer_shows_curves_points_and_instances(shown):
    found = shown(360, "dark")
    texts, kinds = [], set()
    for choice in found.find_elements(By.CSS_SELECTOR, "#explorer-images input"):
        found.execute_script("arguments[0].click()", choice)
        detail = found.find_element(By.ID, "explorer-detail")
        texts.append(detail.text)
        pictures = detail.find_elements(By.TAG_NAME, "img")
        kinds |= {picture.get_attribute("alt").partition(":")[0] for picture in pictures}
        for curve in detail.find_elements(By.CSS_SELECTOR, "svg .line"):
            assert "NaN" not in curve.get_attribute("d")
    assert len(texts) == 6
    assert any("Nearest boundary point by each estimator" in text and "walk" in text for text in texts)
    assert any("Borderline instances" in text and "margin_bisect" in text for text in texts)
    assert {"boundary point", "its difference from the image"} <= kinds


def test_tables_sort_by_their_headings(shown):
    found = shown(1280, "light")
    button = found.find_element(By.CSS_SELECTOR, "table.sortable th button")
    for order in ("ascending", "descending"):
        button.send_keys(Keys.ENTER)
        assert found.find_element(By.CSS_SELECTOR, "table.sortable th").get_attribute("aria-sort") == order


def test_a_script_from_a_run_would_not_be_obeyed(driver, page, tmp_path):
    forged = tmp_path / "forged.html"
    text = page.read_text(encoding="utf-8")
    forged.write_text(text.replace("</main>", "<script>document.title = 'obeyed'</script></main>"), encoding="utf-8")
    driver.get(forged.as_uri())
    assert driver.title.startswith("bdry: report")
    assert any("Content Security Policy" in entry["message"] for entry in driver.get_log("browser"))


# texts whose contrast with what is behind them is below WCAG's 4.5
CONTRASTS = """
const parts = (colour) => (colour.match(/[\\d.]+/g) ?? []).map(Number);
const luminance = (colour) => {
  const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const [r, g, b] = parts(colour).map((v) => linear(v / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (node) => {
  for (let at = node; at; at = at.parentElement) {
    const colour = getComputedStyle(at).backgroundColor, [, , , alpha = 1] = parts(colour);
    if (alpha > 0) return colour;
  }
};
const low = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !node.checkVisibility() || node.closest("script, style")) continue;
  const style = getComputedStyle(node), colour = node.closest("svg") ? style.fill : style.color;
  const [a, b] = [luminance(colour), luminance(behind(node))].sort((x, y) => x - y);
  if ((b + 0.05) / (a + 0.05) < 4.5) low.push(`${node.tagName} ${walker.currentNode.data.slice(0, 40)} ${colour}`);
}
return [...new Set(low)].slice(0, 5);
"""
