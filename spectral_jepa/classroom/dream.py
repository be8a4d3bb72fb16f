"""Lesson 6, dreaming in pixels: a small trained world model plans in its latent space, and a decoder shows what it imagines.

Weights, decoder and settings lie in one file, ``classroom/data/dream.safetensors``, in half precision (:func:`pack_dream`).
Where it is missing, :func:`train_dream` trains a smaller model on the spot and says so in ``Dream.origin``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from spectral_jepa._files import write_atomic
from spectral_jepa._notebook import short_repr
from spectral_jepa._validation import Array, InputError, as_float, check_choice, check_count, check_seed
from spectral_jepa.sweep.experiment import shipped_folder

if TYPE_CHECKING:
    from spectral_jepa.pixels.config import PixelConfig
    from spectral_jepa.pixels.data import ActionScaler
    from spectral_jepa.pixels.diagnostics.decoder import Decoder
    from spectral_jepa.pixels.interfaces import Dataset, Pictures
    from spectral_jepa.pixels.model.world_model import WorldModel

WEIGHTS = "data/dream.safetensors"
CHANGES = ("nothing", "teleport", "recolour")
# Blocks of 5 raw actions that a film lasts, planned in two halves, and the frame at which the world breaks its rules.
N_BLOCKS, BROKEN_AT = 10, 6
# Where the teleport goes: the mirror image of the place in the other room, far from what was expected.
FIELD = 224.0
STREAM = 0x647265616D


@dataclass(frozen=True)
class Dream:
    """A trained world model with a decoder of its latents.

    Parameters
    ----------
    model : WorldModel
    decoder : Decoder
    scaler : ActionScaler
    config : PixelConfig
    origin : str
        Which run it comes from, in a sentence.
    """

    model: WorldModel
    decoder: Decoder
    scaler: ActionScaler
    config: PixelConfig
    origin: str


@dataclass(frozen=True, repr=False)
class Film:
    """What happened and what was imagined, a frame an action block.

    Parameters
    ----------
    true, imagined : uint8 arrays (11, H, H, 3)
        The world under the plan; the decoder on the latents that the model rolls out from the first frame alone.
    goal : uint8 array (H, H, 3)
    states : array (11, 2)
        Where the agent was.
    surprise : array (10,)
        ||predicted - observed latent||^2 / D of each step, the model seeing the true frames before it.
    expected : array (10,)
        The same without a change.
    reached : float
        Distance to the goal at frame ``BROKEN_AT`` - 1, before anything is changed, in pixels of the 224 x 224 field.
    """

    true: Pictures
    imagined: Pictures
    goal: Pictures
    states: Array
    surprise: Array
    expected: Array
    reached: float

    def __repr__(self) -> str:
        return short_repr(self)


def dream(dream: Dream, start: ArrayLike, goal: ArrayLike, change: str = "nothing", *, seed: int = 0) -> Film:
    """Plan from a start to the picture of a goal, carry the plan out, and imagine it.

    Parameters
    ----------
    dream : Dream
    start, goal : arrays (2,)
        (x, y) of the agent's centre in pixels of the field; a place in a wall is moved to the nearest free one.
    change : {"nothing", "teleport", "recolour"}
        What happens to the agent at frame 6; the imagination does not know of it.
    seed : int
        Of the search.

    Returns
    -------
    Film

    Raises
    ------
    InputError
        An unknown change, a place that is no pair of numbers.

    Notes
    -----
    Two searches of 100 plans and 8 rounds, 22 passes of the encoder. Source: arXiv 2603.19312 (planning, violation of
    expectation).

    Examples
    --------
    An untrained model plans, too, but reaches nothing.

    >>> from spectral_jepa.classroom.dream import train_dream
    >>> film = dream(train_dream(n_steps=2, n_episodes=8, decoder_steps=2), [50, 180], [60, 60], "recolour")
    >>> film.true.shape, film.surprise.shape, bool((film.true[5] != film.true[6]).any())
    ((11, 32, 32, 3), (10,), True)
    """
    import torch

    from spectral_jepa._streams import torch_generator
    from spectral_jepa.pixels.data.actions import scaled_blocks
    from spectral_jepa.pixels.diagnostics.decoder import decode
    from spectral_jepa.pixels.diagnostics.surprise import prediction_errors
    from spectral_jepa.pixels.environments import make_environment
    from spectral_jepa.pixels.interfaces import Observation
    from spectral_jepa.pixels.model.frozen import encode_frames, frozen
    from spectral_jepa.pixels.planning.policies import PlannerPolicy

    check_choice("change", change, CHANGES)
    check_seed("seed", seed)
    first, last = as_float("start", start, (2,)), as_float("goal", goal, (2,))
    world = make_environment("two_room", dream.config.model.image_size)
    size, history = dream.config.model.action_block, dream.config.model.history
    planning = replace(dream.config.planning, n_samples=100, n_elites=10, n_iterations=8, horizon=5, execute=5)
    policy = PlannerPolicy(dream.model, dream.scaler, planning)
    world.reset(seed=0, options={"state": last})
    goal_frame, goal_state = world.render(), world.get_state()
    targets = policy.prepare(goal_frame[None], goal_state[None])
    generator = torch_generator(seed, STREAM)
    world.reset(seed=0, options={"state": first})
    frames, states, moves = [world.render()], [world.get_state()], np.zeros((0, 2))
    for _ in range(N_BLOCKS // planning.execute):
        seen = Observation(frames[-1][None, None], states[-1][None], np.zeros((1, 0, 2)))
        half = np.clip(policy.act(seen, targets, [generator])[0], -1, 1)
        moves = np.concatenate([moves, half])
        for number, action in enumerate(half, 1):
            world.step(action)
            if number % size == 0:
                frames.append(world.render())
                states.append(world.get_state())
    clean, places = np.stack(frames), np.stack(states)
    true = clean.copy()
    if change != "nothing":
        # The same actions once more, up to the change and on from it.
        world.reset(seed=0, options={"state": places[BROKEN_AT]})
        if change == "recolour":
            world.recolor()
        else:
            world.set_state(np.array([FIELD - places[BROKEN_AT][0], FIELD - places[BROKEN_AT][1]]))
        for frame in range(BROKEN_AT, N_BLOCKS + 1):
            true[frame], places[frame] = world.render(), world.get_state()
            for action in moves[frame * size : (frame + 1) * size]:
                world.step(action)
    blocks = scaled_blocks(moves, dream.scaler, size)[None]
    both = torch.from_numpy(encode_frames(dream.model, np.concatenate([true, clean]))).unflatten(0, (2, N_BLOCKS + 1))
    with frozen(dream.model) as device:
        later = dream.model.rollout(both[:1, :1].to(device), blocks.to(device)).cpu()
        errors = prediction_errors(dream.model, both.to(device), blocks.expand(2, -1, -1).to(device), history)
    imagined = decode(dream.decoder, torch.cat([both[1:, :1], later], dim=1)[0].numpy())
    surprise, expected = errors.double().cpu().numpy()
    reached = float(np.linalg.norm(places[BROKEN_AT - 1] - goal_state))
    return Film(true, imagined, goal_frame, places, surprise, expected, reached)


def load_dream(path: Path | None = None) -> Dream:
    """Read the shipped weights.

    Parameters
    ----------
    path : Path, optional
        Default: the classroom's.

    Returns
    -------
    Dream

    Raises
    ------
    InputError
        torch or the file is missing, or the file is another one.

    Examples
    --------
    >>> load_dream(Path("nothing.safetensors"))
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: nothing.safetensors does not exist, expected the classroom's weights: ...
    """
    _require_torch()
    import torch
    from safetensors import SafetensorError, safe_open

    from spectral_jepa.pixels.config import PixelConfig
    from spectral_jepa.pixels.data import ActionScaler
    from spectral_jepa.pixels.diagnostics.decoder import Decoder
    from spectral_jepa.pixels.model.saved import make_model

    where = shipped_folder("classroom") / WEIGHTS if path is None else path
    if not where.is_file():
        raise InputError(f"{where} does not exist, expected the classroom's weights: train_dream() trains a smaller model")
    try:
        with safe_open(where, "pt") as file:
            said = json.loads(file.metadata()["dream"])
            tensors = {name: file.get_tensor(name).to(torch.float32) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, ValueError):
        raise InputError(f"{where} holds no classroom model, expected what make_data.py dream writes: restore it") from None
    config, scaler = PixelConfig.from_dict(said["config"]), ActionScaler.from_dict(said["scaler"])
    model: Any = make_model(config)
    decoder = Decoder(config.model.embedding_dim, config.model.image_size, width=said["width"], depth=said["depth"])
    for part, network in (("model.", model), ("decoder.", decoder)):
        own = {name.removeprefix(part): value for name, value in tensors.items() if name.startswith(part)}
        state = network.state_dict()
        network.load_state_dict({name: own[name].to(value.dtype) for name, value in state.items()})
    return Dream(model.eval(), decoder.eval(), scaler, config, said["origin"])


def pack_dream(run: Path, path: Path, *, decoder_steps: int = 1500) -> Path:
    """Fit a decoder to a finished Two-Room run and write both into one file, in half precision.

    Parameters
    ----------
    run : Path
        Folder of the run; its data must be where it says.
    path : Path
        The file, ending in .safetensors.
    decoder_steps : int
        A minute for 1,500 at 64 px.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    InputError
        A folder that holds no finished run.

    Examples
    --------
    >>> import tempfile
    >>> from spectral_jepa.classroom.dream import train_dream
    >>> folder = Path(tempfile.mkdtemp())
    >>> made = train_dream(n_steps=2, n_episodes=8, decoder_steps=2, folder=folder / "sigreg-0")
    >>> packed = pack_dream(folder / "sigreg-0", folder / "dream.safetensors", decoder_steps=2)
    >>> load_dream(packed).origin
    'sigreg-0, 2 steps of training, seed 0'
    """
    _require_torch()
    from spectral_jepa.pixels.data import open_dataset
    from spectral_jepa.pixels.model.saved import load_model
    from spectral_jepa.pixels.runs import data_path

    model, config, scaler = load_model(run)
    dataset = open_dataset(data_path(run))
    decoder = _fit(model, dataset, decoder_steps)
    origin = f"{run.name}, {config.training.n_steps} steps of training, seed {config.training.seed}"
    return _write(Dream(model, decoder, scaler, config, origin), path)


def train_dream(
    n_steps: int = 150, *, n_episodes: int = 60, decoder_steps: int = 300, seed: int = 0, folder: Path | None = None
) -> Dream:
    """Train a smaller world model and its decoder on the spot.

    Parameters
    ----------
    n_steps, n_episodes, decoder_steps : int
        A minute with the defaults, at 32 px.
    seed : int
        Of data and training.
    folder : Path, optional
        Where the run is kept. Default: nowhere.

    Returns
    -------
    Dream

    Raises
    ------
    InputError
        torch is not installed, or a count below its least.

    Examples
    --------
    >>> train_dream(n_steps=2, n_episodes=8, decoder_steps=2).origin
    'trained just now for 2 steps on 8 episodes of 32 px: smaller and worse than the shipped one'
    """
    _require_torch()
    for name, value in (("n_steps", n_steps), ("n_episodes", n_episodes), ("decoder_steps", decoder_steps)):
        check_count(name, value)
    check_seed("seed", seed)
    from spectral_jepa.pixels.data import open_dataset
    from spectral_jepa.pixels.data.collect import collect
    from spectral_jepa.pixels.model.saved import load_model
    from spectral_jepa.pixels.presets import changed, preset
    from spectral_jepa.pixels.training.loop import train

    settings = {
        "model.image_size": 32, "data.image_size": 32, "model.encoder_width": 16, "data.n_episodes": n_episodes,
        "training.n_steps": n_steps, "training.batch_size": 64, "data.seed": seed, "training.seed": seed,
    }  # fmt: skip
    config = changed(preset("small"), settings)
    with TemporaryDirectory() as temporary:
        run = Path(temporary) / "sigreg-0" if folder is None else Path(folder)
        data = collect(config.data, run.parent / "data.h5", n_jobs=1, progress=False)
        train(config, data, run, device="cpu", progress=False)
        model, config, scaler = load_model(run)
        decoder = _fit(model, open_dataset(data), decoder_steps)
    origin = (
        f"trained just now for {n_steps} steps on {n_episodes} episodes of 32 px: smaller and worse than the shipped one"
    )
    return Dream(model, decoder, scaler, config, origin)


def _fit(model: WorldModel, dataset: Dataset, n_steps: int) -> Decoder:
    from spectral_jepa.pixels.diagnostics.decoder import fit_decoder
    from spectral_jepa.pixels.model.frozen import encode_frames

    rows = np.unique(np.linspace(0, len(dataset.pixels) - 1, 4000).astype(np.int64))
    frames = np.array(dataset.pixels[rows])
    # The agent covers a hundredth of the picture: by the plain mean square it fades.
    return fit_decoder(encode_frames(model, frames), frames, n_steps=n_steps, batch_size=32, width=96, emphasis=30)


def _write(dream: Dream, path: Path) -> Path:
    import safetensors.torch
    import torch

    tensors = {
        part + name: (value.half() if value.is_floating_point() else value).detach().clone().contiguous()
        for part, network in (("model.", dream.model), ("decoder.", dream.decoder))
        for name, value in network.state_dict().items()
    }
    assert all(bool(torch.isfinite(value).all()) for value in tensors.values())
    said = {
        "config": dream.config.to_dict(),
        "scaler": dream.scaler.to_dict(),
        "origin": dream.origin,
        "width": dream.decoder.queries.shape[1],
        "depth": len(dream.decoder.layers),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, safetensors.torch.save(tensors, metadata={"dream": json.dumps(said)}))
    return path


def _require_torch() -> None:
    if find_spec("torch") is None:
        raise InputError("dreaming needs torch, which is not installed, expected it for lesson 6: pip install torch")
