"""Regret and bound of a batch of instances, for the search of ``sharpest``: formulas of its own, not the package's.

Every function takes a dict of arrays whose first axis B is the batch, and returns regret (B,) and bound (B,).
"""

import numpy as np

TIE = 1e-9


def products(matrices, horizon):
    """Products over all action sequences, first action slowest: (B, A, n, n) -> (B, A^T, n, n)."""
    result = matrices
    for _ in range(horizon - 1):
        result = (result[:, :, None] @ matrices[:, None]).reshape(len(matrices), -1, *matrices.shape[2:])
    return result


def choose(reach, scores):
    """Best and planned sequence of each pair; near-ties (1e-9) go to the better one, so no regret comes from rounding."""
    near = scores >= scores.max(axis=1, keepdims=True) - TIE
    return reach.argmax(axis=1), np.where(near, reach, -1).argmax(axis=1)


def taken(table, index):
    """Entry of the chosen sequence."""
    return np.take_along_axis(table, index[:, None], axis=1)[:, 0]


def pair_mean(pairs, start, goal):
    """Average over start and goal."""
    return np.einsum("bx,bxy,by->b", start, pairs, goal)


def mean_regret(reach, scores, start, goal):
    """Regret of maximising the scores."""
    best, planned = choose(reach, scores)
    return pair_mean(taken(reach, best) - taken(reach, planned), start, goal)


def reached(world):
    """w+(y|a), (B, A, n)."""
    return np.einsum("bx,baxy->bay", world["weight"], world["transition"])


def density_risk(world, after, density):
    """R_S(a) of a model of P / w+; columns without mass do not count."""
    inverse = np.where(after > 0, 1 / np.where(after > 0, after, 1), 0)
    truth = world["transition"] * inverse[:, :, None, :]
    return np.einsum("bx,bay,baxy->ba", world["weight"], after, (truth - density) ** 2)


def euclidean(latent, target):
    """-|z - f(y)|^2 for latents (B, s, x, k)."""
    norms = np.sum(latent**2, axis=-1)[..., None] + np.sum(target**2, axis=-1)[:, None, None]
    return 2 * latent @ target.swapaxes(1, 2)[:, None] - norms


def printed_single_step(world):
    """Euclidean planner; 2 c0 max_a sqrt(R_S(a))."""
    after, weight = reached(world), world["weight"]
    goal = np.full_like(weight, 1 / weight.shape[1])
    regret = mean_regret(world["transition"], euclidean(world["predicted"], world["target"]), weight, goal)
    risk = density_risk(world, after, np.einsum("baxk,byk->baxy", world["predicted"], world["target"])).max(axis=1)
    c0 = np.sqrt(weight).sum(axis=1) * np.sqrt(after.max(axis=1)).mean(axis=1)
    return regret, 2 * c0 * np.sqrt(risk)


def printed_multi_step(world, horizon):
    """Euclidean planner, latent rollout; 2 T c3 max_a sqrt(R_S(a))."""
    after, weight, target, predicted = reached(world), world["weight"], world["target"], world["predicted"]
    weighted = weight[:, :, None] * target
    second = np.einsum("bxk,bxl->bkl", target, weighted)
    cross = np.einsum("baxk,bxl->bakl", predicted, weighted)
    linear = cross @ np.linalg.pinv(second, hermitian=True)[:, None]
    latent = predicted
    for _ in range(horizon - 1):
        latent = (latent[:, :, None] @ linear.swapaxes(2, 3)[:, None]).reshape(len(weight), -1, *predicted.shape[2:])
    goal = np.full_like(weight, 1 / weight.shape[1])
    regret = mean_regret(products(world["transition"], horizon), euclidean(latent, target), weight, goal)
    risk = density_risk(world, after, np.einsum("baxk,byk->baxy", predicted, target)).max(axis=1)
    c3 = np.sqrt(after.max(axis=(1, 2)) / weight.min(axis=1))
    return regret, 2 * horizon * c3 * np.sqrt(risk)


def exact_model(world):
    """Dot planner with the exact density ratio; the printed bound is 0."""
    density = world["transition"] / reached(world)[:, :, None, :]
    goal = np.full_like(world["weight"], 1 / world["weight"].shape[1])
    regret = mean_regret(world["transition"], density, world["weight"], goal)
    return regret, np.zeros_like(regret)


def pointwise(world):
    """Planner on the model; its errors at the best and the planned action."""
    transition, model = world["transition"], world["model"]
    best, planned = choose(transition, model)
    error = np.abs(transition - model)
    pairs = np.stack([taken(transition, best) - taken(transition, planned), taken(error, best) + taken(error, planned)])
    return tuple(pair_mean(table, world["start"], world["goal"]) for table in pairs)


