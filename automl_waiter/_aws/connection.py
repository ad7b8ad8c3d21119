"""A boto3 client for a wait, and the renewal of its credentials.

The client is made at once, from what this machine knows. Its credentials are loaded in the thread of a call: their
source may hang or fail. A wait outlasts most credentials. If they can change during the wait (an SSO login in another
terminal, a rewritten file, a role), a new session reads them again. If they cannot, their expiry ends the wait.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Hashable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakSet

from automl_waiter._aws.bodies import keep_parseable
from automl_waiter._aws.configuration import endpoint_problem, new_session, region_for
from automl_waiter._aws.credentials import learn_credentials
from automl_waiter._aws.errors import from_sdk
from automl_waiter._aws.sources import FIXED, SourceCredentials
from automl_waiter._model.errors import AutoMLWaiterError, InvalidRequest
from automl_waiter._model.secrets import PROXY_VARIABLES, learn_environment, learn_url
from automl_waiter._model.text import in_utc
from automl_waiter._version import __version__

_CONNECT_TIMEOUT = 5
_READ_TIMEOUT = 20
# Another thread renews the credentials, and its source hangs: try the old ones again.
_LONGEST_RENEWAL_S = 10.0
# Each client has some 20 MB. A process that waits at more endpoints shares less.
_MOST_SHARED = 8

# Variables in which tools store the expiry of temporary credentials: botocore and the AWS CLI, then aws-vault.
_EXPIRY_VARIABLES = ("AWS_CREDENTIAL_EXPIRATION", "AWS_SESSION_EXPIRATION")
# The same in the shared credentials file: saml2aws and granted, then others. The SDKs ignore these keys.
_EXPIRY_KEYS = ("x_security_token_expires", "aws_session_expiration")


class Connection:
    """A boto3 client of the caller's. The client and its credentials stay as they are."""

    profile: str | None = None
    """The profile that the credentials are from, if it is known."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._process = os.getpid()
        if _is_forked and client not in _SEVERED:
            self._sever()
        self.region: str = client.meta.region_name
        config = getattr(client.meta, "config", None)
        for url in (getattr(config, "proxies", None) or {}).values():
            learn_url(url)

    @property
    def client(self) -> Any:
        """The client. After a fork it has no sockets of the parent process, whose answers would be mixed with ours."""
        if self._process != os.getpid():
            self._sever()
        return self._client

    @property
    def credentials_expire_at(self) -> datetime | None:
        """When the credentials are known to expire unless they are renewed (UTC); None: never, or unknown."""
        return None

    @property
    def account_key(self) -> Hashable | None:
        """A key for the account and region, as far as they are known; None: the client itself is the key."""
        return None

    def learn_secrets(self) -> None:
        """Learn the secrets that the client sends now; raise AccessDenied if they cannot be sent."""
        learn_credentials(credentials_in(self.client))

    def renew(self, expired: Any) -> bool:
        """Check for new credentials after those of the client `expired` have expired.

        Returns:
            Whether to try again: there are new credentials, or there may be soon.
        """
        return _refreshes_itself(credentials_in(expired))

    def refused(self) -> None:
        """Note that the credentials were refused, or have no source: the next wait must not start with them."""

    def _sever(self) -> None:
        self._process = os.getpid()
        _SEVERED.add(self._client)
        if hasattr(self._client, "close"):
            self._client.close()  # it opens new ones


class OwnConnection(Connection):
    """A client of our own, recreated when its credentials expire, and in a process that was forked.

    Args:
        new_session: Makes a botocore session, which reads the machine's current AWS configuration.
        make_client: Makes a client from a session.
        key: Identifies what the client was made from, without its secrets.
    """

    def __init__(self, new_session: Callable[[], Any], make_client: Callable[[Any], Any], key: str) -> None:
        self._new_session = new_session
        self._make_client = make_client
        self._key = key
        self.is_refused = False
        self._begin()
        super().__init__(self._client)

    def _begin(self) -> None:
        """Make the client. In a forked process also the locks: a thread of the parent may have held them."""
        self._lock = threading.Lock()
        session = self._new_session()
        self.profile = session.profile
        self._source = SourceCredentials(self._new_session)
        session.register_component("credential_provider", self._source)
        self._client = self._make_client(session)
        self._process = os.getpid()

    @property
    def client(self) -> Any:
        """The client, with credentials that are loaded when it first makes a call."""
        if self._process != os.getpid():
            self._begin()
        return self._client

    def learn_secrets(self) -> None:
        """Learn the secrets that the client sends now, if its credentials are loaded."""
        if self._source.loaded is not None:
            learn_credentials(self._source.loaded)

    def renew(self, expired: Any) -> bool:
        """Check for new credentials, and recreate the client if there are any."""
        if not self._lock.acquire(timeout=_LONGEST_RENEWAL_S):
            return True
        try:
            if self._client is not expired:
                return True  # another thread has renewed them
            old = self._loaded()
            may_change = old is not None and old.method not in FIXED
            source = SourceCredentials(self._new_session)
            try:
                new = source.load()
                if _digest_of(new) == _digest_of(old) and not _refreshes_itself(new):
                    return may_change
                session = self._new_session()
                session.register_component("credential_provider", source)
                client = self._make_client(session)
            except Exception:
                # Another program is writing the files at this moment, or they are missing just now.
                return may_change
            self._client, self._source = client, source
            return True
        finally:
            self._lock.release()

    def refused(self) -> None:
        """Note that the credentials were refused, or have no source: the next wait must not start with them."""
        self.is_refused = True

    @property
    def account_key(self) -> Hashable | None:
        """A key for the account and region: the endpoint, and what the credentials are looked for with."""
        return self._client.meta.endpoint_url, self._key

    @property
    def credentials_expire_at(self) -> datetime | None:
        """When the credentials are known to expire unless they are renewed (UTC). It loads them if they were not."""
        match getattr(self._loaded(), "method", None):
            case "env":
                return _first_instant(os.environ, _EXPIRY_VARIABLES)
            case "shared-credentials-file" | "config-file":
                return _first_instant(self._source.session.get_scoped_config(), _EXPIRY_KEYS)
            case "sso":
                return _login_expires_at(self._source.session)
            case _:
                return None

    def _loaded(self) -> Any:
        """Return botocore's credentials, loaded if they were not; None if that fails."""
        try:
            return self._source.load()
        except Exception:
            return None  # the call that needs them says why


