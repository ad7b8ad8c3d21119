"""Credentials that are loaded from their source in the thread of a call, and how a source fails.

A source exists if a variable, a file, a profile or a container names it, or if the metadata service has answered. One
that exists but fails is a transient error: it may be starting, or a file is being written.
"""

from __future__ import annotations

import os
import shlex
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from automl_waiter._aws.credentials import learn_credentials
from automl_waiter._aws.errors import quoted
from automl_waiter._model.errors import (
    AccessDenied,
    AutoMLWaiterError,
    CredentialsExpired,
    TransientError,
    TransientKind,
)
from automl_waiter._model.text import clean, format_duration
from automl_waiter._system.question import OPEN, ask

FIXED = frozenset({"env", "explicit"})
"""Credentials that nothing outside this process can change, by botocore's names for their sources."""

BEFORE_THE_FIRST_ANSWER_S = 30.0
"""For how long a source that fails is tried before the first good answer: it is more likely wrong than slow."""

# Another call loads them or renews them already; meanwhile this one must not occupy a thread for long.
_LONGEST_TURN_S = 10.0

_FILE_VARIABLES = ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE")
# Whatever passes through these comes from a source.
_MODULES = frozenset({"botocore.credentials", "botocore.tokens", __name__})
_NAMES = {
    "custom-process": "the credential_process",
    "assume-role": "the role",
    "assume-role-with-web-identity": "the web identity",
    "container-role": "the container",
    "iam-role": "the metadata service",
    "sso": "the single sign-on",
    "login": "the login",
    "shared-credentials-file": "the credentials file",
    "config-file": "the configuration file",
    "env": "the environment",
}


class SourceBusy(Exception):
    """Another call has waited for the source for a while, and still does."""


class SourceCredentials:
    """Credentials for a botocore client that are loaded when the first request is signed. It is also their provider.

    Args:
        new_session: Makes a botocore session, which reads the machine's current AWS configuration.
    """

    def __init__(self, new_session: Callable[[], Any]) -> None:
        self._new_session = new_session
        self._lock = threading.Lock()
        self.session: Any = None
        """The session that has loaded them; None before."""
        self.loaded: Any = None
        """botocore's credentials; None before."""

    def load_credentials(self) -> SourceCredentials:
        """Return these: what a botocore session asks of its credential provider."""
        return self

    def load(self) -> Any:
        """Return botocore's credentials, loaded if they were not.

        Raises:
            NoCredentialsError: There is no source.
            Exception: The source fails.
        """
        with self._turn():
            return self._load()

    def get_frozen_credentials(self) -> Any:
        """Return the keys to sign with, and learn what is secret in them; they may be refreshed before."""
        with self._turn():
            loaded = self._load()
            try:
                frozen = loaded.get_frozen_credentials()
            except Exception:
                # The next call reads the configuration again. A role with a second factor asks once, and then never.
                self.loaded = None
                raise
        learn_credentials(loaded)
        return frozen

    def get_deferred_property(self, name: str) -> Callable[[], Any]:
        """Return a function that returns a property: what a botocore client asks of its credentials."""
        return lambda: getattr(self.load(), name, None)

    @property
    def method(self) -> str | None:
        """botocore's name for the source; None before they are loaded."""
        return getattr(self.loaded, "method", None)

    @property
    def access_key(self) -> str:
        """The access key id."""
        return str(self.load().access_key)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._lock.acquire(timeout=_LONGEST_TURN_S):
            raise SourceBusy("no code was typed" if OPEN else f"no answer for {format_duration(_LONGEST_TURN_S)}")
        try:
            yield
        finally:
            self._lock.release()

    def _load(self) -> Any:
        if self.loaded is None:
            session = self._new_session()
            self.loaded = load_from(session)
            self.session = session
        return self.loaded


