"""Our LeWM training step and CEM against those of stable-worldmodel 0.1.1, at the same shapes and with the same weights.

Run: python benchmarks/against_stable_worldmodel.py WHEEL [--site SITE] [--out FILE.csv]

WHEEL is the folder of the unpacked wheel (`pip download --no-deps stable-worldmodel==0.1.1`, unzip), SITE the site-packages
of an environment of the same Python with einops, loguru, gymnasium and transformers, where this one lacks them. Nothing of
theirs is copied or imported before the script runs, and of their package only the files of the model, the loss and the
solver (the package as a whole wants torchvision, lancedb and more).

Their training step is put together from their parts as LeWM's paper describes it: encode all frames, predict, mean squared
error plus lambda times SIGReg, AdamW, gradients clipped. The encoder is transformers' ViTModel, which their `encode`
expects. They get pictures as floats, normalised beforehand; we get bytes and normalise in the step. Both get the same
weights, and in float64 the prediction error of the same batch and the costs of the same plans must agree before anything is
timed. One thread, contenders take turns; best and median of the repetitions, in milliseconds of the processor, and of the
clock.
"""

import argparse
import contextlib
import csv
import importlib
import io
import platform
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from pixels import draw_batch, make_learner, our_plan, wake

from spectral_jepa._streams import torch_generator
from spectral_jepa.pixels.config import ModelConfig
from spectral_jepa.pixels.model.world_model import WorldModel
from spectral_jepa.pixels.planning.latent import latent_cost
from spectral_jepa.pixels.presets import preset

SMALL_VIT = ModelConfig(
    encoder="vit", image_size=64, patch_size=8, encoder_width=96, encoder_depth=4, encoder_heads=3, embedding_dim=64,
    projector_width=256, predictor_width=64, predictor_depth=2, predictor_heads=4, predictor_head_dim=32,
    predictor_hidden=256,
)  # fmt: skip
# Shape, clips a step, episodes planned, iterations of CEM, repetitions.
CASES = {"small ViT, 64 px": (SMALL_VIT, 32, 2, 10, 5), "published, 224 px": (ModelConfig(), 2, 2, 2, 3)}


def load_parts(wheel):
    """Their modules of the model, the loss and the solver, without running the package's own ``__init__``."""
    for name in ("", ".wm", ".wm.lewm", ".solver"):
        package = ModuleType(f"stable_worldmodel{name}")
        package.__path__ = [str(Path(wheel, "stable_worldmodel", *name.split(".")[1:]))]
        sys.modules[package.__name__] = package
    names = {"lewm": "wm.lewm.lewm", "module": "wm.lewm.module", "loss": "wm.loss", "cem": "solver.cem"}
    return SimpleNamespace(**{key: importlib.import_module(f"stable_worldmodel.{name}") for key, name in names.items()})


def their_model(parts, c):
    from transformers import ViTConfig, ViTModel

    vit = ViTConfig(
        hidden_size=c.encoder_width, num_hidden_layers=c.encoder_depth, num_attention_heads=c.encoder_heads,
        intermediate_size=4 * c.encoder_width, image_size=c.image_size, patch_size=c.patch_size, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0, layer_norm_eps=1e-12, attn_implementation="sdpa",
    )  # fmt: skip
    m, dim = parts.module, c.embedding_dim
    predictor = m.Predictor(
        num_frames=c.history, depth=c.predictor_depth, heads=c.predictor_heads, mlp_dim=c.predictor_hidden, input_dim=dim,
        hidden_dim=c.predictor_width, output_dim=dim, dim_head=c.predictor_head_dim, dropout=c.dropout,
    )  # fmt: skip
    norm = torch.nn.BatchNorm1d
    return parts.lewm.LeWM(
        encoder=ViTModel(vit, add_pooling_layer=False),
        predictor=predictor,
        action_encoder=m.Embedder(input_dim=c.action_block * c.action_dim, emb_dim=dim),
        projector=m.MLP(c.encoder_width, c.projector_width, dim, norm_fn=norm),
        pred_proj=m.MLP(dim, c.projector_width, dim, norm_fn=norm),
    )


# Ours -> theirs, part by part; what is not here has the same last word in the same order.
ENCODER = {
    "class_token": ("cls_token",), "position": ("position_embeddings",), "patches": ("patch_embeddings.projection",),
    "attention_norm": ("layernorm_before",), "attention.query": ("attention.query", "q_proj"),
    "attention.key": ("attention.key", "k_proj"), "attention.value": ("attention.value", "v_proj"),
    "attention.output": ("attention.output.dense", "o_proj"), "hidden_norm": ("layernorm_after",),
    "hidden": ("intermediate.dense", "fc1"), "output": ("output.dense", "fc2"), "norm": ("layernorm",),
}  # fmt: skip


