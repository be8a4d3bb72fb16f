"""LeWM trained from pictures of a stochastic grid: where moves rarely succeed its cost prefers to leap anywhere.

The world is a 5 x 5 grid drawn as pictures of 28 x 28: four moves that succeed with probability ``reach`` and otherwise
leave things as they are, and a leap that lands anywhere. A small LeWM ("SIGReg", its released strength and factor) or the
same model with a whitening penalty of strength 1 is trained on a log of random actions by the package's own learner. Then
every one-step plan from every cell to every cell is scored on its latents, once by the published squared distance and once
by :class:`spectral_jepa.pixels.planning.pooled_score.PooledScore`, fitted to the log's next frames, and the exact simulator
says with what probability the greedy planner, replanning at every step, arrives within a budget, averaged over all starts
and other goals. Beside them: the same two scores in the exact white embedding of the cells, and random actions.
``leap_next_door`` is the share of neighbouring goals for which the leap is chosen (it reaches one with 1/25, a move with
``reach``), ``spread`` the ratio of the largest to the median eigenvalue of the covariance of the latents: 1 is white.
"""

from dataclasses import replace

import numpy as np
import torch

import spectral_jepa as sj
from spectral_jepa.pixels.planning.grid_world import RenderedGrid
from spectral_jepa.pixels.planning.pooled_score import PooledScore
from spectral_jepa.pixels.presets import preset as preset_config
from spectral_jepa.pixels.training.learner import Learner
from spectral_jepa.pixels.training.parallel import Worker
from spectral_jepa.sweep.experiment import comparison
from spectral_jepa.sweep.results import reference_table

SIDE, CELL_SIZE, N_PER_ACTION = 5, 4, 4000
BUDGETS = (5, 10, 20, 40)
# Name -> (regulariser, strength, D): white on 24 dimensions is all that 25 cells allow.
MODELS = {"LeWM (SIGReg)": ("sigreg", 0.09, 32), "whitening": ("whitening", 1.0, 24)}
PRESETS = {
    "quick": [
        {"model": list(MODELS), "reach": 0.15, "n_steps": 700, "seed": range(2)},
        {"model": ["LeWM (SIGReg)"], "reach": 0.2, "n_steps": 700, "seed": 0},
        {"model": list(MODELS), "reach": 0.3, "n_steps": 700, "seed": 0},
    ],
    "paper": {"model": list(MODELS), "reach": [0.1, 0.15, 0.2, 0.25, 0.3, 0.4], "n_steps": 2000, "seed": range(5)},
}


def make_world(reach):
    """The grid, its moves made reluctant, with a leap."""
    return sj.with_leap(sj.make_grid("\n".join(["." * SIDE] * SIDE), slip=0.0), reach)


def settings(model, n_actions, n_steps, seed):
    """A small world model of one frame of context."""
    regularizer, strength, dim = MODELS[model]
    base = preset_config("tiny")
    return replace(
        base,
        model=replace(
            base.model, encoder="conv", image_size=(SIDE + 2) * CELL_SIZE, encoder_width=16, embedding_dim=dim,
            projector_width=128, predictor_width=64, predictor_depth=2, predictor_heads=2, predictor_head_dim=32,
            predictor_hidden=128, dropout=0.0, history=1, action_dim=n_actions, action_block=1,
        ),
        objective=replace(base.objective, regularizer=regularizer, strength=strength, n_slices=128),
        training=replace(
            base.training, batch_size=128, n_steps=n_steps, learning_rate=2e-3, warmup=0.05, precision="float32", seed=seed
        ),
    )  # fmt: skip


def train(config, log, pictures):
    """The model after ``n_steps`` minibatches of two-frame clips of the log."""
    learner = Learner(config, config.training.n_steps, Worker(0, 1, torch.device("cpu")))
    rng = np.random.default_rng([config.training.seed, 11])
    with torch.random.fork_rng():
        for step in range(config.training.n_steps):
            chosen = rng.integers(len(log), size=config.training.batch_size)
            frames = pictures[np.stack([log.state[chosen], log.next_state[chosen]], axis=1)]
            blocks = torch.zeros(len(chosen), 2, log.n_actions)
            blocks[np.arange(len(chosen)), 0, log.action[chosen]] = 1
            learner.update(step, torch.from_numpy(frames), blocks)
    return learner.model.eval()


@torch.no_grad()
def read_out(model, pictures, n_actions):
    """Latents f (S, D) of all cells and predictions g (A, S, D) of all actions, in float64."""
    latents = model.encode(torch.from_numpy(pictures))
    n_states = len(latents)
    blocks = torch.eye(n_actions).repeat_interleave(n_states, 0)[:, None]
    predicted = model.rollout(latents.repeat(n_actions, 1)[:, None], blocks)[:, 0]
    return latents.double(), predicted.double().unflatten(0, (n_actions, n_states))