def averaged(world):
    """Planner on the model; sqrt(2 sum q^2 max w+) sqrt(sum_a R_S(a))."""
    after = reached(world)
    regret = mean_regret(world["transition"], world["model"], world["start"], world["goal"])
    risk = density_risk(world, after, world["model"] / after[:, :, None, :]).sum(axis=1)
    return regret, np.sqrt(2 * np.sum(world["goal"] ** 2 * after.max(axis=1), axis=1) * risk)


def repaired_single_step(world):
    """Uniform stationary data: the dot planner is the planner on the model, c0 = 1."""
    regret = mean_regret(world["transition"], world["model"], world["start"], world["goal"])
    risk = density_risk(world, reached(world), world["model"] * world["weight"].shape[1])
    return regret, 2 * np.sqrt(risk.max(axis=1))


def dropped_term(world):
    """Dot planner: w* r* - w~ r~ <= w* |r* - s*| + w~ |r~ - s~| + (w* - w~) s~, because the scores have s* <= s~."""
    transition, after = world["transition"], np.broadcast_to(reached(world)[:, :, None], world["transition"].shape)
    density = world["model"] / after
    best, planned = choose(transition, density)
    error = np.abs(transition - world["model"])
    dropped = (taken(after, best) - taken(after, planned)) * taken(density, planned)
    regret = taken(transition, best) - taken(transition, planned)
    bound = taken(error, best) + taken(error, planned) + dropped
    return tuple(pair_mean(table, world["start"], world["goal"]) for table in (regret, bound))


def multi_step(world, horizon=2):
    """Uniform stationary data: 2 (1 + beta + ...) max_a |P - Phat|_2."""
    true, model = world["transition"], world["model"]
    regret = mean_regret(products(true, horizon), products(model, horizon), world["start"], world["goal"])
    beta = np.maximum(1, np.linalg.norm(model, 2, axis=(2, 3)).max(axis=1))
    return regret, 2 * np.sum(beta[:, None] ** np.arange(horizon), axis=1) * np.linalg.norm(true - model, 2, (2, 3)).max(
        axis=1
    )


def reward(world, loose, horizon=3):
    """Backward induction in the model with clipped values; tight or loose bound."""
    true, model, gamma = world["transition"], world["model"], world["discount"].reshape(-1, 1)
    gain = world["reward"].swapaxes(1, 2)
    values = {name: [np.zeros_like(world["weight"])] for name in ("best", "model")}
    plans = {"best": [], "model": []}
    ceiling = np.zeros_like(gamma)
    for _ in range(horizon):
        ceiling = 1 + gamma * ceiling
        for name, kernel in (("best", true), ("model", model)):
            q = gain + gamma[:, None] * np.einsum("baxy,by->bax", kernel, values[name][0])
            value = q.max(axis=1)
            values[name].insert(0, np.clip(value, 0, ceiling) if name == "model" else value)
            plans[name].insert(0, np.arange(2)[:, None] == q.argmax(axis=1)[:, None])
    rho = world["frequency"][:, :, None] * world["weight"][:, None]
    after = np.einsum("bax,baxy->by", rho, true)
    risk = np.einsum("bax,baxy->b", rho, (true - model) ** 2 / after[:, None, None])
    returned, bound = {}, 0.0
    for name, plan in plans.items():
        law, returned[name] = world["start"], 0.0
        for step in range(horizon):
            pairs = plan[step] * law[:, None]
            following = values["model"][step + 1]
            factor = gamma[:, 0] ** (step + 1)
            if loose:
                bound += factor * np.sqrt(np.sum(pairs**2 / rho, (1, 2)) * np.einsum("by,by->b", after, following**2) * risk)
            else:
                error = np.abs(np.einsum("baxy,by->bax", true - model, following))
                bound += factor * np.sum(pairs * error, axis=(1, 2))
            returned[name] = returned[name] + gamma[:, 0] ** step * np.sum(pairs * gain, axis=(1, 2))
            law = np.einsum("bax,baxy->by", pairs, true)
    return returned["best"] - returned["model"], bound


def normalized(world):
    """Mbar of the one action."""
    weight = world["weight"]
    return np.sqrt(weight)[:, :, None] * world["transition"][:, 0] / np.sqrt(reached(world)[:, 0])[:, None, :]


def oracle(world, dim=1):
    """What the error adds to sqrt(tail), against 2 sqrt(2k) |E|."""
    matrix, error = normalized(world), world["error"]
    left, values, right = np.linalg.svd(matrix + error)
    risk = np.linalg.norm(matrix - (left[..., :dim] * values[:, None, :dim]) @ right[:, :dim], axis=(1, 2))
    tail = np.sqrt(np.sum(np.linalg.svd(matrix, compute_uv=False)[:, dim:] ** 2, axis=1))
    return risk - tail, 2 * np.sqrt(2 * dim) * np.linalg.norm(error, 2, axis=(1, 2))
