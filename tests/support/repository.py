"""Where the repository's own files are, and the recorded jobs."""

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
TRACES = ROOT.parent / "shared" / "traces"
"""Whole recordings, where they are at hand."""

RECORDED = json.loads((ROOT / "tests" / "recorded_jobs.json").read_text())
