"""The site opened from its files without a network: cards are searched, no page is wider than the window, no error."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser
ROOT = Path(__file__).resolve().parents[2]
# Set to a folder to keep pictures of what was seen.
SHOTS = os.environ.get("SCREENSHOTS")
SHOWN = 'return [...document.querySelectorAll("article.claim")].filter(card => !card.hidden).map(card => card.id)'
PAGES = (
    "index",
    "tutorial",
    "theory/index",
    "theory/4-1",
    "theory/1",
    "claims",
    "figures",
    "api/index",
    "gallery/index",
    "faq",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A finished site: that of the folder SITE, or one built now without running the gallery."""
    if os.environ.get("SITE"):
        return Path(os.environ["SITE"]).resolve()
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "docs/site/build.py", str(folder), "--no-gallery"]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, timeout=1800)
    return folder


@pytest.fixture(params=[390, 1280], ids=["390px", "1280px"])
def browser(request):
    """A window that resolves no name at all."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: pip install selenium")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("Chromium is not installed: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,900"):
        options.add_argument(word)
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    window = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    metrics = {"width": request.param, "height": 900, "deviceScaleFactor": 1, "mobile": request.param < 500}
    window.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    window.width = request.param
    yield window
    window.quit()


def errors(browser):
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_not_wider_than_the_window(site, browser, name):
    browser.get((site / f"{name}.html").as_uri())
    if SHOTS:
        browser.save_screenshot(f"{SHOTS}/{name.replace('/', '-')}-{browser.width}.png")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= browser.width
    assert errors(browser) == []


def test_cards_are_searched_filtered_and_opened_by_their_name(site, browser):
    browser.get((site / "claims.html").as_uri())
    every = browser.execute_script(SHOWN)
    box = browser.find_element("css selector", "form.filter input")
    box.send_keys("two states")
    found = browser.execute_script(SHOWN)
    assert 0 < len(found) < len(every) and "thm-4.1-exact" in found
    assert browser.find_element("css selector", "form.filter output").text == f"{len(found)} of {len(every)} shown"
    browser.find_element("css selector", "form.filter select[name=outcome] option[value=refuted]").click()
    refuted = browser.execute_script(SHOWN)
    assert 0 < len(refuted) < len(found) and "thm-4.1-exact" in refuted
    browser.get((site / "claims.html").as_uri() + "#thm-3.1")
    # The hidden card of a link is shown, with its evidence.
    assert "thm-3.1" in browser.execute_script(SHOWN)
    assert browser.execute_script('return document.getElementById("thm-3.1").querySelector("details").open')
    if SHOTS:
        browser.save_screenshot(f"{SHOTS}/claim-{browser.width}.png")
    assert errors(browser) == []


def test_cards_are_readable_without_scripts(site, browser):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get((site / "claims.html").as_uri())
    cards = browser.find_elements("css selector", "article.claim")
    assert len(cards) > 90 and all(card.is_displayed() for card in cards[:5])
    assert not browser.find_element("css selector", "form.filter").is_displayed()


def test_the_search_of_the_site_answers_from_a_file(site, browser):
    browser.get((site / "search.html").as_uri() + "?q=gauge")
    browser.implicitly_wait(10)
    found = browser.find_elements("css selector", "#search-results li a")
    assert any("gauge" in link.text.lower() for link in found)
