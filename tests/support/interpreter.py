"""Moto's interpreter of Step Functions definitions, without its pauses and with each definition parsed once."""

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from moto import mock_aws
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker

# Moto parses a definition when it is created and when it is executed, each for a quarter of a second. What an execution
# changes is in its own environment, so a parsed definition serves any number of them.
_parse = functools.cache(AmazonStateLanguageParser.parse)


def _execute(worker: ExecutionWorker) -> None:
    """Return when the execution has ended, or after a minute."""
    thread = threading.Thread(target=worker._execution_logic, daemon=True)
    thread.start()
    thread.join(60)


@contextmanager
def interpreter() -> Iterator[None]:
    """Let moto's Step Functions execute definitions: `start_execution` returns when the execution has ended."""
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}), pytest.MonkeyPatch.context() as patch:
        patch.setattr(AmazonStateLanguageParser, "parse", staticmethod(_parse))
        patch.setattr(ExecutionWorker, "start", _execute)
        patch.setattr(retrier_decl, "time", SimpleNamespace(sleep=lambda seconds: None))
        yield
