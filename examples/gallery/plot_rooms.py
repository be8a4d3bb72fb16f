"""
The spectrum is a map
=====================

The singular functions of four rooms tell rooms apart before any of them tells the cells of a room apart: the second
separates two opposite rooms, the third the other two, the fourth one pair from the other. Three numbers a cell, and the
rooms are known.
"""

import matplotlib.pyplot as plt

import spectral_jepa as sj
from spectral_jepa.plotting import plot_world

rooms = sj.make_four_rooms(slip=0.2)
exact = sj.CoOccurrence.exact(rooms)
functions = sj.spectral_embedding(exact, 4, shared=True).target

figure, axes = plt.subplots(1, 3, figsize=(10, 3.6))
for i, axis in enumerate(axes.flat):
    plot_world(rooms, values=functions[:, i + 1], axis=axis)
    axis.set_title(f"singular function {i + 2}")
