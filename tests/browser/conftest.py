"""One Chromium a width of the window, without a network, for the tests of pages."""

import os
import shutil

import pytest

# Set to a folder to keep pictures of what was seen.
SHOTS = os.environ.get("SCREENSHOTS")
# A busy machine may need a minute for marimo's page and the first import of everything.
SECONDS = 240


@pytest.fixture(scope="module", params=[(1280, 900), (390, 844)], ids=["1280px", "390px"])
def browser(request):
    """A window that resolves no name but this machine's."""
    pytest.importorskip("selenium", reason="selenium is not installed: pip install selenium")
    from selenium import webdriver
    from selenium.common.exceptions import WebDriverException

    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("Chromium is not installed: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    width, height = request.param
    for word in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        f"--window-size={max(width, 500)},{height}",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ):  # fmt: skip
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    try:
        window = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    except WebDriverException as error:
        pytest.skip(f"Chromium is installed and does not start here: {str(error).splitlines()[0]}")
    # A window of Chromium is at least 500 px wide; the page is told another width.
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    window.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    window.set_script_timeout(SECONDS)
    window.set_page_load_timeout(SECONDS)
    yield window
    window.quit()


@pytest.fixture
def errors():
    """What the console of a window says went wrong."""
    return lambda window: [entry["message"] for entry in window.get_log("browser") if entry["level"] == "SEVERE"]


@pytest.fixture
def keep():
    """Keeps a picture of the whole page, if they are wanted."""
    return screenshot


def screenshot(window, name):
    if not SHOTS:
        return
    width, height = window.execute_script("return [innerWidth, innerHeight]")
    metrics = {"width": width, "deviceScaleFactor": 1, "mobile": width < 500}
    window.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics | {"height": 2600 if width < 500 else 1500})
    os.makedirs(SHOTS, exist_ok=True)
    window.save_screenshot(os.path.join(SHOTS, f"{name}-{width}.png"))
    window.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics | {"height": height})
