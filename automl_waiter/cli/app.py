"""`automl-waiter`: the group of its commands. An error becomes one line and an exit code."""

from __future__ import annotations

import difflib
import logging
import os
import sys
import threading
from collections.abc import Sequence

import click

from automl_waiter._model.errors import AutoMLWaiterError, internal_error
from automl_waiter._model.exit_codes import ExitCode, exit_code_of_error
from automl_waiter._model.secrets import learn_environment
from automl_waiter._model.text import clean
from automl_waiter._system.log import log_bug, log_problem, log_to_stderr
from automl_waiter._system.portable import prepare_streams
from automl_waiter._version import __version__
from automl_waiter.cli.demo import demo
from automl_waiter.cli.export import export
from automl_waiter.cli.flags import AWS, Flags, shared
from automl_waiter.cli.help import COMPLETION, CONTEXT, ENVIRONMENT, EXIT_CODES, PageGroup
from automl_waiter.cli.history import history
from automl_waiter.cli.lines import write_line
from automl_waiter.cli.local import sandbox
from automl_waiter.cli.report import report
from automl_waiter.cli.signals import Interrupts
from automl_waiter.cli.waiting import status, wait, watch
from automl_waiter.sandbox import SandboxUnavailable

# Exists since click 8.2; earlier versions print the help themselves.
_NO_ARGUMENTS: type[click.UsageError] | tuple[()] = getattr(click.exceptions, "NoArgsIsHelpError", ())


@click.group(
    cls=PageGroup,
    context_settings=CONTEXT,
    examples=[
        ("automl-waiter wait churn-2026 && ./deploy.sh", "Wait, and deploy only if the job succeeded:"),
        ("automl-waiter report churn-2026", "Report what happened to a job:"),
        ("automl-waiter demo", "Try it without an AWS account:"),
    ],
    lists={
        "Exit codes": EXIT_CODES,
        "Environment": ENVIRONMENT,
        "Shell completion of commands, flags and job names": COMPLETION,
    },
)
@click.version_option(__version__, prog_name="automl-waiter", message="%(prog)s %(version)s")
@shared(*AWS)
def cli(_: Flags) -> None:
    """Wait for a SageMaker Autopilot (AutoML) job, and get an exit code you can trust.

    Results go to stdout, progress and messages to stderr. Run COMMAND --help for the options of a command.
    """


# In the order of the help: the most used commands first.
for command in (wait, watch, status, report, history, demo, sandbox, export):
    cli.add_command(command)


def run(argv: Sequence[str] | None, interrupts: Interrupts) -> int:
    """Run the command and return its exit code."""
    learn_environment(os.environ)
    # The SDK logs what the wait reports anyway, with tracebacks that may hold anything.
    logging.getLogger().addHandler(logging.NullHandler())
    prepare_streams()
    if os.environ.get("AUTOML_WAITER_DEBUG"):
        log_to_stderr()
    if argv is None:
        # A bug in a thread that shows something is no reason for a traceback among the results.
        threading.excepthook = lambda thread: log_problem(logging.DEBUG, "a thread has ended", thread.exc_value)
    try:
        code = cli.main(argv, prog_name="automl-waiter", standalone_mode=False, obj=interrupts)
    except _NO_ARGUMENTS as error:
        write_line(sys.stderr, error.format_message())
        return ExitCode.USAGE
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.NoSuchOption as error:
        nearest = difflib.get_close_matches(error.option_name, error.possibilities or (), n=1)
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        command = error.ctx.command_path if error.ctx else "automl-waiter"
        return _fail(f"no option {error.option_name}{hint} (see {command} --help)", error.exit_code)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "automl-waiter"
        return _fail(f"{error.format_message().removesuffix('.')} (see {command} --help)", error.exit_code)
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code)
    except AutoMLWaiterError as error:
        return _fail(str(error), exit_code_of_error(error))
    except (SandboxUnavailable, OSError) as error:
        return _fail(str(error), ExitCode.USAGE)
    except (KeyboardInterrupt, click.Abort):
        return ExitCode.INTERRUPTED
    except Exception as error:
        problem = internal_error(error)
        log_bug(problem)
        return _fail(str(problem), ExitCode.BUG)
    return int(code or 0)


def _fail(message: str, code: int) -> int:
    write_line(sys.stderr, f"automl-waiter: {clean(message)}")
    return code
