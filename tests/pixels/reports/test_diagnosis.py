"""The chain names the link that was broken on purpose, and none where all hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from spectral_jepa import InputError
from spectral_jepa.cli import main
from spectral_jepa.pixels.config import ProbeConfig
from spectral_jepa.pixels.data import ActionScaler, EpisodeDataset
from spectral_jepa.pixels.environments.base import PixelEnvironment
from spectral_jepa.pixels.planning.policies import PlannerPolicy
from spectral_jepa.pixels.presets import changed, preset
from spectral_jepa.pixels.reports import diagnosis as chain
from spectral_jepa.pixels.reports.diagnosis_page import main as write_page
from spectral_jepa.pixels.reports.diagnosis_text import COLUMNS, NONE_BROKEN, STAGES, broken_link, diagnosis_text, verdict
from spectral_jepa.pixels.runs import FinishedRun
from spectral_jepa.plotting.pixels.diagnosis import draw_diagnosis
from spectral_jepa.training import save_weights

pytestmark = pytest.mark.usefixtures("few_threads")
STEP, SIZE = 0.01, 8
LINEAR = ProbeConfig(probes=("linear",), n_train=800, n_test=300)


class Lamp(PixelEnvironment):
    """A dot at (x, y) and a lamp, all three in the colours of the corner pixel; only the dot's place counts."""

    name, state_dim, action_dim = "lamp", 3, 3
    tolerances = {"place": (0.05, "m")}  # noqa: RUF012
    speed = 1.0

    def _start(self, rng):
        self.state = rng.uniform(0.35, 0.65, 3)

    def _advance(self, action):
        self.state = np.clip(self.state + STEP * action, 0, 1)

    def _scripted_policy(self, rng):
        drift = self.speed * rng.choice([-1, 1], 3) * rng.uniform(0.4, 0.9, 3)
        return lambda: np.clip(drift + rng.normal(0, 0.3, 3), -1, 1).astype(np.float32)

    def render(self):
        picture = np.zeros((self.image_size, self.image_size, 3), np.uint8)
        picture[0, 0] = np.round(255 * self.state)
        return picture

    def get_state(self):
        return self.state.copy()

    def set_state(self, state):
        self.state = np.array(state, dtype=np.float64)

    def quantities(self):
        return {"place": self.state[:2].copy(), "brightness": self.state[2:].copy()}

    def goal_distance(self, state, goal):
        return float(np.linalg.norm(np.asarray(state)[:2] - np.asarray(goal)[:2]) / 0.05)

    def plan_distances(self, starts, goals, actions):
        state = np.asarray(starts)[:, None]
        for moves in np.moveaxis(np.clip(actions, -1, 1), 2, 0):
            state = np.clip(state + STEP * moves, 0, 1)
        return np.linalg.norm(state[..., :2] - np.asarray(goals)[:, None, :2], axis=-1) / 0.05

    def recolor(self):
        pass

    def teleport(self, rng):
        pass


class Slow(Lamp):
    speed = 0.2


class Toy(nn.Module):
    """The three numbers times their gains; predicted exactly, or as if nothing moved."""

    def __init__(self, config, scaler, gains, reads_actions=True):
        super().__init__()
        self.config, self.scaler, self.reads_actions = config, scaler, reads_actions
        self.gains = nn.Parameter(torch.tensor(gains))

    def encode(self, frames):
        return frames[..., 0, 0, :].float() / 255 * self.gains

    def rollout(self, latents, blocks, past_blocks=None):
        moves = blocks.unflatten(-1, (self.config.action_block, 3))
        moves = (moves * torch.tensor(self.scaler.std) + torch.tensor(self.scaler.mean)).clamp(-1, 1).sum(2)
        moved = STEP * moves.float().cumsum(1) * self.gains
        return latents[:, -1:] + moved * self.reads_actions


SETTINGS = {
    "model.image_size": SIZE,
    "model.action_dim": 3,
    "model.embedding_dim": 3,
    "planning.n_samples": 100,
    "planning.n_elites": 10,
    "planning.n_iterations": 8,
    "evaluation.n_pairs": 12,
}


