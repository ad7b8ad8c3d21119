"""The settings of the documentation: sphinx-build -W --keep-going -n docs build/docs"""

import inspect
import re
from typing import Any

from sphinx.application import Sphinx
from sphinx.util.inspect import stringify_signature

from automl_waiter import __version__
from automl_waiter._model.members import Member, View

project = "automl-waiter"
author = "The automl-waiter maintainers"
release = version = __version__
language = "en"
html_title = f"automl-waiter {release}"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_copy_source = False
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
# The anchors of headings are those of GitHub, where the pages are read too.
myst_heading_anchors = 4

default_role = "py:obj"  # what is no public name is shown as code
smartquotes_action = "D"  # dashes only: "auto" is a value, with the quotes that Python takes
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_type_aliases = {"Duration": "Duration", "Event": "automl_waiter.Event"}
# What an integration or the sandbox imports is not needed to describe it.
autodoc_mock_imports = ["airflow", "asgiref", "dagster", "flask", "flask_cors", "moto", "prefect", "pytest", "werkzeug"]
maximum_signature_line_length = 80
# What is not ours, or not public, has no page: the site is built without the internet.
nitpick_ignore_regex = [("py:.*", r"(?!automl_waiter\.(?!_)).*")]


class _Unreadable:
    def __repr__(self) -> str:
        return "..."


def _signature(
    _app: Sphinx, what: str, _name: str, obj: Any, _options: object, shown: str | None, returned: str | None
) -> tuple[str, str | None] | None:
    """Show no default whose repr is long or no expression, and of a class with a mocked base its own options."""
    if shown is None:
        return None
    if "{" in shown or "<" in shown or shown == "(*args: Any, **kwargs: Any)":
        signature = inspect.signature(obj.__init__ if what == "class" else obj)
        parameters = [_readable(one) for one in signature.parameters.values() if one.name != "self"]
        signature = signature.replace(parameters=parameters)
        shown = stringify_signature(signature, unqualified_typehints=True, show_return_annotation=False)
    # Sphinx 9 shows an alias in a union by its internal class.
    return re.sub(r"TypeAliasForwardRef\('([\w.]+)'\)", r"\1", shown), returned


def _readable(parameter: inspect.Parameter) -> inspect.Parameter:
    has_readable_default = parameter.default is parameter.empty or not repr(parameter.default).startswith(("<", "{"))
    return parameter if has_readable_default else parameter.replace(default=_Unreadable())


def _members(_app: Sphinx, _what: str, _name: str, obj: object, _options: object, lines: list[str]) -> None:
    """List the members of a response, which the class declares in one line each."""
    if isinstance(obj, type) and issubclass(obj, View):
        members = [(name, one) for name, one in vars(obj).items() if isinstance(one, Member)]
        lines += ["", ".. list-table::", "   :header-rows: 1", "", "   * - attribute", "     - member of the response"]
        for name, member in members:
            lines += [f"   * - `{name}`", f"     - {member.name}"]
        lines.append("")


def setup(app: Sphinx) -> None:
    """Connect to Sphinx."""
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-process-docstring", _members)
