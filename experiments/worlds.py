"""Four pixel worlds without a GPU: LeWM, Sub-JEPA, PLDM, whitening, inverse dynamics and cloning on the same held-out pairs.

Each cell trains one model with one training seed by the small preset of its environment (resumed where it was; the folder
is results/pixels/ENVIRONMENT-SIZE/ARM-SEED) and plans on 200 frozen held-out start and goal pairs, those that are solved at
the start left out: goals 25 raw steps ahead, 50 to reach them, with one frame as published and, where a model reads
several, with real history, and by a guided search (``GUIDED``); with ``tasks`` "published" only the first. With ``tasks``
"all" also goals 50 ahead with 100 steps, and the same pairs again from a start at rest.

Two arms (``SEARCHES``) search otherwise with another arm's model: "search from cloning" with that of "SIGReg + inverse",
each short search begun at the block that the cloned policy of the same seed gives; "summed cost" with that of "LeWM", its
cost summed over the plan.

Beside success: effective rank, straightness, linear probes of every physical quantity, and the time it took. "random" and
"nothing" are the floor, "true dynamics" is the same planner with the simulator in place of the model, on the first pairs
only, as many as its speed allows; "perfect predictor" is that with the latent cost of "SIGReg + inverse", by what its
encoder sees of the states in which plans truly end. Two-Room's rows of Sub-JEPA and of no regulariser are those of the
experiment ``pixels``, which has the same settings and pairs; their files say so.

Regularisers have the published strength; PLDM its own weights; whitening strength 1. Nothing was chosen on the pairs, but
for the guided search, which was settled on the first 60 of Cube's, the search from cloning, on the first 60 of Push-T's,
and the summed cost, which was best on the first 100 of Reacher's.
"""

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from _small_worlds import (
    ARMS,
    FROM_CLONING,
    GUIDED,
    LONGER,
    MODEL,
    NAMES,
    PERFECT,
    SEARCHES,
    SUMMED,
    WORLDS,
    overrides,
    recorded,
    run_name,
    settings,
    trained,
)

import spectral_jepa
from spectral_jepa._files import write_atomic
from spectral_jepa._validation import InputError
from spectral_jepa.success_rates import paired_comparison, wilson_interval
from spectral_jepa.sweep.experiment import comparison
from spectral_jepa.sweep.results import fullest_rows, reference_path, reference_table

MEASURED = Path("results/worlds/measured")

# From the fewest to the most: what was measured on more was measured on less.
TASKS = ["published", "25", "all"]
FLOORS = ["random", "nothing", "true dynamics"]
SIMULATORS = ["true dynamics", PERFECT]
# The arms that decide, with three training seeds.
MAIN, SUB_JEPA = ["LeWM", MODEL, "cloning"], ["Sub-JEPA K=4", "Sub-JEPA K=8"]
OTHERS = [arm for arm in ARMS if arm not in (*MAIN, *SUB_JEPA, *LONGER)]
SEEDS = [0, 1, 2]
TINY = ["LeWM", "cloning", "nothing", *SEARCHES]
# Pairs that the true dynamics are tried on: one plan of theirs takes 3 minutes in Cube.
SIMULATED = {"two_room": 200, "reacher": 50, "push_t": 30, "cube": 4}
PRESETS = {
    "tiny": [
        {"environment": "two_room", "size": "tiny", "arm": TINY, "seed": 0, "tasks": "all"},
    ],
    "quick": [
        {"environment": WORLDS, "size": "small", "arm": ["random", "nothing"], "seed": 0, "tasks": "all"},
        *({"environment": WORLDS, "size": "small", "arm": MAIN, "seed": seed, "tasks": "25"} for seed in SEEDS),
        *({"environment": WORLDS[1:], "size": "small", "arm": SUB_JEPA, "seed": seed, "tasks": "25"} for seed in SEEDS),
        # LeWM leaves no room for another search there.
        {"environment": "two_room", "size": "small", "arm": SUB_JEPA, "seed": SEEDS, "tasks": "published"},
        {"environment": WORLDS, "size": "small", "arm": "true dynamics", "seed": 0, "tasks": "25"},
        # Where the prediction is in question; 50 minutes there.
        {"environment": "push_t", "size": "small", "arm": PERFECT, "seed": 0, "tasks": "25"},
        {"environment": WORLDS, "size": "small", "arm": OTHERS, "seed": 0, "tasks": "published"},
        {"environment": WORLDS, "size": "small", "arm": list(SEARCHES), "seed": 0, "tasks": "25"},
        {"environment": "push_t", "size": "small", "arm": FROM_CLONING, "seed": SEEDS[1:], "tasks": "25"},
        {"environment": "reacher", "size": "small", "arm": SUMMED, "seed": SEEDS[1:], "tasks": "25"},
        {"environment": "push_t", "size": "small", "arm": LONGER[0], "seed": 0, "tasks": "published"},
        {"environment": "push_t", "size": "small", "arm": LONGER[1], "seed": 0, "tasks": "25"},
        {"environment": WORLDS, "size": "small", "arm": MAIN, "seed": 0, "tasks": "all"},
    ],
    "paper": [
        {"environment": WORLDS, "size": "small", "arm": ["random", "nothing"], "seed": 0, "tasks": "all"},
        {"environment": WORLDS, "size": "small", "arm": SIMULATORS, "seed": 0, "tasks": "25"},
        {"environment": WORLDS, "size": "small", "arm": [*ARMS, *SEARCHES], "seed": SEEDS, "tasks": "all"},
    ],
}  # fmt: skip


