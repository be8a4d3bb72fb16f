"""Pixel world model: our training step and our plan against a plain one of the published structure; LeWM against DINO-WM.

Run: python benchmarks/pixels.py [--preset paper] [--device cuda] [--quick] [--compile]

The plain model below is written from the published description with torch modules only: pictures converted in the step and
laid out channel by channel, as a loader stacks them; SIGReg with its whole (samples, slices, knots) table; the optimiser as
torch gives it; one episode planned at a time, start and goal encoded again at every iteration, actions encoded again and the
predictor run on its whole context at every step. Attention is torch's fused one in both.

Before anything is timed, both get the same weights and must agree in float64: losses, all gradients, and plans. Contenders
take turns and the best time counts, as other work on the machine only ever adds time. "products" are the floating-point
operations in products and convolutions, counted from shapes: where a device does nothing but these, their ratio is the
limit of what leaving some out can gain.
"""

import argparse
import time
from dataclasses import replace

import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from spectral_jepa._streams import stream_seed, torch_generator
from spectral_jepa.losses import random_directions
from spectral_jepa.pixels.config import ModelConfig, PlanningConfig
from spectral_jepa.pixels.model.patch_tokens import PATCH_TOKENS, PatchTokenPredictor
from spectral_jepa.pixels.model.world_model import WorldModel
from spectral_jepa.pixels.planning.compiled import CompiledRollout
from spectral_jepa.pixels.planning.latent import plan
from spectral_jepa.pixels.presets import preset
from spectral_jepa.pixels.training.learner import SLICES, Learner
from spectral_jepa.pixels.training.parallel import Worker

PEAK = 989e12  # bf16 FLOP/s without sparsity of an H100 or H200 (SXM)
# Clips a step, episodes planned, iterations of a plan, repetitions; less where a CPU would take minutes.
SIZES = {
    ("small", "cpu"): (128, 8, 10, 5),
    ("paper", "cpu"): (2, 2, 2, 2),
    ("small", "cuda"): (128, 32, 10, 5),
    ("paper", "cuda"): (128, 16, 30, 3),
}


class PlainVit(nn.Module):
    def __init__(self, c):
        super().__init__()
        width = c.encoder_width
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(torch.zeros(1, (c.image_size // c.patch_size) ** 2 + 1, width))
        self.patches = nn.Conv2d(3, width, c.patch_size, c.patch_size)
        self.layers = nn.ModuleList(PlainVitLayer(width, c.encoder_heads) for _ in range(c.encoder_depth))
        self.norm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, pictures):
        x = self.patches(pictures).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_token.expand(len(x), -1, -1), x], 1) + self.position
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)[:, 0]


class PlainVitLayer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm_1 = nn.LayerNorm(width, eps=1e-12)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.norm_2 = nn.LayerNorm(width, eps=1e-12)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x):
        y = self.norm_1(x)
        q, k, v = (f(y).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f in (self.query, self.key, self.value))
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm_2(x))


class PlainConv(nn.Module):
    """The small preset's encoder; the published model has none."""

    def __init__(self, c):
        super().__init__()
        width, layers, side, inputs = c.encoder_width, [], c.image_size, 3
        while side > 4:
            outputs = {0: width // 2, 2: width}.get(len(layers), 2 * width)
            layers += [nn.Conv2d(inputs, outputs, 3, 2, 1), nn.GELU()]
            inputs, side = outputs, side // 2
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(inputs * side**2, 4 * width))

    def forward(self, pictures):
        return self.layers(pictures)


class PlainAttention(nn.Module):
    def __init__(self, c):
        super().__init__()
        inner = c.predictor_heads * c.predictor_head_dim
        self.heads, self.dropout = c.predictor_heads, c.dropout
        self.norm = nn.LayerNorm(c.predictor_width)
        self.qkv = nn.Linear(c.predictor_width, 3 * inner, bias=False)
        self.out = nn.Sequential(nn.Linear(inner, c.predictor_width), nn.Dropout(c.dropout))

    def forward(self, x):
        q, k, v = (y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in self.qkv(self.norm(x)).chunk(3, -1))
        x = F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout if self.training else 0.0, is_causal=True)
        return self.out(x.transpose(1, 2).flatten(2))


