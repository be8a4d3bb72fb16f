"""What a docstring promises, for every public function, class and method of the library, not only the top level.

Public is what has a name without a leading underscore in a module without one; the commands of the two command lines are
left out (their docstrings are their help texts, which ``--help`` tests), and so are interfaces, which compute nothing.
"""

import ast
import importlib
import inspect
import pkgutil
import textwrap
from functools import cache

import pytest
from numpydoc.docscrape import get_doc_object
from numpydoc.validate import validate

import spectral_jepa

LEFT_OUT = ("spectral_jepa.cli", "spectral_jepa.pixels.cli", "spectral_jepa.pixels.interfaces")
# Whatever these do is shown by the example of what calls them, needs a GPU, a simulator or a data set, or is a record.
WITHOUT_EXAMPLE = {
    # A trained folder, its data and figures: seconds. What they call has examples.
    "spectral_jepa.pixels.reports.advice.advise_run",
    "spectral_jepa.pixels.reports.diagnosis.open_diagnosis",
    "spectral_jepa.pixels.reports.diagnosis.diagnose",
    "spectral_jepa.pixels.reports.diagnosis.measure_stage",
    "spectral_jepa.pixels.reports.page.report",
    "spectral_jepa.pixels.reports.run_sections.latent_parts",
    "spectral_jepa.pixels.reports.run_sections.run_study",
    "spectral_jepa.pixels.reports.tables.run_probe",
    "spectral_jepa.pixels.reports.tables.run_surprise",
    # A graphics card, a scheduler, a job of a queue: tests/sweep.
    "spectral_jepa.sweep.devices.claim_gpu",
    "spectral_jepa.sweep.engines.run_on_dask",
    "spectral_jepa.sweep.engines.run_share",
}
# Modules whose functions come from a paper or from our own proofs say which, in the module's docstring or in their own.
SOURCED = ("theory", "losses", "input_level", "embedding", "planning", "pixels.model", "pixels.training", "jepa.objective")
CHECKS = ("check_", "as_", "require_")


def public_objects():
    found = {}
    for info in pkgutil.walk_packages(spectral_jepa.__path__, "spectral_jepa."):
        if any(part.startswith("_") for part in info.name.split(".")) or info.name.startswith(LEFT_OUT):
            continue
        module = importlib.import_module(info.name)
        for name, item in vars(module).items():
            own = getattr(item, "__module__", None) == info.name and not name.startswith("_")
            if own and (inspect.isfunction(item) or inspect.isclass(item)):
                found[f"{info.name}.{name}"] = item
    return found


OBJECTS = public_objects()
FUNCTIONS = {name: item for name, item in OBJECTS.items() if inspect.isfunction(item)}
CLASSES = {
    name: item for name, item in OBJECTS.items() if inspect.isclass(item) and not getattr(item, "_is_protocol", False)
}
METHODS = {
    f"{owner}.{name}": item
    for owner, cls in CLASSES.items()
    for name, item in vars(cls).items()
    if inspect.isfunction(item) and not name.startswith("_") and len(inspect.signature(item).parameters) > 2
}


@cache
def errors(name):
    return dict(validate(name)["errors"])


def tree_of(item):
    return ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(item))))


def refuses(item):
    """Whether the function itself refuses input: raises InputError or checks an argument."""
    for node in ast.walk(tree_of(item)):
        named = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if named and (node.func.id == "InputError" or node.func.id.startswith(CHECKS)):
            return True
    return False


def returns(item):
    return any(isinstance(node, ast.Return) and node.value is not None for node in ast.walk(tree_of(item)))


def test_there_are_many_and_all_kinds():
    assert len(FUNCTIONS) > 250 and len(CLASSES) > 60 and len(METHODS) > 20


@pytest.mark.parametrize("name", OBJECTS)
def test_summary_is_a_sentence(name):
    text = inspect.getdoc(OBJECTS[name]) or ""
    assert text.partition("\n")[0].endswith((".", ":"))


@pytest.mark.parametrize("name", [*FUNCTIONS, *METHODS])
def test_parameters_are_described(name):
    assert not {"PR01", "PR02"} & set(errors(name)), errors(name)
    described = get_doc_object((FUNCTIONS | METHODS)[name])["Parameters"]
    assert all(entry.type or entry.desc for entry in described), [entry.name for entry in described]


@pytest.mark.parametrize("name", [name for name, item in FUNCTIONS.items() if returns(item)])
def test_what_is_returned_is_described(name):
    document = get_doc_object(FUNCTIONS[name])
    assert document["Returns"] or document["Yields"]


@pytest.mark.parametrize("name", [name for name, item in FUNCTIONS.items() if refuses(item)])
def test_what_is_refused_is_named(name):
    assert get_doc_object(FUNCTIONS[name])["Raises"]


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in WITHOUT_EXAMPLE])
def test_there_is_an_example(name):
    assert "EX01" not in errors(name)


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name.split("spectral_jepa.")[1].startswith(SOURCED)])
def test_a_source_is_named(name):
    own = inspect.getdoc(FUNCTIONS[name]) or ""
    module = inspect.getmodule(FUNCTIONS[name]).__doc__ or ""
    assert any(word in own + module for word in ("arXiv", "docs/", "Source", "paper"))


@pytest.mark.parametrize("name", [name for name in CLASSES if inspect.signature(CLASSES[name]).parameters])
def test_fields_of_a_class_are_described(name):
    text = inspect.getdoc(CLASSES[name]) or ""
    missing = [parameter for parameter in inspect.signature(CLASSES[name]).parameters if parameter.strip("*") not in text]
    assert missing == []


def test_names_left_without_an_example_exist():
    assert set(FUNCTIONS) >= WITHOUT_EXAMPLE
