"""
What survives a penalty
=======================

A whitening penalty of strength lambda keeps a direction whose singular value is s if 1 - s\\ :sup:`2` is below 2 lambda,
at a size that is known in advance; all others collapse. Training finds these sizes (the tutorial, part 7).
"""

import matplotlib.pyplot as plt
import numpy as np

import spectral_jepa as sj

exact = sj.CoOccurrence.exact(sj.make_autoregressive(16, 0.8))
values = sj.spectrum(exact, shared=True)[:6]
strengths = np.linspace(0.001, 0.6, 400)
scales = np.array([sj.soft_whitening_scales(values, strength) for strength in strengths])

figure, axis = plt.subplots(figsize=(6, 4))
for value, scale in zip(values, scales.T, strict=True):
    (line,) = axis.plot(strengths, scale)
    axis.annotate(f"s = {value:.2f}", (0.6, scale[-1]), xytext=(4, 0), textcoords="offset points", color=line.get_color())
axis.set(xlabel="strength of the penalty, lambda", ylabel="size of the direction in the latent space", xlim=(0, 0.7))
axis.set_title("The spectrum says in advance what survives")
figure.tight_layout()
