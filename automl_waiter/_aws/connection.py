"""A boto3 client for a wait, and the renewal of its credentials.

A wait outlasts most credentials. If they can change during the wait (an SSO login in another terminal, a rewritten
file, a role), a new session reads them again. If they cannot, their expiry ends the wait.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from automl_waiter._aws.bodies import keep_parseable
from automl_waiter._aws.credentials import learn_credentials
from automl_waiter._aws.errors import from_sdk, quoted
from automl_waiter._model.errors import AccessDenied, AutoMLWaiterError, InvalidRequest
from automl_waiter._model.secrets import learn_environment, learn_url
from automl_waiter._model.text import in_utc
from automl_waiter._version import __version__

_CONNECT_TIMEOUT = 5
_READ_TIMEOUT = 20

# Credentials that nothing outside this process can change, by botocore's names for their sources.
_FIXED = frozenset({"env", "explicit"})
# Variables in which tools store the expiry of temporary credentials: botocore and the AWS CLI, then aws-vault.
_EXPIRY_VARIABLES = ("AWS_CREDENTIAL_EXPIRATION", "AWS_SESSION_EXPIRATION")
# The same in the shared credentials file: saml2aws and granted, then others. The SDKs ignore these keys.
_EXPIRY_KEYS = ("x_security_token_expires", "aws_session_expiration")


class Connection:
    """A boto3 client of the caller's. The client and its credentials stay as they are."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.region: str = client.meta.region_name
        config = getattr(client.meta, "config", None)
        for url in (getattr(config, "proxies", None) or {}).values():
            learn_url(url)

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
        learn_credentials(_credentials_in(self.client))

    def renew(self, expired: Any) -> bool:
        """Check for new credentials after those of the client `expired` have expired.

        Returns:
            Whether to try again: there are new credentials, or there may be soon.
        """
        return _refreshes_itself(_credentials_in(expired))


class OwnConnection(Connection):
    """A client of our own, recreated when its credentials expire.

    Args:
        make_session: Makes a botocore session, which reads the machine's current AWS configuration.
        make_client: Makes a client from a session.
    """

    def __init__(self, make_session: Callable[[], Any], make_client: Callable[[Any], Any]) -> None:
        self._make_session = make_session
        self._make_client = make_client
        self._lock = threading.Lock()
        self._session = make_session()
        self._credentials = _credentials_of(self._session)
        super().__init__(make_client(self._session))
        self._key = _key_of(self._credentials)

    def renew(self, expired: Any) -> bool:
        """Check for new credentials, and recreate the client if there are any."""
        from botocore.exceptions import BotoCoreError

        with self._lock:
            if self.client is not expired:
                return True  # another thread has renewed them
            try:
                session = self._make_session()
                credentials = session.get_credentials()
                if credentials is None or (_key_of(credentials) == self._key and not _refreshes_itself(credentials)):
                    return self._may_change
                self.client = self._make_client(session)
            except (BotoCoreError, OSError, ValueError):
                # Another program is writing the files at this moment, or they are missing just now.
                return self._may_change
            self._session, self._credentials, self._key = session, credentials, _key_of(credentials)
            return True

    @property
    def account_key(self) -> Hashable | None:
        """A key for the account and region: the endpoint and the identity of the credentials."""
        return self.client.meta.endpoint_url, getattr(self._credentials, "method", None), self._key

    @property
    def _may_change(self) -> bool:
        return self._credentials is not None and self._credentials.method not in _FIXED

    @property
    def credentials_expire_at(self) -> datetime | None:
        """When the credentials are known to expire unless they are renewed (UTC)."""
        match getattr(self._credentials, "method", None):
            case "env":
                return _first_instant(os.environ, _EXPIRY_VARIABLES)
            case "shared-credentials-file" | "config-file":
                return _first_instant(self._session.get_scoped_config(), _EXPIRY_KEYS)
            case "sso":
                return _login_expires_at(self._session)
            case _:
                return None


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

    Raises:
        InvalidRequest: There is no region, no such profile, or no such endpoint.
        AccessDenied: The source of the credentials fails.
    """
    import boto3
    import botocore.session
    from botocore.exceptions import BotoCoreError, NoRegionError

    config = client_config()
    learn_environment(os.environ)
    learn_url(endpoint_url)

    def make_client(core: Any) -> Any:
        session = boto3.Session(botocore_session=core, region_name=region)
        # boto3 reads only AWS_DEFAULT_REGION; Lambda, ECS and the other SDKs set and read AWS_REGION.
        chosen = session.region_name or os.environ.get("AWS_REGION")
        if not chosen:
            raise NoRegionError
        client = session.client(service, region_name=chosen, endpoint_url=endpoint_url, config=config)
        keep_parseable(client)
        return client

    try:
        return OwnConnection(partial(botocore.session.Session, profile=profile), make_client)
    except (BotoCoreError, ValueError) as error:
        problem = from_sdk(error)
        problem = problem if isinstance(problem, AutoMLWaiterError) else InvalidRequest(str(problem))
    raise problem  # not in the handler: the SDK's words may hold a secret, and a traceback would print them


def _credentials_of(session: Any) -> Any:
    """Return the session's credentials; None if there are none. Raise AccessDenied if their source fails."""
    from botocore.exceptions import BotoCoreError, ProfileNotFound

    try:
        return session.get_credentials()
    except ProfileNotFound:
        raise
    except (BotoCoreError, OSError, ValueError, KeyError) as error:
        words = f"no credentials can be had ({type(error).__name__}: {quoted(error)}): see the AWS configuration"
        raise AccessDenied(words, code=type(error).__name__) from error


def _credentials_in(client: Any) -> Any:
    # botocore has no public way from a client to its credentials. Without this private one, they count as fixed.
    return getattr(getattr(client, "_request_signer", None), "_credentials", None)


def _refreshes_itself(credentials: Any) -> bool:
    from botocore.credentials import RefreshableCredentials

    return isinstance(credentials, RefreshableCredentials) and credentials.method not in _FIXED


def _key_of(credentials: Any) -> tuple[str, str | None] | None:
    """Return a key for these credentials; None if botocore refreshes them itself."""
    if credentials is None or _refreshes_itself(credentials):
        return None
    try:
        frozen = credentials.get_frozen_credentials()
    except RuntimeError:
        return None  # botocore's error for an environment whose credentials have expired by their own date
    return frozen.access_key, frozen.token


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
