"""Where SIGReg lets an encoder collapse, and which factors of a world it keeps when it does not, against prediction.

Four parts, one a value of ``part``; docs/sigreg_phase.md has the statements.

``phase``: prediction error plus lambda times SIGReg, descended on the exact law from starts of scale .01 and 8, over worlds,
dimensions, batch sizes (the exact mean over batches of N independent samples; 0 is the population), with a free predictor
(the conditional mean) and, in reversible worlds of one action, a linear one. ``ratio`` is lambda b (c - c'/N) / k in units
of 1 - s_2^2: below 1 collapse is the only minimum, above it none. Directions are orthonormal bases side by side, whose mean
a a^T is I / k exactly. ``excess`` is the loss less that of collapse.

``minibatch``: the same boundary in training on sampled batches (train_jepa), ``population_ratio`` being what the
population's slope c would say.

``factors``: two binomial AR(1) chains of correlations rho_1 and rho_2, nearly Gaussian, k = 2, free predictor, published
constants and others: the R^2 of each factor from the embedding (exact weights), from starts at (z1, z2), at (z1, He_2(z1))
and at random. ``best`` is the least loss over starts.

``laws``: the tabular trainer with fresh slices on two factors of nearly equal correlation and of other laws: bits, uniform,
skewed, or redrawn at once.
"""

import functools

import numpy as np
import torch
from scipy.stats import binom

import spectral_jepa as sj
from spectral_jepa.jepa import JepaConfig, Run, train_jepa
from spectral_jepa.losses import expected_prediction_loss, expected_sigreg, from_lewm, sigreg
from spectral_jepa.sweep.experiment import comparison
from spectral_jepa.sweep.results import reference_table

FOUND = 1e-3  # variance above which an encoder has not collapsed
WORLDS = {
    "AR .95": lambda: sj.make_autoregressive(8, 0.95),
    "AR .7": lambda: sj.make_autoregressive(8, 0.7),
    "AR .4": lambda: sj.make_autoregressive(8, 0.4),
    "low rank 4": lambda: sj.make_low_rank(n_states=12, rank=4, n_actions=2, seed=0),
    "block 3": lambda: sj.make_block(n_states=9, n_blocks=3, n_actions=2, seed=0),
    "garnet": lambda: sj.make_garnet(10, 2, branching=3, seed=0),
}
REVERSIBLE = ("AR .95", "AR .7", "AR .4")
LAWS = ("binomial", "bits", "uniform", "skewed", "redrawn")
PUBLISHED = from_lewm(dim=2).strength * from_lewm(dim=2).factor  # lambda b at k = 2


def axes(worlds, dims, batch_sizes, ratios, n_seeds, n_steps, rates, pulls, n_states, law_seeds, noisy_steps):
    """The four parts of a preset."""
    phase = {"part": "phase", "world": worlds, "dim": dims, "batch_size": batch_sizes, "predictor": "free"}
    phase |= {"ratios": [ratios], "n_seeds": n_seeds, "n_steps": n_steps}
    linear = phase | {"world": [name for name in worlds if name in REVERSIBLE], "predictor": "linear"}
    noisy = {"part": "minibatch", "world": "AR .7", "dim": 1, "batch_size": [2, 4, 16], "ratios": [(0.5, 2.0)]}
    factors = {"part": "factors", "rates": [*rates], "pulls": [pulls], "n_states": [n_states], "n_steps": n_steps}
    laws = {"part": "laws", "law": list(LAWS), "rates": [(0.8, 0.76)], "n_values": 9, "n_seeds": law_seeds}
    return [phase, linear, noisy | {"n_seeds": 2, "n_steps": noisy_steps}, factors, laws | {"n_steps": n_steps}]


