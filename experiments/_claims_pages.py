"""The pages that are written from the table of claims: ``paper_repro.md`` and a page a theme in ``docs/claims``.

Narrow on purpose: no table, one comparison a line, so that they are read on a phone as well as on a wide screen.
"""

import functools
import re
from pathlib import Path

import pandas as pd

from spectral_jepa.sweep.results import reference_table

PAPER = "paper_repro.md"
# Outcome -> how the score counts it, and what it means.
OUTCOMES = {
    "holds": ("hold", "as stated, or under the hypotheses that the verdict names"),
    "in part": ("hold in part", "in some of the settings measured, or for one of its readings; the verdict says which"),
    "refuted": ("refuted", "a counterexample is computed"),
    "corrected": ("corrected", "true in another form, which the verdict gives"),
    "not seen": ("not seen here", "runs do not show it at our sizes, which refutes nothing"),
    "measured": ("answered by a number", "a question rather than a statement"),
}
WORDS = {"in part": "holds in part", "not seen": "not seen here", "measured": "answered by a number"}
# Durations are rounded up to 1, 2 or 5 times a power of ten: a busier machine must not change the pages.
STEPS = (1, 2, 5)


def anchor(heading):
    """The fragment that GitHub gives a heading: lower case, no punctuation, hyphens for spaces."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def rounded_up(seconds):
    """The least of 1, 2, 5, 10, 20, ... seconds that is not below."""
    power = 1
    while True:
        for step in STEPS:
            if step * power >= seconds:
                return step * power
        power *= 10


def duration(seconds):
    """Words for a rounded number of seconds."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def score(entries):
    """The score of some claims: ``12 hold, 3 refuted``, outcomes without a claim left out."""
    counts = {outcome: sum(entry.outcome == outcome for entry in entries) for outcome in OUTCOMES}
    return ", ".join(f"{count} {OUTCOMES[outcome][0]}" for outcome, count in counts.items() if count)


def numbers(row):
    """One comparison in one line: the measured number, what was expected of it, and of what."""
    expected = f"{row.expected:.4g}" if row.relation == "=" else f"{row.relation} {row.expected:.4g}"
    return f"{'' if row.met else 'NOT MET: '}**{row.measured:.4g}** ({expected}) {row.quantity}"


def verdict(claim):
    """The verdict with its outcome in bold in front, said once."""
    word = WORDS.get(claim.outcome, claim.outcome)
    if re.match(rf"{word}\b", claim.verdict):
        return f"**{word.capitalize()}**{claim.verdict[len(word) :]}"
    return f"**{word.capitalize()}**: {claim.verdict}"


def page_of(theme):
    """The file of a theme."""
    return f"docs/claims/{theme}.md"


def claim_link(claim):
    """From paper_repro.md to a claim's section."""
    return f"[{claim.id}]({page_of(claim.theme)}#{anchor(claim.id)})"


def pages(claims, themes, not_run, table):
    """Path below the clone -> text, of ``paper_repro.md`` and the page of every theme."""
    texts = {PAPER: front_page(claims, themes, not_run)}
    seconds = table.groupby("claim")["seconds"].first()
    for name, title in themes.items():
        texts[page_of(name)] = theme_page(
            title,
            [claim for claim in claims if claim.theme == name],
            {claim.id: table[table["claim"] == claim.id] for claim in claims},
            seconds,
        )
    return texts


def score_line(claims, not_run):
    """The score of all claims in one line."""
    return f"**{len(claims)} claims: {score(claims)}; {len(not_run)} not run.**"


def with_score(text, claims, not_run):
    """A text, the README's, with the present score between its two comments."""
    return re.sub(
        r"(<!-- score -->).*?(<!-- /score -->)", rf"\g<1>{score_line(claims, not_run)}\g<2>", text, flags=re.DOTALL
    )


