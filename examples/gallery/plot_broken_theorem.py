"""
A theorem that fails
====================

In the reset world an action decides the next state whatever the present one. The published bound promises next to nothing
as the angle between two predictions shrinks; the plan that the published planner makes is as bad as ever. Multiplying the
score by the marginal of the next state mends it.
"""

import matplotlib.pyplot as plt
import numpy as np

import spectral_jepa as sj

world = sj.make_reset(n_states=4, noise=0.1)
exact = sj.CoOccurrence.exact(world)
angles = np.geomspace(0.01, 0.5, 12)
rows = []
for angle in angles:
    fooled = sj.Embedding(*sj.reset_embedding_arrays(n_states=4, angle=angle), world.next_weight)
    plan = sj.plan_goals(world, fooled, score="dot")
    mended = sj.plan_goals(world, fooled)
    rows.append(
        [
            plan.mean_regret,
            sj.printed_single_step_bound(exact, fooled, plan).value,
            mended.mean_regret,
            sj.pointwise_single_step_bound(exact, fooled, mended).value,
        ]
    )
regret, printed, mended, corrected = np.transpose(rows)

figure, axis = plt.subplots(figsize=(6, 4))
axis.plot(angles, regret, color="tab:red", label="regret of the published planner")
axis.plot(angles, printed, color="tab:red", linestyle="--", label="what the published theorem promises")
axis.plot(angles, corrected, color="tab:blue", linestyle="--", label="corrected bound")
axis.plot(angles, mended, color="tab:blue", label="regret with the marginal put back (zero)")
axis.set(xscale="log", xlabel="angle between the two predictions", ylabel="regret (probability)")
axis.set_yscale("symlog", linthresh=1e-4)
axis.set_ylim(-1e-5, 3)
axis.set_title("The promise vanishes, the loss stays")
axis.legend(loc="lower right", bbox_to_anchor=(1, 0.04), fontsize="small")
figure.tight_layout()
