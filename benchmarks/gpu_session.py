"""Parts of benchmarks/gpu_session.sh: what twelve minutes of one GPU settle, and the commands that take hours.

Run: bash benchmarks/gpu_session.sh            all short parts, on a GPU, resumed where they were stopped
     python benchmarks/gpu_session.py tokens   one of them
     python benchmarks/gpu_session.py --rehearse --device cpu correctness   the same at tiny sizes
     python benchmarks/gpu_session.py --list   every part and what it answers; long parts with their commands

A part writes OUT/PART.json: its configuration (commit, versions, device, settings), its rows, whether it is finished, its
seconds. A finished part is skipped, an unfinished one goes on with the rows that are missing. A row that fails says so
under "error" and does not stop the others.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

sys.path.insert(0, str(Path(__file__).parent))
import jepa as tabular_benchmark
import pixels as pixel_benchmark

import spectral_jepa as sj
from spectral_jepa import losses
from spectral_jepa._files import write_atomic
from spectral_jepa._streams import torch_generator
from spectral_jepa.jepa import JepaConfig, Run, train_jepa
from spectral_jepa.pixels.config import ModelConfig
from spectral_jepa.pixels.data.collect import collect_drawn
from spectral_jepa.pixels.data.windows import WindowSampler
from spectral_jepa.pixels.environments import environment_class
from spectral_jepa.pixels.evaluation.evaluate import evaluate
from spectral_jepa.pixels.evaluation.manifest import make_manifest
from spectral_jepa.pixels.model.patch_tokens import PATCH_TOKENS
from spectral_jepa.pixels.model.saved import load_model
from spectral_jepa.pixels.model.world_model import WorldModel
from spectral_jepa.pixels.planning.latent import plan
from spectral_jepa.pixels.planning.policies import PlannerPolicy, RandomPolicy
from spectral_jepa.pixels.presets import preset
from spectral_jepa.pixels.training.learner import Learner
from spectral_jepa.pixels.training.loop import train
from spectral_jepa.pixels.training.parallel import Worker
from spectral_jepa.success_rates import wilson_interval

TOTAL = 720  # seconds of the whole session
RESERVE = 75  # of them, for collecting, compiling and judging Two-Room
SHARE = 0.85  # of the time left that the length of the training is planned for
TINY_VIT = ModelConfig(image_size=28, encoder_width=12, encoder_depth=1, encoder_heads=3, predictor_depth=1)


class Table:
    """Rows of a part, on disk after each of them."""

    def __init__(self, part, given, settings):
        self.path = Path(given.out) / f"{part}.json"
        self.content = {"part": part, "finished": False, "seconds": 0.0, "configuration": {}, "rows": []}
        here = configuration(given, settings)
        if self.path.is_file():
            saved = json.loads(self.path.read_text())
            same = ("device", "rehearsal", "commit", "settings")
            if all(saved["configuration"].get(name) == here[name] for name in same):
                self.content = saved
        self.content["configuration"] = here
        self.began = time.perf_counter()
        self.before = self.content["seconds"]

    @property
    def finished(self):
        return self.content["finished"]

    def add(self, key, measure):
        """Measure a row unless it is there; ``key`` is its first columns."""
        if any(all(row.get(name) == value for name, value in key.items()) for row in self.content["rows"]):
            return
        try:
            found = measure()
        except Exception as error:  # the others are worth having
            found = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
        self.content["rows"].append(key | found)
        print("  ".join(f"{name} {show(value)}" for name, value in self.content["rows"][-1].items()), flush=True)
        self.save()

    def save(self, finished=False):
        self.content["finished"] = finished
        self.content["seconds"] = self.before + time.perf_counter() - self.began
        write_atomic(self.path, (json.dumps(self.content, indent=1) + "\n").encode())


def show(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def configuration(given, settings):
    """What a table must say beside its numbers."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True)
    on_gpu = given.device == "cuda"
    return {
        "commit": commit.stdout.strip() or "unknown",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "cuda": torch.version.cuda,
        "device": torch.cuda.get_device_name() if on_gpu else f"cpu ({platform.machine()})",
        "threads": torch.get_num_threads(),
        "rehearsal": given.rehearse,
        "bf16 peak [FLOP/s]": pixel_benchmark.PEAK if on_gpu else None,
        "settings": settings,
    }


