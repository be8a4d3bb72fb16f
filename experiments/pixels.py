"""World models from pixels: LeWorldModel, Sub-JEPA over K, no regulariser and baselines, on the same data and goals.

Each cell collects (once), trains one model with one training seed, plans on the frozen held-out start and goal pairs (goal
25 raw steps ahead, 50 to reach it, as published), probes physical quantities, and tests surprise. Everything of a run is
kept in results/pixels/ENVIRONMENT-PRESET/NAME-SEED, as the commands ``spectral-jepa pixels ...`` keep it, so a stopped cell
goes on where it was. "random" and "simulator" rows are the floor and the upper bound on the same pairs. Strengths are the
published .09 for all regularisers but PLDM's own weights; nothing was tuned on the pairs.
"""

from dataclasses import replace

import pandas as pd

from spectral_jepa.pixels.presets import preset as preset_config
from spectral_jepa.sweep.devices import cell_device
from spectral_jepa.sweep.experiment import comparison
from spectral_jepa.sweep.results import reference_table

POSITION = "probe_r2_embedding_linear_agent_position"
# Name -> (regulariser, K, kind).
MODELS = {
    "LeWM": ("sigreg", 1, "world_model"),
    "Sub-JEPA K=2": ("subspace_sigreg", 2, "world_model"),
    "Sub-JEPA K=4": ("subspace_sigreg", 4, "world_model"),
    "Sub-JEPA K=8": ("subspace_sigreg", 8, "world_model"),
    "Sub-JEPA K=16": ("subspace_sigreg", 16, "world_model"),
    "Sub-JEPA K=32": ("subspace_sigreg", 32, "world_model"),
    "none": ("none", 1, "world_model"),
    "PLDM": ("pldm", 1, "world_model"),
    "cloning": ("none", 1, "cloning"),
    "random": (None, 1, "policy"),
    "simulator": (None, 1, "policy"),
}
CORE = ["LeWM", "Sub-JEPA K=2", "Sub-JEPA K=4", "Sub-JEPA K=8"]
PRESETS = {
    "tiny": {"environment": "two_room", "size": "tiny", "model": ["LeWM", "random"], "seed": [0]},
    "quick": [
        {"environment": "two_room", "size": "small", "model": ["random", "simulator"], "seed": [0]},
        {"environment": "two_room", "size": "small", "model": [*CORE, "none"], "seed": range(3)},
    ],
    "paper": [
        {"environment": "two_room", "size": "small", "model": list(MODELS), "seed": range(5)},
    ],
}


def settings(environment, size, model, seed):
    """The configuration of a cell."""
    regularizer, n_subspaces, kind = MODELS[model]
    config = preset_config(size, environment)
    if kind == "policy":
        return config
    objective = replace(config.objective, regularizer=regularizer, n_subspaces=n_subspaces)
    training = replace(config.training, seed=seed)
    config = replace(config, objective=objective, training=training, kind=kind)
    # Behaviour cloning sees no action of its own: the goal is a later frame of the clip, so clips must reach 25 steps ahead.
    return replace(config, model=replace(config.model, history=5)) if kind == "cloning" else config