def run_cell(environment, size, arm, seed, tasks):
    """One model: one row, measured once and kept.

    A row of the same settings is read from results/worlds/measured or, committed, from reference/worlds: hours of training
    are not repeated on another machine. Remove its file to measure it again.
    """
    cell = {"environment": environment, "size": size, "arm": arm, "seed": seed, "tasks": tasks}
    now = settings(environment, size, arm, seed).to_dict()
    stem = f"{environment}-{size}-{run_name(arm, seed)}"
    names = [f"{stem}-{more}.json" for more in TASKS[TASKS.index(tasks) :]]
    for path in (folder / name for name in names for folder in (MEASURED, committed())):
        if path.is_file():
            kept = json.loads(path.read_bytes())
            if same(kept["settings"], now):
                return kept["row"]
    row = measure(**cell)
    record = {"cell": cell, "date": time.strftime("%Y-%m-%d"), "version": spectral_jepa.__version__, "row": row}
    MEASURED.mkdir(parents=True, exist_ok=True)
    write_atomic(MEASURED / names[0], (json.dumps(record | {"settings": now}, indent=1) + "\n").encode())
    return row


def committed():
    """Folder of the rows that are committed, whether it is there or not."""
    return reference_path("worlds/rows.json").parent


def same(kept, now):
    """Whether all settings that a row was measured with are those of now; settings that came later do not count."""
    if isinstance(kept, dict):
        return isinstance(now, dict) and all(name in now and same(value, now[name]) for name, value in kept.items())
    return kept == now or (isinstance(kept, list) and kept == list(now))


def measured():
    """The cells of the presets that have a committed row, in the order of their names."""
    return [json.loads(path.read_bytes())["cell"] for path in sorted(committed().glob("*.json"))]


PRESETS["measured"] = measured() or PRESETS["tiny"]