class PlainBlock(nn.Module):
    def __init__(self, c):
        super().__init__()
        width, hidden = c.predictor_width, c.predictor_hidden
        self.attention = PlainAttention(c)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Dropout(c.dropout),
            nn.Linear(hidden, width), nn.Dropout(c.dropout),
        )  # fmt: skip
        self.norm_1, self.norm_2 = (nn.LayerNorm(width, elementwise_affine=False, eps=1e-6) for _ in range(2))
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, x, condition):
        shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = self.modulation(condition).chunk(6, -1)
        x = x + gate_1 * self.attention(self.norm_1(x) * (1 + scale_1) + shift_1)
        return x + gate_2 * self.mlp(self.norm_2(x) * (1 + scale_2) + shift_2)


class PlainPredictor(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.position = nn.Parameter(torch.zeros(1, c.history, c.embedding_dim))
        self.layers = nn.ModuleList(PlainBlock(c) for _ in range(c.predictor_depth))
        self.norm = nn.LayerNorm(c.predictor_width)

    def forward(self, x, condition):
        x = x + self.position[:, : x.shape[1]]
        for layer in self.layers:
            x = layer(x, condition)
        return self.norm(x)


class PlainModel(nn.Module):
    """Parameters in the same order as ours, so that a state dict can be copied entry by entry."""

    def __init__(self, c):
        super().__init__()
        self.c = c
        self.encoder = PlainVit(c) if c.encoder == "vit" else PlainConv(c)
        width = c.encoder_width if c.encoder == "vit" else 4 * c.encoder_width
        self.projector = self.make_projector(width)
        self.predictor = PlainPredictor(c)
        self.predictor_projector = self.make_projector(c.embedding_dim)
        self.mix = nn.Conv1d(c.action_block * c.action_dim, 10, 1)
        self.embed = nn.Sequential(
            nn.Linear(10, 4 * c.embedding_dim), nn.SiLU(), nn.Linear(4 * c.embedding_dim, c.embedding_dim)
        )

    def make_projector(self, inputs):
        hidden = self.c.projector_width
        return nn.Sequential(
            nn.Linear(inputs, hidden), nn.BatchNorm1d(hidden), nn.GELU(), nn.Linear(hidden, self.c.embedding_dim)
        )

    def encode(self, frames):
        dtype, device = self.predictor.position.dtype, frames.device
        pictures = frames.flatten(0, 1).permute(0, 3, 1, 2).contiguous().to(dtype) / 255
        mean = torch.tensor([0.485, 0.456, 0.406], dtype=dtype, device=device).view(3, 1, 1)
        std = torch.tensor([0.229, 0.224, 0.225], dtype=dtype, device=device).view(3, 1, 1)
        return self.projector(self.encoder((pictures - mean) / std)).unflatten(0, frames.shape[:2])

    def encode_actions(self, blocks):
        return self.embed(self.mix(blocks.transpose(1, 2)).transpose(1, 2))

    def predict(self, latents, actions):
        return self.predictor_projector(self.predictor(latents, actions).flatten(0, 1)).unflatten(0, latents.shape[:2])

    def loss(self, frames, blocks, directions, o):
        latents = self.encode(frames)
        predicted = self.predict(latents[:, :-1], self.encode_actions(blocks[:, :-1]))
        knots = torch.linspace(0, o.t_max, o.n_knots, dtype=directions.dtype, device=directions.device)
        normal = torch.exp(-knots.square() / 2)
        weight = torch.full_like(knots, 2 * o.t_max / (o.n_knots - 1))
        weight[0], weight[-1] = weight[0] / 2, weight[-1] / 2
        angles = (latents.transpose(0, 1) @ directions).unsqueeze(-1) * knots
        gaps = (angles.cos().mean(1) - normal).square() + angles.sin().mean(1).square()
        regularizer = (gaps @ (weight * normal)).mean() * len(frames)
        return (predicted - latents[:, 1:]).square().mean() + o.strength * regularizer

    def rollout(self, latent, blocks):
        """(S, D), (S, H, A) -> (S, D), the last."""
        latents, history = latent[:, None], self.c.history
        for end in range(1, blocks.shape[1] + 1):
            actions = self.encode_actions(blocks[:, :end])
            predicted = self.predict(latents[:, -history:], actions[:, -history:])
            latents = torch.cat([latents, predicted[:, -1:]], 1)
        return latents[:, -1]

    def plan(self, p, start, goal, generator):
        """Cross-entropy method for one episode, from pictures (H, W, 3)."""
        dtype, device = self.predictor.position.dtype, start.device
        mean = torch.zeros(p.horizon, self.c.action_block * self.c.action_dim, dtype=dtype, device=device)
        std = torch.full_like(mean, p.initial_std)
        for _ in range(p.n_iterations):
            noise = torch.randn(p.n_samples, *mean.shape, generator=generator, device=generator.device).to(mean)
            plans = mean + std * noise
            plans[0] = mean
            latent, wanted = self.encode(start[None, None])[0], self.encode(goal[None, None])[0]
            cost = (self.rollout(latent.expand(p.n_samples, -1), plans) - wanted).square().sum(-1)
            elites = plans[cost.topk(p.n_elites, largest=False).indices]
            mean, std = elites.mean(0), elites.std(0)
        return mean


def plain_copy(model, config):
    """The plain model with the weights of ours, entry by entry; shapes must match."""
    plain = PlainModel(config)
    plain.load_state_dict(dict(zip(plain.state_dict(), model.state_dict().values(), strict=True)))
    return plain


def wake(model):
    """Draw what starts at 0 or 1, the modulations and BatchNorm's statistics, or the predictor would be the identity."""
    generator = torch.Generator().manual_seed(7)
    for name, value in model.state_dict().items():
        if "modulation" in name or "running_mean" in name:
            value.copy_(0.2 * torch.randn(value.shape, generator=generator))
        if "running_var" in name:
            value.copy_(0.5 + torch.rand(value.shape, generator=generator))
    return model


def draw_batch(c, n_clips, n_frames, device):
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (n_clips, n_frames, c.image_size, c.image_size, 3), generator=generator)
    blocks = torch.randn(n_clips, n_frames, c.action_block * c.action_dim, generator=generator)
    return frames.to(device, torch.uint8), blocks.to(device)