def paper(given):
    return preset("tiny" if given.rehearse else "paper")


# --- correctness: what a GPU computes is what a CPU computes


def correctness(given):
    """CPU = GPU: losses and gradients of a training step, SIGReg, plans, drawn frames, tabular batches; float64, float32."""
    config = paper(given)
    config = replace(config, model=replace(config.model, dropout=0.0))
    table = Table("correctness", given, {"model": asdict(config.model), "clips": 4})
    if table.finished:
        return
    # Errors are shares of the largest entry of a tensor. Products on a GPU add in another order, over up to 2048 terms.
    limits = {"float64": 1e-8, "float32": 2e-3}
    # A GPU's convolutions round float32 to 10 bits unless told not to.
    torch.backends.cudnn.allow_tf32 = False
    for precision, limit in limits.items():
        check = judge(limit)
        table.add(
            {"check": "training step", "precision": precision}, lambda p=precision, c=check: c(step_error(config, given, p))
        )
        table.add({"check": "SIGReg", "precision": precision}, lambda p=precision, c=check: c(sigreg_error(given, p)))
    # A float32 error may swap two candidates at the border of the elites, so plans are compared in float64.
    table.add({"check": "plans", "precision": "float64"}, lambda: judge(1e-6)(plan_error(config, given)))
    table.add({"check": "drawn frames", "precision": "uint8"}, lambda: judge(1 / 255)(picture_error(config, given)))
    for precision, limit in {"float64": 1e-9, "float32": 1e-3}.items():
        table.add(
            {"check": "tabular batch", "precision": precision},
            lambda p=precision, m=limit: judge(m)(tabular_error(given, p)),
        )
    torch.backends.cudnn.allow_tf32 = True
    table.save(finished=True)


def judge(limit):
    return lambda error: {"error of scale": error, "limit": limit, "met": bool(error <= limit)}


def to_scale(mine, other):
    """Largest difference as a share of the largest entry; a tensor of zeros must be met exactly."""
    mine, other = mine.detach().double().cpu(), other.detach().double().cpu()
    scale = float(other.abs().max())
    difference = float((mine - other).abs().max())
    return difference / scale if scale else difference


def step_error(config, given, precision):
    """Worst of loss, its parts, gradient norm and all gradients, in one training step on the same batch and directions."""
    found = []
    for device in ("cpu", given.device):
        learner = pixel_benchmark.make_learner(config, device, precision=precision)
        learner.generator = torch.Generator()  # directions are drawn on the CPU for both
        frames, blocks = pixel_benchmark.draw_batch(config.model, 4, config.model.history + 1, device)
        parts = learner.update(0, frames, blocks)
        found.append((parts, dict(learner.model.named_parameters())))
    (theirs, their_weights), (mine, my_weights) = found
    norm = float(theirs["gradient_norm"])
    if not norm > 0:
        raise RuntimeError("the gradient is zero, so nothing was compared")
    errors = [to_scale(mine[name], theirs[name]) for name in theirs]
    # A gradient that rounding makes (a bias before BatchNorm) has no scale of its own.
    least = 1e-3 * norm
    for name, weight in their_weights.items():
        difference = (my_weights[name].grad.detach().cpu().double() - weight.grad.double()).abs().max()
        errors.append(float(difference) / max(float(weight.grad.abs().max()), least))
    return max(errors)


def sigreg_error(given, precision):
    dtype = getattr(torch, precision)
    values = torch.randn(4, 128, 192, generator=torch.Generator().manual_seed(0), dtype=dtype)
    directions = losses.random_directions(192, 1024, generator=torch.Generator().manual_seed(1)).to(dtype)
    found = []
    for device in ("cpu", given.device):
        inputs = values.to(device).requires_grad_()
        value = losses.sigreg(inputs, directions.to(device)).mean()
        value.backward()
        found.append((value, inputs.grad))
    return max(to_scale(mine, theirs) for theirs, mine in zip(*found, strict=True))


