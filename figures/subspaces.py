"""Draw ``subspaces``: ranks against K, then risk and regret against K and against the dimension that K leaves."""

import numpy as np
import pandas as pd

from spectral_jepa.plotting.style import COLORS, new_figure, sequential_colors, styled

KINDS = {"partition": ("o", "-"), "orthogonal": ("^", "--")}
NAMES = {"partition": "partition", "orthogonal": "independent"}
METRICS = {"root_risk": r"pretraining error $\sqrt{R_S}$", "relative_regret": "reward regret, share of optimum"}


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    table = table[table["status"] == "ok"] if "status" in table else table
    trained = with_both_kinds(table[table["regularizer"] != "svd"])
    whitened = trained[trained["regularizer"] == "subspace_whitening"]
    sampled = trained[trained["regularizer"] == "subspace_sigreg"]
    figures = {"subspaces_rank": rank_figure(whitened, sampled)}
    for name, part, suffix in (("whitening", whitened, ""), ("sigreg", sampled, "_leading")):
        if len(part):
            reference = table[(table["regularizer"] == "svd") & table["n_transitions"].isin(part["n_transitions"].unique())]
            figures[f"subspaces_{name}"] = trade_figure(part, reference, suffix)
    return figures


def with_both_kinds(trained):
    """K = 1 is trained once and belongs to the curves of both kinds."""
    return pd.concat([trained, trained[trained["n_subspaces"] == 1].assign(kind="orthogonal")], ignore_index=True)


def rank_figure(whitened, sampled):
    """Numerical and entropy rank against K, with d_s and the bounds."""
    figure, axes = new_figure(1, 3, width=3.9, height=3.6)
    counts = sorted(whitened["n_subspaces"].unique())
    place = {count: i for i, count in enumerate(counts)}
    bounds = whitened.groupby("n_subspaces")[["subspace_dim", "rank_bound", "pataki"]].first()
    panels = [
        (whitened, "rank", r"whitened: eigenvalues above $10^{-3}$ of the largest"),
        (whitened, "effective_rank", "whitened: exp(entropy)"),
        (sampled, "effective_rank", "SIGReg in the subspaces: exp(entropy)"),
    ]
    for axis, (part, column, title) in zip(axes[0], panels, strict=True):
        axis.plot(range(len(counts)), bounds["pataki"], color="0.6", ls=":", label="Pataki bound")
        axis.plot(range(len(counts)), bounds["rank_bound"], color="k", ls="--", lw=1.1, label="sharp bound, any subspaces")
        axis.plot(range(len(counts)), bounds["subspace_dim"], color="k", lw=1.1, label="$d_s = k / K$")
        for (kind, own), color, shift in zip(
            part.groupby("kind", sort=False), (COLORS["measured"], COLORS["printed"]), (-0.13, 0.13), strict=False
        ):
            sizes = own.assign(at=own[column].round(1)).groupby(["n_subspaces", "at"]).size().reset_index(name="runs")
            share = sizes["runs"] / sizes.groupby("n_subspaces")["runs"].transform("sum")
            where = sizes["n_subspaces"].map(place) + shift
            axis.scatter(where, sizes["at"], s=8 + 60 * share, color=color, alpha=0.55, lw=0, marker=KINDS[kind][0])
            mean = own.groupby("n_subspaces")[column].mean()
            axis.plot([place[k] + shift for k in mean.index], mean, color=color, lw=1, label=f"{NAMES[kind]}, mean")
        axis.set_xticks(range(len(counts)), [str(count) for count in counts])
        axis.set_xlabel("number of subspaces K")
        axis.set_ylim(0, None)
        axis.set_title(title)
    axes[0, 0].set_ylabel(f"rank of the covariance of $f$, $k$ = {whitened['dim'].iloc[0]}")
    axes[0, 0].legend()
    figure.suptitle("Effective dimension of encoders trained with K subspaces (area: share of runs)", size=11)
    return figure


def trade_figure(part, reference, suffix):
    """Two rows of metrics; for each world, against K, and against the number of functions beside the SVD's curve."""
    families = list(dict.fromkeys(part["family"]))
    figure, axes = new_figure(2, 2 * len(families), width=2.9, height=2.7)
    samples = sorted(part["n_transitions"].unique())
    colors = {n: c for n, c in sequential_colors([n for n in samples if n > 0]).items()} | {0: COLORS["exact"]}
    counts = sorted(part["n_subspaces"].unique())
    for column, family in enumerate(families):
        for row, (metric, label) in enumerate(METRICS.items()):
            left, right = axes[row, 2 * column], axes[row, 2 * column + 1]
            for n in samples:
                name = "exact law" if n == 0 else f"N = {n:,}"
                own = part[(part["family"] == family) & (part["n_transitions"] == n)]
                curve = reference[(reference["family"] == family) & (reference["n_transitions"] == n)]
                curve = curve.groupby("functions")[metric].mean()
                right.plot(curve.index, curve, color=colors[n], lw=1, label=name)
                for kind, (marker, style) in KINDS.items():
                    columns = [metric + suffix, "functions" + suffix]
                    means = own[own["kind"] == kind].groupby("n_subspaces")[columns].mean()
                    where = [counts.index(k) for k in means.index]
                    left.plot(where, means[columns[0]], color=colors[n], ls=style, marker=marker, lw=1.2)
                    right.plot(means[columns[1]], means[columns[0]], color=colors[n], ls="", marker=marker, ms=4.5)
            top = part.loc[part["family"] == family, metric + suffix].max() * 1.1
            for axis in (left, right):
                axis.set_ylim(0, top if np.isfinite(top) and top > 0 else None)
            left.set_xticks(range(len(counts)), [str(count) for count in counts])
            left.set_title(f"{family}: against K")
            right.set_title("against functions used")
            if row == len(METRICS) - 1:
                left.set_xlabel("K (few functions: right)")
                right.set_xlabel("functions, with the constant")
            if column == 0:
                left.set_ylabel(label)
    axes[0, 1].legend(title="line: truncated SVD", title_fontsize=7)
    handles = [
        axes[0, 0].plot([], [], color="0.3", marker=marker, ls=style, label=NAMES[kind])[0]
        for kind, (marker, style) in KINDS.items()
    ]
    axes[0, 0].legend(handles=handles)
    what = "Leading directions of encoders with SIGReg" if suffix else "Encoders whitened"
    figure.suptitle(f"{what} in K subspaces, beside the truncated SVD of the same data", size=11)
    return figure
