"""
Regret against dimension
========================

A plan for 20 steps made in models of every dimension, fitted to 3,000 transitions, and judged in the true world. Two to
five dimensions lose next to nothing, each further one costs; the proved bound is above every point and turns round, too.
"""

import matplotlib.pyplot as plt

import spectral_jepa as sj

world = sj.make_block(n_states=60, n_blocks=5, n_actions=3, seed=0)
exact = sj.CoOccurrence.exact(world)
dims = [1, 2, 3, 4, 5, 6, 8, 12, 20, 40, 60]

figure, axis = plt.subplots(figsize=(6, 4))
for seed in range(5):
    sampled = sj.CoOccurrence.from_transitions(sj.sample_transitions(world, n_transitions=3_000, seed=seed))
    regret, bound = [], []
    for dim in dims:
        model = sj.spectral_embedding(sampled, dim, shared=True).transition()
        plan = sj.plan_rewards(world, model, horizon=20)
        regret.append(plan.regret)
        bound.append(sj.reward_bounds(world, exact, model, plan)[0].value)
    labels = ("regret", "proved bound") if seed == 0 else (None, None)
    axis.plot(dims, regret, color="tab:blue", marker="o", markersize=3, label=labels[0])
    axis.plot(dims, bound, color="tab:gray", linestyle="--", label=labels[1])
axis.set(xscale="log", xlabel="latent dimension k", ylabel="reward a step", ylim=(0, None))
axis.set_title("Five blocks, five seeds: more than five dimensions cost")
axis.legend()
figure.tight_layout()
