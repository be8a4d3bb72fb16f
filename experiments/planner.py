"""What a planner's settings buy: success on held-out pairs against milliseconds a plan, for one trained model a world.

Each cell takes the trained world model of its environment (``MODELS``, those of ``sweep worlds`` with training seed 0, in
``results/pixels/ENVIRONMENT-SIZE``; trained with the preset if not there) and plans on the same held-out start and goal
pairs with one setting changed: the search, its budget, the cost along the plan, real history, how much of a plan is
carried out at a time, and where the search begins. Milliseconds are processor time of one thread a plan and episode,
encoding included, over all plans of the evaluation; ``rollouts`` is how many plans the model was asked to predict for
each. Nothing is chosen on the pairs, but for "smooth inverse" and "near cloning", which were settled on the first 60 of
Cube's and of Push-T's.
"""

import time
from dataclasses import replace

import pandas as pd
from _small_worlds import AMORTISED, GUIDED, NAMES, WORLDS, overrides, recorded, trained

from spectral_jepa.success_rates import paired_comparison, pareto_front, wilson_interval
from spectral_jepa.sweep.experiment import comparison
from spectral_jepa.sweep.results import reference_table

# LeWM where it plans; inverse dynamics beside SIGReg where LeWM is at the floor or near it.
MODELS = {"two_room": "LeWM", "reacher": "LeWM", "push_t": "SIGReg + inverse", "cube": "SIGReg + inverse"}
FEW = {"n_iterations": 3}
SMALL = {"n_samples": 100, "n_elites": 10}
# Name -> (what is compared, planning settings that differ from 300 samples, 30 elites, 10 iterations).
ARMS = {
    "CEM 300 x 10": ("budget", {}),
    "CEM 300 x 30": ("budget", {"n_iterations": 30}),
    "CEM 300 x 3": ("budget", FEW),
    "CEM 100 x 10": ("budget", SMALL),
    "CEM 100 x 3": ("budget", SMALL | FEW),
    "MPPI 300 x 10": ("method", {"method": "mppi"}),
    "Adam 100 x 10": ("method", {"method": "adam", "n_samples": 100}),
    "random plan": ("method", {"method": "random"}),
    "closest 300 x 3": ("cost", FEW | {"cost": "closest"}),
    "closest 300 x 10": ("cost", {"cost": "closest"}),
    "sum 300 x 3": ("cost", FEW | {"cost": "sum"}),
    "sum 300 x 10": ("cost", {"cost": "sum"}),
    "history 2, 300 x 10": ("history", {"history": 2}),
    "history 3, 300 x 10": ("history", {"history": 3}),
    "history 3, 300 x 3": ("history", FEW | {"history": 3}),
    "history 3, sum, 300 x 3": ("history", FEW | {"history": 3, "cost": "sum"}),
    "every 2, 300 x 3": ("replanning", FEW | {"execute": 2}),
    "every 2, warm, 300 x 3": ("replanning", FEW | {"execute": 2, "warm_start": True}),
    "every 1, 300 x 3": ("replanning", FEW | {"execute": 1}),
    "every 1, warm, 300 x 3": ("replanning", FEW | {"execute": 1, "warm_start": True}),
    "inverse 300 x 3": ("proposal", FEW | {"proposal": "inverse"}),
    "inverse 300 x 10": ("proposal", {"proposal": "inverse"}),
    "cloning 300 x 3": ("proposal", FEW | {"proposal": "cloning"}),
    "cloning 300 x 10": ("proposal", {"proposal": "cloning"}),
    "smooth inverse 300 x 10": ("proposal", GUIDED),
    "near cloning, every 1, 300 x 3": ("proposal", AMORTISED),
}
# About 20,000 predicted plans a pair and less, so that 100 pairs take at most six minutes on a core.
QUICK = [
    "CEM 300 x 10", "CEM 300 x 3", "CEM 100 x 10", "CEM 100 x 3", "MPPI 300 x 10", "Adam 100 x 10", "random plan",
    "closest 300 x 3", "sum 300 x 3", "every 2, 300 x 3", "every 2, warm, 300 x 3", "every 1, warm, 300 x 3",
    "inverse 300 x 3", "cloning 300 x 3", "smooth inverse 300 x 10", "near cloning, every 1, 300 x 3",
]  # fmt: skip
# Real history is for models that read more than one frame.
SEEING = ["two_room", "reacher"]
HISTORY_SUM = "history 3, sum, 300 x 3"
HISTORY = [arm for arm, (compared, _) in ARMS.items() if compared == "history"]
TINY = ["CEM 100 x 3", "closest 300 x 3", "history 3, 300 x 3", "every 2, warm, 300 x 3", "inverse 300 x 3", "random plan"]
PRESETS = {
    "tiny": {"environment": "two_room", "size": "tiny", "n_pairs": 3, "arm": TINY},
    "quick": [
        {"environment": WORLDS, "size": "small", "n_pairs": 100, "arm": QUICK},
        {"environment": SEEING, "size": "small", "n_pairs": 100, "arm": ["history 3, 300 x 10", HISTORY_SUM]},
    ],
    "paper": [
        {"environment": WORLDS, "size": "small", "n_pairs": 200, "arm": [arm for arm in ARMS if arm not in HISTORY]},
        {"environment": SEEING, "size": "small", "n_pairs": 200, "arm": HISTORY},
    ],
}


