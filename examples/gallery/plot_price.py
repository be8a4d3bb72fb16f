"""
A price instead of a dimension
==============================

Cutting a spectrum off at k keeps strong directions whole and drops the others. A price takes the same amount off every
singular value instead, and nobody has to choose k. From 4,000 transitions of a world of rank 8 the best price errs less than
the best dimension; from 64,000 the best dimension errs less.
"""

import matplotlib.pyplot as plt
import numpy as np

import spectral_jepa as sj

world = sj.make_low_rank(64, 8, 3, seed=0)
exact = sj.CoOccurrence.exact(world)
nothing = np.sum(sj.spectrum(exact, shared=True) ** 2)
dims, prices = np.arange(1, 33), np.linspace(0, 0.6, 25)

figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True)
for axis, n in zip(axes, (4_000, 64_000), strict=True):
    sampled = sj.CoOccurrence.from_transitions(sj.sample_transitions(world, n_transitions=n, seed=0))
    cut = [sj.pooled_risk(exact, sj.spectral_embedding(sampled, int(k), shared=True)) / nothing for k in dims]
    priced = [sj.pooled_risk(exact, sj.soft_threshold_embedding(sampled, p, shared=True)) / nothing for p in prices]
    axis.plot(dims, cut, label=f"dimension (below): least {min(cut):.2f} at {dims[np.argmin(cut)]}")
    axis.set(xlabel="latent dimension k", yscale="log", title=f"{n:,} transitions", ylim=(0.01, 20))
    other = axis.twiny()
    other.plot(prices, priced, color="tab:orange", label=f"price (above): least {min(priced):.2f}")
    other.set_xlabel("price")
    lines = [*axis.get_lines(), *other.get_lines()]
    axis.legend(lines, [line.get_label() for line in lines], loc="upper right")
axes[0].set_ylabel("error, as a part of predicting nothing")
figure.tight_layout()
