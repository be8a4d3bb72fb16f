"""Settings of the site, copied by ``build.py`` beside the pages that it writes. Nothing on a page needs a network."""

import warnings

import spectral_jepa

project = "spectral_jepa"
author = "The spectral_jepa developers"
version = release = spectral_jepa.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
    "mathml",
    "docstrings",
]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4
myst_links_external_new_tab = False
# The kind of an argument, "Run", is a link by its name alone, and two classes may share one; sphinx-gallery's settings hold
# functions, which are not kept from one build to the next.
suppress_warnings = ["config.cache", "ref.python"]
exclude_patterns = ["examples"]

autodoc_default_options = {"members": True, "member-order": "bysource"}
# Shapes and meanings stand in the docstring; the annotations would only repeat them at length.
autodoc_typehints = "none"
# Looked for in the source of every function, which takes long, and there are none.
autodoc_use_type_comments = False
# The list of pages at the side of every page would hold every function.
toc_object_entries = False
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"[\\/]plot_",
    "image_scrapers": ("matplotlib",),
    "abort_on_example_error": True,
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 1e9,
    "write_computation_times": False,
    "nested_sections": False,
}
warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")

html_theme = "furo"
html_title = "spectral_jepa"
html_static_path = ["static"]
html_extra_path = ["extra"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True, "top_of_page_buttons": []}
pygments_style = "friendly"
# What is laid out by hand in a docstring is no Python; examples are known by their >>>.
highlight_language = "text"
