"""The page of claims: a card each, to be searched and filtered by an inline script, read without one just as well."""

import html
import json
import re
import sys

from places import ROOT, figure_anchor
from statements import CLAIMS, TABLE, TEXTS, picture

sys.path.insert(0, str(ROOT / "experiments"))
import _claims_pages as claim_pages

WORDS = claim_pages.WORDS
HERE = "claims"


def score():
    """The score line of all claims, and how many were not run."""
    entries = [type("Entry", (), claim) for claim in CLAIMS]
    return f"{len(CLAIMS)} claims: {claim_pages.score(entries)}; {len(TEXTS['not_run'])} not run"


def marked(text):
    """Plain text of a claim with what stands in backquotes as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text.strip(), quote=False))


def card(claim, places, homes, titles):
    """One claim: verdict and sentence first, the numbers, figure, test, functions and command behind a click."""
    rows = TABLE[TABLE["claim"] == claim["id"]]
    if rows.empty:
        raise ValueError(f"reference/claims.csv has no numbers of {claim['id']}, expected some: run spectral-jepa repro")
    word = WORDS.get(claim["outcome"], claim["outcome"])
    said = claim["verdict"].strip()
    said = said[len(word) :].lstrip(" ,;:") if re.match(rf"{re.escape(word)}\b", said) else said
    numbers = "".join(
        f"<tr{'' if row.met else ' class=unmet'}><td>{row.measured:.4g}</td>"
        f"<td>{'' if row.relation == '=' else html.escape(row.relation) + ' '}{row.expected:.4g}</td>"
        f"<td>{marked(row.quantity)}</td></tr>"
        for row in rows.itertuples()
    )
    path = picture(claim)
    places.pictures.add(path)
    theory = ", ".join(places.anchor(HERE, html.escape(titles[document]), document) for document in homes[claim["id"]])
    module = claim["measure"].partition(":")[0]
    read = "".join(f", read from {places.to_file(HERE, f'reference/{name}')}" for name in claim.get("tables", ()))
    seconds = claim_pages.duration(rows["seconds"].iloc[0])
    panel = f", {html.escape(claim['panel'])}" if claim.get("panel") else ""
    source = f"{html.escape(claim['measure'].partition(':')[2])} in {places.to_file(HERE, f'experiments/{module}.py')}"
    functions = ", ".join(places.to_name(HERE, name) for name in claim["functions"])
    return f"""\
<article class="claim" id="{claim["id"]}" data-outcome="{html.escape(claim["outcome"])}" data-theme="{claim["theme"]}">
<p class="outcome" data-outcome="{html.escape(claim["outcome"])}">{html.escape(word)}</p>
<h3>{marked(claim["statement"])}</h3>
<p class="where">{html.escape(claim["printed"])} · <a href="#{claim["id"]}">{claim["id"]}</a></p>
<p>{marked(said[:1].upper() + said[1:]) if said else ""}</p>
<details><summary>{len(rows)} number{"s" if len(rows) > 1 else ""}, figure, test, command</summary>
<table><thead><tr><th>measured</th><th>expected</th><th>of what</th></tr></thead><tbody>{numbers}</tbody></table>
<a href="{places.href(HERE, "figures", figure_anchor(path))}"><img loading="lazy" src="{places.file_href(HERE, path)}" \
alt="Figure of {html.escape(claim["id"])}{panel}"></a>
<p>{f"Panel: {panel.lstrip(', ')}. " if panel else ""}Measured by {source}{read}; {seconds}: \
<code>spectral-jepa repro {claim["id"]}</code></p>
<p>Test: {places.to_file(HERE, claim["tests"])} · Code: {functions}</p>
</details>
<p class="theory">Theory: {theory}</p>
</article>"""


def not_run_card(entry):
    """A claim that nobody measured, and why."""
    said = claim_pages.sentence(entry["verdict"])
    return f"""\
