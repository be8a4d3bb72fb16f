"""The offline page and the six apps in a browser without a network: a slider moves, number and picture follow, no error."""

import importlib.util
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from spectral_jepa.classroom.lessons import LESSONS
from spectral_jepa.sweep.experiment import shipped_folder

pytestmark = pytest.mark.browser
FOLDER = shipped_folder("classroom")
# A busy machine may need a minute for marimo's page and the first import of everything.
SECONDS = 240
# What is in the last slider of the page's lesson, before and after it is moved; and what is wider than the window.
STATE = """
const s = document.getElementById("lesson-" + arguments[0]);
const said = s.querySelector(".number").textContent + s.querySelector(".caption").textContent;
return [said, s.querySelector(".panels").innerHTML];
"""
MOVE = """
const s = document.getElementById("lesson-" + arguments[0]), sliders = s.querySelectorAll("input[type=range]");
const slider = sliders[arguments[1]];
slider.value = Number(slider.value) > 0 ? Number(slider.value) - 1 : 1;
slider.dispatchEvent(new Event("input", {bubbles: true}));
"""
GUESS = "document.querySelector(`#lesson-${arguments[0]} input[type=radio]`).click()"


def test_the_offline_page(browser, errors, keep):
    browser.get((FOLDER / "offline.html").as_uri())
    assert len(browser.find_elements("css selector", "section")) == 6
    for number in range(1, 7):
        sliders = browser.find_elements("css selector", f"#lesson-{number} input[type=range]")
        assert sliders or number == 6  # lesson 6 has no films where the page was written without weights
        for at in range(len(sliders)):
            before = browser.execute_script(STATE, number)
            browser.execute_script(MOVE, number, at)
            after = browser.execute_script(STATE, number)
            if number == 4 and at == 1:  # which function: the picture alone
                assert after[1] != before[1]
            elif (number == 4 and at == 2) or number not in (3, 4, 5):
                assert after[0] != before[0] and after[1] != before[1], (number, at)
        told = browser.find_element("css selector", f"#lesson-{number} .answer")
        assert "when you have guessed" in told.text
        browser.execute_script(GUESS, number)
        assert LESSONS[number - 1].explanation in told.get_property("textContent")
        browser.execute_script(f'document.getElementById("lesson-{number}").scrollIntoView()')
        keep(browser, f"page-{number}")
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    assert errors(browser) == []


def test_an_exercise_of_the_page_checks_itself(browser):
    browser.get((FOLDER / "offline.html").as_uri())
    field = browser.find_element("css selector", "#lesson-2 .exercise input")
    field.send_keys("0.9")
    assert "not yet" in field.find_element("xpath", "..").text
    field.clear()
    field.send_keys("0.375")
    assert field.find_element("xpath", "..").text.rstrip().endswith("right")


# Everything on the page, also what marimo's elements hide in shadow roots.
ALL = """
const all = root => [...root.querySelectorAll("*")].flatMap(n => n.shadowRoot ? [n, ...all(n.shadowRoot)] : [n]);
const found = all(document), sliders = found.filter(node => node.getAttribute("role") === "slider");
"""
# The number and the pictures of an app; null until both are there and the slider, too.
SHOWN = (
    ALL
    + """
const pictures = found.filter(node => node.alt === "the picture of this lesson").map(node => node.src);
const number = found.find(node => node.className === "number");
return pictures.length && number && sliders.length ? [number.textContent, pictures.join()] : null;
"""
)
FITS = """
const pictures = found.filter(node => node.alt === "the picture of this lesson");
const ends = [document.documentElement.scrollWidth, ...pictures.map(one => one.getBoundingClientRect().right)];
return ends.every(end => end <= innerWidth);
"""
# Which slider of an app is moved, and the key that moves it as far as it goes.
HOME, END = "\ue011", "\ue010"
MOVES = {
    "the_u": (0, HOME),  # k = 1
    "break_the_theorem": (1, HOME),  # no noise: three goals of four are lost
    "collapse": (0, HOME),  # lambda so small that directions die
    "spectrum_is_a_map": (2, HOME),  # k = 0: the tail is all there is
    "latent_or_input": (0, END),  # a background so loud that the input-level model follows it
    "dreaming_in_pixels": (4, END),  # the last frame
}


@pytest.fixture(scope="module")
def served():
    """The address of a server of all six apps."""
    if importlib.util.find_spec("marimo") is None:
        pytest.skip("marimo is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    apps = [str(FOLDER / f"{lesson.slug}.py") for lesson in LESSONS]
    words = ["-m", "marimo", "run", *apps, "--headless", "--port", str(port), "--no-token"]
    server = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address, late = f"http://127.0.0.1:{port}", time.monotonic() + SECONDS
    while time.monotonic() < late:
        try:
            urllib.request.urlopen(address, timeout=5)
            break
        except (urllib.error.URLError, OSError):
            time.sleep(1)
    yield address
    server.send_signal(signal.SIGTERM)
    server.wait(30)


def wait_for(window, script, *arguments):
    late = time.monotonic() + SECONDS
    while time.monotonic() < late:
        if found := window.execute_script(script, *arguments):
            return found
        time.sleep(0.5)
    raise AssertionError(f"nothing after {SECONDS} s: {script}")


@pytest.mark.parametrize("slug", [lesson.slug for lesson in LESSONS])
def test_an_app(browser, served, slug, errors, keep):
    browser.get(f"{served}/?file={slug}.py")
    if slug == "dreaming_in_pixels" and not (FOLDER / "data/dream.safetensors").is_file():
        wait_for(browser, "return document.body.innerText.includes('train a small one now')")
        return
    before = wait_for(browser, SHOWN)
    keep(browser, slug)
    at, key = MOVES[slug]
    slider = browser.execute_script(
        ALL + "sliders[arguments[0]].scrollIntoView({block: 'center'}); return sliders[arguments[0]]", at
    )
    slider.send_keys(key)
    changed = (
        "const now = (() => {" + SHOWN + "})(); return now && now.every((one, i) => one !== arguments[0][i]) ? now : null"
    )
    wait_for(browser, changed, before)
    keep(browser, f"{slug}-moved")
    assert browser.execute_script(ALL + FITS)
    assert errors(browser) == []
