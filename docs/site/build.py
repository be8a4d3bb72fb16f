"""Build the site: pages from docs/, the theory, the claims, the code and the examples, strictly, with no network.

    python docs/site/build.py build/site

Everything that the pages say stands elsewhere in the repository; this writes the source that Sphinx reads into a folder of
its own and copies nothing by hand. Any new file ``docs/NAME.md`` becomes a page.
"""

import html
import re
import shutil
import sys
import tempfile
from pathlib import Path

import cards
import reference_pages
import statements
import tyro
from places import PAGES, ROOT, Places, figure_anchor, file_page, first_sentence
from sphinx.cmd.build import build_main

HERE = Path(__file__).parent
# Pages that the front page leads to first; every other file of docs/ that is no statement is a guide.
START = ("tutorial", "notebook", "howto", "faq")


def glossary():
    """The glossary of the classroom: ``**Word.** Meaning.`` lines as a list of definitions with anchors."""
    text = (ROOT / "classroom" / "README.md").read_text(encoding="utf-8").partition("## Glossary\n")[2]
    text = re.split(r"(?m)^## ", text)[0]
    lines = ["# Glossary", "", "```{glossary}", ":sorted:", ""]
    for word, meaning in re.findall(r"(?ms)^\*\*([^*]+?)\.\*\*\s+(.*?)(?=^\*\*|\Z)", text):
        lines += [word, f"  {' '.join(meaning.split())}", ""]
    return "\n".join([*lines, "```", ""])


def figures(places, homes, titles):
    """Every committed figure, with the statements and claims that it shows."""
    here = "figures"
    lines = [
        "# Figures",
        "",
        "Every committed figure and what it shows. An experiment's is drawn by `spectral-jepa sweep NAME`, ",
    ]
    lines[-1] += "one named after a claim by `spectral-jepa repro CLAIM`."
    for path in sorted((ROOT / "reference" / "figures").rglob("*.png")):
        name = path.relative_to(ROOT).as_posix()
        places.pictures.add(name)
        shown = [claim for claim in statements.CLAIMS if statements.picture(claim) == name]
        documents = dict.fromkeys(document for claim in shown for document in homes[claim["id"]])
        about = [places.to_claim(here, claim["id"]) for claim in shown]
        about += [places.anchor(here, html.escape(titles[document]), document) for document in documents]
        scripts = [claim["experiment"] for claim in shown if claim.get("experiment")] or [path.stem]
        scripts = [f"figures/{script}.py" for script in dict.fromkeys(scripts) if (ROOT / f"figures/{script}.py").exists()]
        about += [places.to_file(here, script) for script in scripts if "claims/" not in name]
        lines += [
            "",
            f'<figure class="evidence" id="{figure_anchor(name)}"><p><strong>{path.stem}</strong></p>'
            f'<img loading="lazy" src="{name}" '
            f'alt="{html.escape("; ".join(c["statement"] for c in shown) or path.stem)}">'
            f"<figcaption>{' · '.join(about)}</figcaption></figure>",
        ]
    return "\n".join(lines) + "\n"


def guides():
    """Files of docs/ that are neither a statement of the theory nor among the first pages, in the order of their names."""
    known = {"index", "theory", "new_results", *START, *statements.WHOLE}
    return [path.stem for path in sorted((ROOT / "docs").glob("*.md")) if path.stem not in known]


def own_parts(places, here):
    """Where a regulariser, a fit or a cost of one's own is explained, if there is such a page."""
    place = places.documents.get("docs/own_parts.md")
    return f"More of your own, a file each: {places.anchor(here, html.escape(title(place)), place)}." if place else ""


def toctree(caption, documents):
    """A hidden list of pages for the side of every page."""
    return ["```{toctree}", ":hidden:", f":caption: {caption}", "", *(f"/{name}" for name in documents), "```", ""]