def measure(environment, size, arm, seed, tasks):
    """Train, plan, probe: the numbers of a row."""
    import torch

    from spectral_jepa.pixels.data import ActionScaler, open_dataset
    from spectral_jepa.pixels.environments import make_environment
    from spectral_jepa.pixels.model.saved import load_model
    from spectral_jepa.pixels.planning.policies import CloningPolicy, NothingPolicy, PlannerPolicy, RandomPolicy
    from spectral_jepa.pixels.planning.simulator import SimulatorPolicy
    from spectral_jepa.pixels.runs import open_run

    torch.set_num_threads(1)
    config = settings(environment, size, arm, seed)
    data = recorded(environment, size)
    base = data.parent
    dataset = open_dataset(data, image_size=config.model.image_size, action_dim=config.model.action_dim, progress=False)
    world = make_environment(environment, config.model.image_size)
    row = {}
    if arm in ARMS:
        folder, seconds = trained(environment, size, arm, seed)
        network, _, scaler = load_model(folder)
        row = {"training_seconds": seconds, "n_steps": config.training.n_steps,
               "n_parameters": sum(p.numel() for p in network.parameters())}  # fmt: skip
        policy = CloningPolicy(network, scaler) if arm == "cloning" else PlannerPolicy(network, scaler, config.planning)
        row |= held(network, dataset, config)
    elif arm in SEARCHES:
        model, planning = SEARCHES[arm]
        folder = trained(environment, size, model, seed)[0]
        cloned = trained(environment, size, "cloning", seed)[0] if planning.get("proposal") == "cloning" else None
        policy = open_run(folder, data, overrides=overrides(planning), proposal=cloned).policy
    elif arm in SIMULATORS:
        scaler = ActionScaler.from_dataset(dataset, dataset.split()["train"])
        encoder = load_model(trained(environment, size, MODEL, seed)[0])[0] if arm == PERFECT else None
        policy = SimulatorPolicy(world, scaler, config.planning, config.model.action_block, encoder)
    else:
        policy = RandomPolicy(world, config.evaluation.goal_offset) if arm == "random" else NothingPolicy(world)
    n_pairs = min(config.evaluation.n_pairs, SIMULATED.get(environment, 200)) if arm in SIMULATORS else None
    row |= judged("25", policy, config.evaluation, data, dataset, world, base, n_pairs)
    searches = arm in ARMS and config.kind == "world_model" and tasks != "published"
    if searches and config.model.history > 1:
        seeing = PlannerPolicy(network, scaler, replace(config.planning, history=config.model.history))
        row |= judged("history", seeing, config.evaluation, data, dataset, world, base)
    if searches:
        guided = open_run(folder, data, overrides=overrides(GUIDED)).policy
        row |= judged("guided", guided, config.evaluation, data, dataset, world, base)
    if tasks == "all":
        far = replace(config.evaluation, goal_offset=2 * config.evaluation.goal_offset, budget=2 * config.evaluation.budget)
        row |= judged("50", policy, far, data, dataset, world, base)
        row |= judged("rest", policy, replace(config.evaluation, start="rest"), data, dataset, world, base)
    return row


def judged(name, policy, wanted, data, dataset, world, base, n_pairs=None):
    """Success of a policy on the frozen pairs of one task."""
    from spectral_jepa.pixels.data.episodes import column_digest
    from spectral_jepa.pixels.evaluation.evaluate import evaluate
    from spectral_jepa.pixels.runs import frozen_pairs

    # Fewer pairs are the first of more: they are drawn one after the other.
    manifest = frozen_pairs(data, dataset, world, wanted if n_pairs is None else replace(wanted, n_pairs=n_pairs))
    rows = evaluate(policy, manifest, dataset, world, wanted, folder=base / "evaluations", progress=False)
    rows = rows.sort_values("pair")
    return {
        f"success_{name}": float(rows["success"].mean()),
        f"n_pairs_{name}": len(rows),
        f"outcomes_{name}": "".join("1" if s else "0" for s in rows["success"]),
        f"episodes_{name}": " ".join(str(episode) for episode in rows["episode"]),
        f"steps_{name}": " ".join(str(steps) for steps in rows["steps"]),
        f"median_distance_{name}": float(rows["final_distance"].median()),
        f"solved_at_start_{name}": manifest.solved_share,
        f"manifest_{name}": manifest.digest[:12],
        f"pairs_{name}": column_digest(dataset.columns["state"][np.array(manifest.pairs)[:, 1:].ravel()])[:12],
        f"seconds_{name}": float(rows["policy_seconds"].sum()),
    }


