"""A study page in a browser: verdict first, nothing wider than the window, tables that sort, print, and no request."""

import base64

import pytest

from spectral_jepa import cli
from spectral_jepa.sweep.results import reference_path

pytestmark = pytest.mark.browser
WIDTH = "return [document.documentElement.scrollWidth, innerWidth]"
FIRST = "return document.querySelector('table.sortable tbody tr, table tbody tr').textContent"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of a shipped table."""
    path = tmp_path_factory.mktemp("study") / "study.html"
    cli.main(["report", str(reference_path("price")), "--out", str(path)])
    return path.as_uri()


def test_a_study_page(browser, page, errors, keep):
    browser.get(page)
    keep(browser, "study")
    wide, window = browser.execute_script(WIDTH)
    assert wide <= window
    verdict = browser.execute_script("return document.body.innerText.slice(0, 1500)")
    assert (
        "price" in verdict
        and browser.find_elements("css selector", "img, svg")
        and browser.find_elements("css selector", "h2")
    )
    assert (
        browser.execute_script("return performance.getEntriesByType('resource').filter(r => r.name.startsWith('http'))")
        == []
    )
    assert errors(browser) == []


def test_a_study_page_sorts(browser, page):
    browser.get(page)
    heads = browser.find_elements("css selector", "table th")
    before = browser.execute_script("return [...document.querySelectorAll('tbody')].map(b => b.textContent)")
    moved = []
    for head in heads[:12]:
        browser.execute_script("(arguments[0].querySelector('button') || arguments[0]).click()", head)
        moved.append(browser.execute_script("return [...document.querySelectorAll('tbody')].map(b => b.textContent)"))
    assert any(after != before for after in moved)
    assert all(sorted("".join(after)) == sorted("".join(before)) for after in moved)


def test_a_study_page_prints(browser, page):
    browser.get(page)
    pdf = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])
    assert pdf.startswith(b"%PDF") and len(pdf) > 20_000
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    wide, window = browser.execute_script(WIDTH)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert wide <= window