def make_learner(config, device, **training):
    """Our training step, as spectral-jepa pixels train runs it."""
    config = replace(config, training=replace(config.training, **training))
    learner = Learner(config, 1000, Worker(0, 1, torch.device(device)))
    wake(learner.model)
    return learner


def check_training(config, device):
    """Loss and all gradients of ours and of the plain model on the same batch, in float64 and without dropout."""
    config = replace(config, model=replace(config.model, dropout=0.0))
    learner = make_learner(config, device, precision="float64")
    plain = plain_copy(learner.model, config.model).to(device).double()
    frames, blocks = draw_batch(config.model, 4, config.model.history + 1, device)
    generator = torch.Generator(device).manual_seed(stream_seed(config.training.seed, SLICES, 0))
    directions = random_directions(config.model.embedding_dim, config.objective.n_slices, generator=generator).double()
    loss = plain.loss(frames, blocks.double(), directions, config.objective)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(plain.parameters(), config.training.clip_norm)
    ours = learner.update(0, frames, blocks)
    # Ours keeps the pictures' mean and deviation in float32: 1e-8 of their size.
    torch.testing.assert_close(ours["loss"], loss.detach(), rtol=1e-7, atol=0)
    torch.testing.assert_close(ours["gradient_norm"], norm, rtol=1e-6, atol=0)
    for (name, mine), other in zip(learner.model.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-5, atol=1e-7 * float(norm), msg=f"gradient of {name}")
    assert float(norm) > 0


def check_planning(config, device):
    """The plans of both for two episodes, in float64."""
    model = wake(WorldModel(config.model)).to(device).double().eval()
    plain = plain_copy(model, config.model).to(device).double().eval()
    frames, _ = draw_batch(config.model, 2, 2, device)
    few = replace(config.planning, n_samples=20, n_elites=5, n_iterations=3)
    with torch.no_grad():
        theirs = [plain.plan(few, start, goal, torch_generator(0, e)) for e, (start, goal) in enumerate(frames)]
    mine = our_plan(model, few, frames, [torch_generator(0, e) for e in range(2)])
    torch.testing.assert_close(mine, torch.stack(theirs), rtol=1e-6, atol=1e-8)
    assert float((mine[0] - mine[1]).abs().max()) > 0.1