def front_page(claims, themes, not_run):
    """Score, index and what was not run."""
    lines = [
        "# What the papers claim, and what was measured",
        "",
        score_line(claims, not_run),
        "",
        FRONT,
        "",
    ]
    lines += [
        f"- **{WORDS.get(outcome, outcome)}**: {meaning}."
        for outcome, (_, meaning) in OUTCOMES.items()
        if any(claim.outcome == outcome for claim in claims)
    ]
    lines += ["", "Themes: " + " · ".join(f"[{title}](#{anchor(title)})" for title in [*themes.values(), "Not run"])]
    for name, title in themes.items():
        chosen = [claim for claim in claims if claim.theme == name]
        lines += ["", f"## {title}", "", f"{score(chosen)}. [Evidence]({page_of(name)})", ""]
        lines += [
            f"- {claim_link(claim)} **{WORDS.get(claim.outcome, claim.outcome)}**: {claim.statement}" for claim in chosen
        ]
    lines += ["", "## Not run", ""]
    lines += [f"- {entry['statement']} ({entry['printed']}). **{sentence(entry['verdict'])}**" for entry in not_run]
    return "\n".join(lines) + "\n"


def sentence(text):
    """A text that begins with a capital."""
    return text[:1].upper() + text[1:]


def theme_page(title, chosen, parts, seconds):
    """The sections of one theme."""
    lines = [f"# {title}", "", f"**{len(chosen)} claims: {score(chosen)}.** [All themes](../../{PAPER})", "", THEME, ""]
    lines.append(" · ".join(f"[{claim.id}](#{anchor(claim.id)})" for claim in chosen))
    for claim in chosen:
        lines += ["", *section(claim, parts[claim.id], seconds[claim.id])]
    return "\n".join(lines) + "\n"


def section(claim, part, seconds):
    """One claim: the sentence, the verdict, the numbers; then figure, test, functions, command."""
    up = "../../"
    module, _, name = claim.measure.partition(":")
    figure = f"[{Path(claim.picture).name}]({up}reference/figures/{claim.picture})"
    figure += f", {claim.panel} (`spectral-jepa sweep {claim.experiment}`)" if claim.panel else ""
    home = f"[{name}]({up}experiments/{module}.py)"
    read = ", ".join(f"[{table}]({up}reference/{table})" for table in claim.tables)
    lines = [f"### {claim.id}", "", f"> {claim.statement}", ">", f"> {claim.printed}", "", verdict(claim), ""]
    lines += [f"- {numbers(row)}" for row in part.itertuples()]
    test = f"[{Path(claim.tests).name}]({up}{claim.tests})"
    evidence = f"{home}, " + (f"read from {read} ({made(claim)})" if read else "computed anew")
    lines += [
        "",
        f"Figure: {figure} · Test: {test} · Command: `spectral-jepa repro {claim.id}` ({duration(seconds)})",
        "",
        f"Evidence: {evidence} · Functions: " + ", ".join(f"`{name}`" for name in claim.functions),
    ]
    return lines


def made(claim):
    """How the tables that a claim reads were made, with the time that their cells took on one core, where they say so."""
    command = f"`spectral-jepa sweep {claim.experiment}{' --preset paper' if claim.experiment == 'sharpest' else ''} --keep`"
    clocks = [clock for name in claim.tables if (clock := core_seconds(name)) is not None]
    return command + (f", {duration(rounded_up(sum(clocks)))} of one core" if clocks else "")


@functools.cache
def core_seconds(name):
    """What the cells of a committed table took together, or None where it holds no clock."""
    if not name.endswith(".parquet"):
        return None
    experiment, _, preset = name.removesuffix(".parquet").rpartition("-")
    table = reference_table(experiment, preset)
    return table.groupby("cell_key")["duration_seconds"].first().sum()


def with_seconds(table):
    """A finished sweep of the claims as ``reference/claims.csv`` keeps it: the comparisons, and the rounded clock."""
    columns = ["claim", "quantity", "relation", "expected", "measured", "met"]
    seconds = table["duration_seconds"].map(rounded_up)
    return pd.concat([table[columns], seconds.rename("seconds")], axis=1)


FRONT = """\
Written by `spectral-jepa repro` from [claims.toml](experiments/claims.toml) and [claims.csv](reference/claims.csv); do not
edit by hand. Each name below leads to the evidence: the sentence, the verdict, every measured number beside the expected
one, figure, test and command. `spectral-jepa repro thm-4.1` measures one claim and draws it; `spectral-jepa repro` measures
all. Theory, with proofs: [docs/theory.md](docs/theory.md). What the outcomes mean:"""

THEME = """\
Each line of numbers reads **measured** (expected) what: the expected side comes from a closed form or from the statement
itself. A duration is that of the machine which wrote this page, rounded up to 1, 2 or 5 times a power of ten. A figure named
after a claim draws these numbers; of another one the panel that shows the verdict is named."""
