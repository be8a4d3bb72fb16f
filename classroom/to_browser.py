"""Export lessons 1, 2, 4 and 5 to web pages on which Python runs in the browser, as WebAssembly.

    python classroom/to_browser.py FOLDER        # then: python -m http.server --directory FOLDER

Each app becomes a folder with an index.html beside the wheel of this clone, which the page installs without its
dependencies: torch has no WebAssembly build, and these lessons need numpy, scipy, pandas and matplotlib alone. Pages have to
be served over HTTP and fetch Python and these four packages from the network when they are opened: for a room without one
there is offline.html. marimo's export needs uv: pip install uv.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
LESSONS = ("the_u", "break_the_theorem", "spectrum_is_a_map", "latent_or_input")
INSTALL = """import micropip
    from marimo import notebook_location

    await micropip.install(["numpy", "scipy", "pandas", "matplotlib"])
    await micropip.install(str(notebook_location() / "public" / "{wheel}"), deps=False)

    """
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>The classroom of spectral_jepa</title></head>
<body style="max-width: 40rem; margin: 2rem auto; padding: 0 1rem; font: 1.1rem/1.6 sans-serif">
<h1>The classroom</h1>
<p>Python runs in your browser and comes from the network: the first opening takes up to a minute.</p>
<ul>{links}</ul>
</body></html>
"""


def browser_text(text, wheel):
    """An app's text with a first cell that installs the wheel before anything of it is imported."""
    head = "@app.cell\ndef _():\n    import marimo as mo\n"
    assert text.count(head) == 1, "the first cell of an app imports marimo first"
    return text.replace(head, "@app.cell\nasync def _():\n    " + INSTALL.format(wheel=wheel) + "import marimo as mo\n")


def build_wheel(folder):
    """The wheel of this clone, in a folder, without its dependencies."""
    words = [sys.executable, "-m", "pip", "wheel", str(HERE.parent), "--no-deps", "--no-build-isolation", "--quiet"]
    subprocess.run([*words, "--wheel-dir", str(folder)], check=True)
    (wheel,) = Path(folder).glob("spectral_jepa-*.whl")
    return wheel


def export(folder):
    """Write one folder a lesson, and a page that lists them; returns the pages."""
    if shutil.which("uv") is None and find_spec("uv") is None:
        sys.exit("marimo's export needs the program uv, which is not installed, expected it on the path: pip install uv")
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    links, pages = [], []
    with tempfile.TemporaryDirectory() as temporary:
        wheel = build_wheel(temporary)
        for slug in LESSONS:
            source = Path(temporary) / f"{slug}.py"
            text = (HERE / f"{slug}.py").read_text(encoding="utf-8")
            source.write_text(browser_text(text, wheel.name), encoding="utf-8")
            words = [sys.executable, "-m", "marimo", "-y", "export", "html-wasm", str(source), "-o", str(folder / slug)]
            subprocess.run([*words, "--mode", "run", "--no-show-code"], check=True)
            public = folder / slug / "public"
            public.mkdir(exist_ok=True)
            shutil.copy(wheel, public)
            title = re.search(r'app_title="([^"]+)"', text)
            links.append(f'<li><a href="{slug}/index.html">{title[1] if title else slug}</a></li>')
            pages.append(folder / slug / "index.html")
    (folder / "index.html").write_text(PAGE.format(links="".join(links)), encoding="utf-8")
    return pages


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"{__doc__}\nExpected the folder behind the name of the script.")
    for page in export(sys.argv[1]):
        print(page)
