"""Pages about runs from what lies in their folders: one, several side by side, unfinished; no training here."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from spectral_jepa import cli
from spectral_jepa._files import encode_record
from spectral_jepa.pixels.data import ActionScaler
from spectral_jepa.pixels.model.saved import make_model, save_model
from spectral_jepa.pixels.presets import changed, preset
from spectral_jepa.pixels.reports.tables import save_table

pytestmark = pytest.mark.usefixtures("few_threads")


class Page(HTMLParser):
    """Headings, tables (rows of texts, and of exact numbers), sources and names of what stands open."""

    def __init__(self, text):
        super().__init__()
        self.text, self.headings, self.sources, self.tables, self.stack, self.place = text, [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.sources += [given[name] for name in ("src", "href") if name in given]
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append(given.get("data-v", ""))
        if tag not in ("meta", "img", "wbr"):
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        if not self.stack:
            return
        if self.stack[-1] in ("h1", "h2", "h3"):
            self.headings.append(data)
        if self.stack[-1] in ("td", "th") and not re.fullmatch(r"-?[\d.e+-]+|nan|Infinity", self.tables[-1][-1][-1] or "x"):
            self.tables[-1][-1][-1] += data

    def frame(self, *names):
        """The first table with these columns."""
        rows = next(rows for rows in self.tables if set(names) <= set(rows[0]))
        return pd.DataFrame(rows[1:], columns=rows[0])


def make_run(folder, seed, r2):
    config = changed(preset("tiny"), {"training.seed": seed})
    save_model(make_model(config), folder, config, ActionScaler((0.0, 0.0), (1.0, 1.0)), {"data": "data.h5", "step": 6})
    pd.DataFrame({"step": [2, 4, 6], "loss": [3.0, 2.0, 1.0 + seed]}).to_csv(folder / "log.csv", index=False)
    success = np.arange(8) < 3 + 2 * seed
    rows = pd.DataFrame({"policy": folder.name, "environment": "two_room", "manifest": "m", "pair": range(8)})
    rows = rows.assign(goal_offset=25, budget=50, success=success, steps=20, configuration=folder.name)
    rows.to_csv(folder / "evaluation-25.csv", index=False)
    probes = [("embedding", "linear", "agent_position", "mean", r2), ("pixels", "linear", "agent_position", "mean", -2.5)]
    table = pd.DataFrame(probes, columns=["input", "probe", "quantity", "coordinate", "r2"]).assign(note="<i>none</i>")
    save_table(folder, "probe", table, {})
    (folder / "figures").mkdir(exist_ok=True)
    Image.fromarray(np.zeros((8, 40, 3), np.uint8)).save(folder / "figures" / "plan_3.png")
    Image.fromarray(np.zeros((8, 24, 3), np.uint8)).save(folder / "figures" / "rollouts.gif")
    return rows


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for seed in (0, 1):
        make_run(tmp_path / f"sigreg-{seed}", seed, 0.123456789 - seed)
    floor = pd.read_csv("sigreg-0/evaluation-25.csv").assign(policy="random", configuration="random", success=False)
    floor.to_csv("evaluation.csv", index=False)
    return tmp_path


def test_one_run_says_first_what_it_reaches_and_last_what_was_set(runs):
    cli.main(["report", "sigreg-0"])
    page = Page((runs / "sigreg-0" / "report.html").read_text())
    assert not page.stack and page.headings == [
        page.headings[0], "Planning", "Probing", "Violation of expectation", "Latent space", "Decoded rollouts", "Training",
        "Settings", "Where it comes from",
    ]  # fmt: skip
    verdict = page.text[page.text.index('class="verdict"') : page.text.index("<h2")]
    assert "reaches 3 of 8 held-out goals 25 steps ahead: 37.5%" in verdict and "random actions reach 0.0%" in verdict
    assert "agent_position 0.123" in verdict and "Not measured: surprise" in verdict
    planning = page.frame("policy", "rate").set_index("policy")
    assert float(planning.loc["sigreg-0", "rate"]) == 3 / 8 and float(planning.loc["random", "rate"]) == 0
    assert page.frame("quantity", "r2")["r2"].astype(float).tolist() == [0.123456789, -2.5]
    # The plan strip, the three panels of the film by name, and text that stays text.
    assert "Pair 3: a plan carried out" in page.text and page.text.count("image/gif") == 1
    assert page.text.index("observed</span>") < page.text.index("predicted, decoded</span>") < page.text.index("image/gif")
    assert "<i>none" not in page.text and "&lt;i&gt;none" in page.text
    check_alone(page)


def check_alone(page):
    """Nothing is fetched: every source is data, every link is on the page."""
    assert page.sources and all(source.startswith(("data:image/", "#s")) for source in page.sources)
    style_and_script = re.sub(r'"data:image[^"]*"', "", page.text)
    assert not re.search(r"https?:|url\(|@import|fetch\(|XMLHttp", style_and_script)


def test_several_runs_stand_side_by_side(runs):
    cli.main(["report", ".", "--out", "both.html"])
    page = Page((runs / "both.html").read_text())
    assert page.headings[1] == "Side by side" and page.headings.count("sigreg-0") == page.headings.count("sigreg-1") >= 3
    table = page.frame("run", "success").set_index("run")
    assert table["success"].astype(float).tolist() == [3 / 8, 5 / 8]
    column = table.columns[[name.startswith("linear R2") for name in table.columns]][0]
    assert table[column].astype(float).tolist() == [0.123456789, 0.123456789 - 1]
    assert page.frame("setting", "sigreg-0", "sigreg-1") is not None
    check_alone(page)


def test_an_unfinished_run_says_so_at_the_top(runs):
    folder = runs / "late"
    (folder / "checkpoints").mkdir(parents=True)
    record = {"step": 4, "config": json.loads(json.dumps(changed(preset("tiny"), {"training.n_steps": 9}).to_dict()))}
    (folder / "checkpoints" / "step-4.json").write_bytes(encode_record(record))
    pd.DataFrame({"step": [2, 4], "loss": [3.0, 2.0]}).to_csv(folder / "log.csv", index=False)
    cli.main(["report", "late"])
    text = (folder / "report.html").read_text()
    top = text[: text.index("<h2")]
    assert "late is not finished: a checkpoint at step 4 of 9" in top and "cannot be judged" in top
    cli.main(["report", "sigreg-0"])
    assert "is not finished" not in (runs / "sigreg-0" / "report.html").read_text()