def their_encoder_name(name, known):
    """The entry of transformers' ViT (of any release) that does what an entry of our encoder does."""
    layer, kind = "", ""
    if name.startswith("blocks."):
        _, layer, name = name.split(".", 2)
    if name.rpartition(".")[2] in ("weight", "bias"):
        name, _, kind = name.rpartition(".")
    found = [
        entry
        for entry in known
        if any(entry.removesuffix("." + kind).endswith(end) for end in ENCODER[name])
        and (not kind or entry.endswith("." + kind))
        and (f".{layer}." in entry if layer else not any(part.isdigit() for part in entry.split(".")))
        # Of the two outputs of a layer one belongs to the attention.
        and (name != "output" or "attention" not in entry)
    ]
    if len(found) != 1:
        raise RuntimeError(
            f"{name} of layer {layer or '-'} has {found} for counterparts, expected one: another transformers?"
        )
    return found[0]


def copy_weights(ours, theirs):
    """Give theirs the weights of ours; the predictors' parts hold the same tensors in almost the same order."""
    target = theirs.encoder.state_dict()
    for name, value in ours.encoder.state_dict().items():
        target[their_encoder_name(name, target)].copy_(value)
    pairs = [
        (ours.projector, theirs.projector),
        (ours.predictor, theirs.predictor),
        (ours.predictor_projector, theirs.pred_proj),
        (ours.action_encoder, theirs.action_encoder),
    ]
    for mine, other in pairs:
        sources, targets = list(mine.state_dict().items()), dict(other.state_dict())
        # Theirs lists the final norm before the layers.
        last = [name for name in targets if name.startswith("transformer.norm.")]
        order = [name for name in targets if name not in last] + last
        for (name, value), their_name in zip(sources, order, strict=True):
            if value.shape != targets[their_name].shape:
                raise RuntimeError(f"{name} {tuple(value.shape)} against {their_name} {tuple(targets[their_name].shape)}")
            targets[their_name].copy_(value)


def normalized(frames, dtype):
    """Bytes (B, T, S, S, 3) to floats (B, T, 3, S, S), as their loader hands them over."""
    mean, std = (torch.tensor(x, dtype=dtype).view(3, 1, 1) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return ((frames.movedim(-1, -3).to(dtype) / 255 - mean) / std).contiguous()


def their_errors(model, pictures, blocks):
    """Embeddings (B, T, D) and the prediction error, from their parts."""
    info = model.encode({"pixels": pictures, "action": blocks})
    latents = info["emb"]
    predicted = model.predict(latents[:, :-1], info["act_emb"][:, :-1])
    return latents, (predicted - latents[:, 1:]).square().mean()


def their_info(pictures, block_dim):
    """What their solver is given: (E, 2, 3, S, S) starts and goals, and an action that nothing reads."""
    return {"pixels": pictures[:, :1], "goal": pictures[:, 1:], "action": torch.zeros(len(pictures), 1, block_dim)}


def check(parts, c):
    """In float64: the prediction error of a batch in training mode, and the costs of the same plans."""
    c = replace(c, dropout=0.0)
    ours, theirs = wake(WorldModel(c)).double(), their_model(parts, c)
    theirs = theirs.double()
    copy_weights(ours, theirs)
    # Their action encoder turns its input to float32.
    theirs.action_encoder.float()
    frames, blocks = draw_batch(c, 2, c.history + 1, "cpu")
    latents = ours.encode(frames)
    error = (ours.predict(latents[:, :-1], blocks[:, :-1].double()) - latents[:, 1:]).square().mean()
    encode = theirs.action_encoder.forward
    theirs.action_encoder.forward = lambda actions: encode(actions).double()
    _, their_error = their_errors(theirs, normalized(frames, torch.float64), blocks)
    torch.testing.assert_close(their_error, error, rtol=1e-5, atol=0)
    ours.eval(), theirs.eval()
    plans = torch.randn(2, 7, 5, c.action_block * c.action_dim, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        latents = ours.encode(frames[:, :2])
        costs = latent_cost(ours, latents[:, 0], latents[:, 1])(plans.double())
        # Their cost takes one episode at a time, as their solver asks by default: with two, its shapes do not fit.
        pictures, their_costs = normalized(frames[:, :2], torch.float64), []
        for episode in range(2):
            info = their_info(pictures[episode, None], plans.shape[-1])
            info = {name: value[:, None].expand(-1, 7, *value.shape[1:]) for name, value in info.items()}
            their_costs.append(theirs.get_cost(info, plans[episode, None]))
        their_costs = torch.cat(their_costs)
    torch.testing.assert_close(their_costs, costs, rtol=1e-4, atol=0)
    if not float(costs.std()) > 1e-3 * float(costs.mean()):
        raise RuntimeError("all plans cost the same, so nothing was compared")


def take_turns(contenders, repetitions):
    """Seconds of processor and of clock, each a list, after one round that does not count."""
    seconds = {name: ([], []) for name in contenders}
    for turn in range(repetitions + 1):
        for name, run in contenders.items():
            cpu, wall = time.process_time(), time.perf_counter()
            run()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            if turn:
                seconds[name][0].append(cpu)
                seconds[name][1].append(wall)
    return seconds


def rows_of(what, shape, seconds):
    best = {name: min(cpu) for name, (cpu, _) in seconds.items()}
    return [
        {
            "what": what,
            "shape": shape,
            "who": name,
            "cpu_ms_best": round(1e3 * min(cpu), 1),
            "cpu_ms_median": round(1e3 * statistics.median(cpu), 1),
            "wall_ms_best": round(1e3 * min(wall), 1),
            "theirs_over_this": round(best["stable-worldmodel"] / best[name], 3),
        }
        for name, (cpu, wall) in seconds.items()
    ]


def time_training(parts, shape, c, n_clips, repetitions):
    config = replace(preset("small"), model=c)
    frames, blocks = draw_batch(c, n_clips, c.history + 1, "cpu")
    learner = make_learner(config, "cpu")
    theirs = their_model(parts, c).train()
    copy_weights(learner.model, theirs)
    o, pictures = config.objective, normalized(frames, torch.float32)
    sigreg = parts.loss.SIGReg(knots=o.n_knots, num_proj=o.n_slices)
    optimizer = torch.optim.AdamW(theirs.parameters(), lr=1e-6, weight_decay=config.training.weight_decay)

    def their_step():
        optimizer.zero_grad()
        latents, error = their_errors(theirs, pictures, blocks)
        (error + o.strength * sigreg(latents.transpose(0, 1))).backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), config.training.clip_norm)
        optimizer.step()

    contenders = {"stable-worldmodel": their_step, "ours": lambda: learner.update(0, frames, blocks)}
    return rows_of(f"training step, {n_clips} clips", shape, take_turns(contenders, repetitions))