def held(network, dataset, config):
    """Effective rank of the latents of held-out frames and linear probes of all quantities."""
    from spectral_jepa.pixels.config import ProbeConfig
    from spectral_jepa.pixels.diagnostics.latent_geometry import latent_geometry
    from spectral_jepa.pixels.diagnostics.probe import probe

    split = dataset.split()
    table = latent_geometry(network, dataset, split["test"], every=config.model.action_block)
    flat = {line.measure: line.value for line in table[table["measure"] != "eigenvalue"].itertuples()}
    probes = probe(network, dataset, split, ProbeConfig(probes=("linear",), n_train=6000, n_test=3000))
    kept = probes[(probes["coordinate"] == "mean") & (probes["input"] == "embedding")]
    return flat | {f"probe_{line.quantity}": line.r2 for line in kept.itertuples()}


def by_model(table):
    """One row a model, also where it was measured on some tasks and again on more."""
    return fullest_rows(table, by=["environment", "arm", "seed"])


def successes(part, task="25"):
    """Outcomes of rows on the pairs of a task: (rows, pairs), and the episode of each pair."""
    outcomes = np.array([[mark == "1" for mark in marks] for marks in part[f"outcomes_{task}"]])
    return outcomes, np.array(part[f"episodes_{task}"].iloc[0].split(), dtype=int)


def shared_seeds(first, second, task="25"):
    """Training seeds of both with the same pairs, by their states: those of another processor can differ, as Cube's do."""
    columns = [column for column in (f"episodes_{task}", f"pairs_{task}") if column in first and column in second]
    joined = first.merge(second, on="seed", suffixes=("", " of the other"))
    same = [joined[column] == joined[f"{column} of the other"] for column in columns]
    return sorted(joined.loc[np.logical_and.reduce(same), "seed"])


def gain(first, second, task="25"):
    """Success of one arm minus another's, seed by seed on the same pairs; episodes are drawn whole for the interval."""
    first, second = by_model(first), by_model(second)
    seeds = shared_seeds(first, second, task)
    if not seeds:
        raise InputError("the rows share no training seed with the same pairs, expected one: measure both on the same data")
    (a, episodes), (b, _) = (successes(part.set_index("seed").loc[seeds], task) for part in (first, second))
    return paired_comparison(a.ravel(), b.ravel(), groups=np.tile(episodes, len(seeds)))


def summary(table):
    """One line a world and arm: success pooled over seeds with its interval, gain over LeWM on the same pairs, rank."""
    done = by_model(table[table["status"] == "ok"])
    lines = []
    for (environment, arm), part in done.groupby(["environment", "arm"], sort=False):
        outcomes, _ = successes(part)
        low, high = wilson_interval(int(outcomes.sum()), outcomes.size)
        line = {
            "environment": environment,
            "arm": arm,
            "seeds": len(part),
            "success": outcomes.mean(),
            "low": low,
            "high": high,
        }
        lewm = done[(done["environment"] == environment) & (done["arm"] == "LeWM")]
        if arm not in ("LeWM", "true dynamics") and len(lewm) and shared_seeds(part, lewm):
            paired = gain(part, lewm)
            line |= {"minus LeWM": paired.difference, "from": paired.low, "to": paired.high}
        for column in ("success_history", "success_guided", "success_50", "success_rest", "effective_rank"):
            if column in part:
                line[column] = part[column].mean()
        lines.append(line)
    return pd.DataFrame(lines)


def reference(environment, arm):
    """Committed rows of one arm in one world, one a training seed."""
    table = reference_table("worlds", "measured")
    table = table[(table["status"] == "ok") & (table["environment"] == environment) & (table["arm"] == arm)]
    return by_model(table)


def floor(environment):
    """Success of the better of random actions and of doing nothing."""
    return max(reference(environment, arm)["success_25"].iloc[0] for arm in FLOORS[:2])


