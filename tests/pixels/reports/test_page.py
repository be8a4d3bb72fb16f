from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from spectral_jepa import InputError
from spectral_jepa.pixels.config import ProbeConfig, SurpriseConfig
from spectral_jepa.pixels.data.collect import collect
from spectral_jepa.pixels.diagnostics.decoder import Decoder, beside, decode, fit_decoder, rollout_frames, save_gif
from spectral_jepa.pixels.presets import preset
from spectral_jepa.pixels.reports.page import report
from spectral_jepa.pixels.reports.tables import run_probe, run_surprise
from spectral_jepa.pixels.training.loop import train
from spectral_jepa.plotting.page import write_page
from spectral_jepa.plotting.pixels import diagnostics as drawing
from spectral_jepa.plotting.style import new_figure

pytestmark = pytest.mark.usefixtures("few_threads")
BLOCK = 2


def test_decoder_layer_is_attention_to_a_single_key():
    decoder = Decoder(embedding_dim=6, image_size=8, width=12, depth=2, seed=0).eval()
    with torch.no_grad():
        decoder.output.weight.normal_(generator=torch.Generator().manual_seed(0))
    latents = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    tokens, memory = decoder.queries.expand(3, -1, -1), decoder.input(latents)[:, None]
    for attention, layer in zip(decoder.attentions, decoder.layers, strict=True):
        reference = nn.MultiheadAttention(12, 3, batch_first=True)
        norm, linear = attention
        with torch.no_grad():
            # Whatever query and key projections are, one key gets all the weight.
            reference.in_proj_weight[24:], reference.in_proj_bias[24:] = linear.weight, linear.bias
            reference.out_proj.weight.copy_(torch.eye(12))
            reference.out_proj.bias.zero_()
        key = norm(memory)
        tokens = tokens + reference(tokens, key, key)[0]
        tokens = tokens + layer(tokens)
    patches = decoder.output(decoder.norm(tokens))
    pictures = decoder(latents)
    assert pictures.std() > 0.1
    # Patch 10 of the 8 x 8 grid of 1 x 1 patches is row 1, column 2.
    assert torch.allclose(pictures[:, 1, 2], patches[:, 10], atol=1e-5)
    assert Decoder(192, 224, width=8).queries.shape[0] == 196
    with pytest.raises(InputError, match="multiple of patch_size 5"):
        Decoder(6, 8, 5)


def test_decoder_learns_a_picture_that_the_latent_holds():
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(600, 3)).astype(np.float32)
    frames = np.full((600, 16, 16, 3), 60, np.uint8)
    frames[:, :8, :, 0] = (127 + 60 * np.tanh(latents[:, :1]))[:, :, None]
    frames[:, 8:, 8:, 2] = np.where(latents[:, 1:2] > 0, 250, 5)[:, :, None]
    decoder = fit_decoder(latents[:500], frames[:500], n_steps=300, width=32, depth=2, seed=0)
    drawn = decode(decoder, latents[500:])
    error = np.square(drawn.astype(float) - frames[500:]).mean()
    assert error < 0.1 * np.square(frames[500:] - frames[:500].mean(0)).mean()
    again = fit_decoder(latents[:500], frames[:500], n_steps=5, width=32, depth=2, seed=0)
    twice = fit_decoder(latents[:500], frames[:500], n_steps=5, width=32, depth=2, seed=0)
    assert np.array_equal(decode(again, latents[:9]), decode(twice, latents[:9]))
    with pytest.raises(InputError, match="one square picture a latent"):
        fit_decoder(latents[:10], frames[:9])


class Exact(nn.Module):
    """A grey level is the latent; actions add to it."""

    config = replace(preset("tiny").model, action_block=BLOCK, history=3)

    def encode(self, frames):
        return frames[:, 0, 0, :1].float()

    def rollout(self, latents, blocks, past_blocks=None):
        assert (past_blocks is None) == (latents.shape[1] == 1)
        assert past_blocks is None or past_blocks.shape[1] == latents.shape[1] - 1
        return latents[:, -1:] + blocks.sum(-1, keepdim=True).cumsum(1)


class Painter(nn.Module):
    def forward(self, latents):
        return (latents / 255)[:, None, None].expand(-1, 4, 4, 3)


def test_rollout_frames_of_an_exact_model_are_what_happened():
    length = 13
    actions = np.random.default_rng(0).integers(1, 8, (2 * length, 1)).astype(float)
    level = np.concatenate([20 + np.concatenate([[0], a[:-1].cumsum()]) for a in actions.reshape(2, length)])
    pixels = np.tile(level.astype(np.uint8)[:, None, None, None], (1, 4, 4, 3))
    actions[[length - 1, -1]] = np.nan
    data = SimpleNamespace(
        pixels=pixels, columns={"action": actions}, ep_len=np.full(2, length), ep_offset=np.array([0, length]), row_steps=1
    )
    scaler = SimpleNamespace(normalize=lambda x: x)
    for context in (None, 1):
        films = rollout_frames(Exact(), Painter(), data, [0, length + 1], scaler, n_blocks=5, context=context)
        assert films["observed"].shape == (2, 6, 4, 4, 3)
        assert np.array_equal(films["observed"][1, :, 0, 0, 0], level[length + 1 + BLOCK * np.arange(6)])
        assert len(np.unique(films["observed"][0])) == 6
        assert np.array_equal(films["predicted"], films["observed"]) and np.array_equal(films["decoded"], films["observed"])
    # The rollout uses the actions: with others, only the context stays.
    wrong = SimpleNamespace(normalize=lambda x: x + 1)
    films = rollout_frames(Exact(), Painter(), data, [0], wrong, n_blocks=5)
    same = (films["predicted"] == films["observed"]).all(axis=(0, 2, 3, 4))
    assert same.tolist() == [True] * 3 + [False] * 3
    with pytest.raises(InputError, match="starts has row 3, whose episode ends"):
        rollout_frames(Exact(), Painter(), data, [0, 3], scaler, n_blocks=5)


