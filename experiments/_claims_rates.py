"""Rate, constant and the reach of horizon-freeness, measured: docs/rate_and_constant.md, docs/horizon_free_extensions.md.

Each function takes a generator and a number of random instances, and returns a comparison for each quantity.
"""

import itertools

import numpy as np
from _claims_worlds import ratios, stationary_world, whole_groups
from _horizon_search import spectral_norm, truncated

import spectral_jepa as sj
from spectral_jepa.sweep.experiment import comparison


def product(matrices):
    """Of a sequence, the first one leftmost."""
    result = np.eye(matrices.shape[-1])
    for matrix in matrices:
        result = result @ matrix
    return result


def oracle_constant(rng, n):
    """R <= (sqrt(tail_k) + 2 sqrt(k) ||E||)^2 + k ||E||^2, attained at every tail, k and ||E||."""
    count, largest = 0, 0.0
    for rows, columns, dim in [(3, 3, 1), (4, 6, 2), (8, 8, 3)]:
        part = n // 3 + 1
        left = np.linalg.qr(rng.standard_normal((part, rows, rows)))[0]
        right = np.linalg.qr(rng.standard_normal((part, columns, columns)))[0][:, :, :rows]
        values = np.sort(rng.random((part, rows)) ** rng.choice([0.2, 1.0, 4.0], size=(part, 1)), axis=1)[:, ::-1]
        true = (left * values[:, None]) @ np.swapaxes(right, 1, 2)
        turned = left * np.where(np.arange(rows) < dim, -1.0, 1.0) @ np.swapaxes(right, 1, 2)
        error = turned + rng.choice([0.0, 0.3, 10.0], size=(part, 1, 1)) * rng.standard_normal(true.shape)
        error *= rng.choice([0.02, 0.2, 1.0], size=(part, 1, 1)) / spectral_norm(error)[:, None, None]
        tail, size = np.sqrt(np.sum(values[:, dim:] ** 2, axis=1)), np.sqrt(dim) * spectral_norm(error)
        root = np.sqrt(np.sum((true - truncated(true + error, dim)) ** 2, axis=(1, 2)))
        count, largest = count + part, max(largest, np.max(root / np.hypot(tail + 2 * size, size)))
    rates = []
    for dim, level, size in [(1, 0.0, 1.0), (1, 0.4, 0.1), (3, 0.4, 1.0)]:
        true = np.diag(np.repeat([level + 2 * size, level], dim))
        error = np.diag(np.repeat([-size, size * (1 + 1e-9)], dim))
        root = np.sqrt(np.sum((true - truncated(true + error, dim)) ** 2))
        rates.append(root / np.hypot(np.sqrt(dim) * (level + 2 * size), np.sqrt(dim) * size))
        if level == 0:
            constant = root / (np.sqrt(dim) * size)
    return [
        comparison(f"sqrt(R) / bound, {count} matrices and errors: largest", largest, "<=", 1 + 1e-10),
        comparison("the same: how near random instances come", largest, ">=", 0.9),
        comparison("k values exchanged, three tails, k and ||E||: least sqrt(R) / bound", min(rates), ">=", 1 - 1e-7),
        comparison("tail 0: sqrt(R) / (sqrt(k) ||E||); sqrt(4.99) is no bound", constant, ">=", np.sqrt(4.99)),
    ]


