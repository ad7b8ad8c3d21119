"""The settings of the documentation: sphinx-build -W --keep-going -n docs build/docs"""

from automl_waiter import __version__

project = "automl-waiter"
author = "The automl-waiter maintainers"
release = version = __version__
language = "en"
html_title = f"automl-waiter {release}"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_copy_source = False
# A link to a heading is that of GitHub, where the pages are read too.
myst_heading_anchors = 4

default_role = "code"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
maximum_signature_line_length = 80
# References to what is not ours cannot resolve: the pages are built without the internet.
nitpick_ignore_regex = [("py:.*", r"(?!automl_waiter).*")]
