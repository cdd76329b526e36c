"""What stands in settings that are lists, addresses and URLs: each entry is brought into its normal form, or refused.

One function for each kind; all raise ConfigError, in one sentence that says what was seen and what was wanted. Called
by `config`.
"""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Final
from urllib.parse import urlsplit

from fastsse import tokens
from fastsse.errors import ConfigError


def refusal(name: str, seen: object, wanted: str) -> ConfigError:
    return ConfigError(f"{name} is {seen if isinstance(seen, str) else repr(seen)}, but must be {wanted}")


def where(text: str) -> str:
    if text.startswith("unix:"):
        if not text.removeprefix("unix:"):
            raise refusal("host", repr(text), "unix:/path, with the path of the socket file")
        return text
    if text.startswith("fd:") and ":" not in text[3:] and not text[3:].isdecimal():  # fd::1 is an address
        raise refusal("host", repr(text), "fd:N, with the number of the file descriptor")
    return text.removeprefix("[").removesuffix("]")


_HOST: Final = re.compile(r"(?:(?:\*\.)?[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?\.?|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")


def host(name: str, entry: object) -> str:
    text = entry.strip().lower() if isinstance(entry, str) else ""
    if text != "*" and not _HOST.fullmatch(text):
        raise refusal(name, repr(entry), "name[:port] as clients send it in Host, *.example.com[:port], or *")
    return text


def origin(name: str, entry: object) -> str:
    """As a browser sends it: lower case, no path, no default port."""
    text = entry.strip().lower().removesuffix("/") if isinstance(entry, str) else ""
    if text in ("*", "null"):
        return text
    scheme, separator, rest = text.partition("://")
    if not separator or not re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme) or not _HOST.fullmatch(rest) or "*" in rest:
        raise refusal(name, repr(entry), "scheme://host[:port] as browsers send it in Origin, or *")
    return f"{scheme}://{rest.removesuffix({'http': ':80', 'https': ':443'}.get(scheme, ' '))}"


def network(name: str, entry: object) -> str:
    text = entry.strip().lower() if isinstance(entry, str) else ""
    if text == "unix":
        return text
    try:
        return str(ip_network(text))
    except ValueError:
        raise refusal(name, repr(entry), "an address, a network as 10.0.0.0/8, or unix") from None


def token(name: str, entry: object) -> str:
    try:
        return tokens.normal(entry if isinstance(entry, str) else "")
    except ValueError as wanted:
        raise refusal(name, "(hidden)", f"`{wanted}`") from None


def scope(name: str, entry: object) -> str:
    if not isinstance(entry, str) or not tokens.SCOPE.fullmatch(entry) or entry == "offline_access":
        raise refusal(name, repr(entry), "a scope without blanks and quotes; offline_access is the client's affair")
    return entry


def url(name: str, value: str) -> str:
    if not re.fullmatch(r"https?://[!#-;=?-\[\]-~]+", value.strip()):
        raise refusal(name, repr(value), "an https:// or http:// URL")
    return value.strip()


def public_url(value: str) -> str:
    wanted = "http:// or https://, a host, perhaps a port and a path; no user, query or fragment"
    try:
        parts = urlsplit(value.strip())
        whole = parts.scheme in ("http", "https") and _HOST.fullmatch(parts.netloc.lower()) and "*" not in parts.netloc
        parts.port  # noqa: B018 -- raises when it is no port
    except ValueError:
        whole = False
    if not whole or parts.query or parts.fragment or not re.fullmatch(r"[!-~]*", value.strip()):
        raise refusal("public_url", repr(value), wanted)
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"