def reacher(rng, n):
    """LeWM on Reacher at the small size, one frame and real history; a policy cloned from the same recordings."""
    lewm, cloning = (reference("reacher", arm) for arm in ("LeWM", "cloning"))
    return [
        comparison("pairs", lewm["n_pairs_25"].min(), ">=", 200),
        comparison("one frame, as published: success of the worst seed", lewm["success_25"].min(), ">=", 0.65),
        comparison("real history of 3 frames: success of the worst seed", lewm["success_history"].min(), ">=", 0.75),
        comparison("history minus one frame, mean", (lewm["success_history"] - lewm["success_25"]).mean(), ">=", 0.03),
        comparison("random or nothing", floor("reacher"), "<=", 0.2),
        comparison("a policy cloned from the same recordings, of random actions", cloning["success_25"].max(), "<=", 0.4),
        comparison("LeWM minus it on the same pairs: lower end of the 95 % interval", gain(lewm, cloning).low, ">=", 0.3),
        comparison("velocities from one frame: largest R2 of a linear probe",
                   lewm[["probe_shoulder_velocity", "probe_wrist_velocity"]].to_numpy().max(), "<=", 0.05),
    ]  # fmt: skip


def push_t(rng, n):
    """Push-T at the small size: LeWM, inverse dynamics, a cloned policy, and a search that begins at its blocks."""
    lewm, inverse, cloning = (reference("push_t", arm) for arm in ("LeWM", MODEL, "cloning"))
    begun = reference("push_t", FROM_CLONING)
    beside = gain(begun, cloning)
    return [
        comparison("pairs", inverse["n_pairs_25"].min(), ">=", 200),
        comparison("random or nothing", floor("push_t"), "<=", 0.1),
        comparison(
            "LeWM, published planner, minus the floor: best seed", lewm["success_25"].max() - floor("push_t"), "<=", 0.1
        ),
        comparison("agent's place, linear probe of LeWM: largest R2", lewm["probe_agent_position"].max(), "<=", 0.8),
        comparison("SIGReg + inverse dynamics, published planner: best seed", inverse["success_25"].max(), "<=", 0.4),
        comparison("it minus the floor, worst seed", inverse["success_25"].min() - floor("push_t"), ">=", 0.1),
        *(row for arm in LONGER for row in not_told(f"{arm}, minus it:", gain(reference("push_t", arm), inverse))),
        comparison(
            "trained sixteen times as long, guided search: success",
            reference("push_t", LONGER[1])["success_guided"].max(),
            "<=",
            0.4,
        ),
        comparison("cloning: worst seed", cloning["success_25"].min(), ">=", 0.4),
        comparison("the same model, search begun at the cloned policy: worst seed", begun["success_25"].min(), ">=", 0.4),
        comparison("it minus cloning on the same pairs: upper end of the 95 % interval", beside.high, "<=", 0.1),
        comparison("agent's place, linear probe: least R2", inverse["probe_agent_position"].min(), ">=", 0.98),
        comparison("block's angle, linear probe: largest R2", inverse["probe_block_angle"].max(), "<=", 0.2),
        comparison(
            "block's angle, linear probe of the cloned policy: largest R2", cloning["probe_block_angle"].max(), "<=", 0.2
        ),
    ]


def cube(rng, n):
    """LeWM on Cube at the small size: the published search, one guided by recorded actions, and cloning."""
    lewm, cloning = reference("cube", "LeWM"), reference("cube", "cloning")
    return [
        comparison("pairs", lewm["n_pairs_25"].min(), ">=", 200),
        comparison("published search minus the floor, best seed", lewm["success_25"].max() - floor("cube"), "<=", 0.2),
        comparison("guided search minus the floor, worst seed", lewm["success_guided"].min() - floor("cube"), ">=", 0.25),
        comparison("guided minus published on the same pairs, worst seed",
                   (lewm["success_guided"] - lewm["success_25"]).min(), ">=", 0.1),
        comparison("cloning: worst seed", cloning["success_25"].min(), ">=", 0.5),
        comparison("cube's place, linear probe: least R2", lewm["probe_block_position"].min(), ">=", 0.9),
    ]  # fmt: skip