<article class="claim" data-outcome="not run" data-theme="not_run">
<p class="outcome" data-outcome="not run">not run</p>
<h3>{marked(entry["statement"])}</h3>
<p class="where">{html.escape(entry["printed"])}</p>
<p>{marked(said)}</p>
</article>"""


def page(places, homes, titles):
    """Markdown (mostly HTML) of the page."""
    themes = TEXTS["themes"]
    outcomes = [word for word in claim_pages.OUTCOMES if any(claim["outcome"] == word for claim in CLAIMS)]
    options = {
        "outcome": [(name, WORDS.get(name, name)) for name in [*outcomes, "not run"]],
        "theme": [*themes.items(), ("not_run", "Not run")],
    }
    selects = "".join(
        f'<label>{label} <select name="{name}"><option value="">all</option>'
        + "".join(f'<option value="{html.escape(value)}">{html.escape(text)}</option>' for value, text in options[name])
        + "</select></label>"
        for name, label in (("outcome", "Verdict"), ("theme", "Theme"))
    )
    parts = [
        "# Claims",
        "",
        f"**{score()}.**",
        "",
        "Each claim of the papers, and each of ours, that this version settles: the verdict first, the evidence behind a "
        "click. The numbers come from `spectral-jepa repro`, which measures them all again; an expected value comes from a "
        "closed form or from the statement itself.",
        "",
        *(
            f"- **{WORDS.get(name, name)}**: {meaning}."
            for name, (_, meaning) in claim_pages.OUTCOMES.items()
            if name in outcomes
        ),
        "",
        f"""\
<form class="filter" hidden onsubmit="return false">
<label>Search <input type="search" name="text" placeholder="collapse, torus, 4.1, test_gauge" autocomplete="off"></label>
{selects}
<output aria-live="polite"></output>
</form>""",
        "",
    ]
    for theme, title in themes.items():
        parts += [f"## {title}", "", '<div class="claims">']
        parts += [card(claim, places, homes, titles) for claim in CLAIMS if claim["theme"] == theme]
        parts += ["</div>", ""]
    parts += ["## Not run", "", '<div class="claims">', *map(not_run_card, TEXTS["not_run"]), "</div>", ""]
    parts += ["<script>", SCRIPT.strip(), "</script>", ""]
    return "\n".join(parts)


SCRIPT = """
(() => {
const form = document.querySelector("form.filter"), cards = [...document.querySelectorAll("article.claim")];
const words = new Map(cards.map(card => [card, card.textContent.toLowerCase()]));
const sections = [...document.querySelectorAll("div.claims")].map(box => box.closest("section"));
function apply() {
const wanted = form.text.value.toLowerCase().split(/\\s+/).filter(Boolean);
let shown = 0;
for (const card of cards) {
const visible = wanted.every(word => words.get(card).includes(word))
&& (!form.outcome.value || card.dataset.outcome === form.outcome.value)
&& (!form.theme.value || card.dataset.theme === form.theme.value);
card.hidden = !visible;
shown += visible;
}
for (const section of sections) section.hidden = !section.querySelector("article.claim:not([hidden])");
form.querySelector("output").textContent = shown + " of " + cards.length + " shown";
}
function open() {
const card = document.getElementById(decodeURIComponent(location.hash.slice(1)));
if (!card || !card.matches("article.claim")) return;
if (card.hidden) { form.reset(); apply(); }
card.querySelector("details")?.setAttribute("open", "");
card.scrollIntoView();
}
form.hidden = false;
for (const kind of ["input", "change"]) form.addEventListener(kind, apply);
addEventListener("hashchange", open);
apply();
open();
})();
"""


def write_related(places, homes, titles, statements):
    """Text of related.json: full name of the code -> lines with links, for ``docstrings.py``."""
    lines = {}
    for statement in statements:
        for name in statement.functions:
            if name in places.names:
                lines.setdefault(places.names[name][1], {})[statement.document] = f":doc:`/{statement.document}`"
    for claim in CLAIMS:
        word = WORDS.get(claim["outcome"], claim["outcome"])
        for name in claim["functions"]:
            if name in places.names:
                document, anchor = places.names[name]
                href = places.href(document, HERE, claim["id"])
                lines.setdefault(anchor, {})[f"claim {claim['id']}"] = f"`Claim {claim['id']} <{href}>`__, {word}"
    return json.dumps({name: list(entries.values()) for name, entries in lines.items()}, indent=0)
