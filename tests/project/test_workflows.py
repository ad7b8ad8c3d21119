"""What runs on its own: GitHub's workflows, the release and the hooks of pre-commit fit the project's other files."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml
from repository import ROOT

from automl_waiter import __version__

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS = [name.split()[-1] for name in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+$", name)]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
WORKFLOWS: dict[str, Any] = {file.stem: yaml.safe_load(file.read_text()) for file in FILES}
JOBS = {(name, job): spec for name, workflow in WORKFLOWS.items() for job, spec in workflow["jobs"].items()}
STEPS = [(name, step) for (name, _), spec in JOBS.items() for step in spec.get("steps", [])]
[LOCAL] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
HOOKS = LOCAL["hooks"]


def sessions() -> set[str]:
    """Return the names of nox's sessions, as `nox --list` prints them."""
    tree = ast.parse((ROOT / "noxfile.py").read_text())
    found: set[str] = set()
    for function in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
        for decorator in map(ast.unparse, function.decorator_list):
            if decorator.startswith("nox.session"):
                named = re.search(r"\bname='([^']+)'", decorator)
                name = named[1] if named else function.name
                # A list of Pythons makes as many sessions.
                has_list = re.search(r"\bpython=(?!False|None|')", decorator)
                found |= {f"{name}-{python}" for python in PYTHONS} if has_list else {name}
    return found


def test_workflows_match_githubs_schema_and_have_timeouts(capsys: pytest.CaptureFixture[str]) -> None:
    """The workflows are valid by GitHub's schema, and no job can run for GitHub's six hours."""
    from check_jsonschema import main  # half a second, which no other test needs

    for schema in ("vendor.github-workflows", "custom.github-workflows-require-timeout"):
        with pytest.raises(SystemExit) as exited:
            main(["--builtin-schema", schema, *map(str, FILES)])
        assert exited.value.code == 0, capsys.readouterr().out


def test_workflows_call_what_exists() -> None:
    """Each script, session and workflow that a step or a job calls is there."""
    commands = "\n".join(step["run"] for _, step in STEPS if "run" in step)
    calls = re.findall(r"\bnox -s (\S+?)(-\$\{\{ matrix\.python \}\})?$", commands, re.MULTILINE)
    called = set(chain(*([f"{name}-{python}" for python in PYTHONS] if each else [name] for name, each in calls)))
    assert called
    assert called <= sessions()
    scripts = [
        *re.findall(r"^bash (\S+)$", commands, re.MULTILINE),
        *(spec["uses"] for spec in JOBS.values() if "uses" in spec),
    ]
    assert scripts == [".ci/run", "./.github/workflows/gate.yml"]
    assert all((ROOT / script).is_file() for script in scripts)