def inverse_dynamics(rng, n):
    """Inverse dynamics beside SIGReg: Cube's success by the published and by the guided search, same pairs."""
    inverse, lewm = reference("cube", "SIGReg + inverse"), reference("cube", "LeWM")
    published, guided = gain(inverse, lewm), gain(inverse, lewm, "guided")
    return [
        comparison("published search: gain", published.difference, "<=", 0.1),
        comparison("upper end of its 95 % interval", published.high, "<=", 0.15),
        comparison("guided search: gain (printed .23 at full size)", guided.difference, ">=", 0.05),
        comparison("lower end of its 95 % interval", guided.low, ">=", 0),
        comparison("effector's place, linear probe: gain in R2",
                   inverse["probe_effector_position"].min() - lewm["probe_effector_position"].max(), ">=", 0.05),
    ]  # fmt: skip


def inverse_dynamics_two_room(rng, n):
    """Inverse dynamics beside SIGReg on Two-Room: the published search on the same pairs, and goals twice as far."""
    inverse, lewm = reference("two_room", "SIGReg + inverse"), reference("two_room", "LeWM")
    found = gain(inverse, lewm)
    return [
        comparison("pairs", inverse["n_pairs_25"].min(), ">=", 200),
        comparison("published search: gain (printed .074 at full size)", found.difference, ">=", 0.02),
        comparison("lower end of its 95 % interval", found.low, ">=", 0),
        comparison("success, published search", inverse["success_25"].min(), ">=", 0.97),
        comparison("goal 50 steps ahead: success (LeWM of sweep pixels: .775)", inverse["success_50"].min(), ">=", 0.9),
    ]


def not_told(said, found):
    """That the interval of a gain holds 0: neither gain nor loss is told from none."""
    return [
        comparison(f"{said} lower end of the 95 % interval", found.low, "<=", 0),
        comparison(f"{said} upper end", found.high, ">=", 0),
    ]


def sub_jepa(rng, n):
    """Sub-JEPA with 4 and 8 subspaces against LeWM on Reacher, Push-T and Cube: success on the same pairs, rank."""
    rows = []
    for world in WORLDS[1:]:
        lewm = reference(world, "LeWM")
        for arm in SUB_JEPA:
            sub = reference(world, arm)
            rows.append(comparison(f"{NAMES[world]}, {arm}: training seeds", len(sub), ">=", 3))
            for task, search in (("25", "published"), ("guided", "guided")):
                found = gain(sub, lewm, task)
                said = f"{NAMES[world]}, {arm}, {search} search, gain {found.difference:+.3f}:"
                rows.append(comparison(f"{said} lower end of the 95 % interval", found.low, "<=", 0))
                rows.append(comparison(f"{said} upper end", found.high, "<=", 0.08))
            ratio = sub["effective_rank"].mean() / lewm["effective_rank"].mean()
            rows.append(comparison(f"{NAMES[world]}, {arm}: effective rank over LeWM's", ratio, "<=", 0.8))
    return rows


def subspace_kinds(rng, n):
    """Sub-JEPA with K = 4: orthonormal rows, standard normal rows, and those scaled to unit variance; same pairs."""
    dim = settings("reacher", "small", "LeWM", 0).model.embedding_dim
    rows = []
    for world, task, printed in (("two_room", "25", ".42"), ("reacher", "25", ".16"), ("cube", "guided", ".15")):
        orthonormal, normal, scaled = (
            reference(world, f"{kind} K=4") for kind in ("Sub-JEPA", "random subspaces", "scaled subspaces")
        )
        searched = f"{NAMES[world]}, {'guided' if task == 'guided' else 'published'} search"
        for first, said in (
            (orthonormal, f"orthonormal minus normal rows (printed {printed})"),
            (scaled, "the normal rows scaled to unit variance minus unscaled"),
        ):
            found = gain(first, normal, task)
            rows.append(comparison(f"{searched}, {said}", found.difference, ">=", 0.15))
            rows.append(comparison(f"{searched}, {said}: lower end of the 95 % interval", found.low, ">=", 0.1))
        found = gain(orthonormal, scaled, task)
        said = f"{searched}, orthonormal minus scaled rows: lower end of the 95 % interval"
        rows.append(comparison(said, found.low, "<=", 0))
        gap = normal["whitening_gap"].mean()
        said = f"{NAMES[world]}, normal rows: whitening gap {gap:.3f}, off that of covariance I / D, (1 - 1/D)^2"
        rows.append(comparison(said, abs(gap - (1 - 1 / dim) ** 2), "<=", 0.005))
    return rows


