"""From matrices to pixels: which singular functions of a drawn world a JEPA trained on its pictures learns, and when.

A small LeWM-like model (conv net, 32 px, 8 latent coordinates, one frame of context) is trained by the package's own learner
on 200 episodes of random actions, under the whitening penalty (strength 1), SIGReg as published, or as an autoencoding world
model. Its latents of all pictures are a table, whose span is compared with the right singular functions of the exact
stacked matrix: ``share`` is the R^2 of a linear read-out of a group of equal singular values (group 1, 2, ... after the
constant), at several steps of training. Group 0 carries what is measured of the whole: the mean canonical correlation with
the leading functions up to the last gap at or before 8, risks, effective rank, exact regret one and three steps ahead, and
planning for a reward. Step 0 is the untrained model. The rows of the method "beside" are closed forms and tabular JEPAs on
the counts of the same transitions: seeds and data are paired.
"""

import numpy as np
import pandas as pd
from _bridge import OBJECTIVES, WORLDS, closed_forms, conditional_ahead, episodes, measure, measure_table, settings
from _bridge import training as train

import spectral_jepa as sj
from spectral_jepa.jepa import JepaConfig, Run, train_jepa
from spectral_jepa.losses import from_lewm
from spectral_jepa.pixels.diagnostics.latent_table import latent_table, recorded_transitions
from spectral_jepa.pixels.diagnostics.spectrum import match_spectrum
from spectral_jepa.pixels.environments import environment_class
from spectral_jepa.sweep.experiment import comparison
from spectral_jepa.sweep.results import reference_table

DIM, N_SHOWN = 8, 16
LOOKS = (0, 10, 20, 40, 60, 80, 100, 150, 200, 300, 400, 600, 800, 1200, 1600, 2400, 3200)
TRAINED = ("whitening", "SIGReg", "autoencoder")
# Squared singular values that differ by more are clearly apart.
CLEARLY = 0.1
SMALL = {"training__batch_size": 128, "training__learning_rate": 4e-3}
PRESETS = {
    "quick": {"world": list(WORLDS), "method": [*TRAINED, "beside"], "seed": range(3), "n_steps": 400},
    "paper": {"world": list(WORLDS), "method": [*OBJECTIVES, "beside"], "seed": range(5), "n_steps": 3200},
}


def run_cell(world, method, seed, n_steps):
    """One training: a row a look and group. Or what stands beside it: a row a method, of group 0."""
    if method == "beside":
        return beside(settings(world, "whitening", DIM, seed, n_steps, **SMALL))
    config = settings(world, method, DIM, seed, n_steps, **SMALL)
    environment = environment_class(config.data.environment)
    exact = sj.CoOccurrence.exact(environment.world)
    rows = []
    looks = [step for step in LOOKS if step < n_steps] + [n_steps]
    for step, model, scaler in train(config, set(looks)):
        encoded = latent_table(model, environment, scaler).target
        match = match_spectrum(exact, encoded, N_SHOWN)
        rows += [
            {"arm": method, "step": step, "group": number, "value": match.values[first], "size": stop - first,
             "first": first, "share": match.shares[first]}
            for number, (first, stop) in enumerate(match.groups, 1)
        ]  # fmt: skip
        if step in (0, n_steps):
            name = method if step else f"{method}, untrained"
            rows.append({"arm": name, "step": step, "group": 0, **measure(config, model, scaler)})
    return rows


def beside(config):
    """Closed forms, principal components, and tabular JEPAs with the same losses on the counts of the same data."""
    environment = environment_class(config.data.environment)
    counts = sj.CoOccurrence.from_transitions(recorded_transitions(episodes(config.data), environment))
    seed, n_steps = config.training.seed, config.training.n_steps
    rows = [{"arm": name, "step": -1, "group": 0, **row} for name, row in closed_forms(config, DIM).items()]
    for name, (options, strength) in {
        "tabular JEPA, whitening": ({"regularizer": "whitening", "centered": True}, 1.0),
        "tabular JEPA, SIGReg": ({"regularizer": "sigreg", "factor": 128.0}, from_lewm(dim=DIM).strength),
    }.items():
        trained = train_jepa(
            counts, [Run(DIM, seed, strength)], JepaConfig(n_steps=n_steps, record_every=n_steps, **options)
        )
        table = trained.embedding(0)
        row = measure_table(environment, table, 8, conditional_ahead(environment.world, table, counts))
        rows.append({"arm": name, "step": -1, "group": 0, **row})
    return rows


