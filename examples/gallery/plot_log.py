"""
How many dimensions does a log support?
=======================================

A lift with four floors that works four times in five; the room that it opens to does not matter. The log has 20 labels, and
held-out error finds the four that count.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import spectral_jepa as sj
from spectral_jepa.plotting import plot_held_out_risk, plot_log_spectrum

rng = np.random.default_rng(0)
floor, button = rng.integers(0, 4, 4000), rng.choice([-1, 1], 4000)
then = (floor + button * (rng.random(4000) < 0.8)) % 4
log = pd.DataFrame(
    {
        "state": [f"{f}{room}" for f, room in zip(floor, rng.choice(list("abcde"), 4000), strict=True)],
        "action": np.where(button > 0, "up", "down"),
        "next_state": [f"{f}{room}" for f, room in zip(then, rng.choice(list("abcde"), 4000), strict=True)],
    }
)
analysis = sj.analyze(sj.read_log(log))
print(f"Held-out error is least at k = {analysis.held_out_dim}.")

figure, axes = plt.subplots(1, 2, figsize=(9, 4))
plot_log_spectrum(analysis, axis=axes[0])
plot_held_out_risk(analysis, axis=axes[1])
figure.tight_layout()
