"""The command line, a guest in the library: it parses, drives the same loop, and prints."""

from automl_waiter.cli.app import main

__all__ = ["main"]
