"""
Data decide how many dimensions pay
===================================

The error of a fitted model against its dimension turns round, and where it turns depends on the number of transitions.
"""

import matplotlib.pyplot as plt

import spectral_jepa as sj

world = sj.make_low_rank(n_states=60, rank=8, n_actions=3, seed=0)
exact = sj.CoOccurrence.exact(world)
dims = [1, 2, 3, 4, 6, 8, 12, 20, 40, 60]

figure, axis = plt.subplots(figsize=(6, 4))
for n in (500, 2_000, 8_000, 32_000):
    sampled = sj.CoOccurrence.from_transitions(sj.sample_transitions(world, n_transitions=n, seed=1))
    risks = [sj.spectral_risk(exact, sj.spectral_embedding(sampled, dim)).mean() for dim in dims]
    axis.plot(dims, risks, marker="o", label=f"{n:,} transitions")
axis.plot(dims, [sj.tail(exact, dim).mean() for dim in dims], color="black", linestyle="--", label="no sampling error")
axis.set(xscale="log", yscale="log", xlabel="latent dimension k", ylabel="pretraining error", ylim=(1e-2, 1e3))
axis.set_title("A world of rank 8: few data pay for few dimensions")
axis.legend(loc="upper left", ncols=2)
figure.tight_layout()