def our_plan(model, p, frames, generators, rollout=None):
    """Encode starts and goals (E, 2, H, W, 3) once, then plan for all episodes together."""
    with torch.inference_mode():
        latents = model.encode(frames)
    return plan(rollout or model, p, latents[:, 0], latents[:, 1], generators, block_dim=model.block_dim)


def best(contenders, device, repetitions):
    """Seconds of each contender: they take turns, after one round of warm-up; the best of the repetitions."""
    seconds = {name: [] for name in contenders}
    for turn in range(repetitions + 1):
        for name, run in contenders.items():
            if device == "cuda":
                torch.cuda.synchronize()
            began = time.perf_counter()
            run()
            if device == "cuda":
                torch.cuda.synchronize()
            if turn or repetitions == 1:
                seconds[name].append(time.perf_counter() - began)
    return {name: min(values) for name, values in seconds.items()}


def count_flops(run):
    """Floating-point operations in the products and convolutions of one call, from their shapes."""
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        run()
    return counter.get_total_flops()


def step_flops(config):
    """Of the training step on one clip, forward and backward; they grow linearly with the clips."""
    plain, c, o = PlainModel(config.model), config.model, config.objective
    frames, blocks = draw_batch(c, 2, c.history + 1, "cpu")
    directions = torch.ones(c.embedding_dim, o.n_slices)
    return count_flops(lambda: plain.loss(frames, blocks, directions, o).backward()) / 2


def time_training(config, device, n_clips, repetitions, compiled):
    c, o = config.model, config.objective
    frames, blocks = draw_batch(c, n_clips, c.history + 1, device)
    learner = make_learner(config, device)
    plain = plain_copy(learner.model, c).to(device)
    optimizer = torch.optim.AdamW(plain.parameters(), lr=1e-6, weight_decay=config.training.weight_decay)
    half = device == "cuda" and config.training.precision == "bf16"

    def plain_step():
        optimizer.zero_grad()
        directions = torch.randn(c.embedding_dim, o.n_slices, device=device)
        with torch.autocast(device, torch.bfloat16, enabled=half):
            loss = plain.loss(frames, blocks, directions / directions.norm(dim=0), o)
        loss.backward()
        nn.utils.clip_grad_norm_(plain.parameters(), config.training.clip_norm)
        optimizer.step()

    # Step 0 has learning rate 0, so our weights stay where they are.
    contenders = {"plain": plain_step, "ours": lambda: learner.update(0, frames, blocks)}
    if compiled:
        quick = make_learner(config, device, compile=True)
        contenders["ours, compiled"] = lambda: quick.update(0, frames, blocks)
    seconds, flops = best(contenders, device, repetitions), step_flops(config) * n_clips
    n_images = n_clips * (c.history + 1)
    columns = {"images/s": lambda s: n_images / s, "GFLOP/s": lambda s: flops / s / 1e9}
    if device == "cuda":
        columns["share of peak"] = lambda s: flops / s / PEAK
    return [
        {"what": f"training step, {n_clips} clips", "who": who, "ms": 1e3 * s, "ratio": seconds["plain"] / s}
        | {name: column(s) for name, column in columns.items()}
        for who, s in seconds.items()
    ]


def time_planning(config, device, n_episodes, n_iterations, repetitions, compiled):
    p = replace(config.planning, n_iterations=n_iterations, precision="float32")
    model = wake(WorldModel(config.model)).to(device).eval()
    plain = plain_copy(model, config.model).to(device).eval()
    frames, _ = draw_batch(config.model, n_episodes, 2, device)
    generator = torch.Generator(device).manual_seed(0)

    def one_by_one():
        with torch.no_grad():
            for start, goal in frames:
                plain.plan(p, start, goal, generator)

    def ours(settings, rollout=None):
        return lambda: our_plan(model, settings, frames, [torch_generator(0, e) for e in range(n_episodes)], rollout)

    contenders = {"plain": one_by_one, "ours": ours(p)}
    flops = {name: count_flops(run) for name, run in contenders.items()}
    if device == "cuda":
        contenders["ours, bf16"] = ours(replace(p, precision="bf16"))
    if compiled:
        # As planning.compile has it; compiling happens in the first round, which does not count.
        quick, settings = CompiledRollout(model), replace(p, precision="bf16" if device == "cuda" else "float32")
        contenders["ours, compiled"] = ours(settings, quick)
        if device == "cpu":
            # One iteration: elites that tie up to rounding may swap, and a search goes on from them.
            one = replace(p, n_iterations=1)
            torch.testing.assert_close(ours(one, quick)(), ours(one)(), rtol=1e-4, atol=1e-4)
    seconds = best(contenders, device, repetitions)
    what = f"{n_episodes} plans of {p.n_samples} samples x {n_iterations} iterations"
    return [
        {"what": what, "who": who, "ms": 1e3 * s, "ratio": seconds["plain"] / s, "ms a plan": 1e3 * s / n_episodes}
        | {"products [GFLOP]": flops.get(who, flops["ours"]) / 1e9}
        for who, s in seconds.items()
    ]


