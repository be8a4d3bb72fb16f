"""Exact optimal values: ours against QuantEcon's solvers, interleaved in one run, at equal accuracy.

Run: python benchmarks/values.py
"""

import time

import numpy as np
import pandas as pd
from quantecon.markov import DiscreteDP

import spectral_jepa as sj

REPEATS = 7
DISCOUNT, TOLERANCE = 0.99, 1e-6


def best_time(run):
    began = time.perf_counter()
    result = run()
    return time.perf_counter() - began, result


def main():
    rows = []
    for n_states, n_actions in ((200, 5), (1000, 5), (1000, 20)):
        mdp = sj.make_dirichlet(n_states, n_actions, seed=0)
        rng = np.random.default_rng(1)
        mdp = sj.TabularMDP(mdp.transition, reward=rng.random((n_states, n_actions)), discount=DISCOUNT)
        peer = DiscreteDP(mdp.reward, np.ascontiguousarray(np.swapaxes(mdp.transition, 0, 1)), DISCOUNT)
        runs = {
            "ours": lambda mdp=mdp: sj.optimal_values(mdp, tolerance=TOLERANCE / 2).values,
            "quantecon modified policy iteration": lambda p=peer: p.solve("mpi", epsilon=TOLERANCE).v,
            "quantecon policy iteration": lambda p=peer: p.solve("pi").v,
        }
        for run in runs.values():
            run()
        times = {name: [] for name in runs}
        values = {}
        for _ in range(REPEATS):
            for name, run in runs.items():
                seconds, values[name] = best_time(run)
                times[name].append(seconds)
        exact = values["quantecon policy iteration"]
        reference = np.median(times["quantecon modified policy iteration"])
        for name in runs:
            rows.append(
                {
                    "states": n_states,
                    "actions": n_actions,
                    "solver": name,
                    "milliseconds": 1000 * np.median(times[name]),
                    "ratio to quantecon mpi": np.median(times[name]) / reference,
                    "largest error": np.abs(values[name] - exact).max(),
                }
            )
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.3g}".format))


if __name__ == "__main__":
    main()
