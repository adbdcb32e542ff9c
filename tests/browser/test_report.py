"""`bdry report` in a real Chromium: no request, no complaint, readable at both widths and themes, usable by keyboard.

Needs Debian's chromium and chromium-driver (`make test-all` installs them); skips where they are absent.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: pip install -e '.[dev]'")
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no Chromium: apt-get install chromium chromium-driver"),
]

SMALL = "dataset.num_train=120,dataset.num_test=60,probe.margin.num_train=10,probe.margin.num_test=10"
SMALL += ",evaluation.robust_images=10"
THEMES = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}
PHONE, DESK = 390, 1400


def bdry(*words: str, cwd: Path) -> str:
    done = subprocess.run([sys.executable, "-m", "bdry", *words], cwd=cwd, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    """The page of a small `bdry demo`, with points by two estimators and borderline instances of one of its runs."""
    folder = tmp_path_factory.mktemp("report")
    bdry("demo", "seeds=[0,1]", "epochs=2", "keep_points=3", f"overrides=[{SMALL}]", cwd=folder)
    (run, *_) = sorted(path.relative_to(folder) for path in (folder / "outputs/demo/runs").glob("*-none-*/seed=0"))
    small = ("num_train=3", "num_test=3", "norms=[l2]", "threads=1")
    bdry("margin", f"run={run}", "check=[walk]", "keep_points=3", *small, cwd=folder)
    bdry("deepdig", f"run={run}", "pairs=[[0,1]]", "steps=20", "methods=[rpbs,margin_bisect]", "threads=1", cwd=folder)
    bdry("report", "runs=outputs/demo", "papers=[mickisch2020]", "num_images=12", cwd=folder)
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


def seen_to_the_end(found) -> None:
    """Scrolls to each figure of curves, so that it is drawn."""
    for place in found.find_elements(By.CSS_SELECTOR, "figure .charts"):
        found.execute_script("arguments[0].scrollIntoView()", place)
        WebDriverWait(found, 60).until(lambda _, at=place: at.find_elements(By.TAG_NAME, "canvas"))
    found.execute_script("scrollTo(0, 0)")


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", [360, PHONE, 1280, DESK])
def test_it_fits_the_width_and_follows_the_theme(shown, width, theme):
    found = shown(width, theme)
    found.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
    seen_to_the_end(found)
    widths = found.execute_script("const e = document.documentElement; return [e.scrollWidth, e.clientWidth]")
    assert widths[0] <= widths[1] <= width
    # tables of runs and claims, figures, curves and pictures: none behind a scroll bar, none over the edge
    assert found.execute_script(CUT_OFF) == []
    assert found.execute_script("return getComputedStyle(document.body).backgroundColor") == THEMES[theme]
    low = found.execute_script(CONTRASTS)
    assert low == []
    if folder := os.environ.get("BDRY_SCREENSHOTS"):
        clip = {"x": 0, "y": 0, "width": width, "height": min(found.execute_script(HEIGHT), 16000), "scale": 1}
        words = {"format": "png", "captureBeyondViewport": True, "clip": clip}
        taken = found.execute_cdp_cmd("Page.captureScreenshot", words)["data"]
        Path(folder, f"{width}-{theme}.png").write_bytes(base64.b64decode(taken))


def test_curves_tell_their_values_and_zoom(shown):
    found = shown(DESK, "light")
    seen_to_the_end(found)
    place = found.find_element(By.CSS_SELECTOR, "figure[id*=margin_evolution] .plot")
    holder = found.find_element(By.CSS_SELECTOR, "figure[id*=margin_evolution] script.curves")
    panel = json.loads(holder.get_attribute("textContent"))[0]
    found.execute_script("arguments[0].scrollIntoView({block: 'center'})", place)
    over = place.find_element(By.CSS_SELECTOR, ".u-over")

    def values() -> list[str]:
        cells = place.find_elements(By.CSS_SELECTOR, ".u-legend .u-series:not(.silent) .u-value")
        return [cell.text for cell in cells]

    def at(share: float) -> float:
        wide = over.size["width"]
        ActionChains(found).move_to_element_with_offset(over, int((share - 0.5) * (wide - 4)), 0).perform()
        return float(values()[0])

    # at the right end the last moment of every curve
    assert at(1) == pytest.approx(max(panel["curves"][0]["x"]), rel=1e-2)
    for said, curve in zip(values()[1:], panel["curves"], strict=True):
        assert float(said.split()[0]) == pytest.approx(curve["value"][-1], rel=1e-2)
        if curve["low"] and curve["low"][-1] != curve["high"][-1]:
            assert float(said.partition("[")[2].partition(",")[0]) == pytest.approx(curve["low"][-1], rel=1e-2)
    assert at(0) == min(panel["curves"][0]["x"])
    # dragged over the right half, the panel begins where the drag began
    middle = at(0.5)
    ActionChains(found).click_and_hold().move_by_offset(int(over.size["width"] * 0.45), 0).release().perform()
    assert at(0) >= middle > 0
    ActionChains(found).double_click(over).perform()
    assert at(0) == 0
    # the same by buttons and by keys
    at(1)
    buttons = place.find_elements(By.XPATH, "following-sibling::p/button")
    assert [button.text for button in buttons] == ["zoom in", "zoom out", "whole"]
    buttons[0].send_keys(Keys.ENTER)
    assert at(0) > 0
    buttons[2].send_keys(Keys.ENTER)
    assert at(0) == 0
    place.send_keys(Keys.ARROW_RIGHT)
    assert float(values()[0]) == sorted(set(panel["curves"][0]["x"]))[1]


@pytest.mark.parametrize(
    ("low", "high", "linear", "some"),
    [
        # uPlot's own ticks of this axis have no end: its first step rounds past 0.001
        (0.00097035, 3.3652, 0, [0.001, 0.01, 0.1, 1]),
        # and those of this one begin left of it
        (0, 40, 0.43478, [0, 1, 10, 40]),
        (-0.5, 0.3, 0.01, [-0.1, 0, 0.1]),
        (2.1, 2.9, 0, [2.2, 2.8]),
    ],
)
def test_logarithmic_axes_have_ticks_from_end_to_end_and_none_beyond(shown, low, high, linear, some):
    ticks = shown(DESK, "light").execute_script("return decades(...arguments)", low, high, linear)
    assert set(some) <= set(ticks)
    assert len(ticks) < 40
    assert low <= ticks[0] < ticks[-1] <= high


def test_curves_follow_the_theme_while_the_page_is_open(shown):
    found = shown(DESK, "light")
    seen_to_the_end(found)
    look = "return document.querySelector('.plot canvas').toDataURL()"
    light = found.execute_script(look)
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    found.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    WebDriverWait(found, 30).until(lambda _: found.execute_script(look) != light)


def test_pictures_can_be_seen_as_large_as_they_were_drawn(shown):
    found = shown(PHONE, "light")
    found.execute_script("for (const one of document.querySelectorAll('figure details')) one.open = true")
    picture = found.find_element(By.CSS_SELECTOR, ".paper img")
    assert picture.size["width"] < PHONE < int(picture.get_dom_attribute("width"))
    button = found.find_element(By.CSS_SELECTOR, ".paper + .enlarge")
    found.execute_script("arguments[0].click()", button)
    assert picture.size["width"] == int(picture.get_dom_attribute("width"))
    widths = found.execute_script("const e = document.documentElement; return [e.scrollWidth, e.clientWidth]")
    assert widths[0] <= widths[1]


def test_claims_have_their_effects_drawn(shown):
    found = shown(PHONE, "dark")
    lines = found.find_elements(By.CSS_SELECTOR, "table.claims svg.effect")
    assert lines
    assert all(line.size["width"] > 200 for line in lines)
    headings = found.find_elements(By.CSS_SELECTOR, "table.claims tbody th")
    assert all(0 <= heading.location["x"] < PHONE for heading in headings)


def test_the_explorer_works_by_keyboard(shown):
    found = shown(DESK, "light")
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
    found = shown(PHONE, "dark")
    texts, kinds = [], set()
    for choice in found.find_elements(By.CSS_SELECTOR, "#explorer-images input"):
        found.execute_script("arguments[0].click()", choice)
        detail = found.find_element(By.ID, "explorer-detail")
        texts.append(detail.text)
        pictures = detail.find_elements(By.TAG_NAME, "img")
        kinds |= {picture.get_attribute("alt").partition(":")[0] for picture in pictures}
        assert "not kept" not in detail.text or pictures
    assert len(texts) == 12
    assert any("Nearest boundary point by each estimator" in text and "walk" in text for text in texts)
    assert any("Borderline instances" in text and "margin_bisect" in text for text in texts)
    assert {"boundary point", "its difference from the image"} <= kinds


def test_tables_sort_by_their_headings(shown):
    found = shown(DESK, "light")
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


HEIGHT = "return document.documentElement.scrollHeight"
# what is cut off: tables of runs and claims, figures and curves that scroll within their box or reach over the edge
CUT_OFF = """
const edge = document.documentElement.clientWidth, cut = [];
const name = (node) => `${node.tagName} ${node.getAttribute("class")} ${node.getAttribute("aria-label")}`;
for (const box of document.querySelectorAll(".box:has(table.cards), .paper")) {
  if (box.checkVisibility() && box.scrollWidth > box.clientWidth + 1) cut.push(`${name(box)} scrolls`);
}
for (const node of document.querySelectorAll("table.cards td, table.cards th, img, .chart, .uplot, svg, button")) {
  const { left, right, width } = node.getBoundingClientRect();
  const over = left < -0.5 || right > edge + 0.5;
  if (width && over && node.checkVisibility()) cut.push(`${name(node)} ${left} to ${right}`);
}
return cut.slice(0, 5);
"""
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