def plan_error(config, given):
    few = replace(config.planning, n_samples=50, n_elites=10, n_iterations=4, precision="float32")
    found = []
    for device in ("cpu", given.device):
        model = pixel_benchmark.wake(WorldModel(config.model)).to(device).double().eval()
        frames, _ = pixel_benchmark.draw_batch(config.model, 2, 2, device)
        found.append(pixel_benchmark.our_plan(model, few, frames, [torch_generator(0, e) for e in range(2)]))
    if not float((found[0][0] - found[0][1]).abs().max()) > 0.1:
        raise RuntimeError("two episodes got the same plan, so nothing was compared")
    return to_scale(found[1], found[0])


def picture_error(config, given):
    """Largest difference of a byte, of 255."""
    states = torch.rand(64, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 180 + 22
    world, size = environment_class("two_room"), config.model.image_size
    theirs, mine = (world.draw_states(states.to(device), size).cpu().int() for device in ("cpu", given.device))
    return float((mine - theirs).abs().max()) / 255


def tabular_error(given, precision):
    exact = sj.CoOccurrence.exact(sj.make_block(n_states=24, n_blocks=5, n_actions=2, seed=0))
    runs = [Run(dim=8, seed=seed, strength=0.5) for seed in range(4 if given.rehearse else 64)]
    config = JepaConfig(regularizer="sigreg", n_steps=20, record_every=1000)
    dtype = getattr(torch, precision)
    tables = [train_jepa(exact, runs, config, device=d, dtype=dtype).table["loss"].to_numpy() for d in ("cpu", given.device)]
    return float(np.abs(tables[1] - tables[0]).max() / np.abs(tables[0]).max())


# --- training: steps a second and share of peak


def training(given):
    """Training steps a second and share of the bf16 peak of the paper's model, eager and compiled, bf16 and float32."""
    config = paper(given)
    n_clips = config.training.batch_size
    table = Table("training", given, {"model": asdict(config.model), "clips": n_clips})
    if table.finished:
        return
    flops = pixel_benchmark.step_flops(config) * n_clips
    for precision in ("bf16", "float32"):
        for compiled in (False, True):
            if compiled and given.rehearse:
                continue  # two minutes on a CPU
            table.add(
                {"precision": precision, "compiled": compiled},
                lambda p=precision, c=compiled: time_steps(config, given, n_clips, flops, p, c),
            )
    if given.device == "cuda":
        table.add({"precision": "bf16", "compiled": "one product of 8192"}, product_rate)
    table.save(finished=True)


def time_steps(config, given, n_clips, flops, precision, compiled):
    learner = pixel_benchmark.make_learner(config, given.device, precision=precision, compile=compiled)
    frames, blocks = pixel_benchmark.draw_batch(config.model, n_clips, config.model.history + 1, given.device)
    began = time.perf_counter()
    learner.update(0, frames, blocks)
    synchronize(given)
    first = time.perf_counter() - began
    n_steps = 2 if given.rehearse else 20

    def run():
        for _ in range(n_steps):
            learner.update(0, frames, blocks)

    seconds = pixel_benchmark.best({"steps": run}, given.device, 2)["steps"] / n_steps
    row = {"ms a step": 1e3 * seconds, "steps/s": 1 / seconds, "clips/s": n_clips / seconds}
    row |= {"TFLOP/s": flops / seconds / 1e12, "first step [s]": first}
    if given.device == "cuda":
        row |= {"share of bf16 peak": flops / seconds / pixel_benchmark.PEAK}
        row |= {"memory [GB]": torch.cuda.max_memory_allocated() / 1e9}
        torch.cuda.reset_peak_memory_stats()
        torch.cuda.empty_cache()
    return row


def product_rate():
    """TFLOP/s of a large bf16 product: what this very card reaches."""
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    seconds = pixel_benchmark.best({"product": lambda: a @ b}, "cuda", 10)["product"]
    rate = 2 * 8192**3 / seconds
    return {"ms a step": 1e3 * seconds, "TFLOP/s": rate / 1e12, "share of bf16 peak": rate / pixel_benchmark.PEAK}


def synchronize(given):
    if given.device == "cuda":
        torch.cuda.synchronize()


# --- tokens: latency of a plan


def tokens(given):
    """Latency of a published plan (300 x 30 x 5): LeWM-shaped, DINO-WM-shaped (published: 48 times), and many together."""
    config = paper(given)
    table = Table("tokens", given, {"planning": asdict(config.planning), "model": asdict(config.model)})
    if table.finished:
        return
    if "one plan" not in {row["what"] for row in table.content["rows"]}:
        shapes = (TINY_VIT, replace(TINY_VIT, encoder_width=24)) if given.rehearse else (None, PATCH_TOKENS)
        for row in pixel_benchmark.time_tokens(given.device, given.rehearse, *shapes):
            table.add({"what": "one plan", "model": row.pop("model")}, lambda row=row: row)
    for n_episodes in (1, 4) if given.rehearse else (1, 64):
        for precision in ("float32", "bf16"):
            table.add(
                {"what": "plans together", "episodes": n_episodes, "precision": precision},
                lambda n=n_episodes, p=precision: time_plans(config, given, n, p),
            )
    table.save(finished=True)


def time_plans(config, given, n_episodes, precision):
    p = replace(config.planning, precision=precision)
    model = pixel_benchmark.wake(WorldModel(config.model)).to(given.device).eval()
    frames, _ = pixel_benchmark.draw_batch(config.model, n_episodes, 2, given.device)
    with torch.inference_mode():
        latents = model.encode(frames)
    generators = [torch_generator(0, e) for e in range(n_episodes)]
    run = {"plan": lambda: plan(model, p, latents[:, 0], latents[:, 1], generators)}
    seconds = pixel_benchmark.best(run, given.device, 2)["plan"]
    return {"seconds": seconds, "ms a plan": 1e3 * seconds / n_episodes}


# --- tabular: hundreds of small models as one batch


def tabular(given):
    """Throughput of tabular JEPAs trained as one batch, models x steps a second, GPU against CPU."""
    sizes = (4,) if given.rehearse else (256, 4096)
    table = Table("tabular", given, {"steps": tabular_benchmark.STEPS, "dim": 8, "precision": "float64"})
    if table.finished:
        return
    worlds = {"block, 24 states": sj.make_block(n_states=24, n_blocks=5, n_actions=2, seed=0)}
    if not given.rehearse:
        worlds["garnet, 200 states"] = sj.make_garnet(200, 3, branching=5, seed=0)
    for world, mdp in worlds.items():
        for device in dict.fromkeys((given.device, "cpu")):
            for n_runs in sizes if device == "cuda" else sizes[:1]:
                key = {"world": world, "regulariser": "sigreg", "device": device, "models": n_runs}
                table.add(key, lambda m=mdp, d=device, n=n_runs: time_tables(m, d, n))
    table.save(finished=True)


def time_tables(mdp, device, n_runs):
    found = tabular_benchmark.time_batch(mdp, "sigreg", device, n_runs=n_runs, singles=0)
    seconds = found["together"]
    return {"seconds": seconds, "models x steps/s": n_runs * tabular_benchmark.STEPS / seconds}


# --- two_room: the paper's model trained in the minutes that are left


def two_room(given):
    """Two-Room at the paper's size from frames drawn on the GPU, for the minutes left; success on 200 held-out pairs."""
    config = paper(given)
    table = Table("two_room", given, {"config": config.to_dict()})
    if table.finished:
        return
    # Weights are too large to be brought back: the run lies beside the tables, which are small.
    folder = Path(given.run)
    dataset = collect_drawn(config.data)
    length = folder / "length.json"
    if not length.is_file():
        seconds = given.seconds if given.seconds is not None else max(30.0, TOTAL - RESERVE - spent(given))
        rate = measure_rate(config, dataset, given)
        n_steps = max(2 if given.rehearse else 200, int(SHARE * seconds * rate))
        if given.rehearse:
            n_steps = min(n_steps, config.training.n_steps)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(length, json.dumps({"n_steps": n_steps, "seconds": seconds, "steps/s": rate}).encode())
    planned = json.loads(length.read_text())
    compiled = given.device == "cuda"
    # A kill loses at most half a minute.
    often = max(10, int(20 * planned["steps/s"]))
    config = replace(
        config,
        training=replace(
            config.training, n_steps=planned["n_steps"], compile=compiled, checkpoint_every=often, log_every=often
        ),
    )
    began = time.perf_counter()
    run = train(config, dataset, folder / "run", device=given.device)
    table.add(
        {"what": "training"}, lambda: planned | {"step": run.step, "seconds in this call": time.perf_counter() - began}
    )
    write_atomic(Path(given.out) / "two_room_log.csv", (folder / "run" / "log.csv").read_bytes())
    world = environment_class("two_room")(config.model.image_size)
    model, _, scaler = load_model(folder / "run", given.device)
    e = config.evaluation
    pairs = make_manifest(dataset, dataset.split()["test"], world, n_pairs=e.n_pairs, goal_offset=e.goal_offset, seed=e.seed)
    policies = [PlannerPolicy(model, scaler, config.planning), RandomPolicy(world)]
    rows = pd.concat([evaluate(policy, pairs, dataset, world, e, folder=folder / "pairs") for policy in policies])
    rows.to_csv(Path(given.out) / "two_room_pairs.csv", index=False)
    for policy in policies:
        table.add(
            {"what": "success", "policy": policy.name, "goal_offset": e.goal_offset, "pairs": e.n_pairs},
            lambda policy=policy: success(rows[rows["policy"] == policy.name]),
        )
    table.save(finished=True)


def success(found):
    low, high = wilson_interval(int(found["success"].sum()), len(found))
    return {"success": float(found["success"].mean()), "low": float(low), "high": float(high)}


def measure_rate(config, dataset, given):
    """Steps a second with drawn frames, compiled as the run will be; leaves the compiled code in torch's cache."""
    training = replace(config.training, compile=given.device == "cuda")
    learner = Learner(replace(config, training=training), 1000, Worker(0, 1, torch.device(given.device)))
    sampler = WindowSampler(
        dataset, dataset.split()["train"], config.model.history + 1, config.model.action_block, training.batch_size,
        device=given.device, resident=True,
    )  # fmt: skip
    n_steps = 2 if given.rehearse else 20
    run = {"steps": lambda: [learner.update(0, *sampler.batch()) for _ in range(n_steps)]}
    return n_steps / pixel_benchmark.best(run, given.device, 2)["steps"]


def spent(given):
    """Seconds that the other parts took, by their tables."""
    files = [Path(given.out) / f"{part}.json" for part in PARTS if part != "two_room"]
    return sum(json.loads(file.read_text())["seconds"] for file in files if file.is_file())


PARTS = {"correctness": correctness, "training": training, "tokens": tokens, "tabular": tabular, "two_room": two_room}


# --- Long parts: hours each, so not in the twelve minutes; the lines that would fill the rest of "not run".

OTHERS = ("push_t", "reacher", "cube")


def collect(environment):
    return ["pixels", "collect", "--environment", environment, "--preset", "paper"]


def train_and_judge(environment, name, *more):
    """Train a run, which is called ``name``, and judge it."""
    train_it = ["pixels", "train", "--environment", environment, "--preset", "paper", *more]
    return [train_it, look_at("evaluate", environment, name)]


def look_at(verb, environment, name, *more):
    return ["pixels", verb, f"results/pixels/{environment}-paper/{name}", *more]


def sub_jepa(environment, k, *kind):
    """K subspaces, orthogonal unless another kind is given."""
    name = f"subspace_sigreg_{kind[0] if kind else 'orthogonal'}_{k}-0"
    more = ("--subspace-kind", *kind) if kind else ()
    return train_and_judge(environment, name, "--regularizer", "subspace_sigreg", "--n-subspaces", str(k), *more)


def ablated(name, value):
    """LeWM on Push-T with one setting changed."""
    run = f"{name.partition('.')[2]}-{value}"
    folder = ("--folder", f"results/pixels/push_t-paper/{run}")
    return train_and_judge("push_t", run, "--set", name, value, *folder)


def long_parts():
    """Name -> (what it answers, commands of spectral-jepa); the parts below the first three want the runs of full_size."""
    published = {"two_room": 32, "push_t": 16, "reacher": 32, "cube": 32}
    changes = [
        ("model.predictor_depth", "2"), ("model.predictor_hidden", "512"), ("model.encoder", "resnet18"),
        ("model.dropout", "0.0"), ("objective.strength", "0.01"), ("objective.strength", "0.5"),
        ("model.embedding_dim", "64"),
    ]  # fmt: skip
    parts = {
        "full_size": ("planning of LeWM", [[collect(e), *train_and_judge(e, "sigreg-0")] for e in OTHERS]),
        "sub_jepa": ("planning of Sub-JEPA", [[collect(e), *sub_jepa(e, k)] for e, k in published.items()]),
        "subspace_kinds": (
            "kinds of projections",
            [[collect(e), *sub_jepa(e, k, "random"), *sub_jepa(e, k, "trainable")] for e, k in published.items()],
        ),
        "subspace_counts": ("number of subspaces on Push-T", [sub_jepa("push_t", k) for k in (2, 4, 8, 16, 32)]),
        "baselines": (
            "PLDM's terms and cloning",
            [train_and_judge(e, "pldm-0", "--regularizer", "pldm") for e in OTHERS]
            + [train_and_judge(e, "cloning-0", "--kind", "cloning") for e in OTHERS],
        ),
        "ablations": ("ablations on Push-T", [ablated(*change) for change in changes]),
        "probes": ("probes of physical quantities", [[look_at("probe", e, "sigreg-0") for e in ("push_t", "cube")]]),
        "surprise": ("violation of expectation", [[look_at("surprise", e, "sigreg-0") for e in ("push_t", "cube")]]),
        "solvers": (
            "planners on Push-T",
            [[look_at("evaluate", "push_t", "sigreg-0", "--set", "planning.method", m) for m in ("cem", "adam", "mppi")]],
        ),
    }
    return {name: (what, [command for group in groups for command in group]) for name, (what, groups) in parts.items()}


def run_long(name):
    for arguments in long_parts()[name][1]:
        print("spectral-jepa", *arguments, flush=True)
        subprocess.run([sys.executable, "-m", "spectral_jepa", *arguments], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="see --list; default: all short ones")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=("cpu", "cuda"))
    parser.add_argument("--out", default="results/gpu", help="folder of the tables")
    parser.add_argument("--run", default="results/gpu_run", help="folder of what is too large to be brought back")
    parser.add_argument("--seconds", type=float, help="of Two-Room's training; default: what is left of twelve minutes")
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes, to see on a CPU that all parts work")
    parser.add_argument("--list", action="store_true", help="name all parts and what they answer")
    given = parser.parse_args()
    if given.list:
        for name, part in PARTS.items():
            print(f"{name}: {part.__doc__}")
        for name, (what, commands) in long_parts().items():
            print(f"{name} (hours): {what}", *("  spectral-jepa " + " ".join(c) for c in commands), sep="\n")
        return
    unknown = sorted(set(given.parts) - {*PARTS, *long_parts()})
    if unknown:
        parser.error(f"{unknown[0]} is no part, expected one of {', '.join((*PARTS, *long_parts()))}")
    Path(given.out).mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("TQDM_MININTERVAL", "10")
    for name in given.parts or PARTS:
        if name not in PARTS:
            run_long(name)
            continue
        print(f"--- {name}: {PARTS[name].__doc__}", flush=True)
        PARTS[name](given)


if __name__ == "__main__":
    main()