def subspace_counts(rng, n):
    """Sub-JEPA with K = 2, 4, 8 and 16 subspaces, published search: the most against the fewest, and the effective rank."""
    rows = []
    for world in WORLDS:
        fewest, most = (reference(world, f"Sub-JEPA K={k}") for k in (2, 16))
        found = gain(most, fewest)
        said = f"{NAMES[world]}, K = 16 minus K = 2: {found.difference:+.3f}, upper end of the 95 % interval"
        rows.append(comparison(said, found.high, ">=", 0))
        ranks = [reference(world, f"Sub-JEPA K={k}")["effective_rank"].mean() for k in (2, 4, 8, 16)]
        said = f"{NAMES[world]}, effective rank: least fall from one K to the next"
        rows.append(comparison(said, -np.diff(ranks).max(), ">=", 0.5))
    return rows


def regularizers(rng, n):
    """No regulariser, and a whitening penalty in place of SIGReg, where LeWM plans: published search, same pairs."""
    rows = []
    for world in ("two_room", "reacher"):
        lewm, none, whitening = (reference(world, arm) for arm in ("LeWM", "none", "whitening"))
        name, kept = NAMES[world], gain(lewm, none)
        rows.append(comparison(f"{name}, LeWM minus no regulariser: lower end of the 95 % interval", kept.low, ">=", 0.5))
        rows.append(
            comparison(f"{name}, no regulariser minus the floor", none["success_25"].max() - floor(world), "<=", 0.15)
        )
        rows.append(
            comparison(
                f"{name}, no regulariser: whitening gap (1: no variance left)", none["whitening_gap"].min(), ">=", 0.99
            )
        )
        rows += not_told(f"{name}, whitening minus LeWM:", gain(whitening, lewm))
        ratio = whitening["effective_rank"].mean() / lewm["effective_rank"].mean()
        rows.append(comparison(f"{name}, whitening: effective rank over LeWM's", ratio, ">=", 2))
    return rows


def pldm(rng, n):
    """PLDM's terms with the weights of its paper in place of SIGReg, published search, same pairs."""
    near, other = (reference("reacher", arm) for arm in ("LeWM", "PLDM"))
    found = gain(near, other)
    rows = [
        comparison("Reacher, LeWM minus PLDM (printed .08)", found.difference, ">=", 0.4),
        comparison("lower end of its 95 % interval", found.low, ">=", 0.3),
        comparison("Reacher, finger's place, linear probe of PLDM: R2", other["probe_finger_position"].max(), "<=", 0.9),
    ]
    for world, printed in (("two_room", "-.10"), ("cube", ".09"), ("push_t", ".18")):
        found = gain(reference(world, "LeWM"), reference(world, "PLDM"))
        rows += not_told(f"{NAMES[world]}, LeWM minus PLDM (printed {printed}):", found)
    return rows


def soonest(part):
    """Steps within which a quarter of the successes of training seed 0 arrive."""
    row = part.set_index("seed").loc[0]
    return float(np.quantile(np.array(row["steps_25"].split(), dtype=int)[successes(part[part["seed"] == 0])[0][0]], 0.25))


