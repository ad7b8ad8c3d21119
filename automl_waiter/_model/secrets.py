"""The secrets that this process knows, removed by value from every text that leaves it, whoever wrote the text.

The door to AWS and the front ends put them here as soon as they know them. Names and ARNs of jobs stay as they are.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote, unquote

from automl_waiter._model.statuses import SecondaryStatus, Status

_SHORTEST = 8
_VARIABLES = (
    *("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN"),
    *("GITHUB_TOKEN", "ACTIONS_RUNTIME_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"),
)
PROXY_VARIABLES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
"""The variables that the SDK reads a proxy's URL from."""

_JOB_ARN = r"arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:[0-9]{12}:automl-job/[A-Za-z0-9-]{1,32}(?![A-Za-z0-9/+=_-])"
_AFTER_SCHEME = re.compile(r"^\s*(?:[A-Za-z][A-Za-z0-9+.-]*:)?//|^\s*")
_BREAKS = re.compile(r"[\x00-\x20\x7f]+")

# What replaces each form of a secret. In the form of a key and a value, because a key id keeps its beginning.
_forms: dict[str, str] = {}
_names: set[str] = {*Status, *SecondaryStatus}
_compiled: tuple[int, re.Pattern[str]] | None = None


def learn(*values: str | None) -> None:
    """Remove these values from every text from now on; shorter than 8 characters, they are no secrets."""
    for value in values:
        for form in _forms_of(value or ""):
            _forms[form] = "***"


def learn_key_id(key_id: str | None) -> None:
    """Mask an access key id in every text from now on."""
    if key_id and len(key_id) >= _SHORTEST:
        _forms.setdefault(key_id, f"{key_id[:4]}***")


def learn_url(url: str | None) -> None:
    """Learn the user and the password in a URL, also in one that is malformed because the password is not quoted."""
    userinfo, at, _ = _AFTER_SCHEME.sub("", url or "").rpartition("@")
    if at:
        user, _, password = userinfo.partition(":")
        # An error may quote the part before a character that ends the host's place in a URL.
        parts = [userinfo[: found.start()] for found in re.finditer("[#/?@]", userinfo) if found.start() > len(user)]
        learn(password, unquote(password), userinfo, unquote(userinfo), *parts)


def learn_environment(environ: Mapping[str, str]) -> None:
    """Learn the secrets in environment variables."""
    learn(*(environ.get(name) for name in _VARIABLES))
    learn_key_id(environ.get("AWS_ACCESS_KEY_ID"))
    for name in PROXY_VARIABLES:
        learn_url(environ.get(name))


def spare(*names: str) -> None:
    """Keep names of jobs as they are, even if one contains a secret."""
    _names.update(names)


def hide(text: str) -> str:
    """Return `text` without the secrets that this process knows."""
    if not any(form in text for form in tuple(_forms)):
        return text
    return _pattern().sub(lambda found: _forms.get(found[0], found[0]) if found[0] not in _names else found[0], text)


def _pattern() -> re.Pattern[str]:
    """Return what matches ARNs of jobs and, the longest first, names and secrets."""
    global _compiled  # noqa: PLW0603 - secrets are known to the whole process
    size = len(_forms) + len(_names)
    if _compiled is None or _compiled[0] != size:
        names = {name for name in tuple(_names) if any(form in name for form in tuple(_forms))}
        words = sorted({*names, *tuple(_forms)}, key=len, reverse=True)
        _compiled = size, re.compile("|".join([_JOB_ARN, *map(re.escape, words)]))
    return _compiled[1]


def _forms_of(secret: str) -> Iterator[str]:
    """Yield a secret and what others may write for it: without its line break, quoted, or escaped."""
    for part in {secret, *_BREAKS.split(secret)}:
        escaped = (repr(part)[1:-1], json.dumps(part)[1:-1], quote(part, safe=""), html.escape(part))
        yield from (form for form in {part, *escaped} if len(form) >= _SHORTEST)
