"""Public classes and functions say `automl_waiter.NAME`, wherever they are defined."""

from __future__ import annotations

from types import FunctionType
from typing import Any, ForwardRef


def name_publicly(*public: Any) -> None:
    """Let tracebacks, pickles and documentation use the names that users import."""
    for one in public:
        if isinstance(one, type):
            # Names in annotations resolve in the module that defines the class.
            home, hints = one.__module__, vars(one).get("__annotations__", {})
            one.__annotations__ = {
                # Those of a NamedTuple are ForwardRefs already.
                name: ForwardRef(getattr(hint, "__forward_arg__", hint), module=home, is_class=True)
                for name, hint in hints.items()
            }
        if isinstance(one, type | FunctionType):
            one.__module__ = "automl_waiter"