def test_steps_pass_shellcheck(tmp_path: Path) -> None:
    """shellcheck warns of nothing in the steps, with a word in place of each expression."""
    texts = [re.sub(r"\$\{\{.*?\}\}", "X", step["run"]) for _, step in STEPS if "run" in step]
    scripts = [tmp_path / f"{number}.sh" for number in range(len(texts))]
    for script, text in zip(scripts, texts, strict=True):
        script.write_text(f"#!/usr/bin/env bash\n{text}")
    words = [str(Path(sys.executable).with_name("shellcheck")), *map(str, scripts)]
    checked = subprocess.run(words, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_workflows_run_on_every_supported_python() -> None:
    """The Pythons of the gate's jobs are those of the classifiers; the README's commands get the oldest."""
    gate, quick = (JOBS["gate", job] for job in ("gate", "quick"))
    assert quick["strategy"]["matrix"]["python"] == PYTHONS
    [installed] = [step["with"]["python-version"] for step in gate["steps"] if "setup-python" in step.get("uses", "")]
    assert installed.split() == PYTHONS[::-1]


def test_one_job_alone_may_write() -> None:
    """Jobs may read the repository. The one that publishes may do that only, after the others, and runs no code of ours."""
    assert [workflow["permissions"] for workflow in WORKFLOWS.values()] == [{"contents": "read"}] * len(WORKFLOWS)
    [publish] = [spec for spec in JOBS.values() if "permissions" in spec]
    assert publish is JOBS["release", "publish"]
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["environment"]["name"] == "pypi"
    assert set(publish["needs"]) == set(WORKFLOWS["release"]["jobs"]) - {"publish"}
    assert not any("run" in step or "checkout" in step["uses"] for step in publish["steps"])
    for _, step in STEPS:
        if "checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False
    assert not any(re.search(r"\bsecrets\.|pull_request_target", file.read_text()) for file in FILES)


def test_actions_are_pinned_to_a_commit() -> None:
    """A tag can be moved, a commit cannot. Each line names the version, and an action has one commit everywhere."""
    pins = re.findall(r"uses: ([\w-]+/[\w-]+)@(.*)", "\n".join(file.read_text() for file in FILES))
    assert len(pins) == sum("uses" in step for _, step in STEPS)
    assert all(re.fullmatch(r"[0-9a-f]{40} # v\d+\.\d+\.\d+", pin) for _, pin in pins), pins
    assert len(set(pins)) == len({action for action, _ in pins})


@pytest.mark.parametrize(
    ("tag", "changelog", "complaint"),
    [
        (f"v{__version__}", f"## [{__version__}] - 2026-12-01\n", None),
        ("v99.0", f"## [{__version__}] - 2026-12-01\n", f"v99.0 is not v{__version__}"),
        (f"v{__version__}", f"## [Unreleased]\n\nThe first release, {__version__}, will have:\n", "no section"),
        (f"v{__version__}", f"## [{__version__}.1] - 2026-12-01\n", "no section"),
    ],
    ids=["it is released", "another tag", "not yet in the changelog", "a longer version in the changelog"],
)
def test_release_needs_the_versions_tag_and_its_changelog(
    tmp_path: Path, tag: str, changelog: str, complaint: str | None
) -> None:
    """The release's own check, run as a step is, accepts only the tag of the version, with a section in the changelog."""
    [check] = [step["run"] for name, step in STEPS if name == "release" and "CHANGELOG" in step.get("run", "")]
    (tmp_path / "automl_waiter").mkdir()
    shutil.copy(ROOT / "automl_waiter" / "_version.py", tmp_path / "automl_waiter")
    (tmp_path / "CHANGELOG.md").write_text(changelog)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-e", "-c", check],
        cwd=tmp_path,
        env={"PATH": path, "GITHUB_REF_NAME": tag},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0 if complaint is None else 1, "")
    assert (complaint or "") in done.stdout
    assert done.stdout.startswith("::error::") == (complaint is not None)


def test_hooks_run_what_the_extra_installs() -> None:
    """Each hook of pre-commit runs a tool of the extra `lint`, so its version is in one place and nothing is downloaded."""
    extra = {re.match(r"[\w-]+", requirement)[0] for requirement in PROJECT["optional-dependencies"]["lint"]}  # type: ignore[index]
    packages = {"lint-imports": "import-linter"}
    programs = [hook["entry"].split()[0] for hook in HOOKS]
    assert programs == ["ruff", "ruff", "codespell", "lint-imports"]
    assert {packages.get(program, program) for program in programs} <= extra
    assert (LOCAL["repo"], {hook["language"] for hook in HOOKS}) == ("local", {"system"})
    # A file that is named to ruff is checked even if pyproject.toml excludes it, unless this is forbidden.
    assert all("--force-exclude" in hook["entry"] for hook in HOOKS if hook["entry"].startswith("ruff"))
    [contract] = [hook for hook in HOOKS if hook["entry"] == "lint-imports"]
    read = [
        path
        for path in ("automl_waiter/waiter.py", "pyproject.toml", "tests/conftest.py")
        if re.search(contract["files"], path)
    ]
    assert read == ["automl_waiter/waiter.py", "pyproject.toml"]
