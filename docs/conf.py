"""The settings of the documentation: sphinx-build -W --keep-going -n docs build/docs"""

import inspect

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
# The anchors of headings are those of GitHub, where the pages are read too.
myst_heading_anchors = 4

default_role = "code"
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


def _signature(_app: Sphinx, what: str, _name: str, obj: object, _options: object, shown: str | None, _: object):  # type: ignore[no-untyped-def]
    """Show no default whose repr is pages long or no expression, and of a class with a mocked base its own options."""
    if shown is None or not ("<" in shown or "{" in shown or shown == "(*args: Any, **kwargs: Any)"):
        return None
    signature = inspect.signature(obj.__init__ if what == "class" else obj)
    parameters = [_readable(one) for one in signature.parameters.values() if one.name != "self"]
    return stringify_signature(
        signature.replace(parameters=parameters), unqualified_typehints=True, show_return_annotation=what != "class"
    ), None


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
