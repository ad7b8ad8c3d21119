"""`watch --journal` under repeated kills, with two subscribers that start and stop, under a wall clock that jumps."""

from pathlib import Path

import pytest
from kills import kill_again_and_again


@pytest.mark.long
@pytest.mark.parametrize("kills", [8, pytest.param(200, marks=pytest.mark.soak)])
def test_no_kill_loses_a_transition_or_repeats_an_acknowledged_one(tmp_path: Path, kills: int) -> None:
    """Each subscriber gets every observed transition, and each kill repeats at most the command that was running."""
    killed = kill_again_and_again(tmp_path, kills)
    assert sum(killed.kills) == kills
    assert "Traceback" not in killed.stderr
    assert "the journal" not in killed.stderr
