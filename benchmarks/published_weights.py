"""Our reading of the public LeWM layout against the field's own modules: latents, predictions, rollouts, costs, plans.

Run: python benchmarks/published_weights.py WHEEL [--site SITE] [--out FILE.json]

WHEEL and SITE are those of ``against_stable_worldmodel.py``. At seeded weights, both ways: what their modules save is loaded
by ``load_published``, and what ``write_published`` writes is loaded strictly by their modules. ``--out`` writes their
numbers, which ``tests/pixels/model/test_published.py`` compares with ours where their package is not installed.
"""

import argparse
import contextlib
import io
import json
import platform
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from against_stable_worldmodel import load_parts, normalized, their_model

from spectral_jepa.pixels.config import ModelConfig
from spectral_jepa.pixels.model.published import load_published, older_name, published_settings, write_published
from spectral_jepa.pixels.model.world_model import WorldModel
from spectral_jepa.pixels.presets import preset

# Another predictor width than the embedding's, so that its three projections are there, too.
SMALL = replace(
    preset("tiny").model, encoder="vit", image_size=28, patch_size=14, encoder_width=12, encoder_depth=2, encoder_heads=3,
    predictor_width=24, predictor_depth=2,
)  # fmt: skip
CASES = {"small": SMALL, "published": ModelConfig()}
N_SAMPLES, N_ELITES, N_ITERATIONS, HORIZON, SEED = 12, 3, 3, 4, 5


def seeded_state(model):
    """Weights of about the size that training leaves, by numpy's generator: the same on every machine."""
    state, rng = {}, np.random.default_rng(11)
    for name, value in sorted(model.state_dict().items()):
        noise = rng.standard_normal(tuple(value.shape))
        if name.endswith("num_batches_tracked"):
            drawn = np.array(7)
        elif name.endswith("running_var"):
            drawn = 0.5 + np.abs(noise)
        elif value.ndim > 1 and "position" not in name and "token" not in name:
            drawn = noise / np.sqrt(np.prod(value.shape[1:])) * (0.5 if "modulation" in name else 1.0)
        else:
            drawn = (1.0 if value.ndim == 1 and name.endswith("weight") else 0.0) + 0.1 * noise
        state[name] = torch.from_numpy(np.asarray(drawn)).to(value.dtype)
    return state


def seeded_inputs(c):
    """Four pictures (4, S, S, 3), action blocks (1, 3, B), plans (1, 2, HORIZON, B)."""
    rng, size = np.random.default_rng(12), c.action_block * c.action_dim
    pictures = torch.from_numpy(rng.integers(0, 256, (4, c.image_size, c.image_size, 3), dtype=np.uint8))
    blocks, plans = (torch.from_numpy(rng.standard_normal(s)).float() for s in ((1, 3, size), (1, 2, HORIZON, size)))
    return pictures, blocks, plans


def their_numbers(parts, theirs, c):
    """By their code alone."""
    pictures, blocks, plans = seeded_inputs(c)
    floats = normalized(pictures[None], torch.float32)
    with torch.inference_mode():
        info = theirs.encode({"pixels": floats, "action": blocks})
        latents = info["emb"][0]
        predicted = theirs.predict(info["emb"][:, :3], info["act_emb"])[0]

        def asked(n):
            given = {"pixels": floats[:, :1], "goal": floats[:, 3:], "action": torch.zeros(1, 1, plans.shape[-1])}
            return {name: value[:, None].expand(-1, n, *value.shape[1:]) for name, value in given.items()}

        rolled = theirs.rollout(asked(2), plans)["predicted_emb"][0, :, 1:]
        costs = theirs.get_cost(asked(2), plans)[0]
        solver = parts.cem.CEMSolver(
            theirs, batch_size=1, num_samples=N_SAMPLES, n_steps=N_ITERATIONS, topk=N_ELITES, seed=SEED
        )
        solver.configure(
            action_space=box(1, c.action_dim), n_envs=1, config=SimpleNamespace(horizon=HORIZON, action_block=c.action_block)
        )
        start = {"pixels": floats[:, :1], "goal": floats[:, 3:], "action": torch.zeros(1, 1, plans.shape[-1])}
        with contextlib.redirect_stdout(io.StringIO()):
            plan = solver(start)["actions"][0]
    return {"latents": latents, "predicted": predicted, "rollout": rolled, "costs": costs, "plan": plan}


def box(n, dim):
    from gymnasium.spaces import Box

    return Box(-np.inf, np.inf, (n, dim))


def our_numbers(ours, c):
    """The same by our code."""
    from spectral_jepa.action_search import cross_entropy_method
    from spectral_jepa.pixels.planning.latent import latent_cost

    pictures, blocks, plans = seeded_inputs(c)
    with torch.inference_mode():
        latents = ours.encode(pictures)
        predicted = ours.predict(latents[None, :3], blocks)[0]
        rolled = ours.rollout(latents[:1, None].expand(2, -1, -1), plans[0])
        cost = latent_cost(ours, latents[:1], latents[3:])
        generators = [torch.Generator().manual_seed(SEED)]
        plan = cross_entropy_method(
            cost, torch.zeros(1, HORIZON, plans.shape[-1]), generators,
            n_samples=N_SAMPLES, n_elites=N_ELITES, n_iterations=N_ITERATIONS, spare_draw=True,
        )[0]  # fmt: skip
    return {"latents": latents, "predicted": predicted, "rollout": rolled, "costs": cost(plans)[0], "plan": plan}


def apart(mine, other):
    """Largest difference in units of the largest entry, number by number."""
    return {name: float(((mine[name] - other[name]).abs().max() / other[name].abs().max()).detach()) for name in other}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", help="folder of the unpacked wheel")
    parser.add_argument("--site", help="site-packages with what their modules import")
    parser.add_argument("--out", help="JSON file of their numbers")
    given = parser.parse_args()
    if given.site:
        sys.path.append(given.site)
    torch.set_num_threads(1)
    parts = load_parts(given.wheel)
    import transformers

    here = {
        "stable_worldmodel": next(Path(given.wheel).glob("*.dist-info")).name.split("-")[1].removesuffix(".dist"),
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    print(here)
    kept = {"made by": "benchmarks/published_weights.py", "versions": here, "cases": {}}
    for case, c in CASES.items():
        theirs = their_model(parts, c).eval()
        ours = WorldModel(c).eval()
        ours.load_state_dict(seeded_state(ours))
        with tempfile.TemporaryDirectory() as folder:
            write_published(ours, folder)
            state = torch.load(Path(folder, "weights.pt"), weights_only=True)
            # Releases of transformers spell the encoder's names in two ways; the released files in the older one.
            spelled = {older_name(name): name for name in theirs.state_dict()}
            theirs.load_state_dict({spelled.get(name, name): value for name, value in state.items()}, strict=True)
            names = len(theirs.state_dict())
            other = their_numbers(parts, theirs, c)
            torch.save(theirs.state_dict(), Path(folder, "weights.pt"))
            Path(folder, "config.json").write_text(json.dumps(published_settings(c)))
            loaded = load_published(folder)
        gaps = apart(our_numbers(loaded, c), other)
        print(f"{case}: {names} tensors, strict both ways;", ", ".join(f"{name} {gap:.1e}" for name, gap in gaps.items()))
        kept["cases"][case] = {
            name: [float(f"{x:.8g}") for x in value.double().flatten().tolist()] for name, value in other.items()
        }
    if given.out:
        Path(given.out).write_text(json.dumps(kept))


if __name__ == "__main__":
    main()