def load_from(session: Any) -> Any:
    """Return a session's credentials, as their source gives them now.

    Raises:
        NoCredentialsError: There is no source.
        Exception: The source fails.
    """
    from botocore.exceptions import CredentialRetrievalError, NoCredentialsError, UnknownCredentialError

    resolver = session.get_component("credential_provider")
    with suppress(UnknownCredentialError):
        # botocore's own question eats standard input where there is no terminal, and leaves a terminal without echo.
        resolver.get_provider("assume-role")._prompter = ask
    metadata = _Metadata(resolver)
    credentials = resolver.load_credentials()
    if credentials is not None:
        return credentials
    if metadata.has_answered:
        raise CredentialRetrievalError(provider="iam-role", error_msg="it returned no credentials")
    for name in _FILE_VARIABLES:
        path = Path(os.environ.get(name, os.devnull)).expanduser()
        if not path.exists() or (path.is_file() and path.stat().st_size == 0):
            what = "is empty" if path.exists() else "does not exist"
            raise CredentialRetrievalError(provider=name, error_msg=f"{path} {what}")
    raise NoCredentialsError


class _Metadata:
    """Notes whether the metadata service of EC2 has answered: botocore does not say."""

    def __init__(self, resolver: Any) -> None:
        from botocore.exceptions import UnknownCredentialError

        self.has_answered = False
        with suppress(UnknownCredentialError, AttributeError):
            fetcher = resolver.get_provider("iam-role")._role_fetcher
            self._http, fetcher._session = fetcher._session, self

    def send(self, request: Any) -> Any:
        """Send a request, as the HTTP session does in whose place this is."""
        response = self._http.send(request)
        self.has_answered = True
        return response


def is_from_source(error: BaseException) -> bool:
    """Return whether an error comes from a source of credentials that exists, whoever raised it last."""
    from botocore.exceptions import NoCredentialsError

    if isinstance(error, NoCredentialsError | AutoMLWaiterError):
        return False
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_globals.get("__name__") in _MODULES for frame, _ in frames)


def source_failure(error: BaseException, *, was_answered: bool, profile: str | None = None) -> Exception:
    """Return the error for a source of credentials that failed.

    Args:
        error: The exception of the source.
        was_answered: Whether there was a good answer before: then the error is transient, whatever it is.
        profile: The profile that has the source; None: the default one, or it is not known.
    """
    from botocore import exceptions as sdk

    code, words, method = type(error).__name__, quoted(error), _method_of(error)
    source = _NAMES.get(method or "")
    said = f"cannot get credentials{f' from {source}' if source else ''}: {words or code}"
    match error:
        case sdk.PartialCredentialsError() if method == "env":
            missing = error.kwargs["cred_var"]
            return AccessDenied(f"{clean(missing)} is not set, but the other half of the key is: set both", code=code)
        case _ if method in FIXED:
            return CredentialsExpired(f"the credentials have expired ({words}): renew them", code=code)
    if not was_answered:
        for_profile = f" --profile {shlex.quote(clean(profile))}" if profile else ""
        match error:
            case sdk.RefreshWithMFAUnsupportedError() | EOFError():
                return CredentialsExpired(
                    f"the profile asks for the code of a second factor (MFA), and it cannot be typed here ({words}): "
                    "run this on a terminal, or use temporary credentials (aws sts get-session-token)",
                    code=code,
                )
            case sdk.SSOError() | sdk.TokenRetrievalError():
                return CredentialsExpired(f"{said}: log in with aws sso login{for_profile}", code=code)
            case _ if isinstance(error, getattr(sdk, "LoginError", ())):  # old SDKs do not have it
                return CredentialsExpired(f"{said}: log in with aws login{for_profile}", code=code)
            case sdk.InvalidConfigError() | sdk.InfiniteLoopConfigError():
                return AccessDenied(f"{said}: see the AWS configuration", code=code)
    limit = None if was_answered or isinstance(error, SourceBusy) else BEFORE_THE_FIRST_ANSWER_S
    return TransientError(TransientKind.NO_CREDENTIALS, said, code=code, retry_for=limit)


def _method_of(error: BaseException) -> str | None:
    """Return botocore's name for the source that an error comes from."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_globals.get("__name__") == "botocore.credentials":
            provider = frame.f_locals.get("self")
            method = getattr(provider, "METHOD", None) or getattr(provider, "method", None)
            if isinstance(method, str):
                return method
    return None