def make(folder, *, gains=(1.0, 1.0, 0.02), reads_actions=True, world=Lamp, settings=(), **sizes):
    config = changed(preset("tiny"), SETTINGS | dict(settings))
    generators = [np.random.default_rng(seed) for seed in range(30)]
    data = EpisodeDataset.from_episodes(world.record_episodes(SIZE, "scripted", 55, generators))
    scaler = ActionScaler.from_dataset(data, data.split()["train"])
    model = Toy(config.model, scaler, gains, reads_actions)
    save_weights(model, folder / "run", {})
    run = FinishedRun(config, PlannerPolicy(model, scaler, config.planning, name="run"), scaler, data, world(SIZE))
    sizes = {"n_simulator": 4, "n_starts": 6, "n_plans": 20, "probe": LINEAR} | sizes
    return chain.Diagnosed(folder / "run", run, folder / "data.h5", progress=False, **sizes)


CASES = {
    "none": ({}, None),
    "no time": ({"settings": {"evaluation.budget": 2, "evaluation.n_pairs": 20}, "n_simulator": 20}, "possible"),
    "data in which little moves": ({"world": Slow}, "data"),
    "an encoder that drops y": ({"gains": (1.0, 0.0, 0.02)}, "encoder"),
    "a predictor that ignores actions": ({"reads_actions": False}, "predictor"),
    "a metric that the lamp dominates": ({"gains": (1.0, 1.0, 30.0)}, "cost"),
    "a search that does not search": ({"settings": {"planning.method": "random"}}, "success"),
}


def measure(of):
    return pd.concat([chain.measure_stage(of, stage) for stage in STAGES], ignore_index=True)


def value(table, stage, measure, what, quantity=""):
    rows = table[(table["stage"] == stage) & (table["measure"] == measure) & (table["quantity"] == quantity)]
    (found,) = rows.loc[rows["what"].str.startswith(what), "value"]
    return found


def test_few_pairs_of_the_true_dynamics_give_no_verdict(tmp_path):
    table = measure(make(tmp_path, settings={"evaluation.budget": 2}, n_simulator=4))
    # None of 4 solved: up to half of all may be, for all one knows.
    assert value(table, "possible", "success", "true dynamics") == 0
    assert [verdict(table, stage) for stage in ("possible", "success")] == ["not judged", "not judged"]
    assert "too few pairs (4) to tell, raise n_simulator" in diagnosis_text(table)
    assert "link: 1" not in broken_link(table)


@pytest.mark.parametrize("case", CASES)
def test_the_link_that_was_broken_is_named(case, tmp_path):
    options, wanted = CASES[case]
    table = measure(make(tmp_path, **options))
    stages = list(STAGES)
    before = stages if wanted is None else stages[: stages.index(wanted)]
    assert {stage: verdict(table, stage) for stage in before} == dict.fromkeys(before, "ok"), diagnosis_text(table)
    sentence = broken_link(table)
    assert diagnosis_text(table).splitlines()[-1] == sentence
    if wanted is None:
        assert sentence == NONE_BROKEN
        return
    assert verdict(table, wanted) == "BROKEN"
    assert sentence.startswith(f"Broken link: {1 + stages.index(wanted)}, {STAGES[wanted][1:]}"[:16])
    if wanted == "encoder":
        # Of two independent coordinates one is read: at most half of the variance, but for chance.
        assert value(table, "encoder", "r2", "linear, trained", "place") < 0.6
        assert "place, error in tolerances" in sentence and "brightness" not in sentence
    if wanted == "cost":
        # The regression says what outvotes the place, and by how much.
        assert value(table, "cost", "share", "", "brightness") > 0.95 and "the latent distance is 9" in sentence
        assert value(table, "cost", "share", "", "place") < 0.02
    if wanted == "predictor":
        # It is as good with the actions of others, and the metric itself is not to blame.
        at = table[(table["stage"] == "predictor") & (table["quantity"] == "place") & (table["horizon"] == 5)]
        error = at[at["measure"] == "error in tolerances"].set_index("what")["value"]
        assert error["linear, predicted"] == pytest.approx(error["linear, other actions"])
        assert value(table, "cost", "rank correlation", "plans, by the frames") > 0.9