def run_cell(environment, size, model, seed):
    """One model: one row, with success, probe, surprise and geometry."""
    import torch

    from spectral_jepa.pixels.data import ActionScaler, open_dataset
    from spectral_jepa.pixels.data.collect import collect
    from spectral_jepa.pixels.environments import make_environment
    from spectral_jepa.pixels.evaluation.evaluate import evaluate
    from spectral_jepa.pixels.model.saved import load_model
    from spectral_jepa.pixels.planning.policies import CloningPolicy, PlannerPolicy, RandomPolicy
    from spectral_jepa.pixels.planning.simulator import SimulatorPolicy
    from spectral_jepa.pixels.runs import base_folder, frozen_pairs, run_name
    from spectral_jepa.pixels.training.loop import train

    torch.set_num_threads(1)
    config = settings(environment, size, model, seed)
    base = base_folder(environment, size)
    data = collect(config.data, base / "data.h5", n_jobs=1, progress=False)
    dataset = open_dataset(data, image_size=config.model.image_size, action_dim=config.model.action_dim, progress=False)
    world = make_environment(environment, config.model.image_size)
    manifest = frozen_pairs(data, dataset, world, config.evaluation)
    kind, extra, folder = MODELS[model][2], {}, base / run_name(config)
    if kind == "policy":
        scaler = ActionScaler.from_dataset(dataset, dataset.split()["train"])
        policy = (
            RandomPolicy(world, config.evaluation.goal_offset)
            if model == "random"
            else SimulatorPolicy(world, scaler, config.planning, config.model.action_block)
        )
    else:
        # A GPU where the worker was given one (--gpu), else the processor, on which two runs agree bit for bit.
        train(config, data, folder, device=cell_device(), progress=False)
        network, _, scaler = load_model(folder, cell_device())
        log = pd.read_csv(folder / "log.csv")
        extra = {"train_prediction": float(log["prediction"].dropna().iloc[-1]),
                 "samples_per_second": float(log["samples_per_second"].dropna().median()),
                 "n_parameters": sum(p.numel() for p in network.parameters())}  # fmt: skip
        policy = PlannerPolicy(network, scaler, config.planning) if kind == "world_model" else CloningPolicy(network, scaler)
    rows = evaluate(policy, manifest, dataset, world, config.evaluation, folder=base / "evaluations", progress=False)
    extra |= {
        "successes": int(rows["success"].sum()),
        "n_pairs": len(rows),
        "success": float(rows["success"].mean()),
        "solved_at_start": manifest.solved_share,
        "manifest": manifest.digest[:12],
        "plan_seconds": float(rows["policy_seconds"].mean()),
        "outcomes": "".join("1" if s else "0" for s in rows.sort_values("pair")["success"]),
    }
    return extra | (measures(folder, data) if kind == "world_model" else {})


def measures(folder, data):
    """Probe, surprise and geometry of a trained folder, as flat numbers."""
    from spectral_jepa.pixels.config import ProbeConfig
    from spectral_jepa.pixels.data import open_dataset
    from spectral_jepa.pixels.diagnostics.latent_geometry import latent_geometry
    from spectral_jepa.pixels.diagnostics.latents import CACHE
    from spectral_jepa.pixels.model.saved import load_model
    from spectral_jepa.pixels.reports.tables import run_probe, run_surprise

    flat = {}
    device = cell_device()
    probes = run_probe(folder, data, ProbeConfig(n_train=8000, n_test=4000, max_epochs=60), device=device, progress=False)
    for line in probes[(probes["coordinate"] == "mean")].itertuples():
        name = f"{line.input}_{line.probe}_{line.quantity}".replace(" ", "_")
        flat |= {f"probe_r2_{name}": line.r2, f"probe_mse_{name}": line.mse, f"probe_r_{name}": line.r}
    _, summary = run_surprise(folder, data, device=device, progress=False)
    for line in summary.itertuples():
        name = f"{line.version}_{line.moment}"
        flat |= {f"surprise_d_{name}": line.d_z, f"surprise_auroc_{name}": line.auroc, f"surprise_p_{name}": line.p_t,
                 f"surprise_ratio_{name}": line.ratio, "surprise_n": line.n}  # fmt: skip
    model, config, _ = load_model(folder, device)
    dataset = open_dataset(data, image_size=config.model.image_size, progress=False)
    table = latent_geometry(model, dataset, dataset.split()["test"], every=config.model.action_block, cache=folder / CACHE)
    for line in table[table["measure"] != "eigenvalue"].itertuples():
        flat[line.measure] = line.value
    return flat


def summary(table):
    """One line a model: success over all seeds' pairs, seeds apart, probe, surprise, rank."""
    rows = []
    for (environment, model), part in table[table["status"] == "ok"].groupby(["environment", "model"], sort=False):
        line = {"environment": environment, "model": model, "training seeds": len(part), "success": part["success"].mean()}
        line |= {"lowest": part["success"].min(), "highest": part["success"].max()}
        for column in ("effective_rank", "straightness", POSITION, "surprise_auroc_teleported_at",
                       "surprise_auroc_recoloured_at"):  # fmt: skip
            if column in part:
                line[column] = part[column].mean()
        rows.append(line)
    return pd.DataFrame(rows)


def reference(model, environment="two_room"):
    """Rows of one model in the committed quick table, one a training seed."""
    table = reference_table("pixels")
    return table[(table["status"] == "ok") & (table["model"] == model) & (table["environment"] == environment)]