def half_steps(table):
    """First step at which half of a group is read out, one row a training and group; NaN where that never happens."""
    shares = table[(table["group"] > 0) & (table["method"] != "beside")]
    rows = []
    for keys, part in shares.groupby(["world", "method", "seed", "group"], sort=False):
        part = part.sort_values("step")
        reached = part["share"].to_numpy() >= 0.5
        steps, share = part["step"].to_numpy(float), part["share"].to_numpy()
        at = np.nan
        if reached.any():
            i = int(np.argmax(reached))
            at = steps[0] if i == 0 else np.interp(0.5, share[i - 1 : i + 1], steps[i - 1 : i + 1])
        rows.append(dict(zip(("world", "method", "seed", "group"), keys, strict=True)) | {
            "value": part["value"].iloc[0], "half_step": at, "last": part["share"].iloc[-1]})  # fmt: skip
    return pd.DataFrame(rows)


def summary(table):
    """One line a world and arm: what its encoder is worth in the end, means over seeds."""
    table = table[(table["status"] == "ok") & (table["group"] == 0)]
    columns = ["correlation", "share", "kernel_share", "readout_risk", "corrected_risk", "tail", "effective_rank",
               "ahead_regret", "reward_regret"]  # fmt: skip
    return table.groupby(["world", "arm"], sort=False)[columns].mean().reset_index()


def learned(rng, n):
    """What the kept table says of the span that pixels teach, against the bar of .9, closed forms and controls."""
    del rng, n
    table = reference_table("bridge_order")
    ends = table[table["group"] == 0].groupby(["world", "arm"])
    least, mean = ends["correlation"].min(), ends["correlation"].mean()
    rows = []
    for world in WORLDS:
        rows += [
            comparison(f"{world}: seeds", ends.size()[(world, "whitening")], ">=", 3),
            comparison(f"{world}: least mean correlation, whitening", least[(world, "whitening")], ">=", 0.9),
            comparison(f"{world}: the same, SVD of the same data", mean[(world, "SVD, same data")], ">=", 0.9),
            comparison(f"{world}: mean correlation, untrained", mean[(world, "whitening, untrained")], "<=", 0.65),
            comparison(f"{world}: mean correlation, PCA of pixels", mean[(world, "PCA of pixels")], "<=", 0.65),
        ]
    return rows


def in_order(rng, n):
    """What the kept table says of the order: half of a group is read out before half of one of clearly smaller value."""
    del rng, n
    half = half_steps(reference_table("bridge_order"))
    rows = []
    for method in ("whitening", "SIGReg"):
        early = []
        for _, part in half[half["method"] == method].groupby(["world", "seed"]):
            squares, steps = part["value"].to_numpy() ** 2, part["half_step"].to_numpy()
            apart = squares[:, None] - squares[None] > CLEARLY
            early += (steps[:, None] <= steps[None])[apart & np.isfinite(steps)[None]].tolist()
        rows += [
            comparison(f"{method}: pairs of groups that are learned and clearly apart, all seeds", len(early), ">=", 9),
            comparison(f"{method}: share of them in the order of the singular values", np.mean(early), ">=", 1),
        ]
    return rows


def no_more_than_tables(rng, n):
    """What the kept table says of SIGReg and of planning: pixels beside the tabular JEPA of the same loss and data."""
    del rng, n
    table = reference_table("bridge_order")
    mean = table[table["group"] == 0].groupby(["world", "arm"])[["correlation", "ahead_regret", "reward_regret"]].mean()
    rows = []
    for world in WORLDS:
        pixels, tabular = (mean.loc[(world, arm)] for arm in ("SIGReg", "tabular JEPA, SIGReg"))
        apart = abs(pixels["correlation"] - tabular["correlation"])
        rows += [
            comparison(f"{world}: correlation of SIGReg from pixels", pixels["correlation"], "<=", 0.95),
            comparison(f"{world}: its distance from the tabular JEPA with SIGReg", apart, "<=", 0.05),
        ]
        for arm in ("whitening", "SIGReg"):
            blind = mean.loc[(world, "whitening, untrained"), "ahead_regret"]
            left = mean.loc[(world, arm), "ahead_regret"] / blind
            rows.append(comparison(f"{world}: regret three steps ahead over that of the untrained, {arm}", left, "<=", 0.35))
    lost = mean.loc[("four rooms", "whitening"), "reward_regret"]
    return [*rows, comparison("four rooms: share of the return lost, whitening from pixels", lost, ">=", 0.2)]
