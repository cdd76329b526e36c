"""Lines that name bearer tokens: what is one, and that the token itself is kept nowhere."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsse import sources
from fastsse.config import Config
from fastsse.errors import ConfigError
from fastsse.principal import Principal
from fastsse.tokens import WANTED, Tokens, normal

SECRET = "correct-horse-battery"
HEX = hashlib.sha256(SECRET.encode()).hexdigest()


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (f"ann: {SECRET}", f"ann: sha256:{HEX}"),
        (f"  ann :{SECRET}  ", f"ann: sha256:{HEX}"),
        (f"ann: {SECRET} admin  mcp:tools", f"ann: sha256:{HEX} admin mcp:tools"),
        (f"ann@example.com: sha256:{HEX.upper()} admin", f"ann@example.com: sha256:{HEX} admin"),
        ("ann: 0123456789abcde==", None),
        ("ann: 0123456789abcdef==", f"ann: sha256:{hashlib.sha256(b'0123456789abcdef==').hexdigest()}"),
        ("ann: short", None),
        (SECRET, None),
        (f": {SECRET}", None),
        (f"an n: {SECRET}", None),
        ("ann: sha256:123", None),
        (f'ann: {SECRET} sc"ope', None),
        ("ann: a=b=c=d=e=f=g=h=i=j", None),
        ("", None),
    ],
)
def test_lines(line: str, kept: str | None) -> None:
    if kept is not None:
        assert normal(line) == kept
        assert normal(kept) == kept
    else:
        with pytest.raises(ValueError, match="name: token") as refused:
            normal(line)
        assert str(refused.value) == WANTED


def test_a_token_is_found_and_nothing_else_is() -> None:
    tokens = Tokens([f"ann: {SECRET} admin", f"ann: sha256:{hashlib.sha256(b'another-of-ann').hexdigest()}"])
    found = tokens.find(SECRET.encode())
    assert found is not None
    assert (found.name, sorted(found.scopes)) == ("ann", ["admin"])
    again = tokens.find(b"another-of-ann")
    assert again is not None
    assert again.key == found.key
    assert again.key != Principal("ann").key, "the application's own ann is somebody else"
    for wrong in (b"", SECRET[:-1].encode(), SECRET.upper().encode(), f"sha256:{HEX}".encode(), HEX.encode()):
        assert tokens.find(wrong) is None
    assert tokens
    assert not Tokens([])


@given(st.binary(max_size=40))
def test_any_token_can_be_looked_up(token: bytes) -> None:
    assert Tokens([f"ann: {SECRET}"]).find(token) is None


def test_settings_keep_and_show_no_token() -> None:
    config, _ = sources.load({}, {"FASTSSE_TOKENS": f"ann: {SECRET} admin, bob: sha256:{'0' * 64}"})
    assert config.tokens == (f"ann: sha256:{HEX} admin", f"bob: sha256:{'0' * 64}")
    assert SECRET not in repr(config)
    assert HEX not in repr(config)
    for wrong in (["ann"], [f"ann {SECRET}"], f"ann: {SECRET}", [5]):
        with pytest.raises(ConfigError) as refused:
            Config(tokens=wrong)  # type: ignore[arg-type]
        assert SECRET not in str(refused.value)
        assert str(refused.value).startswith("tokens is (hidden), but must be")