def test_numbers_of_the_toy_are_what_they_must_be(tmp_path):
    of = make(tmp_path)
    table = measure(of)
    assert value(table, "encoder", "r2", "linear, trained", "place") > 0.9999
    assert value(table, "encoder", "r2", "linear, from the other", "place") < 0.1
    # Quantities in the data of this world are independent, and the gains are (1, 1, .02).
    state = of.run.dataset.columns["state"]
    near = table[(table["stage"] == "cost") & (table["measure"] == "share")].set_index("quantity")["value"]
    assert near["place"] == pytest.approx(1, abs=0.01) and near["brightness"] < 0.01
    # Movement over 25 steps, by hand over all training windows.
    ids = of.run.dataset.split()["train"]
    rows = np.concatenate([of.run.dataset.rows(int(i))[:-25] for i in ids])
    moved = np.linalg.norm(state[rows + 25, :2] - state[rows, :2], axis=1)
    data = table[(table["stage"] == "data") & (table["horizon"] == 25)]
    place = data[data["quantity"] == "place"].set_index("measure")["value"]
    assert place["movement"] == pytest.approx(np.median(moved))
    assert place["movement in tolerances"] == pytest.approx(np.median(moved) / 0.05)
    assert place["largest movements"] == pytest.approx(np.quantile(moved, 0.9) / 0.05)
    solved = data[data["measure"] == "solved at the start"]["value"].item()
    assert solved == pytest.approx(np.mean(moved < 0.05))
    for name, policy in (("nothing", 0.0), ("true dynamics", 1.0)):
        assert value(table, "possible", "success", name) == policy


def test_a_diagnosis_that_was_stopped_goes_on(tmp_path, monkeypatch):
    of = make(tmp_path)
    first = measure(of)
    kept = sorted((tmp_path / "run" / "diagnosis").glob("*.csv"))
    assert [path.name.partition("-")[0] for path in kept] == ["cost", "data", "encoder", "predictor"]

    def never(*arguments, **options):
        raise AssertionError("measured again")

    with monkeypatch.context() as patch:
        for name in ("window_content", "probe", "predicted_probe", "frame_pairs", "plan_distances"):
            patch.setattr(chain, name, never)
        patch.setattr(PlannerPolicy, "act", never)
        patch.setattr(chain.SimulatorPolicy, "act", never)
        pd.testing.assert_frame_equal(measure(of), first)
        # Other weights, another seed or other sizes are another measurement.
        gains = of.model.gains.detach().clone()
        of.model.gains.data += 0.5
        with pytest.raises(AssertionError, match="measured again"):
            chain.measure_stage(of, "encoder")
        of.model.gains.data = gains
        chain.measure_stage(of, "encoder")
        with pytest.raises(AssertionError, match="measured again"):
            chain.measure_stage(replace(of, n_plans=5), "cost")
        # A damaged file is measured again.
        kept[1].write_text(kept[1].read_text().replace("place", "plaice"))
        with pytest.raises(AssertionError, match="measured again"):
            chain.measure_stage(of, "data")
    pd.testing.assert_frame_equal(measure(of), first)


def test_an_evaluation_that_is_there_counts_if_it_is_of_these_weights(tmp_path):
    of = make(tmp_path)
    found = value(measure(of), "success", "success", "the run")
    own = of.success(of.run.policy, of.pairs())
    wrong = own.assign(success=~own["success"].astype(bool))
    path = of.folder / "evaluation-25.csv"
    wrong.to_csv(path, index=False)
    assert value(chain.measure_stage(of, "success"), "success", "success", "the run") == pytest.approx(1 - found)
    for other in (wrong.assign(configuration="0" * 12), wrong.head(5)):
        other.to_csv(path, index=False)
        assert value(chain.measure_stage(of, "success"), "success", "success", "the run") == found


def test_the_whole_chain_leaves_a_table_and_a_figure(tmp_path):
    of = make(tmp_path, gains=(1.0, 0.0, 0.02))
    table = chain.diagnose(of)
    pd.testing.assert_frame_equal(chain.load_diagnosis(of.folder), table)
    assert (of.folder / "figures" / "diagnosis.png").stat().st_size > 10_000
    figure = draw_diagnosis(table, STAGES, "lamp", broken_link(table))["diagnosis"]
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert titles[:3] == ["1  Can it be done?  ok", "2  What the data contain  ok", "3  What the encoder sees  BROKEN"]
    # Only the first broken link is framed.
    framed = [axis.spines["top"].get_visible() for axis in figure.axes]
    assert framed == [False, False, True, False, False, False]
    text = diagnosis_text(table)
    assert "Broken link: 3" in text and "train one with pixels train --kind cloning" in text