def planning(rng, n):
    """LeWM on Two-Room, small: success, floor, ceiling on the same pairs."""
    lewm, random, simulator = reference("LeWM"), reference("random"), reference("simulator")
    return [
        comparison("training seeds", len(lewm), ">=", 3),
        comparison("pairs", lewm["n_pairs"].min(), ">=", 200),
        comparison("LeWM: success of the worst seed", lewm["success"].min(), ">=", 0.85),
        comparison("worst seed minus random", lewm["success"].min() - random["success"].mean(), ">=", 0.5),
        comparison("random (printed 0)", random["success"].mean(), ">=", 0.1),
        comparison("true dynamics", simulator["success"].mean(), ">=", 0.95),
    ]


def no_regularizer(rng, n):
    """The same trainer without a regulariser."""
    none, random = reference("none"), reference("random")
    return [
        comparison("least whitening gap (1: no variance left)", none["whitening_gap"].min(), ">=", 0.99),
        comparison("LeWM minus it, success of the worst seed and of the best", reference("LeWM")["success"].min()
                - none["success"].max(), ">=", 0.5),
        comparison("best seed minus random", none["success"].max() - random["success"].mean(), "<=", 0.2),
        comparison("least effective rank of what is left, of 64", none["effective_rank"].min(), ">=", 10),
    ]  # fmt: skip


def probing(rng, n):
    """Reading the agent's position from LeWM's latents of test episodes."""
    lewm = reference("LeWM")
    return [
        comparison("linear probe: least R2", lewm[POSITION].min(), ">=", 0.9),
        comparison("MLP probe: least R2", lewm["probe_r2_embedding_mlp_agent_position"].min(), ">=", 0.98),
        comparison("linear, untrained encoder: R2", lewm["probe_r2_random_encoder_linear_agent_position"].max(), "<=", 0.8),
        comparison("MLP, untrained encoder: R2", lewm["probe_r2_random_encoder_mlp_agent_position"].min(), ">=", 0.9),
        comparison("linear, raw pixels: R2", lewm["probe_r2_pixels_linear_agent_position"].min(), ">=", 0.99),
    ]


def teleport(rng, n):
    """Surprise at a teleport, paired with the clean trajectory."""
    lewm = reference("LeWM")
    return [
        comparison("largest p of the paired t-test", lewm["surprise_p_teleported_at"].max(), "<=", 0.01),
        comparison("least AUROC", lewm["surprise_auroc_teleported_at"].min(), ">=", 0.95),
        comparison("least effect size d_z", lewm["surprise_d_teleported_at"].min(), ">=", 1),
    ]


def recolour(rng, n):
    """Surprise at a change of colour: printed as not significant."""
    lewm = reference("LeWM")
    return [
        comparison("largest p of the paired t-test", lewm["surprise_p_recoloured_at"].max(), "<=", 0.01),
        comparison("teleport: least ratio to clean over that of recolour",
                (lewm["surprise_ratio_teleported_at"] / lewm["surprise_ratio_recoloured_at"]).min(), ">=", 1),
    ]  # fmt: skip


def sub_jepa_rank(rng, n):
    """Effective rank of the pixel models: Sub-JEPA's mean over LeWM's."""
    lewm = reference("LeWM")["effective_rank"].mean()
    return [
        comparison(
            f"K = {k}: effective rank over LeWM's", reference(f"Sub-JEPA K={k}")["effective_rank"].mean() / lewm, *limit
        )
        for k, limit in ((2, (">=", 1)), (4, ("<=", 1)), (8, ("<=", 1)))
    ]


def sub_jepa_gain(rng, n):
    """Success of Sub-JEPA minus LeWM on the same pairs, means over training seeds."""
    lewm = reference("LeWM")["success"].mean()
    return [
        comparison(f"K = {k}: gain in success (printed .107 at K = 32)",
                reference(f"Sub-JEPA K={k}")["success"].mean() - lewm, "<=", 0.02)
        for k in (2, 4, 8)
    ]  # fmt: skip


def parameters(rng, n):
    """Trainable parameters of the published configuration."""
    from spectral_jepa.pixels.config import ModelConfig
    from spectral_jepa.pixels.model.world_model import WorldModel

    count = sum(p.numel() for p in WorldModel(ModelConfig()).parameters() if p.requires_grad)
    return [comparison("trainable parameters, 2-D actions", count, "=", 18_034_478)]