def time_planning(parts, shape, c, n_episodes, n_iterations, repetitions):
    from gymnasium.spaces import Box

    p = replace(preset("small").planning, n_iterations=n_iterations)
    ours, theirs = wake(WorldModel(c)).eval(), their_model(parts, c).eval()
    copy_weights(ours, theirs)
    frames, _ = draw_batch(c, n_episodes, 2, "cpu")
    info = their_info(normalized(frames, torch.float32), ours.block_dim)
    space = Box(-np.inf, np.inf, (n_episodes, c.action_dim))

    solver = parts.cem.CEMSolver(
        theirs, batch_size=1, num_samples=p.n_samples, n_steps=n_iterations, topk=p.n_elites, seed=0
    )
    asked = SimpleNamespace(horizon=p.horizon, action_block=c.action_block)
    solver.configure(action_space=space, n_envs=n_episodes, config=asked)

    def their_plans():
        with contextlib.redirect_stdout(io.StringIO()):
            solver(dict(info))

    contenders = {
        "stable-worldmodel": their_plans,
        "ours": lambda: our_plan(ours, p, frames, [torch_generator(0, e) for e in range(n_episodes)]),
    }
    what = f"{n_episodes} plans of {p.n_samples} samples x {n_iterations} iterations x {p.horizon} blocks"
    return rows_of(what, shape, take_turns(contenders, repetitions))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", help="folder of the unpacked wheel")
    parser.add_argument("--site", help="site-packages with what their modules import")
    parser.add_argument("--out", help="CSV to write")
    parser.add_argument("--only", choices=[name.partition(",")[0] for name in CASES], help="one of the two shapes")
    parser.add_argument("--repetitions", type=int, help="instead of 5 and 3")
    given = parser.parse_args()
    if given.site:
        sys.path.append(given.site)
    torch.set_num_threads(1)
    parts, rows = load_parts(given.wheel), []
    import transformers

    here = {
        "stable_worldmodel": next(Path(given.wheel).glob("*.dist-info")).name.split("-")[1].removesuffix(".dist"),
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "threads": 1,
    }
    for shape, (c, n_clips, n_episodes, n_iterations, repetitions) in CASES.items():
        if given.only and not shape.startswith(given.only):
            continue
        repetitions = given.repetitions or repetitions
        check(parts, c)
        print(f"{shape}: prediction error and costs of plans agree in float64", flush=True)
        for measure, sizes in ((time_training, (n_clips,)), (time_planning, (n_episodes, n_iterations))):
            measured = measure(parts, shape, c, *sizes, repetitions)
            rows += [row | here for row in measured]
            for row in measured:
                print("  ".join(str(value) for value in row.values()), flush=True)
            if given.out:
                with open(given.out, "w", newline="") as file:
                    writer = csv.DictWriter(file, list(rows[0]))
                    writer.writeheader()
                    writer.writerows(rows)


if __name__ == "__main__":
    main()
