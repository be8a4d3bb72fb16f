"""Colours as readers without one kind of cone see them, and how far apart two colours look.

Two independent models: the matrices of Machado, Oliveira and Fernandes (2009, IEEE TVCG 15(6), table 1, severity 1.0), and
the projection of Vienot, Brettel and Mollon (1999, Color Research and Application 24(4)) and, for tritans, that of Brettel,
Vienot and Mollon (1997) in its one-plane form. Distances are CIE 1976 (L*, a*, b*) under D65.
"""

from itertools import combinations

import numpy as np
from matplotlib.colors import to_rgb

# On linear RGB; rows sum to 1, so that greys stay.
MACHADO = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
SRGB_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
# Smith and Pokorny's cones from XYZ as Judd and Vos correct them.
XYZ_TO_LMS = np.array([[0.15514, 0.54312, -0.03286], [-0.15514, 0.45684, 0.03286], [0.0, 0.0, 0.01608]])


def linear(colors):
    """sRGB in [0, 1] to linear light."""
    colors = np.asarray(colors, float)
    return np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)


def machado(colors, kind):
    """Linear RGB as that reader sees it."""
    return np.clip(linear(colors) @ np.array(MACHADO[kind]).T, 0, 1)


def vienot(colors, kind):
    """Linear RGB with the missing cone's answer replaced so that white and one hue stay: blue, or red for tritans."""
    to_cones = XYZ_TO_LMS @ SRGB_TO_XYZ
    missing = {"protan": 0, "deutan": 1, "tritan": 2}[kind]
    white, kept = to_cones @ np.ones(3), to_cones @ np.array([1.0, 0, 0] if kind == "tritan" else [0, 0, 1.0])
    others = [i for i in range(3) if i != missing]
    shares = np.linalg.solve(np.array([white[others], kept[others]]), np.array([white[missing], kept[missing]]))
    cones = linear(colors) @ to_cones.T
    cones[:, missing] = cones[:, others] @ shares
    return np.clip(cones @ np.linalg.inv(to_cones).T, 0, 1)


def lab(light):
    """CIE L*a*b* of linear RGB."""
    ratio = (light @ SRGB_TO_XYZ.T) / SRGB_TO_XYZ.sum(1)
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def nearest_pair(colors):
    """The least distance of two of the colours to any of these readers: (distance, reader, two colours)."""
    names = list(dict.fromkeys(colors))
    if len(names) < 2:
        return np.inf, "", ()
    rgb = np.array([to_rgb(color) for color in names])
    seen = {"normal": linear(rgb)}
    for kind in MACHADO:
        seen |= {f"{kind}, Machado": machado(rgb, kind), f"{kind}, Vienot": vienot(rgb, kind)}
    found = [
        (float(np.linalg.norm(values[i] - values[j])), reader, (names[i], names[j]))
        for reader, values in ((reader, lab(light)) for reader, light in seen.items())
        for i, j in combinations(range(len(names)), 2)
    ]
    return min(found)
