"""Planning from pictures alone: the controller against the loop written out, plans between two pictures, picture files."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from spectral_jepa._streams import torch_generator
from spectral_jepa.cli import main
from spectral_jepa.pixels.config import PlanningConfig
from spectral_jepa.pixels.data import ActionScaler
from spectral_jepa.pixels.data.pictures import read_picture
from spectral_jepa.pixels.diagnostics.decoder import Decoder
from spectral_jepa.pixels.diagnostics.kept_decoder import keep_decoder, kept_decoder
from spectral_jepa.pixels.interfaces import Observation
from spectral_jepa.pixels.model.saved import make_model, save_model
from spectral_jepa.pixels.planning.control import STREAM, Controller, open_controller, open_policy, plan_between
from spectral_jepa.pixels.planning.policies import CloningPolicy, PlannerPolicy
from spectral_jepa.pixels.presets import changed, preset

pytestmark = pytest.mark.usefixtures("few_threads")
SCALER = ActionScaler((0.5, -1.0), (2.0, 0.5))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder of random weights, whose data are nowhere."""
    config, folder = preset("tiny"), tmp_path_factory.mktemp("own") / "sigreg-0"
    model, generator = make_model(config), torch.Generator().manual_seed(7)
    for name, weight in model.named_parameters():
        if "modulation" in name:  # 0 at the start, when the predictor does not see its actions
            torch.nn.init.normal_(weight, std=0.3, generator=generator)
    save_model(model, folder, config, SCALER, {"data": "/nowhere/data.h5"})
    return folder


def camera(n, seed=0, size=32):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