class _Shared:
    """The connections that the waits of a process share, by profile, region, endpoint and service."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.made: dict[Hashable, tuple[str, OwnConnection]] = {}


_BY_PROCESS: dict[int, _Shared] = {}
# In a forked process, the callers' clients whose sockets it no longer shares with its parent.
_SEVERED: WeakSet[Any] = WeakSet()
_is_forked = False


def _note_fork() -> None:
    global _is_forked  # noqa: PLW0603 - so is a process
    _is_forked = True
    _SEVERED.clear()


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_note_fork)


def client_config() -> Any:
    """Return the botocore Config for a wait: short timeouts, and the SDK's own retries off."""
    from botocore.config import Config

    return Config(
        connect_timeout=_CONNECT_TIMEOUT,
        read_timeout=_READ_TIMEOUT,
        retries={"total_max_attempts": 1, "mode": "standard"},
        user_agent_extra=f"automl-waiter/{__version__}",
    )


def connect(
    *,
    profile: str | None = None,
    region: str | None = None,
    endpoint_url: str | None = None,
    service: str = "sagemaker",
) -> Connection:
    """Return a connection for a wait. The SDK's own retries are off, because the wait retries and counts.

    It reads the machine's AWS configuration and calls nobody. The waits of a process share a connection, as long as
    neither the environment nor the configuration files change.

    Raises:
        InvalidRequest: There is no region, no such profile, or no such endpoint.
    """
    learn_environment(os.environ)
    learn_url(endpoint_url)
    asked = (profile, region, endpoint_url, service)
    environment, files = _environment(), _files()
    shared = _BY_PROCESS.setdefault(os.getpid(), _Shared())
    with shared.lock:
        known, connection = shared.made.get(asked, ("", None))
        if connection is None or connection.is_refused or known != environment + files:
            connection = _new_connection(profile or None, region, endpoint_url, service, environment)
            shared.made.pop(asked, None)
            shared.made[asked] = environment + files, connection
            for oldest in list(shared.made)[:-_MOST_SHARED]:
                del shared.made[oldest]
    return connection