def time_tokens(device, quick, shape=None, patch_tokens=PATCH_TOKENS):
    """One full published plan with one token a frame and with 256, extrapolated from a part of it; by default at 224 px."""
    published, shape, on_gpu = PlanningConfig(precision="bf16"), shape or ModelConfig(), device == "cuda"
    # Memory of keys and values bounds the sequences in one call of the patch tokens' model.
    contenders = {
        "LeWM-shaped": (wake(WorldModel(shape)), 300, 30 if on_gpu else 1, None),
        "DINO-WM-shaped": (PatchTokenPredictor(patch_tokens), 300 if on_gpu else 2, 1, 50),
    }
    rows, total = [], {}
    for name, (model, n_samples, n_iterations, chunk) in contenders.items():
        model = model.to(device).eval()
        frames, _ = draw_batch(shape, 1, 2, device)
        part = replace(published, n_samples=n_samples, n_elites=min(30, n_samples), n_iterations=n_iterations)
        with torch.inference_mode():
            latents = model.encode(frames)
        runs = {
            "encode": lambda model=model, frames=frames: model.encode(frames),
            "plan": lambda model=model, part=part, latents=latents, chunk=chunk: plan(
                model, part, latents[:, 0], latents[:, 1], [torch_generator(0)], chunk=chunk
            ),
        }
        with torch.inference_mode():
            seconds = best(runs, device, 1 if quick else 2)
        scale = published.n_samples * published.n_iterations / (n_samples * n_iterations)
        total[name] = seconds["encode"] + scale * seconds["plan"]
        tokens = 1 if name == "LeWM-shaped" else model.n_tokens
        rows.append(
            {"model": name, "tokens a frame": tokens, "timed samples x iterations": f"{n_samples} x {n_iterations}",
             "scaled by": scale, "seconds a plan": total[name], "slower": total[name] / total["LeWM-shaped"]}
        )  # fmt: skip
        del model, runs
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=("cpu", "cuda"))
    parser.add_argument("--preset", default="small", choices=("small", "paper"))
    parser.add_argument("--quick", action="store_true", help="fewer clips, episodes and repetitions")
    parser.add_argument("--compile", action="store_true", help="also torch.compile, a minute or two before the timing")
    given = parser.parse_args()
    device, config = given.device, preset(given.preset)
    n_clips, n_episodes, n_iterations, repetitions = SIZES[given.preset, device]
    if given.quick:
        n_clips, n_episodes, n_iterations, repetitions = max(2, n_clips // 4), 2, 2, 2
    check_training(config, device)
    check_planning(config, device)
    name = torch.cuda.get_device_name() if device == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    print(f"{given.preset} preset on {name}, torch {torch.__version__}: losses, gradients and plans agree in float64")
    show = {"index": False, "float_format": "{:.3g}".format}
    print(pd.DataFrame(time_training(config, device, n_clips, repetitions, given.compile)).to_string(**show))
    sizes = config, device, n_episodes, n_iterations, repetitions
    print(pd.DataFrame(time_planning(*sizes, given.compile)).to_string(**show))
    print(
        "One plan of 300 samples x 30 iterations x 5 blocks at 224 px, random weights, scaled linearly from the part timed:"
    )
    print(pd.DataFrame(time_tokens(device, given.quick)).to_string(**show))


if __name__ == "__main__":
    main()