def test_a_world_that_tells_no_tolerance_is_not_judged_by_them(tmp_path):
    class Silent(Lamp):
        tolerances = {}  # noqa: RUF012

    table = measure(make(tmp_path, gains=(0.0, 0.0, 1.0), world=Silent))
    assert [verdict(table, stage) for stage in ("encoder", "predictor")] == ["not judged"] * 2
    assert verdict(table, "data") == "ok" and "Broken link: 5" in broken_link(table)


def test_what_cannot_be_diagnosed_is_one_sentence(tmp_path):
    of = make(tmp_path)
    for sizes, message in (({"n_simulator": 0}, "n_simulator"), ({"n_starts": 1}, "n_starts"), ({"n_plans": 3}, "n_plans")):
        with pytest.raises(InputError, match=message):
            replace(of, **sizes)
    with pytest.raises(InputError, match="kind 'cloning', expected a world model"):
        replace(of, run=of.run._replace(config=replace(of.run.config, kind="cloning")))
    with pytest.raises(InputError, match="stage"):
        chain.measure_stage(of, "charm")


def test_the_page_follows_from_its_table(tmp_path, monkeypatch):
    root = Path(__file__).resolve().parents[3]
    monkeypatch.chdir(root)
    write_page(["--check"])
    of = make(tmp_path)
    table = measure(of)
    (of.folder / "config.json").write_text('{"config": {"data": {"environment": "cube"}}}')
    table.to_csv(of.folder / "diagnosis.csv", index=False)
    page, kept = tmp_path / "page.md", tmp_path / "kept.csv"
    page.write_text((root / "docs" / "diagnosis.md").read_text())
    paths = ["--page", str(page), "--table", str(kept)]
    write_page([str(of.folder), *paths])
    once = page.read_text()
    section = once.partition("<!-- diagnosis: cube -->")[2].partition("<!-- end -->")[0]
    assert "**No link is broken.**" in section and "| true dynamics | 100.0 |" in section
    write_page(paths)
    write_page(["--check", *paths])
    assert page.read_text() == once
    # A number typed by hand is noticed, and so is an environment without a place.
    page.write_text(once.replace("| true dynamics | 100.0 |", "| true dynamics | 99.0 |"))
    with pytest.raises(InputError, match="does not follow"):
        write_page(["--check", *paths])
    (of.folder / "config.json").write_text('{"config": {"data": {"environment": "maze"}}}')
    with pytest.raises(InputError, match="no place for 'maze'"):
        write_page([str(of.folder), *paths])


def test_tiny_two_room_from_nothing_to_a_diagnosis(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tiny = ["--environment", "two_room", "--preset", "tiny"]
    base = "results/pixels/two_room-tiny"
    main(["pixels", "collect", *tiny, "--n-jobs", "1"])
    main(["pixels", "train", *tiny, "--set", "training.n_steps", "2"])
    main(["pixels", "train", *tiny, "--kind", "cloning", "--set", "model.history", "5", "training.n_steps", "2"])
    capsys.readouterr()
    sizes = ["--n-simulator", "2", "--n-starts", "2", "--n-plans", "5"]
    main(["pixels", "diagnose", f"{base}/sigreg-0", *sizes])
    printed = capsys.readouterr().out
    table = pd.read_csv(f"{base}/sigreg-0/diagnosis.csv")
    assert list(table.columns) == [*COLUMNS, "weights"]
    assert list(dict.fromkeys(table["stage"])) == list(STAGES)
    assert printed.splitlines()[-1].startswith(("Broken link: ", NONE_BROKEN))
    assert "cloning (cloning-0)" in printed
    policies = table[(table["stage"] == "possible") & (table["measure"] == "success")]
    assert policies["what"].tolist() == ["true dynamics", "nothing", "random", "cloning (cloning-0)"]
    assert policies["n"].tolist() == [2, 4, 4, 4]
    with pytest.raises(SystemExit):
        main(["pixels", "diagnose", f"{base}/cloning-0", *sizes])
    assert "expected a world model" in capsys.readouterr().err
