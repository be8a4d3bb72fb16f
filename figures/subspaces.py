"""Draw ``subspaces``: ranks against K, then risk and regret against K and against the dimension that K leaves."""

import pandas as pd

from spectral_jepa.plotting.finding import finish, label_ends, talk_version
from spectral_jepa.plotting.style import COLORS, WORDS, new_figure, sequential_colors, styled

KINDS = {"partition": ("o", "-"), "orthogonal": ("^", "--")}
NAMES = {"partition": "partition", "orthogonal": "independent"}
METRICS = {"root_risk": WORDS["root error"], "relative_regret": WORDS["reward regret"]}


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}: ranks; error of each kind of encoder; regret as an appendix."""
    table = table[table["status"] == "ok"] if "status" in table else table
    trained = with_both_kinds(table[table["regularizer"] != "svd"])
    whitened = trained[trained["regularizer"] == "subspace_whitening"]
    sampled = trained[trained["regularizer"] == "subspace_sigreg"]
    bounds = whitened.groupby("n_subspaces")[["subspace_dim", "rank_bound", "pataki"]].first()
    figures = {
        "subspaces_rank": rank_figure(whitened, sampled, bounds),
        "subspaces_rank_talk": talk_version(
            rank_sentence(whitened), rank_panel, whitened, "rank", bounds, note="Area of a mark: share of the runs."
        ),
    }
    for name, part, suffix in (("whitening", whitened, ""), ("sigreg", sampled, "_leading")):
        if len(part):
            reference = table[(table["regularizer"] == "svd") & table["n_transitions"].isin(part["n_transitions"].unique())]
            figures[f"subspaces_{name}"] = trade_figure(part, reference, "root_risk", suffix)
            figures[f"subspaces_{name}_regret"] = trade_figure(part, reference, "relative_regret", suffix)
            family = list(dict.fromkeys(part["family"]))[min(1, part["family"].nunique() - 1)]
            own = part[part["family"] == family]
            figures[f"subspaces_{name}_talk"] = talk_version(
                best_sentence(own, "root_risk" + suffix, name),
                count_panel,
                own,
                "root_risk",
                suffix,
                note="Solid: partition; dashed: independent subspaces.",
            )
    return figures


def rank_sentence(whitened):
    """How many whitened runs keep k / K functions, and how many more."""
    part, drawn = (whitened[whitened["kind"] == kind] for kind in ("partition", "orthogonal"))
    drawn = drawn[drawn["n_subspaces"] > 1]
    over = int((whitened["rank"] > whitened["pataki"]).sum())
    return (
        f"Whitened in K parts of the coordinates, {int((part['rank'] == part['subspace_dim']).sum()):,} of {len(part):,} "
        f"encoders keep rank k / K; in independent subspaces {int((drawn['rank'] > drawn['subspace_dim']).sum()):,} of "
        f"{len(drawn):,} keep more, {over or 'none'} beyond Pataki's bound."
    )


def best_sentence(own, column, name):
    """The best number of subspaces for the fewest and for the most data."""
    sizes = sorted(n for n in own["n_transitions"].unique() if n > 0)
    means = own[own["kind"] == "partition"].groupby(["n_transitions", "n_subspaces"])[column].mean()
    few, many = (int(means[n].idxmin()) for n in (sizes[0], sizes[-1]))
    what = "Whitening" if name == "whitening" else "SIGReg"
    where = f"{what} in subspaces, {own['family'].iloc[0]}"
    if len(sizes) < 2:
        return f"{where}: the best K is {few} at N = {sizes[0]:,}."
    if few == many:
        return f"{where}: the best K is {few} at N = {sizes[0]:,} to {sizes[-1]:,}."
    return f"{where}: the best K is {few} at N = {sizes[0]:,} and {many} at N = {sizes[-1]:,}."


def with_both_kinds(trained):
    """K = 1 is trained once and belongs to the curves of both kinds."""
    return pd.concat([trained, trained[trained["n_subspaces"] == 1].assign(kind="orthogonal")], ignore_index=True)


def rank_figure(whitened, sampled, bounds):
    """Numerical and entropy rank against K, with d_s and the bounds."""
    figure, axes = new_figure(1, 3, width=4.4, height=3.5)
    panels = [
        (whitened, "rank", r"whitened: eigenvalues above $10^{-3}$ of the largest"),
        (whitened, "effective_rank", "whitened: effective rank"),
        (sampled, "effective_rank", "SIGReg in the subspaces: effective rank"),
    ]
    for axis, (part, column, title) in zip(axes[0], panels, strict=True):
        rank_panel(axis, part, column, bounds)
        axis.set_title(title, fontsize="medium")
    return finish(
        figure,
        rank_sentence(whitened),
        "Marks: runs, area by their share; coloured lines: means; black lines: k / K, the sharp bound for any subspaces, "
        "and Pataki's bound (grey). Effective rank: exponential of the entropy of the spectrum.",
    )


def rank_panel(axis, part, column, bounds):
    """Ranks of the runs against K with their means and the bounds."""
    counts = sorted(part["n_subspaces"].unique())
    place = {count: i for i, count in enumerate(counts)}
    bounds = bounds.loc[counts]
    axis.plot(range(len(counts)), bounds["pataki"], color="0.6", ls=":", label="Pataki")
    axis.plot(range(len(counts)), bounds["rank_bound"], color="k", ls="--", lw=1.1, label="sharp bound")
    axis.plot(range(len(counts)), bounds["subspace_dim"], color="k", lw=1.1, label="k / K")
    for (kind, own), color, shift in zip(
        part.groupby("kind", sort=False), (COLORS["measured"], COLORS["printed"]), (-0.13, 0.13), strict=False
    ):
        sizes = own.assign(at=own[column].round(1)).groupby(["n_subspaces", "at"]).size().reset_index(name="runs")
        share = sizes["runs"] / sizes.groupby("n_subspaces")["runs"].transform("sum")
        where = sizes["n_subspaces"].map(place) + shift
        axis.scatter(where, sizes["at"], s=8 + 60 * share, color=color, alpha=0.55, lw=0, marker=KINDS[kind][0])
        mean = own.groupby("n_subspaces")[column].mean()
        axis.plot([place[k] + shift for k in mean.index], mean, color=color, lw=1, label=NAMES[kind])
    axis.set_xticks(range(len(counts)), [str(count) for count in counts])
    axis.set_xlabel("number of subspaces K")
    axis.set_ylim(0, None)
    axis.set_ylabel(f"rank of the covariance of $f$, k = {part['dim'].iloc[0]}")
    label_ends(axis)


def colors_of(part):
    """A colour a sample size, black for the exact law."""
    samples = sorted(part["n_transitions"].unique())
    return {0: COLORS["exact"]} | sequential_colors([n for n in samples if n > 0])


def trade_figure(part, reference, metric, suffix):
    """One metric; for each world, above against K, below against the number of functions beside the SVD's curve."""
    families = list(dict.fromkeys(part["family"]))[:3]
    figure, axes = new_figure(2, len(families), width=4.0, height=2.8)
    for column, family in enumerate(families):
        own = part[part["family"] == family]
        count_panel(axes[0, column], own, metric, suffix)
        functions_panel(axes[1, column], own, reference[reference["family"] == family], metric, suffix)
        axes[0, column].set_title(family)
    name = "sigreg" if suffix else "whitening"
    said = [best_sentence(part[part["family"] == family], metric + suffix, name) for family in families]
    tail = "; ".join(text.split(", ", 1)[1].rstrip(".") for text in said)
    head = said[0].split(", ", 1)[0]
    return finish(
        figure,
        f"{head}, {'regret' if metric == 'relative_regret' else 'error'}: {tail}.",
        "Marks and thick lines: trained encoders, mean of the seeds (disc and solid: partition; triangle and dashed: "
        "independent subspaces). Below, thin lines: the truncated SVD of the same data with as many functions.",
    )


