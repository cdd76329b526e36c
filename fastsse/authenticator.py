"""What authentication has to wait for: the application's own `authenticate`, and the keys of the tokens' issuer.

Builds the rules of `auth` from the settings, and performs their `Authenticate`: one task for each request that waits,
one fetch for all of them, in a thread. Nobody waits longer than `auth_timeout`; who cannot be recognised in time, or
because something is broken, is told 503 or 500, never let in. Called by `server` and `connection`.
"""

from __future__ import annotations

import asyncio
import logging
import stat
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from fastsse.auth import Authentication
from fastsse.config import Config
from fastsse.decision import Authenticate
from fastsse.errors import INTERNAL_ERROR, SERVER_ERROR, ConfigError, RequestRefused
from fastsse.principal import Credentials, Principal
from fastsse.tokens import Tokens

if TYPE_CHECKING:
    from fastsse.signed import Signed

log = logging.getLogger("fastsse.auth")

Ask = Callable[[Credentials], Awaitable[Principal | None]]
"""The application's `authenticate`."""

DOCUMENT: Final = 1024 * 1024
"""Bytes that a JWK set may have; a key takes one or two thousand."""


class Waiter(Protocol):
    """The connection of a request that waits."""

    def authenticated(self, asked: Authenticate, principal: Principal | None, refused: RequestRefused | None) -> None:
        """It is known who asks (None: nobody, or the keys are there and the rules can say), or it cannot be."""
        ...


class Authenticator:
    """Who recognises people, for one server. `rules` is None when nobody has to say who they are."""

    def __init__(self, config: Config, ask: Ask | None, clock: Callable[[], float]) -> None:
        self.ask = ask
        self.clock = clock
        self.url = config.jwks_url
        self.timeout = config.auth_timeout
        self.signed: Signed | None = None if config.jwks_url is None else _signed(config)
        tokens = Tokens((*config.tokens, *_lines(config.token_file)))
        self.rules: Authentication | None = None
        if tokens or self.signed is not None or ask is not None:
            self.rules = Authentication(config, tokens, self.signed, ask is not None)
        elif config.issuer or config.required_scopes:
            name = "issuer" if config.issuer else "required_scopes"
            raise ConfigError(
                f"{name} is set, but nobody is asked who they are; set tokens, token_file or jwks_url, or give the app"
                " an authenticate"
            )
        self._fetch: asyncio.Task[None] | None = None

    def begin(self, asked: Authenticate, waiter: Waiter) -> asyncio.Task[None]:
        """Finds out who asks, and tells the connection, unless the task is cancelled."""
        return asyncio.get_running_loop().create_task(self._answer(asked, waiter))

    async def _answer(self, asked: Authenticate, waiter: Waiter) -> None:
        found: Principal | None = None
        refused: RequestRefused | None = None
        try:
            async with asyncio.timeout(self.timeout) as limit:
                if asked.keys:
                    await self._keys()
                else:
                    found = await self._asked(asked.credentials)
        except TimeoutError:
            if limit.expired():
                refused = self._too_slow()
            else:  # the application's own
                log.exception("authenticate failed")
                refused = _broken()
        except Exception:
            log.exception("authenticate failed")
            refused = _broken()
        waiter.authenticated(asked, found, refused)

    async def _asked(self, credentials: Credentials) -> Principal | None:
        assert self.ask is not None
        found = await self.ask(credentials)
        if found is not None and not isinstance(found, Principal):
            raise TypeError(f"authenticate must return a Principal or None, not {type(found).__name__}")
        return found

    def _too_slow(self) -> RequestRefused:
        return RequestRefused(
            503,
            "auth_timeout",
            "It takes too long to find out who you are",
            want=f"within {self.timeout:g} s",
            setting="auth_timeout",
            code=SERVER_ERROR,
        )

    # --- keys

    async def _keys(self) -> None:
        """Waits for one fetch, which others may have begun; it goes on when this one is gone."""
        if self._fetch is None:
            self._fetch = asyncio.get_running_loop().create_task(self._fetched())
        await asyncio.shield(self._fetch)

    async def _fetched(self) -> None:
        signed, url = self.signed, self.url
        assert signed is not None
        assert url is not None
        signed.begin(self.clock())
        document: bytes | None = None
        try:
            loop = asyncio.get_running_loop()
            patience = self.timeout / 2  # who waits for the keys still gets the old ones
            async with asyncio.timeout(patience):
                document = await loop.run_in_executor(None, partial(fetch, url, patience))
            signed.take(document, self.clock())
        except (OSError, ValueError, HTTPException) as error:  # a TimeoutError is an OSError
            log.warning("the keys at %s cannot be used: %s", url, str(error) or type(error).__name__)
        finally:
            self._fetch = None
            if signed.fetching:
                signed.take(None, self.clock())

    async def close(self) -> None:
        """Nobody waits any more."""
        if self._fetch is not None:
            self._fetch.cancel()
            await asyncio.wait([self._fetch])


def _broken() -> RequestRefused:
    return RequestRefused(500, "internal", "Internal error", code=INTERNAL_ERROR)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Keys come from where the operator says."""

    def redirect_request(self, *_: Any) -> None:
        return None


def fetch(url: str, timeout: float) -> bytes:
    """The document at an http or https URL. Raises OSError, ValueError when it is too large."""
    request = urllib.request.Request(url, headers={"Accept": "application/json", "User-Agent": "fastsse"})
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=timeout) as answer:
            document: bytes = answer.read(DOCUMENT + 1)
    except urllib.error.HTTPError as error:
        error.close()
        raise
    if len(document) > DOCUMENT:
        raise ValueError(f"the document has more than {DOCUMENT} bytes")
    return document


def _signed(config: Config) -> Signed:
    try:
        from fastsse.signed import Signed
    except ImportError:
        raise ConfigError("jwks_url is set, but PyJWT is not installed; pip install 'fastsse[jwt]'") from None
    return Signed(config)


def _lines(name: str | None) -> list[str]:
    """The lines of the token file that say something. Raises ConfigError."""
    if name is None:
        return []
    path = Path(name)
    try:
        text = path.read_text("utf-8")
        if path.stat().st_mode & stat.S_IROTH:
            log.warning("token_file %s can be read by everybody on this machine; chmod o-r", name)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise ConfigError(f"token_file is {name!r}, which cannot be read: {reason}") from None
    lines: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                Tokens([line])
            except ValueError as wanted:
                raise ConfigError(f"token_file is {name!r}, whose line {number} must be {wanted}") from None
            lines.append(line)
    return lines