def arrivals(mdp, policy, budgets):
    """Probability to arrive within each budget, policy (A, S, goal) of action probabilities, mean over start != goal."""
    step = np.einsum("axg,axy->gxy", policy, mdp.dense())
    goals = np.arange(mdp.n_states)
    chance, found = np.eye(mdp.n_states), {}
    for taken in range(1, max(budgets) + 1):
        chance = np.einsum("gxy,yg->xg", step, chance)
        chance[goals, goals] = 1
        if taken in budgets:
            found[taken] = float((chance.sum() - len(goals)) / (len(goals) * (len(goals) - 1)))
    return found


def run_cell(model, reach, n_steps, seed):
    """One training: a row for each way to score its latents, and for the exact embedding."""
    mdp = make_world(reach)
    grid = RenderedGrid(mdp, CELL_SIZE)
    pictures = grid.draw(np.arange(mdp.n_states))
    log = sj.sample_transitions(mdp, n_per_action=N_PER_ACTION, seed=seed)
    trained = train(settings(model, mdp.n_actions, n_steps, seed), log, pictures)
    latents, predicted = read_out(trained, pictures, mdp.n_actions)
    following = latents[np.array(log.next_state)]
    fitted = PooledScore.fit(following)
    exact = sj.CoOccurrence.exact(mdp)
    ratio = mdp.dense() / exact.pooled_column_weight
    scores = {
        "distance": -((predicted[:, :, None] - latents) ** 2).sum(-1).numpy(),
        "pooled score": fitted(predicted[:, :, None], latents).numpy(),
        "exact, distance": ratio - (1 + sj.outcome_chi_square(exact))[:, :, None] / 2,
        "exact, pooled score": ratio,
        "random": None,
    }
    variances = np.linalg.eigvalsh(np.cov(following.numpy().T))[::-1][: mdp.n_states - 1]
    leap = mdp.n_actions - 1
    next_door = (mdp.transition[:leap].max(axis=0) > 0) & ~np.eye(mdp.n_states, dtype=bool)
    best = mdp.transition.max(axis=0)
    rows = []
    for name, score in scores.items():
        policy = np.full((mdp.n_actions, mdp.n_states, mdp.n_states), 1 / mdp.n_actions)
        if score is not None:
            policy = (np.arange(mdp.n_actions)[:, None, None] == score.argmax(axis=0)).astype(float)
        rows.append(
            {
                "score": name,
                "leap_next_door": float(policy[leap][next_door].mean()),
                "regret": float((best - np.einsum("axy,axy->xy", policy, mdp.transition)).mean()),
                "correlation": None if score is None else float(np.corrcoef(score.ravel(), ratio.ravel())[0, 1]),
                "spread": float(variances[0] / np.median(variances)) if not name.startswith(("exact", "random")) else None,
            }
            | {f"arrived_{budget}": share for budget, share in arrivals(mdp, policy, BUDGETS).items()}
        )
    return rows


def summary(table):
    """One line a model, reach and score: means over seeds."""
    columns = ["arrived_10", "arrived_20", "leap_next_door", "regret", "spread"]
    return table[table["status"] == "ok"].groupby(["model", "reach", "score"], sort=False)[columns].mean().reset_index()


def gambling(rng, n):
    """What the kept table says of both ways to score, where moves succeed 15 and 30 times in a hundred."""
    del rng, n
    table = reference_table("negatives_pixels")
    mean = table.groupby(["model", "reach", "score"])[["arrived_20", "leap_next_door"]].mean()
    lewm, white = list(MODELS)

    def row(what, model, reach, score, column, relation, expected):
        name = f"{model}, p = {reach:g}, {score}: {what}"
        return comparison(name, mean.loc[(model, reach, score), column], relation, expected)

    arrived, leaps = "arrived within 20 steps", "neighbours leapt to"
    per_seed = table[(table["reach"] == 0.15) & (table["model"] == lewm)].pivot(
        index="seed", columns="score", values="arrived_20"
    )
    gain = (per_seed["pooled score"] - per_seed["distance"]).min()
    return [
        row(leaps, lewm, 0.15, "distance", "leap_next_door", ">=", 0.9),
        row(leaps, lewm, 0.15, "pooled score", "leap_next_door", "<=", 0.05),
        row(arrived, lewm, 0.15, "distance", "arrived_20", "<=", 0.65),
        row(arrived, lewm, 0.15, "pooled score", "arrived_20", ">=", 0.75),
        comparison(f"{lewm}, p = 0.15: least gain of the pooled score over seeds", gain, ">=", 0.15),
        row(leaps, white, 0.15, "distance", "leap_next_door", ">=", 0.95),
        row(arrived, white, 0.15, "pooled score", "arrived_20", ">=", 0.8),
        row(arrived, lewm, 0.15, "exact, distance", "arrived_20", "<=", 0.6),
        row(arrived, lewm, 0.15, "exact, pooled score", "arrived_20", ">=", 0.85),
        row(leaps, lewm, 0.3, "exact, distance", "leap_next_door", "=", 1),
        row(leaps, lewm, 0.3, "distance", "leap_next_door", "<=", 0.2),
        row(arrived, lewm, 0.3, "distance", "arrived_20", ">=", 0.9),
        row(arrived, lewm, 0.3, "pooled score", "arrived_20", "<=", 0.8),
    ]
