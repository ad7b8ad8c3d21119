"""The links of the pages resolve, and the tables of the reference are those of the code."""

import json
import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest
from programs import Command
from repository import ROOT

import automl_waiter.testing
from automl_waiter import ExitCode, JobNotFound, JobReplaced, Part, Verdict
from automl_waiter._aws.permissions import Feature, iam_policy
from automl_waiter._model.exit_codes import _PRECEDENCE, exit_code_of
from automl_waiter.cli.help import EXIT_CODES

DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
REFERENCE = DOCS / "reference"
FENCE = re.compile(r"^ *(`{3,}).*?^ *\1", re.MULTILINE | re.DOTALL)


def rows(page: Path, heading: str = "") -> list[list[str]]:
    """Return the cells of a page's rows, without the heads of its tables; from a heading on, if one is given."""
    text = page.read_text()
    part = text[text.index(f"\n## {heading}\n") :].partition("\n## ")[2].partition("\n## ")[0] if heading else text
    lines = [line for line in part.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and the site make them."""
    headings = re.findall(r"^#+ +(.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    """A relative link names a file, and its fragment a heading."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text())):
        path, _, fragment = link.partition("#")
        target = page.parent / path if path else page
        if re.match(r"\w+:", link):
            continue
        if not target.exists() or (fragment and fragment not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("module", [automl_waiter, automl_waiter.testing], ids=lambda module: module.__name__)
def test_every_public_name_is_on_the_page_of_the_library(module: ModuleType) -> None:
    page = (REFERENCE / "library.md").read_text()
    shown = set(re.findall(r"^\.\. (?:auto\w+|py:data):: ([\w.]+)", page, re.MULTILINE))
    shown |= {name for names in re.findall(r"^   :members: (.+)$", page, re.MULTILINE) for name in names.split(", ")}
    assert set(module.__all__) - shown == {"__version__"} & set(module.__all__)


def test_every_exit_code_has_a_row() -> None:
    page = REFERENCE / "exit_codes.md"
    codes = [row[0] for row in rows(page) if row[0].isdigit()]
    assert codes == [str(code.value) for code in ExitCode]
    assert f"that applies: {', '.join(map(str, _PRECEDENCE))}." in page.read_text()


def test_the_help_lists_every_exit_code() -> None:
    codes = [code for words, _ in EXIT_CODES[:-1] for code in words.split(", ")]
    assert codes == [str(code.value) for code in ExitCode]
    assert EXIT_CODES[-1][1].endswith(f" {', '.join(map(str, _PRECEDENCE))}")


def test_every_verdict_has_its_exit_code() -> None:
    table = {verdict: code for verdict, _, code in rows(REFERENCE / "exit_codes.md", "Verdicts")[1:]}
    assert list(table) == [f"`{verdict}`" for verdict in Verdict]
    errors = {Verdict.NOT_FOUND: JobNotFound("a"), Verdict.REPLACED: JobReplaced("a")}
    for verdict in Verdict:
        expected = exit_code_of(verdict, shortfalls=Part, required=Part, error=errors.get(verdict))
        assert str(expected.value) in table[f"`{verdict}`"]


def test_every_part_has_a_row() -> None:
    assert [row[0] for row in rows(REFERENCE / "exit_codes.md", "Required parts")[1:]] == [f"`{part}`" for part in Part]


def test_each_feature_has_its_permissions() -> None:
    """The table names the actions that the policy has with this feature, and without any."""
    table = {row[1].strip("`"): re.findall(r"`(\w+:\w+)`", row[2]) for row in rows(REFERENCE / "iam.md")[1:8]}
    assert sorted(table) == sorted(["", *Feature])
    for name, actions in table.items():
        allowed = [
            action for one in iam_policy([Feature(name)] if name else [])["Statement"] for action in one["Action"]
        ]
        assert actions == [action for action in allowed if not name or action not in table[""]]


def test_the_policy_is_the_one_that_is_printed(inside: Command) -> None:
    page = (REFERENCE / "iam.md").read_text()
    command, printed = re.findall(r"```console\n\$ automl-waiter (.*?)\n(.*?)```", page, re.DOTALL)[0]
    assert json.loads(inside(*shlex.split(command)).stdout) == json.loads(printed)


def test_the_readmes_figures_are_those_of_the_pages() -> None:
    """Each measured figure of the README is on the page to which it links."""
    readme = " ".join((ROOT / "README.md").read_text().split())
    pace = (DOCS / "explanation" / "pace.md").read_text()
    reliability = (DOCS / "explanation" / "reliability.md").read_text()
    ours = re.search(r"(?m)^\| base \| \*\*the default\*\* \| (\d+)[\d.]* \| ([\d.]+)", pace)
    fixed = re.search(r"(?m)^\| base \| fixed 30 s \| (\d+)[\d.]* \| ([\d.]+)", pace)
    assert ours is not None
    assert fixed is not None
    assert f"returns {ours[2]} s after the end on average, with {ours[1]} calls" in readme
    assert f"returns after {fixed[2]} s, with {fixed[1]} calls" in readme
    listed = re.search(r"(?m)^\| 100 \(4 fleets\) \| the default \| ([\d.]+)", pace)
    described = re.search(r"(?m)^\| 100 \(4 fleets\) \| a describe per job \| ([\d.]+)", pace)
    assert listed is not None
    assert described is not None
    assert f"take {listed[1]} calls a minute, and {described[1]} if each is described" in readme
    faults = re.search(r"\| (\d+ of \d+ kinds) survived \|", reliability)
    signals = re.search(r"In (\d+ of \d+ cases) stdout had the outcome", reliability)
    seconds = re.search(r"the process ended within ([\d.]+ s), with the outcome", reliability)
    assert faults is not None
    assert signals is not None
    assert seconds is not None
    assert f"survives {faults[1]} of throttling" in readme
    assert f"in {signals[1]} the outcome so far was on stdout within {seconds[1]}" in readme