def run_cell(environment, size, n_pairs, arm):
    """One setting of the planner on one world: success, milliseconds and rollouts a plan."""
    import torch

    from spectral_jepa.pixels.evaluation.evaluate import evaluate
    from spectral_jepa.pixels.runs import frozen_pairs, open_run

    torch.set_num_threads(1)
    compared, changes = ARMS[arm]
    folder, _ = trained(environment, size, MODELS[environment], 0)
    cloned = trained(environment, size, "cloning", 0)[0] if changes.get("proposal") == "cloning" else None
    base = {"n_samples": 300, "n_elites": 30, "n_iterations": 10}
    data = recorded(environment, size)
    run = open_run(folder, data, overrides=overrides(base | changes), proposal=cloned)
    wanted = replace(run.config.evaluation, n_pairs=n_pairs)
    manifest = frozen_pairs(data, run.dataset, run.environment, wanted)
    watched = Watched(run.policy)
    rows = evaluate(watched, manifest, run.dataset, run.environment, wanted, progress=False).sort_values("pair")
    low, high = wilson_interval(int(rows["success"].sum()), len(rows))
    return {
        "compared": compared,
        "model": MODELS[environment],
        "success": float(rows["success"].mean()),
        "low": low,
        "high": high,
        "milliseconds": 1e3 * watched.seconds / watched.plans,
        "rollouts": watched.rollouts / watched.plans,
        "plans": watched.plans,
        "plans_a_pair": watched.plans / len(rows),
        "manifest": manifest.digest[:12],
        "weights": run.policy.describe()["weights"][:12],
        "outcomes": "".join("1" if s else "0" for s in rows["success"]),
    }


class Watched:
    """A policy that counts its plans, its model's rollouts, and the processor time of both."""

    def __init__(self, policy):
        self.policy, self.seconds, self.plans, self.rollouts = policy, 0.0, 0, 0
        self.name, self.history, self.action_block = policy.name, policy.history, policy.action_block
        self.chunk_size, self.device = policy.chunk_size, policy.device
        ask = policy.model.rollout

        def rollout(latents, blocks, *more):
            self.rollouts += len(blocks)
            return ask(latents, blocks, *more)

        policy.model.rollout = rollout

    def describe(self):
        """As the policy's."""
        return self.policy.describe()

    def prepare(self, frames, states):
        """As the policy's."""
        return self.policy.prepare(frames, states)

    def act(self, now, goals, generators):
        """As the policy's, one plan an episode."""
        clock = time.process_time()
        actions = self.policy.act(now, goals, generators)
        self.seconds += time.process_time() - clock
        self.plans += len(now.frames)
        return actions


def summary(table):
    """Settings by world, from the quickest plan on; a star where no other is both as quick and as good."""
    parts = []
    for environment, part in table[table["status"] == "ok"].groupby("environment", sort=False):
        front = pareto_front(part["milliseconds"], part["success"])
        columns = ["arm", "compared", "success", "low", "high", "milliseconds", "rollouts", "plans_a_pair"]
        lines = part[columns].assign(environment=environment, front=["*" if best else "" for best in front])
        parts.append(lines.sort_values("milliseconds"))
    found = pd.concat(parts, ignore_index=True)
    return found[["environment", *[name for name in found if name != "environment"]]]


def gain(table, environment, first, second):
    """Success of one setting minus another's on the same pairs of a world, with its 95 % interval."""
    rows = table[table["environment"] == environment].set_index("arm")
    marks = ([mark == "1" for mark in rows.loc[arm, "outcomes"]] for arm in (first, second))
    return paired_comparison(*marks)


def cost_along_the_plan(rng, n):
    """A cost summed over the plan or taken at its closest approach against one at its end, same samples and iterations."""
    table = reference_table("planner")
    rows = []
    for environment in ("reacher", "two_room", "push_t", "cube"):
        for arm, said in (("sum 300 x 3", "summed"), ("closest 300 x 3", "closest")):
            found = gain(table, environment, arm, "CEM 300 x 3")
            gained = f"{NAMES[environment]}, {said} minus end:"
            if environment == "reacher":
                rows.append(comparison(f"{gained} lower end of the 95 % interval", found.low, ">=", 0))
            else:
                rows.append(comparison(f"{gained} upper end of the 95 % interval", found.high, "<=", 0.1))
    return rows