def _new_connection(
    profile: str | None, region: str | None, endpoint_url: str | None, service: str, environment: str
) -> OwnConnection:
    import boto3
    from botocore.exceptions import BotoCoreError

    config = client_config()

    def make_client(core: Any) -> Any:
        session = boto3.Session(botocore_session=core, region_name=region)
        chosen = region_for(core, region)
        client = session.client(service, region_name=chosen, endpoint_url=endpoint_url, config=config)
        keep_parseable(client)
        return client

    try:
        return OwnConnection(partial(new_session, profile, region), make_client, f"{environment} {profile}")
    except AutoMLWaiterError:
        raise
    except BotoCoreError as error:
        problem = from_sdk(error)
        problem = problem if isinstance(problem, AutoMLWaiterError) else InvalidRequest(str(problem))
    except ValueError as error:
        problem = endpoint_problem(error, service, endpoint_url)
    raise problem  # not in the handler: the SDK's words may hold a secret, and a traceback would print them


def _environment() -> str:
    """Return a digest of the variables that a client depends on."""
    names = [name for name in os.environ if name.startswith("AWS_") or name in (*PROXY_VARIABLES, "NO_PROXY", "HOME")]
    return _digest(*(f"{name}={os.environ.get(name)}" for name in sorted(names)))


def _files() -> str:
    """Return a digest of the state of the configuration files."""
    found = []
    for variable, usual in (("AWS_CONFIG_FILE", "config"), ("AWS_SHARED_CREDENTIALS_FILE", "credentials")):
        path = Path(os.environ.get(variable) or f"~/.aws/{usual}").expanduser()
        try:
            state = path.stat()
            found.append(f"{state.st_ino} {state.st_mtime_ns} {state.st_size}")
        except OSError:
            found.append("")
    return _digest(*found)


def _digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode(errors="surrogateescape")).hexdigest()


def credentials_in(client: Any) -> Any:
    """Return the credentials of a client; None if it has none."""
    # botocore has no public way from a client to its credentials. Without this private one, they count as fixed.
    return getattr(getattr(client, "_request_signer", None), "_credentials", None)


def _refreshes_itself(credentials: Any) -> bool:
    from botocore.credentials import RefreshableCredentials

    return isinstance(credentials, RefreshableCredentials) and credentials.method not in FIXED


def _digest_of(credentials: Any) -> str | None:
    """Return a digest of these credentials; None if there are none, or botocore refreshes them itself."""
    if credentials is None or _refreshes_itself(credentials):
        return None
    try:
        frozen = credentials.get_frozen_credentials()
    except RuntimeError:
        return None  # botocore's error for an environment whose credentials have expired by their own date
    return _digest(str(frozen.access_key), str(frozen.token))


def _login_expires_at(session: Any) -> datetime | None:
    """Return when the SSO login behind the credentials ends; None if it is renewed without the user."""
    from botocore.exceptions import BotoCoreError
    from botocore.utils import JSONFileCache, SSOTokenLoader

    config = session.get_scoped_config()
    name = config.get("sso_session")
    start = session.full_config.get("sso_sessions", {}).get(name, config).get("sso_start_url")
    cache = JSONFileCache(os.path.expanduser(os.path.join("~", ".aws", "sso", "cache")))
    try:
        token = SSOTokenLoader(cache)(start, session_name=name)
    except (BotoCoreError, OSError, ValueError):
        return None
    return None if token.get("refreshToken") else _first_instant(token, ("expiresAt",))


def _first_instant(values: Mapping[str, Any], names: tuple[str, ...]) -> datetime | None:
    from botocore.utils import parse_timestamp

    for name in names:
        try:
            return in_utc(parse_timestamp(values[name]))
        except (KeyError, TypeError, ValueError):
            continue
    return None
