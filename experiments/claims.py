"""Every claim of the three papers that this version settles: expected, measured, verdict.

What is said of a claim is an entry of ``claims.toml``; it names the one function that measures, which stands beside the
experiment that shows the claim, or in ``_claims_printed.py`` or ``_claims_corrected.py``. ``paper_repro.md`` is written from
the table (``spectral-jepa repro``), never by hand. A row is met when the measured value stands in the stated relation to the
expected one, which comes from a closed form or from the statement itself. "Random instances" are worlds of 2-8 states and
2-4 actions with spiky to flat Dirichlet rows, non-uniform data laws, and models from the exact truth, from counts, or from
noisy embeddings.
"""

import tomllib
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spectral_jepa.sweep.experiment import load_experiment

TEXTS = tomllib.loads(Path(__file__).with_name("claims.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Claim:
    """One entry of ``claims.toml``, whose first lines explain the fields."""

    id: str
    printed: str
    statement: str
    verdict: str
    functions: list[str]
    tests: str
    measure: str
    evidence: str
    tables: tuple[str, ...] = ()
    experiment: str | None = None
    figure: str | None = None

    def __post_init__(self):
        if self.evidence != ("table" if self.tables else "computed"):
            raise ValueError(f"claim {self.id} has evidence {self.evidence!r} and tables {self.tables}")

    def function(self):
        """The measuring function."""
        module, _, name = self.measure.partition(":")
        # A helper is imported, as anywhere in this file; another experiment is loaded.
        home = __import__(module) if module.startswith("_") else load_experiment(module).module
        return getattr(home, name)


CLAIMS = [Claim(**entry) for entry in TEXTS["claim"]]
PRESETS = {
    "quick": {"claim": [claim.id for claim in CLAIMS], "n_instances": 2000, "seed": 0},
    "paper": {"claim": [claim.id for claim in CLAIMS], "n_instances": 20_000, "seed": 1},
}


def run_cell(claim, n_instances, seed):
    """Measure one claim: a row for each comparison."""
    chosen = next(c for c in CLAIMS if c.id == claim)
    # Seeded by name, so that a new claim does not change the numbers of the others.
    return chosen.function()(np.random.default_rng([seed, zlib.crc32(claim.encode())]), n_instances)


def summary(table):
    """One line a claim."""
    met = table.groupby("claim", sort=False)["met"].agg(["sum", "size"]).reset_index()
    return met.rename(columns={"sum": "comparisons met", "size": "of"})


def report(table):
    """The text of ``paper_repro.md`` from a table of this experiment."""
    lines = [REPORT_HEAD]
    lines += table_lines(
        [
            "claim",
            "where printed",
            "verdict",
            "function",
            "test",
            "experiment, figure",
            "evidence, command",
            "**measured** (expected)",
        ],
        [claim_cells(claim, table[table["claim"] == claim.id]) for claim in CLAIMS],
    )
    not_run = [(entry["printed"], entry["statement"], entry["verdict"]) for entry in TEXTS["not_run"]]
    lines += ["", "## Not run", "", *table_lines(["where printed", "claim", "verdict"], not_run)]
    return "\n".join(lines) + "\n"


def table_lines(head, rows):
    """A Markdown table; a bar inside a cell is escaped."""
    escaped = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *escaped]]


def claim_cells(claim, part):
    """The cells of one claim's line."""
    numbers = []
    for r in part.itertuples():
        expected = f"{r.expected:.4g}" if r.relation == "=" else f"{r.relation} {r.expected:.4g}"
        numbers.append(f"{'' if r.met else 'NOT MET: '}{r.quantity}: **{r.measured:.4g}** ({expected})")
    shown = "[claims](experiments/claims.py)"
    if claim.experiment:
        shown = f"[{claim.experiment}](experiments/{claim.experiment}.py), [figure](reference/figures/{claim.figure})"
    module, _, name = claim.measure.partition(":")
    evidence = ", ".join(f"[{table}](reference/{table})" for table in claim.tables)
    evidence = f"[{name}](experiments/{module}.py): " + (f"read from {evidence}" if evidence else "computed anew")
    return [
        f"**{claim.id}**: {claim.statement}",
        claim.printed,
        claim.verdict,
        ", ".join(f"`{name}`" for name in claim.functions),
        f"[{Path(claim.tests).name}]({claim.tests})",
        shown,
        f"{evidence}<br>`spectral-jepa sweep {claim.experiment or 'claims'}`",
        "<br>".join(numbers),
    ]


REPORT_HEAD = """# What the papers claim, and what was measured

Written by `spectral-jepa repro` from [`reference/claims.csv`](reference/claims.csv); do not edit by hand. A test rebuilds
this file, checks every name and path in it, and measures the claims again. Each comparison reads: **measured** (expected);
the expected side comes from a closed form or from the statement itself. The evidence is what a function computes anew
whenever its claim is measured, or reads from a committed table, which `spectral-jepa sweep EXPERIMENT --keep` writes
(`sharpest`: with `--preset paper`).

To measure everything again: `spectral-jepa sweep claims` (random instances: 2,000 a statement; `--preset paper`: 20,000).
One claim's figure: `spectral-jepa sweep EXPERIMENT`, for the experiment named in its row.
Theory: [docs/theory.md](docs/theory.md).
"""
