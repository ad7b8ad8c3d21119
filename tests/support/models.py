"""The service models of the SDK, read once."""

import functools

from botocore.loaders import JSONFileLoader


def read_each_model_once() -> None:
    """Cache the models: the SDK and moto read them for each client, which is most of the time of many tests."""
    read = JSONFileLoader.load_file
    found = functools.cache(lambda path: read(JSONFileLoader(), path))
    JSONFileLoader.load_file = lambda _, path: found(path)