def count_panel(axis, own, metric, suffix):
    """A metric against the number of subspaces, a colour a sample size."""
    counts = sorted(own["n_subspaces"].unique())
    for n, color in colors_of(own).items():
        for kind, (marker, style) in KINDS.items():
            rows = own[(own["kind"] == kind) & (own["n_transitions"] == n)]
            means = rows.groupby("n_subspaces")[metric + suffix].mean()
            label = (f"N = {n:,}" if n else "exact law") if kind == "partition" and len(means) else None
            axis.plot([counts.index(k) for k in means.index], means, color=color, ls=style, marker=marker, label=label)
    axis.set_ylim(0, None)
    axis.set_xticks(range(len(counts)), [str(count) for count in counts])
    axis.set_xlabel("number of subspaces K")
    axis.set_ylabel(METRICS[metric])
    label_ends(axis)


def functions_panel(axis, own, reference, metric, suffix):
    """A metric against the functions that an encoder has, beside the truncated SVD's curve."""
    for n, color in colors_of(own).items():
        curve = reference[reference["n_transitions"] == n].groupby("functions")[metric].mean()
        axis.plot(curve.index, curve, color=color, lw=1, label=f"SVD, N = {n:,}" if n else "SVD, exact")
        for kind, (marker, _) in KINDS.items():
            rows = own[(own["kind"] == kind) & (own["n_transitions"] == n)]
            means = rows.groupby("n_subspaces")[[metric + suffix, "functions" + suffix]].mean()
            axis.plot(means["functions" + suffix], means[metric + suffix], color=color, ls="", marker=marker, ms=4.5)
    axis.set_ylim(0, None)
    axis.set_xlabel("functions, with the constant")
    axis.set_ylabel(METRICS[metric])
    label_ends(axis)