def summed_cost(rng, n):
    """LeWM's cost summed over the plan against that at its end: Reacher, three training seeds, 200 pairs; Two-Room, one."""
    summed, lewm = reference("reacher", SUMMED), reference("reacher", "LeWM")
    found = gain(summed, lewm)
    return [
        comparison("pairs", summed["n_pairs_25"].min(), ">=", 200),
        comparison("training seeds", len(summed), ">=", 3),
        comparison("success of the worst seed", summed["success_25"].min(), ">=", 0.8),
        comparison("summed minus end, same pairs", found.difference, ">=", 0.1),
        comparison("lower end of its 95 % interval", found.low, ">=", 0.05),
        comparison("summed: steps within which a quarter of the successes arrive", soonest(summed), "<=", 10),
        comparison("at the end of 25: the same", soonest(lewm), ">=", 15),
        comparison("Two-Room, one training seed, summed minus end: upper end of the 95 % interval",
                   gain(reference("two_room", SUMMED), reference("two_room", "LeWM")).high, "<=", 0),
    ]  # fmt: skip


def near_cloning(rng, n):
    """A short search that begins at a cloned policy's blocks and stays near them, against the policy alone, same pairs."""
    rows = []
    for world, seeds in (("cube", 3), ("push_t", 3), ("two_room", 1)):
        begun = reference(world, FROM_CLONING)
        rows.append(comparison(f"{NAMES[world]}, training seeds", len(begun), ">=", seeds))
        rows += not_told(f"{NAMES[world]}, search minus policy:", gain(begun, reference(world, "cloning")))
    # Recordings of random actions, which imitation can only repeat.
    begun = reference("reacher", FROM_CLONING)
    found, own = gain(begun, reference("reacher", "cloning")), gain(begun, reference("reacher", MODEL))
    return [
        *rows,
        comparison("Reacher, search minus policy", found.difference, ">=", 0.1),
        comparison("Reacher, lower end of its 95 % interval", found.low, ">=", 0.05),
        comparison("Reacher, it minus the same model's search from nothing: upper end", own.high, "<=", -0.1),
    ]


def first_pairs(part, n):
    """Rows as if they had been planned on the first n pairs only: fewer pairs are the first of more."""
    cut = part.assign(
        outcomes_25=part["outcomes_25"].str[:n],
        episodes_25=[" ".join(episodes.split()[:n]) for episodes in part["episodes_25"]],
    )
    return cut.drop(columns="pairs_25", errors="ignore")


def perfect_predictor(rng, n):
    """Push-T, published search, same pairs: true dynamics and distance, true dynamics and a model's distance, the model."""
    perfect = reference("push_t", PERFECT)
    pairs = len(perfect["outcomes_25"].iloc[0])
    perfect, model, truth = (
        first_pairs(rows, pairs) for rows in (perfect, reference("push_t", MODEL), reference("push_t", "true dynamics"))
    )
    predicted, distance = gain(perfect, model), gain(truth, perfect)
    return [
        comparison("pairs", pairs, ">=", 30),
        comparison("true dynamics and latent distance: success", successes(perfect)[0].mean(), ">=", 0.5),
        comparison("it minus the model's own predictions, same pairs", predicted.difference, ">=", 0.3),
        comparison("lower end of its 95 % interval", predicted.low, ">=", 0.1),
        comparison("true distance minus latent distance, both with the true dynamics", distance.difference, "<=", 0.25),
        comparison("prediction costs more than distance by", predicted.difference - distance.difference, ">=", 0.1),
    ]


def straighter(rng, n):
    """Mean cosine of consecutive latent velocities: LeWM against the same network untrained, in four worlds."""
    rows = []
    for world in WORLDS:
        trained, untrained = (reference(world, arm)["straightness"] for arm in ("LeWM", "untrained"))
        said = f"{NAMES[world]}: straightness, least of the training seeds, minus untrained ({untrained.max():.2f})"
        rows.append(comparison(said, trained.min() - untrained.max(), ">=", 0.2))
    push_t, two_room = (reference(world, "LeWM")["straightness"] for world in ("push_t", "two_room"))
    return [
        *rows,
        comparison("Push-T: straightness, least (printed about .6)", push_t.min(), ">=", 0.2),
        comparison("Push-T: straightness, largest", push_t.max(), "<=", 0.5),
        comparison("Two-Room: straightness, largest", two_room.max(), "<=", 0),
    ]
