"""Advice on a trained world model, from its latents: spectrum, noise, risk curves, and the k and K that they support."""

from spectral_jepa.advice.advising import Advice, advise
from spectral_jepa.advice.files import read_latents
from spectral_jepa.advice.regularizer import Regularizer

__all__ = ["Advice", "Regularizer", "advise", "read_latents"]