def write(folder, document, text, suffix=".md"):
    """One page of the source."""
    path = folder / f"{document}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def prepare(folder, out_of=ROOT):
    """Write all that Sphinx reads into an empty folder."""
    places = Places()
    for path in sorted((ROOT / "docs").glob("*.md")):
        places.documents[f"docs/{path.name}"] = path.stem
    for claim in statements.CLAIMS:
        path = f"docs/claims/{claim['theme']}.md"
        places.sections[path, cards.claim_pages.anchor(claim["id"])] = claim["id"]
    places.sections["classroom/README.md", "glossary"] = "glossary"
    modules = reference_pages.collect(places)
    before, numbered = statements.split_theory(places)
    every = [*numbered.values(), *statements.whole_pages(places)]
    titles = {statement.document: statement.title for statement in every}
    titles |= {"pixels": "World models from pixels", "theory/index": "Theory", "bridge": "From matrices to pixels"}
    by_number = {number: statement.document for number, statement in numbered.items()}
    homes = statements.homes(every)
    for statement in every:
        own = [claim for claim in statements.CLAIMS if statement.document in homes[claim["id"]]]
        write(folder, statement.document, statements.page(statement, places, own, by_number, cards.WORDS))
    top = [statement.document for number, statement in numbered.items() if "." not in number]
    text = places.rewrite(before, "docs/theory.md", "theory/index")
    listed = ["```{toctree}", ":maxdepth: 2", "", *(f"/{name}" for name in [*top, *statements.WHOLE]), "```", ""]
    write(folder, "theory/index", "\n".join([text, *listed]))
    done = {statement.path for statement in every} | {"docs/index.md"}
    for path, document in [*places.documents.items()]:
        if path.endswith(".md") and path not in done and path not in PAGES and document != "claims":
            text = places.rewrite((ROOT / path).read_text(encoding="utf-8"), path, document)
            write(folder, document, text.replace("<!-- own parts -->", own_parts(places, document)))
    for path, document in PAGES.items():
        if document not in ("index", "claims"):
            text = (ROOT / path).read_text(encoding="utf-8")
            text = re.split(r"(?m)^## Glossary", text)[0] if path.startswith("classroom") else text
            write(folder, document, places.rewrite(text, path, document))
    write(folder, "glossary", glossary())
    write(folder, "claims", cards.page(places, homes, titles))
    write(folder, "figures", figures(places, homes, titles))
    write(folder, "index", front(places))
    for name in modules:
        write(folder, f"api/{name}", reference_pages.module_page(name), ".rst")
    write(folder, "api/index", reference_pages.index_page(places, modules))
    (folder / "related.json").write_text(cards.write_related(places, homes, titles, every), encoding="utf-8")
    write_files(folder, places, homes, titles)
    copy(folder, places)


def front(places):
    """The front page: docs/index.md, and the lists of all pages."""
    text = places.rewrite((ROOT / "docs" / "index.md").read_text(encoding="utf-8"), "docs/index.md", "index")
    text = text.replace("<!-- score -->", f"**{cards.score()}.**")
    listed = [places.anchor("index", html.escape(title(name)), name) + f": {said(name)}" for name in guides()]
    text = text.replace("<!-- guides -->", "\n".join(f"- {line}" for line in listed))
    here = [name for name in START if (ROOT / "docs" / f"{name}.md").exists()]
    lines = toctree("Start", [*here, "classroom", "gallery/index", "glossary"])
    lines += toctree("Guides", guides())
    lines += toctree("Theory and evidence", ["theory/index", "new_results", "claims", "figures"])
    lines += toctree("Reference", ["api/index", "changelog", "contributing"])
    return "\n".join([text, *lines])


def title(name):
    """Title of a file of docs/."""
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")


def said(name):
    """First sentence of a file of docs/, without links."""
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", first_sentence(ROOT / "docs" / f"{name}.md"))


def write_files(folder, places, homes, titles):
    """Pages of the files that some page leads to, with what rests on them; a page of a folder leads to more files."""
    written = set()
    while places.files - written:
        path = sorted(places.files - written)[0]
        written.add(path)
        here = places.document(path)
        claims = [
            c for c in statements.CLAIMS if path == c["tests"] or path == f"experiments/{c['measure'].partition(':')[0]}.py"
        ]
        documents = dict.fromkeys(document for claim in claims for document in homes[claim["id"]])
        related = [places.anchor(here, html.escape(titles[document]), document) for document in documents]
        related += [places.to_claim(here, claim["id"]) for claim in claims]
        write(folder / "extra", here, file_page(places, path, related), ".html")


def copy(folder, places):
    """Pictures and finished pages: beside the pages for HTML, and below the source for pictures of Markdown."""
    for name in sorted(places.pictures | places.extra):
        for target in (folder / "extra" / name, folder / name):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)
    shutil.copytree(ROOT / "examples" / "gallery", folder / "examples")
    shutil.copytree(HERE / "static", folder / "static")
    shutil.copyfile(HERE / "conf.py", folder / "conf.py")


def build(
    out: Path = Path("build/site"), /, *, source: Path | None = None, strict: bool = True, gallery: bool = True
) -> int:
    """Build the site into OUT.

    Args:
        out: Folder of the finished pages.
        source: Keep what Sphinx reads there; otherwise it lies in a temporary folder.
        strict: A warning is an error.
        gallery: Run the examples, for their pictures.
    """
    out = out.resolve()
    with tempfile.TemporaryDirectory() as temporary:
        folder = source.resolve() if source else Path(temporary) / "source"
        if source:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        prepare(folder)
        options = ["-W", "--keep-going"] if strict else []
        options += [] if gallery else ["-D", "plot_gallery=0"]
        doctrees = Path(temporary) / "doctrees"
        return build_main(["-q", *options, "-d", str(doctrees), "-b", "html", str(folder), str(out)])


if __name__ == "__main__":
    sys.exit(tyro.cli(build, description=__doc__))