@pytest.mark.parametrize(("history", "execute", "warm"), [(1, 5, False), (3, 1, False), (2, 2, True)])
def test_the_controller_does_what_the_loop_written_out_does(run, history, execute, warm):
    changes = {"planning.history": str(history), "planning.execute": str(execute), "planning.warm_start": str(warm)}
    frames, goal = camera(40), camera(1, 1)[0]
    controller = open_controller(run, goal, seed=4, overrides=changes)
    got = np.array([controller.next_action(frame) for frame in frames])
    _, policy = open_policy(run, overrides=changes)
    goals, generator, memory = policy.prepare(goal[None], np.zeros((1, 0))), torch_generator(4, STREAM), {}
    done = np.zeros((0, 2))
    while len(done) < 40:
        # The pictures at the last block boundaries, the current one last, and what was done between them.
        at = [len(done) - 5 * back for back in range(history) if len(done) - 5 * back >= 0][::-1]
        seen = Observation(frames[at][None], np.zeros((1, 0)), done[at[0] :][None], [memory])
        done = np.concatenate([done, policy.act(seen, goals, [generator])[0]])
    np.testing.assert_array_equal(got, done[:40])
    # Pictures matter, and so does the seed.
    for other_goal, seed in ((goal, 5), (np.zeros_like(goal), 4)):
        other = open_controller(run, other_goal, seed=seed, overrides=changes)
        assert not np.array_equal([other.next_action(frame) for frame in frames], got)
    assert len(controller.seconds) == -(-40 // (5 * execute)) and min(controller.seconds) > 0


class Wild:
    """Asks for too much, and keeps what it was shown."""

    name, history, action_block, chunk_size, device = "wild", 2, 2, 1, torch.device("cpu")

    def __init__(self):
        self.seen = []

    def describe(self):
        return {}

    def prepare(self, frames, states):
        return frames

    def act(self, now, goals, generators):
        self.seen.append(now)
        return np.array([[[3.0, -3.0], [0.5, 0.25]]])


def test_actions_are_clipped_and_the_clipped_ones_are_what_happened():
    frames, policy = camera(6), Wild()
    controller = Controller(policy, camera(1, 1)[0], low=[0.0, -0.9], high=0.6)
    got = [controller.next_action(frame).tolist() for frame in frames]
    assert got == 3 * [[0.6, -0.9], [0.5, 0.25]]
    assert [now.past_actions.tolist() for now in policy.seen[1:]] == 2 * [[got[:2]]]
    assert [now.frames.shape[1] for now in policy.seen] == [1, 2, 2]
    np.testing.assert_array_equal(policy.seen[2].frames[0], frames[[2, 4]])


def test_a_cloned_policy_can_be_called_too(tmp_path):
    config = changed(preset("tiny"), {"kind": "cloning"})
    save_model(make_model(config), tmp_path, config, SCALER, {})
    goal, (frame,) = camera(1, 1)[0], camera(1)
    controller = open_controller(tmp_path, goal)
    _, policy = open_policy(tmp_path)
    assert isinstance(policy, CloningPolicy)
    now = Observation(frame[None, None], np.zeros((1, 0)), np.zeros((1, 0, 0)))
    wanted = policy.act(now, policy.prepare(goal[None], np.zeros((1, 0))), [])[0]
    np.testing.assert_array_equal([controller.next_action(frame) for _ in range(len(wanted))], wanted)


class Adder(torch.nn.Module):
    """The latent is the mean of two colours in [0, 1]; an action block of one action adds to it."""

    config = replace(preset("tiny").model, action_block=1, history=1, image_size=8)

    def encode(self, frames):
        return frames.float().mean((1, 2))[:, :2] / 255

    def rollout(self, latents, blocks, past_blocks=None):
        return latents[:, -1:] + blocks.cumsum(1)


def test_the_plan_between_two_pictures_is_the_one_whose_sum_is_their_difference():
    start, goal = np.zeros((2, 8, 8, 3), np.uint8)
    goal[..., 0], start[..., 1] = 255, 51  # latents (0, .2) and (1, 0)
    search = PlanningConfig(horizon=3, execute=1)
    found = plan_between(PlannerPolicy(Adder(), SCALER, search), start, goal)
    assert found.actions.shape == (3, 2) and found.latents.shape == (4, 2) and found.seconds > 0
    scaled = (found.actions - SCALER.mean) / SCALER.std
    np.testing.assert_allclose(scaled.sum(0), [1, -0.2], atol=0.02)
    np.testing.assert_allclose(found.latents[0], [0, 0.2], atol=1e-6)
    np.testing.assert_allclose(found.latents[1:], np.array([0, 0.2]) + scaled.cumsum(0), atol=1e-5)
    np.testing.assert_allclose(found.distances, ((found.latents - [1, 0]) ** 2).sum(1), atol=1e-5)
    assert found.distances[0] == pytest.approx(1.04, abs=1e-6) and found.distances[-1] < 1e-3
    other = plan_between(PlannerPolicy(Adder(), SCALER, search), start, start)
    assert other.distances[0] == 0
    np.testing.assert_allclose(((other.actions - SCALER.mean) / SCALER.std).sum(0), 0, atol=0.02)


def test_what_needs_data_is_refused(run, refused):
    for name, value in (("proposal", "inverse"), ("noise", "recorded")):
        with refused(f"planning.{name} is '{value}'", "without data"):
            open_policy(run, overrides={f"planning.{name}": value})
    with refused("goal has shape (8, 8, 3), expected (32, 32, 3)"):
        open_controller(run, np.zeros((8, 8, 3), np.uint8))
    _, policy = open_policy(run)
    with refused("goal has shape (32, 32, 3) and type float64", "uint8"):
        Controller(policy, np.zeros((32, 32, 3)))
    with refused("low is 1 and high 1"):
        Controller(policy, np.zeros((32, 32, 3), np.uint8), low=1, high=1)


def test_pictures_of_a_camera(tmp_path, refused):
    red = np.zeros((48, 48, 3), np.uint8)
    red[:, :24, 0] = 200
    Image.fromarray(red).save(tmp_path / "red.png")
    small = read_picture(tmp_path / "red.png", 4)
    assert small.shape == (4, 4, 3) and small[0, 0].tolist() == [200, 0, 0] and small[0, 3].tolist() == [0, 0, 0]
    np.testing.assert_array_equal(read_picture(tmp_path / "red.png", 48), red)
    Image.fromarray(red[..., 0]).save(tmp_path / "grey.png")
    assert read_picture(tmp_path / "grey.png", 48)[0, 0].tolist() == [200] * 3
    Image.fromarray(red[:24]).save(tmp_path / "wide.png")
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(tmp_path / "deep.png")
    (tmp_path / "text.png").write_text("Dear diary")
    for name, words in (
        ("wide.png", "is 48 x 24 pixels, expected a square"),
        ("deep.png", "more than 8 bits"),
        ("text.png", "no picture that can be read"),
        ("none.png", "there is no picture"),
    ):
        with refused(name, words):
            read_picture(tmp_path / name, 8)


def test_the_command_writes_actions_and_a_film_only_where_a_decoder_can_draw_one(run, tmp_path, capsys):
    for name, picture in (("now", camera(1)[0]), ("wanted", camera(1, 1)[0])):
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    words = ["--start", tmp_path / "now.png", "--goal", tmp_path / "wanted.png", "--out", tmp_path / "out.png"]
    command = ["pixels", "plan", *map(str, [run, *words])]
    main(command)
    said = capsys.readouterr().out
    assert "No film" in said and not (tmp_path / "out.gif").exists() and (tmp_path / "out.png").stat().st_size > 1000
    rows = np.genfromtxt(tmp_path / "out.csv", delimiter=",", names=True)
    config, policy = open_policy(run)
    wanted = plan_between(policy, camera(1)[0], camera(1, 1)[0], seed=config.evaluation.seed)
    np.testing.assert_allclose(np.stack([rows["action_0"], rows["action_1"]], 1), wanted.actions, rtol=1e-12)
    np.testing.assert_allclose(rows["predicted_distance"][4::5], wanted.distances[1:], rtol=1e-12)
    assert np.isnan(rows["predicted_distance"]).sum() == 20
    # A decoder of these weights draws the film, one of other weights does not.
    keep_decoder(Decoder(16, 32, width=8), run)
    main(command)
    assert "Film: " in capsys.readouterr().out
    with Image.open(tmp_path / "out.gif") as film:
        assert film.n_frames == 6 or film.n_frames == 2  # an untrained decoder's frames are all its mean picture
    (run / "decoder" / "config.json").write_text("{}")
    with pytest.raises(SystemExit):
        main(command)
    assert "decoder" in capsys.readouterr().err
    model = make_model(changed(preset("tiny"), {"training.seed": 1}))
    keep_decoder(Decoder(16, 32, width=8), run)
    save_model(model, run, preset("tiny"), SCALER, {})
    assert kept_decoder(run) is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--start", "a.png"], "--goal is missing"),
        (["--goal", "a.png"], "--start is missing"),
        (["--start", "a.png", "--goal", "a.png", "--pair", "0"], "--pair is 0, expected none with --start"),
        (["--start", "a.png", "--goal", "a.png", "--set", "evaluation.budget", "9"], "evaluation.budget is not used"),
        (["--start", "a.png", "--goal", "a.png", "--set", "planning.history", "2"], "one picture to plan from"),
        (["--start", "a.png", "--goal", "a.png", "--set", "planning.noise", "recorded"], "without data"),
    ],
)
def test_a_mistake_with_pictures_is_one_sentence(run, words, message, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["pixels", "plan", str(run), *words])
    error = capsys.readouterr().err
    assert caught.value.code == 2 and message in error and error.count("\n") == 1