PRESETS = {
    "quick": axes(
        ["AR .95", "AR .7", "low rank 4"], [1, 2, 4], [0, 3, 32], (0.5, 0.9, 1.1, 2.0), 1, 700,
        [(0.8, 0.8), (0.7, 0.3), (0.8, 0.3), (0.9, 0.3), (0.95, 0.1)], (PUBLISHED,), (12, 6), 3, 2000,
    ),
    "paper": axes(
        list(WORLDS), [1, 2, 4, 8], [0, 2, 3, 8, 32, 128], (0.3, 0.5, 0.8, 0.95, 1.05, 1.25, 2.0, 5.0), 5, 3000,
        [(0.8, 0.8), (0.8, 0.7), (0.6, 0.3), (0.7, 0.3), (0.75, 0.3), (0.8, 0.3), (0.9, 0.5), (0.9, 0.3), (0.95, 0.1)],
        (5.0, PUBLISHED, 100.0, 400.0), (16, 8), 10, 10_000,
    ),
}  # fmt: skip


def run_cell(part, **cell):
    """Rows of one part."""
    return {"phase": phase_rows, "minibatch": minibatch_rows, "factors": factor_rows, "laws": law_rows}[part](**cell)


@functools.cache
def exact_law(world):
    """The world's exact co-occurrence."""
    return sj.CoOccurrence.exact(WORLDS[world]())