def drifting_laws(rng, n):
    """Any law: c^{T-1} s; and an instance on which errors grow exponentially."""
    pairs = []
    for _ in range(n // 10):
        size, steps = int(rng.integers(2, 7)), int(rng.integers(1, 5))
        rows = rng.dirichlet(np.full(size, rng.choice([0.1, 0.3, 1.0])), size=(2, size))
        mdp = sj.TabularMDP(rows, weight=0.9 * rng.dirichlet(np.full(size, 2.0)) + 0.1 / size)
        exact = sj.CoOccurrence.exact(mdp)
        embedding = sj.spectral_embedding(exact, whole_groups(sj.spectrum(exact), int(rng.integers(1, size))))
        plan = sj.plan_goals(mdp, embedding, horizon=steps)
        pairs.append((plan.mean_regret, sj.concentrability_horizon_bound(exact, embedding, plan).value))
    kernel = np.array([[0.68, 0.32, 0.0], [0.0, 1.0, 0.0], [0.01, 0.0, 0.99]])
    exact = sj.CoOccurrence.exact(sj.TabularMDP(kernel[None], weight=[0.0073, 0.0025, 0.9902]))
    model = sj.spectral_embedding(exact, 2).transition()[0]
    error = [np.abs(np.linalg.matrix_power(kernel, t) - np.linalg.matrix_power(model, t)).max() for t in (20, 40)]
    return [
        *ratios(pairs),
        comparison("three states, s_3 = .40: error at T = 40 / error at T = 20 (control)", error[1] / error[0], ">=", 10),
        comparison("the same: spectral radius of the model", np.abs(np.linalg.eigvals(model)).max(), ">=", 1.13),
    ]


def noisy_truncations(rng, n):
    """Clipped: a constant + 2 T e; not clipped: exponential, and attained."""
    shares = {True: [], False: []}
    for clipped, found in shares.items():
        for _ in range(n // 4):
            size, steps = int(rng.integers(1, 6)), int(rng.integers(1, 9))
            dim, noise = int(rng.integers(1, size + 1)), float(rng.choice([0.003, 0.03, 0.3]))
            true = sj.clip_contraction(rng.choice([0.5, 1.0, 3.0]) * rng.standard_normal((steps, size, size)))
            error = rng.standard_normal(true.shape)
            estimate = true + noise * error / spectral_norm(error)[:, None, None]
            left_out = np.linalg.svd(estimate, compute_uv=False)[:, dim:].max(initial=0.0)
            model = truncated(estimate, dim)
            model = sj.clip_contraction(model) if clipped else model
            bound = sj.noisy_horizon_error(float(left_out), noise, steps, clipped=clipped)
            found.append(spectral_norm(product(true) - product(model)) / bound)
    turn = 0.01
    model = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = spectral_norm(np.linalg.matrix_power(model, 40) - np.eye(2)) / (40 * spectral_norm(model - np.eye(2)))
    compound = ((1.1**40) - 1) / sj.noisy_horizon_error(0.0, 0.1, 40, clipped=False)
    return [
        comparison(f"clipped, {n // 4} random instances: largest error / bound", max(shares[True]), "<=", 1 + 1e-10),
        comparison(f"not clipped, {n // 4} random instances: largest error / bound", max(shares[False]), "<=", 1 + 1e-10),
        comparison("N = 1, estimates that turn: error after 40 steps / (40 e): linear it must be", linear, ">=", 0.99),
        comparison("N = 1, estimates 1.1, 40 steps: error / bound without clipping", compound, "=", 1),
        comparison(
            "the same / bound with clipping (control)", (1.1**40 - 1) / sj.noisy_horizon_error(0.0, 0.1, 40), ">=", 10
        ),
    ]


def discounted_rewards(rng, n):
    """Open-loop plans: gamma / (1 - gamma), not its square; policies that look again are not covered."""
    pairs = []
    for _ in range(n // 10):
        mdp = stationary_world(rng)
        exact, steps = sj.CoOccurrence.exact(mdp), int(rng.integers(2, 5))
        dim = whole_groups(sj.spectrum(exact), int(rng.integers(1, mdp.n_states)))
        model, true = sj.spectral_embedding(exact, dim).transition(), mdp.transition
        reward, start, gamma = rng.random(mdp.n_states), rng.dirichlet(np.ones(mdp.n_states)), float(rng.uniform(0.3, 1))
        returns = []
        for matrices in (true, model):
            laws = {(): start}
            totals = []
            for plan in itertools.product(range(mdp.n_actions), repeat=steps - 1):
                for t in range(1, steps):
                    laws.setdefault(plan[:t], laws[plan[: t - 1]] @ matrices[plan[t - 1]])
                totals.append(sum(gamma**t * laws[plan[:t]] @ reward for t in range(1, steps)))
            returns.append(np.array(totals))
        bound = sj.discounted_horizon_bound(exact, dim, reward, start, discount=gamma, horizon=steps)
        # The first of all plans that the model likes as well as its best, to rounding, which the bound then has to allow.
        chosen = int(np.flatnonzero(returns[1] >= returns[1].max() - 1e-9)[0])
        pairs.append((returns[0].max() - returns[0][chosen], bound.value + 1e-8))
    first = np.array([[0.83, 0.17, 0.0], [0.0, 0.18, 0.82], [0.17, 0.65, 0.18]])
    second = np.array([[1.0, 0.0, 0.0], [0.0, 0.36, 0.64], [0.0, 0.64, 0.36]])
    exact = sj.CoOccurrence.exact(sj.TabularMDP(np.stack([first, second])))
    believed = sj.spectral_embedding(exact, 2).transition()[[1, 0, 1], np.arange(3)]
    bound = sj.discounted_horizon_bound(exact, 2, np.arange(3.0), np.eye(3)[0], discount=0.99, horizon=5000)
    once = sj.discounted_horizon_bound(exact, 2, np.arange(3.0), np.eye(3)[0], discount=0.99, horizon=2)
    # Two actions that turn the contrast of start and reward either way, unseen by k = 2, and one that keeps it.
    contrast, other = np.array([1.0, 1.0, -1.0, -1.0]) / 2, np.array([1.0, -1.0, 0.0, 0.0]) / np.sqrt(2)
    turned = [0.25 + sign * 0.3 * np.outer(contrast, contrast) + 0.35 * np.outer(other, other) for sign in (1, -1)]
    four = sj.CoOccurrence.exact(sj.TabularMDP(np.maximum([0.25 + np.outer(contrast, contrast), *turned], 0.0)))
    pays, start = np.array([1.0, 1.0, 0.0, 0.0]), np.array([0.0, 0.0, 0.5, 0.5])
    # The model takes the first of the two, at once; the second is best; both keep from then on what is left.
    lost = [(start @ turned[1] - start @ turned[0]) @ pays * sum(gamma**t for t in range(1, 7)) for gamma in (0.6, 1.0)]
    seven = [sj.discounted_horizon_bound(four, 2, pays, start, discount=gamma, horizon=7).value for gamma in (0.6, 1.0)]
    unseen = np.abs(np.diff((start @ sj.spectral_embedding(four, 2).transition() @ pays)[1:])).max()
    return [
        *ratios(pairs),
        comparison("bound at gamma = .99 and H = 5,000 / bound at one step", bound.value / once.value, "=", 100),
        comparison("four states, H = 7, gamma = .6 and 1: least regret / bound", min(np.divide(lost, seven)), "=", 1),
        comparison("the same: largest difference of the two actions to the model", unseen, "<=", 1e-12),
        comparison(
            "policy on three states: radius of the model (control)", np.abs(np.linalg.eigvals(believed)).max(), ">=", 1.03
        ),
    ]


def shared_encoder(rng, n):
    """The sharp constant through one encoder, certified; sqrt(1 - (1 - s^2)^T) is refuted."""
    gaps, excess, attained, most = [], [], [], 0.0
    for s, steps in [(0.1, 4), (0.3, 8), (0.6, 2), (0.6, 4), (0.9, 3)]:
        worst = sj.shared_encoder_worst_case(s, steps)
        keep = np.diag([1.0, 1.0, 0.0])
        error = spectral_norm(product(worst.steps) - product(worst.steps @ keep))
        gaps.append(worst.certified / worst.attained)
        attained.append(abs(error - worst.attained))
        excess.append(worst.attained - np.sqrt(1 - (1 - s**2) ** steps))
        part = n // 5
        dropped = s * sj.clip_contraction(2 * rng.standard_normal((part, steps, 4, 2)))
        values, vectors = np.linalg.eigh(np.eye(4) - dropped @ np.swapaxes(dropped, -1, -2))
        room = (vectors * np.sqrt(np.maximum(values, 0))[..., None, :]) @ np.swapaxes(vectors, -1, -2)
        kept = room @ sj.clip_contraction(2 * rng.standard_normal((part, steps, 4, 2)))
        matrices, keep = np.concatenate([kept, dropped], axis=-1), np.diag([1.0, 1.0, 0.0, 0.0])
        true = model = np.broadcast_to(np.eye(4), (part, 4, 4))
        for t in range(steps):
            true, model = true @ matrices[:, t], model @ matrices[:, t] @ keep
        most = max(most, np.max(spectral_norm(true - model) / worst.certified))
    long = sj.shared_encoder_worst_case(0.6, 24)
    return [
        comparison("five s and T: largest certified / attained", max(gaps), "<=", 1 + 1e-5),
        comparison("largest |error of the instance - attained|", max(attained), "<=", 1e-8),
        comparison("least attained - sqrt(1 - (1 - s^2)^T), the conjectured rate", min(excess), ">=", 1e-4),
        comparison(f"{5 * (n // 5)} random contractions: largest error / certified", most, "<=", 1),
        comparison("s = .6, T = 24: attained (2 in the limit; .667 per action)", long.attained, ">=", 1.6),
    ]
