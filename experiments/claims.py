"""Every claim of the three papers that this version settles: expected, measured, verdict.

What is said of a claim is an entry of ``claims.toml``; it names the one function that measures, which stands beside the
experiment that shows the claim, or in ``_claims_printed.py`` or ``_claims_corrected.py``. ``paper_repro.md`` and
``docs/claims`` are written from the table (``spectral-jepa repro``, ``_claims_pages.py``), never by hand. A row is met when
the measured value stands in the stated relation to the expected one, which comes from a closed form or from the statement
itself. "Random instances" are worlds of 2-8 states and 2-4 actions with spiky to flat Dirichlet rows, non-uniform data laws,
and models from the exact truth, from counts, or from noisy embeddings.
"""

import tomllib
import zlib
from dataclasses import dataclass
from pathlib import Path

import _claims_pages as claim_pages
import _worlds_pages as worlds_pages
import numpy as np

from spectral_jepa.sweep.experiment import load_experiment
from spectral_jepa.sweep.results import reference_table

TEXTS = tomllib.loads(Path(__file__).with_name("claims.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Claim:
    """One entry of ``claims.toml``, whose first lines explain the fields."""

    id: str
    theme: str
    printed: str
    statement: str
    outcome: str
    verdict: str
    functions: list[str]
    tests: str
    measure: str
    evidence: str
    tables: tuple[str, ...] = ()
    experiment: str | None = None
    figure: str | None = None
    panel: str | None = None

    def __post_init__(self):
        if self.theme not in TEXTS["themes"] or self.outcome not in claim_pages.OUTCOMES:
            raise ValueError(f"claim {self.id} has theme {self.theme!r} and outcome {self.outcome!r}")
        if (self.figure is None) != (self.panel is None) or (self.figure and not self.experiment):
            raise ValueError(f"claim {self.id} has figure {self.figure!r}, panel {self.panel!r} of {self.experiment!r}")
        if self.evidence != ("table" if self.tables else "computed"):
            raise ValueError(f"claim {self.id} has evidence {self.evidence!r} and tables {self.tables}")

    @property
    def picture(self):
        """Below reference/figures: the experiment's figure that shows the verdict, or the one of the claim's own numbers."""
        return self.figure or f"claims/{self.id}.png"

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


def pages(table):
    """Path below the clone -> text, of ``paper_repro.md``, a page a theme, and the page of the pixel worlds' tables.

    The last follows from the committed tables of ``worlds`` and ``planner``, the others from ``reference/claims.csv``.
    """
    worlds, planner = (load_experiment(name).module for name in ("worlds", "planner"))
    measured, swept = reference_table("worlds", "measured"), reference_table("planner")
    return claim_pages.pages(CLAIMS, TEXTS["themes"], TEXTS["not_run"], table) | worlds_pages.page(
        measured, worlds.summary(measured), swept, planner.summary(swept)
    )


def with_score(text):
    """The README with the present score in it."""
    return claim_pages.with_score(text, CLAIMS, TEXTS["not_run"])