def test_gif_holds_the_frames(tmp_path):
    frames = np.zeros((4, 8, 8, 3), np.uint8)
    for t in range(4):
        frames[t, :, 2 * t : 2 * t + 2] = 255
    with Image.open(save_gif(frames, tmp_path / "film.gif", milliseconds=150)) as film:
        assert film.n_frames == 4 and film.size == (128, 128) and film.info["duration"] == 150
        for t in range(4):
            film.seek(t)
            assert np.array_equal(np.array(film.convert("RGB"))[::16, ::16], frames[t])
    joined = beside({"observed": frames[None], "predicted": frames[None]}, gap=2)
    assert np.array_equal(joined[:, :, :8], frames) and np.array_equal(joined[:, :, 10:], frames)
    assert (joined[:, :, 8:10] == 255).all()


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.images, self.open, self.headings, self.cells = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            self.images.append(dict(attributes)["src"])
        elif tag not in ("meta", "br", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("h1", "h2"):
            self.headings.append(data)
        if self.open and self.open[-1] == "td":
            self.cells.append(data)


def test_page_embeds_everything_and_repeats_to_the_byte(tmp_path):
    figure, axes = new_figure(1, 1)
    axes[0, 0].plot([0, 1], [1, 2])
    table = pd.DataFrame({"name": ["<b>", "y"], "x": [np.nan, 1 / 3]})
    film = save_gif(np.zeros((2, 8, 8, 3), np.uint8), tmp_path / "film.gif")
    sections = [("A & B", ["Run `x < y`.", figure, table, film])]
    text = write_page(tmp_path / "one.html", "T", sections).read_text()
    page = Page(text)
    assert not page.open and page.headings == ["T", "A & B"] and page.cells == ["<b>", "y", "0.3333"]
    kinds = [re.match(r"data:(image/\w+);base64,(.*)", source).groups() for source in page.images]
    assert [kind for kind, _ in kinds] == ["image/png", "image/gif"]
    assert base64.b64decode(kinds[1][1]) == film.read_bytes()
    assert Image.open(io.BytesIO(base64.b64decode(kinds[0][1]))).width > 300
    assert "http" not in text and "src=" not in re.sub(r'src="data:[^"]*"', "", text)
    assert 'data-v="0.3333333333333333"' in text
    assert write_page(tmp_path / "two.html", "T", sections).read_text() == text
    with pytest.raises(InputError, match=r"expected \.gif or \.png"):
        write_page(tmp_path / "x.html", "T", [("A", [tmp_path / "film.mp4"])])


def test_drawings_show_the_numbers_of_their_tables():
    log = pd.DataFrame({"step": [5, 10], "loss": [2.0, 1.0], "empty": [np.nan, np.nan], "late": [np.nan, 3.0]})
    panels = {axis.get_title(): axis for axis in drawing.draw_training(log)["training"].axes}
    assert list(panels) == ["loss", "late"]
    assert panels["loss"].lines[0].get_xydata().tolist() == [[5, 2], [10, 1]]
    assert panels["late"].lines[0].get_xydata().tolist() == [[10, 3]]
    probes = pd.DataFrame(
        [("embedding", "linear", "a", "mean", 0.9), ("embedding", "linear", "a", "0", 0.4),
         ("pixels", "linear", "a", "mean", -2.0),
         ("embedding", "linear", "b", "mean", 0.1), ("none", "none", "c", "0", np.nan)],
        columns=["input", "probe", "quantity", "coordinate", "r2"],
    )  # fmt: skip
    axes = drawing.draw_probe(probes)["probe"].axes
    assert [axis.get_title() for axis in axes] == ["a", "b"]
    # Worse than the mean is drawn too: to the left, cut at -1 and marked there.
    assert [bar.get_width() for bar in axes[0].patches] == [0.9, -1]
    assert [t.get_text() for t in axes[0].texts] == ["0.900", "-2.000"]
    low, high = axes[0].get_xlim()
    assert low < -1 < 0.9 < high and axes[1].get_xlim()[0] == 0
    assert [line.get_marker() for line in axes[0].lines[:2]] == ["o", "<"]
    rows = [(i, v, s, x * (1 + i)) for i in range(3) for s in (-1, 0) for v, x in (("clean", 1.0), ("teleported", 2.0 + s))]
    table = pd.DataFrame(rows, columns=["trajectory", "version", "step", "surprise"])
    curves, pairs = drawing.draw_surprise(table)["surprise"].axes
    drawn = {line.get_label(): line.get_xydata().tolist() for line in curves.lines}
    assert drawn["clean"] == [[-1, 2], [0, 2]] and drawn["teleported"] == [[-1, 2], [0, 4]]
    points = {line.get_label(): line.get_xydata().tolist() for line in pairs.lines}
    assert points["teleported"] == [[1, 2], [2, 4], [3, 6]]
    spectrum = pd.DataFrame(
        [("embedding", "effective_rank", 0, 1.7), ("embedding", "eigenvalue", 1, 3.0), ("embedding", "eigenvalue", 2, 1.0)],
        columns=["input", "measure", "index", "value"],
    )
    (axis,) = drawing.draw_spectrum(spectrum)["spectrum"].axes
    assert axis.lines[0].get_ydata().tolist() == [3, 1] and "1.7" in axis.lines[0].get_label()
    films = {
        name: np.random.default_rng(0).integers(0, 255, (2, 3, 4, 4, 3)).astype(np.uint8)
        for name in ("observed", "predicted")
    }
    strip = drawing.draw_rollouts(films, context=2, action_block=5)["rollout_1"].axes
    assert len(strip) == 6 and np.array_equal(strip[5].images[0].get_array(), films["predicted"][1, 2])
    assert [axis.spines["left"].get_visible() for axis in strip] == [False] * 5 + [True]
    assert strip[2].get_title() == "t = 10"
    with pytest.raises(InputError, match="at least one number"):
        drawing.draw_training(pd.DataFrame({"step": [1]}))


@pytest.fixture
def trained(tmp_path):
    folder = tmp_path
    config = preset("tiny")
    config = replace(config, training=replace(config.training, n_steps=6, log_every=2, checkpoint_every=6))
    data = collect(config.data, folder / "data.h5", n_jobs=1, progress=False)
    train(config, data, folder / "run", progress=False)
    return folder / "run", data


@pytest.mark.slow
def test_commands_fill_the_folder_and_the_report_shows_it(trained):
    folder, data = trained
    early = Page(report(folder, out=folder / "early.html", progress=False).read_text())
    assert early.headings[1:] == [
        "Planning",
        "Probing",
        "Violation of expectation",
        "Latent space",
        "Training",
        "Settings",
        "Where it comes from",
    ]
    assert len(early.images) == 1
    probed = run_probe(folder, data, ProbeConfig(max_epochs=2), progress=False)
    rows, summary = run_surprise(folder, data, SurpriseConfig(n_trajectories=10), progress=False)
    # The file round-trips, and names the weights it was measured on.
    saved = pd.read_csv(folder / "probe.csv")
    assert np.allclose(saved["r2"], probed["r2"], equal_nan=True) and saved["weights"].nunique() == 1
    assert set(probed["quantity"]) == {"agent_position"} and (rows["replay_error"] < 1e-5).all()
    assert summary["n"].eq(rows["trajectory"].nunique()).all() and rows["trajectory"].nunique() >= 2
    success = pd.DataFrame({"policy": ["cem"] * 4, "success": [True, False, True, True], "steps": [5, 50, 9, 20]})
    success.assign(pair=range(4)).to_csv(folder / "evaluation-25.csv", index=False)
    # The comparison beside the runs holds this run's rows once more, and the floor.
    floor = pd.DataFrame({"policy": "random", "success": [False] * 4, "steps": 50})
    both = pd.concat([success, floor]).assign(pair=[*range(4), *range(4)])
    both.to_csv(folder.parent / "evaluation.csv", index=False)
    path = report(folder, data, n_rollouts=2, rollout_blocks=4, decoder_steps=2, progress=False)
    page = Page(path.read_text())
    assert page.headings[-4:] == ["Decoded rollouts", "Training", "Settings", "Where it comes from"]
    start = page.cells.index("cem")
    assert page.cells[start : start + 4] == ["cem", "3", "4", "0.75"]
    start = page.cells.index("random")
    assert page.cells[start : start + 4] == ["random", "0", "4", "0"]
    # Probe, surprise, spectrum, a strip a rollout (one test episode), the animation, curves.
    kinds = ["data:image/png;"] * 4 + ["data:image/gif;", "data:image/png;"]
    assert [source[:15] for source in page.images] == kinds
    assert {p.name for p in (folder / "figures").glob("*.png")} == {
        "training.png", "probe.png", "surprise.png", "spectrum.png", "rollout_0.png",
    }  # fmt: skip
    assert "other weights" not in path.read_text()
    # Tables of other weights are not passed off as this model's.
    (folder / "probe.csv.sha256").unlink()
    saved.assign(weights="0" * 12).to_csv(folder / "probe.csv", index=False)
    assert "probe.csv was measured on other weights" in report(folder, progress=False).read_text()


def test_report_of_a_folder_without_a_model(tmp_path):
    with pytest.raises(InputError, match="train first"):
        report(tmp_path, progress=False)
