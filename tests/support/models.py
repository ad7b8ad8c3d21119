"""The service models of the SDK, read once."""

import functools

from botocore.loaders import JSONFileLoader, Loader


def read_each_model_once() -> None:
    """Cache the models and their list: the SDK and moto read them for each client, most of the time of many tests."""
    read, list_all = JSONFileLoader.load_file, Loader.list_available_services
    found = functools.cache(lambda path: read(JSONFileLoader(), path))
    listed = functools.cache(lambda paths, kind: list_all(Loader([*paths], include_default_search_paths=False), kind))
    JSONFileLoader.load_file = lambda _, path: found(path)
    Loader.list_available_services = lambda self, type_name: listed(tuple(self.search_paths), type_name)