def tight_frame(dim):
    """Unit columns with mean a a^T = I / k: random orthonormal bases, the same for all runs of a dimension."""
    rng = np.random.default_rng(dim)
    bases = [np.linalg.qr(rng.standard_normal((dim, dim)))[0] for _ in range(max(1, 24 // dim) if dim > 1 else 1)]
    return torch.from_numpy(np.concatenate(bases, axis=1))


def descend(loss, parameters, n_steps, rate):
    """Adam with a cosine to 0 on the sum of a batch of losses; the losses at the end."""
    optimizer = torch.optim.Adam(parameters, lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    for _ in range(n_steps):
        optimizer.zero_grad(set_to_none=True)
        loss().sum().backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return loss().numpy()


def phase_rows(world, dim, batch_size, predictor, ratios, n_seeds, n_steps):
    """All ratios, starts and seeds of one setting as one batch."""
    exact, frame = exact_law(world), tight_frame(dim)
    root = torch.from_numpy(np.sqrt(exact.pooled_column_weight))
    second = float(exact.stacked_decomposition[1][1])
    slope = sj.sigreg_slope(batch_size=batch_size or None)
    keys = [(ratio, start, seed) for ratio in ratios for start in (0.01, 8.0) for seed in range(n_seeds)]
    strengths = [ratio * (1 - second**2) * dim / slope for ratio, _, _ in keys]
    strength = torch.tensor(strengths, dtype=torch.float64)
    shape = exact.n_states, dim
    starts = [start * np.random.default_rng([seed, 31]).standard_normal(shape) for _, start, seed in keys]
    # Times the root of the law, as the trainer holds a table: rare states then learn as fast as others.
    table = (torch.from_numpy(np.stack(starts)) * root[:, None]).requires_grad_()
    parameters = [table]
    kept = torch.from_numpy(np.array(exact.stacked))
    joint = torch.from_numpy(exact.dense_joint()[0])
    matrix = torch.zeros(len(keys), dim, dim, dtype=torch.float64).requires_grad_()
    if predictor == "linear":
        parameters.append(matrix)

    def loss():
        values = table / root[:, None]
        if predictor == "linear":
            error = expected_prediction_loss(values @ matrix, values, joint)
        else:
            error = table.square().sum((1, 2)) - (kept @ table).square().sum((1, 2))
        law = root.square()
        if batch_size:
            return error + strength * expected_sigreg(values, frame, law, batch_size, factor=1.0)
        return error + strength * sigreg(values, frame, law, factor=1.0)

    ends = descend(loss, parameters, n_steps, 0.05)
    values = (table / root[:, None]).detach().numpy()
    rows = []
    for number, (ratio, start, seed) in enumerate(keys):
        centred = values[number] - exact.pooled_column_weight @ values[number]
        trace = float(exact.pooled_column_weight @ (centred**2).sum(1))
        pull = strengths[number] * slope / dim
        settings = {"batch_size": batch_size or None, "directions": frame.numpy()}
        rows.append(
            {
                "ratio": ratio,
                "start": start,
                "seed": seed,
                "price": 1 - second**2,
                "pull": pull,
                "predicted": sj.sigreg_phase(min(second, 1.0), dim, strengths[number], **settings),
                "trace": trace,
                "excess": float(ends[number]) - strengths[number] * sj.sigreg_lower_bound(0.0, dim),
                "outcome": "collapsed" if trace < FOUND else "grows",
            }
        )
    return rows


def minibatch_rows(world, dim, batch_size, ratios, n_seeds, n_steps):
    """Training on batches of sampled transitions, free predictor trained beside the encoder."""
    mdp, exact = WORLDS[world](), exact_law(world)
    second = float(exact.stacked_decomposition[1][1])
    slope, whole = sj.sigreg_slope(batch_size=batch_size), sj.sigreg_slope()
    data = sj.sample_transitions(mdp, n_per_action=200_000, seed=0)
    keys = [(ratio, seed) for ratio in ratios for seed in range(n_seeds)]
    runs = [Run(dim, seed, ratio * (1 - second**2) * dim / slope) for ratio, seed in keys]
    config = JepaConfig(regularizer="sigreg", n_slices=4, batch_size=batch_size, n_steps=n_steps, learning_rate=0.02)
    trained = train_jepa(data, runs, config)
    rows = []
    for number, (ratio, seed) in enumerate(keys):
        encoded = trained.encoded[number]
        trace = float(exact.pooled_column_weight @ ((encoded - exact.pooled_column_weight @ encoded) ** 2).sum(1))
        row = {"ratio": ratio, "seed": seed, "population_ratio": ratio * whole / slope, "trace": trace}
        rows.append(row | {"outcome": "collapsed" if trace < FOUND else "grows"})
    return rows


def factor(law, n_values, rate):
    """One reversible factor: kernel, stationary law and standardised value; second singular value ``rate``."""
    at = np.arange(n_values)
    if law in ("binomial", "bits"):
        chain = sj.make_autoregressive(2 if law == "bits" else n_values, rate)
        return chain.dense()[0], np.array(chain.weight), np.array(chain.state_labels)
    weight = binom.pmf(at, n_values - 1, 0.1) if law == "skewed" else np.full(n_values, 1 / n_values)
    if law == "skewed":
        # Bits that are kept with probability rate and else redrawn as 1 with probability .1.
        one, zero, rest = rate + (1 - rate) * 0.1, (1 - rate) * 0.1, n_values - 1
        kernel = np.stack(
            [np.convolve(binom.pmf(np.arange(i + 1), i, one), binom.pmf(np.arange(rest - i + 1), rest - i, zero)) for i in at]
        )
    elif law == "redrawn":
        kernel = rate * np.eye(n_values) + (1 - rate) / n_values
    else:
        # Heat on a path: cosines with values rate^(j^2).
        waves = np.sqrt(2 - (at == 0))[:, None] * np.cos(np.pi * np.outer(at, at + 0.5) / n_values)
        kernel = (waves.T * rate ** (at**2)) @ waves / n_values
    kernel = np.maximum(kernel, 0)
    value = at - weight @ at
    return kernel / kernel.sum(1, keepdims=True), weight / weight.sum(), value / np.sqrt(weight @ value**2)


@functools.cache
def product(laws, sizes, rates):
    """Two independent factors: the exact law of the pair and the value of each factor in each state."""
    (first, law, a), (second, other, b) = (factor(*one) for one in zip(laws, sizes, rates, strict=True))
    mdp = sj.TabularMDP(np.kron(first, second)[None], weight=np.kron(law, other))
    return sj.CoOccurrence.exact(mdp), np.repeat(a, len(b)), np.tile(b, len(a))


def recovered(encoded, value, law):
    """R^2 of the best affine reading of a factor from an embedding, exact weights; 0 from a collapsed one."""
    encoded, value = encoded - law @ encoded, value - law @ value
    root = np.sqrt(law)
    left, sizes, _ = np.linalg.svd(root[:, None] * encoded, full_matrices=False)
    kept = left[:, sizes > 1e-4]
    return float(((kept.T @ (root * value)) ** 2).sum() / (law @ value**2))


def factor_rows(rates, pulls, n_states, n_steps):
    """Descents from five starts for each lambda b."""
    exact, first, second = product(("binomial", "binomial"), tuple(n_states), tuple(rates))
    law = exact.pooled_column_weight
    bent = first**2 - law @ first**2
    bent -= (law @ (bent * first)) * first
    bent /= np.sqrt(law @ bent**2)
    rng = np.random.default_rng(0)
    small = 0.01 * rng.standard_normal((2, len(law), 2))
    starts = {"pair": np.stack([first, second], 1) + small[0], "quadratic": np.stack([first, bent], 1) + small[1]}
    starts |= {f"random {i}": rng.standard_normal((len(law), 2)) for i in range(3)}
    angles = (np.arange(24) + 0.5) * np.pi / 24
    frame = torch.from_numpy(np.stack([np.cos(angles), np.sin(angles)]))
    weight = torch.from_numpy(np.array(law))
    root, kept = weight.sqrt()[:, None], torch.from_numpy(np.array(exact.stacked))
    white = {name: float(sigreg(torch.from_numpy(values), frame, weight, factor=1.0)) for name, values in starts.items()}
    rows = []
    for pull in pulls:
        table = (torch.from_numpy(np.stack(list(starts.values()))) * root).requires_grad_()

        def loss(table=table, pull=pull):
            error = table.square().sum((1, 2)) - (kept @ table).square().sum((1, 2))
            return error + pull * sigreg(table / root, frame, weight, factor=1.0)

        ends = descend(loss, [table], n_steps, 0.05)
        values = (table / root).detach().numpy()
        margins = sj.quadratic_margins(*rates, pull)
        for number, start in enumerate(starts):
            found = {"first": first, "second": second, "he2": bent}
            row = {"rho_1": rates[0], "rho_2": rates[1], "pull": pull, "start": start, "loss": float(ends[number])}
            row |= {f"r2_{name}": recovered(values[number], value, law) for name, value in found.items()}
            row |= {"best": float(ends.min()), "white_sigreg": white[start]}
            rows.append(row | {f"margin_{name}": value for name, value in margins._asdict().items()})
    return rows


def law_rows(law, rates, n_values, n_seeds, n_steps):
    """The tabular trainer at the published strength and at ten times it."""
    exact, first, second = product((law, law), (n_values, n_values), tuple(rates))
    keys = [(times, seed) for times in (1.0, 10.0) for seed in range(n_seeds)]
    runs = [Run(2, seed, times * from_lewm(dim=2).strength) for times, seed in keys]
    settings = {"n_slices": 32, "factor": from_lewm().factor, "learning_rate": 0.05}
    trained = train_jepa(exact, runs, JepaConfig(regularizer="sigreg", n_steps=n_steps, **settings))
    weight, rows = exact.pooled_column_weight, []
    for number, (times, seed) in enumerate(keys):
        encoded = trained.encoded[number]
        scores = recovered(encoded, first, weight), recovered(encoded, second, weight)
        row = {"rho_1": rates[0], "rho_2": rates[1], "times": times, "seed": seed, "loss": float(trained.table["loss"][number])}
        rows.append(row | {"r2_first": scores[0], "r2_second": scores[1], "r2": float(np.mean(scores))})
    return rows


def summary(table):
    """One line a part and setting."""
    table = table[table["status"] == "ok"]
    phase = table[table["part"] == "phase"].assign(agrees=lambda t: t["predicted"] == t["outcome"])
    return phase.groupby(["world", "dim", "batch_size", "predictor", "ratio"], sort=False)[
        ["pull", "price", "trace", "excess", "agrees"]
    ].mean().reset_index()  # fmt: skip
