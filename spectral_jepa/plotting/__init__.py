"""Figures as values: one style, the figures of single commands, and the drawings of the experiments."""
