"""The parts of the SDK that are the same for each client, made once: they took most of the time of many tests."""

import functools
from typing import Any

from botocore import hooks
from botocore.client import ClientCreator
from botocore.hooks import EventAliaser
from botocore.loaders import JSONFileLoader, Loader
from botocore.model import ServiceModel


def make_clients_cheap() -> None:
    """Keep the service models and their list, the methods of a service, the names of events, and the kinds of handlers."""
    read, list_all = JSONFileLoader.load_file, Loader.list_available_services
    found = functools.cache(lambda path: read(JSONFileLoader(), path))
    listed = functools.cache(lambda paths, kind: list_all(Loader([*paths], include_default_search_paths=False), kind))
    JSONFileLoader.load_file = lambda _, path: found(path)
    Loader.list_available_services = lambda self, type_name: listed(tuple(self.search_paths), type_name)

    begin, names = EventAliaser.__init__, dict[str, str]()

    def share_names(self: EventAliaser, *arguments: Any) -> None:
        begin(self, *arguments)
        self._alias_name_cache = names

    EventAliaser.__init__ = share_names
    make_methods, methods = ClientCreator._create_methods, dict[str, dict[str, Any]]()

    def share_methods(self: ClientCreator, service: ServiceModel) -> dict[str, Any]:
        if service.service_name not in methods:
            methods[service.service_name] = make_methods(self, service)
        return {**methods[service.service_name]}

    ClientCreator._create_methods = share_methods
    # By its function, a method keeps no client alive.
    takes_any = functools.lru_cache(1000)(hooks.accepts_kwargs)
    hooks.accepts_kwargs = lambda handler: takes_any(getattr(handler, "__func__", handler))
