"""256 tabular JEPAs trained as one batch against the same runs one after another, and the share of memory bandwidth.

Run: python benchmarks/jepa.py [--device cuda]
"""

import argparse
import time

import pandas as pd
import torch

import spectral_jepa as sj
from spectral_jepa.jepa import JepaConfig, Run, n_parameters, train_jepa

N_RUNS, SINGLES, STEPS = 256, 6, 20


def seconds(run, device):
    """Wall time of one call, the device's queue included."""
    if device == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def bandwidth(device):
    """GB/s of a large copy: bytes read plus bytes written."""
    source = torch.ones(2**25, dtype=torch.float64, device=device)
    target = torch.empty_like(source)
    best = min(seconds(lambda: target.copy_(source), device) for _ in range(10))
    return 2 * source.numel() * 8 / best / 1e9


def time_batch(mdp, regularizer, device, n_runs=N_RUNS, steps=STEPS, singles=SINGLES):
    """Best seconds of ``n_runs`` models trained as one batch, and of as many one by one (from ``singles``; 0: none)."""
    exact = sj.CoOccurrence.exact(mdp)
    config = JepaConfig(regularizer=regularizer, n_steps=steps, record_every=1000)
    runs = [Run(dim=8, seed=seed, strength=0.5) for seed in range(n_runs)]
    train_jepa(exact, runs[:2], config, device=device)  # warm up

    def batched():
        train_jepa(exact, runs, config, device=device)

    def single():
        for run in runs[:singles]:
            train_jepa(exact, [run], config, device=device)

    # Interleaved, the best of three: other work on the machine only ever adds time.
    together, alone = zip(*[(seconds(batched, device), seconds(single, device)) for _ in range(3)], strict=True)
    # Adam reads parameter, gradient and two moments and writes three of them: the least any such step must move.
    traffic = 7 * 8 * n_parameters(config, runs[0], mdp.n_states, mdp.n_actions) * n_runs * steps
    return {"together": min(together), "alone": min(alone) * n_runs / singles if singles else None, "traffic": traffic}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    device = parser.parse_args().device
    speed = bandwidth(device)
    worlds = {
        "block, 24 states": sj.make_block(n_states=24, n_blocks=5, n_actions=2, seed=0),
        "block, 60 states": sj.make_block(seed=0),
        "garnet, 200 states": sj.make_garnet(200, 3, branching=5, seed=0),
    }
    rows = []
    for name, mdp in worlds.items():
        for regularizer in ("whitening", "sigreg"):
            found = time_batch(mdp, regularizer, device)
            rows.append(
                {
                    "world": name,
                    "regulariser": regularizer,
                    "batch [s]": found["together"],
                    f"one by one [s], from {SINGLES}": found["alone"],
                    "ratio": found["alone"] / found["together"],
                    "run-steps/s": N_RUNS * STEPS / found["together"],
                    "Adam traffic / bandwidth": found["traffic"] / found["together"] / 1e9 / speed,
                }
            )
    print(
        f"{device}, {torch.get_num_threads()} threads, copy {speed:.1f} GB/s, {N_RUNS} runs of {STEPS} steps, dim 8, float64"
    )
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.3g}".format))


if __name__ == "__main__":
    main()
