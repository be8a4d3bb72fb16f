"""A bound never travels without its assumptions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spectral_jepa._notebook import frame_html

if TYPE_CHECKING:
    import pandas as pd

# Whether an assumption holds here, in words.
WORDS = {True: "holds", False: "FAILS", None: "not checked"}


@dataclass(frozen=True)
class Assumption:
    """One hypothesis of a statement and whether it holds on the instance at hand.

    Parameters
    ----------
    text : str
        The hypothesis in words.
    holds : bool or None
        None where the instance cannot tell (an i.i.d. draw, say).
    printed : bool
        False for a hypothesis that the statement needs but its source does not state.
    """

    text: str
    holds: bool | None
    printed: bool = True


@dataclass(frozen=True)
class Bound:
    """An upper bound with what it bounds, what it assumes, and where it comes from.

    Parameters
    ----------
    value : float
        The bound.
    quantity : str
        What it bounds, with its unit.
    ceiling : float
        The largest value the quantity can take at all: a bound at or above it says nothing.
    assumptions : tuple of Assumption
    source : str
        Theorem and equation number.

    Examples
    --------
    >>> bound = Bound(1.5, "goal regret (probability)", 1.0, (Assumption("one step", True),), "a lemma")
    >>> bound.holds, bound.vacuous
    (True, True)
    >>> print(bound)
    goal regret (probability) <= 1.5 [vacuous: never above 1], by a lemma; assumes: one step (holds)
    """

    value: float
    quantity: str
    ceiling: float
    assumptions: tuple[Assumption, ...]
    source: str

    @property
    def vacuous(self) -> bool:
        """Whether the bound is no better than the trivial one."""
        return not self.value < self.ceiling

    @property
    def holds(self) -> bool:
        """Whether no assumption is known to fail here, those that the source leaves out included."""
        return all(a.holds is None or bool(a.holds) for a in self.assumptions)

    @property
    def holds_as_printed(self) -> bool:
        """Whether no assumption that the source states is known to fail here."""
        return all(a.holds is None or bool(a.holds) for a in self.assumptions if a.printed)

    def _repr_html_(self) -> str:
        head = str(self).partition("; assumes: ")[0]
        columns = {
            "assumes": [a.text for a in self.assumptions],
            "here": [WORDS[a.holds] for a in self.assumptions],
            "stated by the source": ["yes" if a.printed else "no" for a in self.assumptions],
        }
        return frame_html(head, columns)

    def to_frame(self) -> pd.DataFrame:
        """The bound as a table of one row, so that ``pd.concat`` of several is a table of bounds.

        Returns
        -------
        DataFrame
            quantity, value, ceiling, vacuous, holds, holds_as_printed, fails (the assumptions known to fail, in words),
            source.

        Examples
        --------
        >>> Bound(1.5, "goal regret", 1.0, (Assumption("one step", False),), "a lemma").to_frame().T
                                    0
        quantity          goal regret
        value                     1.5
        ceiling                   1.0
        vacuous                  True
        holds                   False
        holds_as_printed        False
        fails                one step
        source                a lemma
        """
        import pandas as pd

        row = {
            name: getattr(self, name) for name in ("quantity", "value", "ceiling", "vacuous", "holds", "holds_as_printed")
        }
        fails = "; ".join(a.text for a in self.assumptions if a.holds is not None and not a.holds)
        return pd.DataFrame([{**row, "fails": fails, "source": self.source}])

    def __str__(self) -> str:
        listed = "; ".join(
            f"{a.text} ({WORDS[a.holds]}{'' if a.printed else ', not stated by the source'})" for a in self.assumptions
        )
        vacuous = f" [vacuous: never above {self.ceiling:.4g}]" if self.vacuous else ""
        return f"{self.quantity} <= {self.value:.4g}{vacuous}, by {self.source}; assumes: {listed or 'nothing'}"
