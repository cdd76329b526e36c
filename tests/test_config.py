"""Settings: every field is explained, bounded and reachable; what cannot work is one sentence; the order of sources."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsse import sources
from fastsse.config import DEFAULTS, SETTINGS, TYPES, Config, choices
from fastsse.errors import ConfigError

NUMBERS = [name for name in SETTINGS if TYPES[name] in (int, float)]


def test_the_guides_defaults() -> None:
    config = Config()
    assert (config.host, config.port, config.heartbeat) == ("localhost", 3002, 30.0)
    assert not config.production
    assert config.allowed_origins == ()


def test_a_config_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Config().port = 1  # type: ignore[misc]


@pytest.mark.parametrize("name", SETTINGS)
def test_every_field_is_explained_with_a_precedent(name: str) -> None:
    setting = SETTINGS[name]
    assert setting.about
    assert setting.precedent
    assert setting.group
    assert Config(**{name: DEFAULTS[name]}) == Config(), "the default is accepted as it is"


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_has_bounds_that_hold(name: str) -> None:
    setting = SETTINGS[name]
    assert setting.low is not None
    assert setting.high is not None
    assert setting.low <= DEFAULTS[name] <= setting.high
    kind = TYPES[name]
    no_number = [] if kind is int else [float("nan")]
    for bad in (kind(setting.low) - 1, kind(setting.high) + 1, "5", True, None, *no_number):
        with pytest.raises(ConfigError, match=rf"^{name} is {bad!r}, but must be a .*number from"):
            Config(**{name: bad})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"shards": 3}, "shards is 3, but must be a power of two"),
        ({"max_sessions": 2_000_000, "shards": 1}, "max_sessions is 2000000, but must be at most 1048576 with"),
        ({"buffer_high": 2 << 20}, "buffer_high is 2097152, but must be at most buffer_max, which is 1048576"),
        ({"loop": "trio"}, "loop is 'trio', but must be one of auto, uvloop, asyncio"),
        ({"production": 1}, "production is 1, but must be true or false"),
        ({"host": ""}, "host is (empty), but must be a text that is not empty"),
        ({"allowed_hosts": "example.com"}, "allowed_hosts is example.com, but must be a list of strings"),
        ({"allowed_hosts": ["http://example.com"]}, "allowed_hosts is 'http://example.com', but must be name[:port]"),
        ({"allowed_hosts": ["a\r\nb"]}, "allowed_hosts is 'a\\r\\nb', but must be name[:port]"),
        ({"allowed_origins": ["example.com"]}, "allowed_origins is 'example.com', but must be scheme://host[:port]"),
        ({"allowed_origins": ["https://a.b/c"]}, "allowed_origins is 'https://a.b/c', but must be scheme://host"),
        ({"allowed_origins": ["https://*.b"]}, "allowed_origins is 'https://*.b', but must be scheme://host[:port]"),
        ({"public_url": "example.com"}, "public_url is 'example.com', but must be http:// or https://"),
        ({"public_url": "https://u:p@example.com"}, "public_url is 'https://u:p@example.com', but must be http://"),
        ({"public_url": "https://example.com/?a"}, "public_url is 'https://example.com/?a', but must be http://"),
        ({"public_url": "https://example.com/a b"}, "public_url is 'https://example.com/a b', but must be http://"),
        ({"public_url": "https://example.com:99999"}, "public_url is 'https://example.com:99999', but must be http://"),
    ],
)
def test_what_cannot_work_is_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config(**changes)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


def test_values_are_brought_into_their_normal_form() -> None:
    config = Config(
        host="[::1]",
        ping=5,
        allowed_hosts=("Example.COM", "*.example.com:8443", "[::1]:80", "example.com"),
        allowed_origins=("HTTPS://Example.com:443/", "http://localhost:5173", "null", "*"),
        public_url="https://MCP.example.com/tools/",
    )
    assert config.host == "::1"
    assert isinstance(config.ping, float)
    assert config.allowed_hosts == ("example.com", "*.example.com:8443", "[::1]:80")
    assert config.allowed_origins == ("https://example.com", "http://localhost:5173", "null", "*")
    assert config.public_url == "https://mcp.example.com/tools"


def test_a_secret_is_never_shown() -> None:
    assert "hunter2" not in repr(Config(state_key="hunter2-hunter2-hunter2"))
    for load in (lambda: Config(state_key="hunter2"), lambda: sources.load({}, {"FASTSSE_STATE_KEY": "hunter2"})):
        with pytest.raises(ConfigError) as caught:
            load()
        assert "hunter2" not in str(caught.value)


# -- sources ----------------------------------------------------------------------------------------------------------


def test_the_order_of_sources() -> None:
    layers: list[tuple[dict[str, str], dict[str, str], dict[str, str], int, str]] = [
        ({}, {}, {}, 3002, "default"),
        ({}, {}, {"PORT": "1"}, 1, ".env: PORT"),
        ({}, {}, {"PORT": "1", "MCP_SSE_PORT": "2"}, 2, ".env: MCP_SSE_PORT"),
        ({}, {}, {"PORT": "1", "MCP_SSE_PORT": "2", "FASTSSE_PORT": "3"}, 3, ".env: FASTSSE_PORT"),
        ({}, {"PORT": "4"}, {"FASTSSE_PORT": "3"}, 4, "PORT"),
        ({}, {"PORT": "4", "MCP_SSE_PORT": "5"}, {"FASTSSE_PORT": "3"}, 5, "MCP_SSE_PORT"),
        ({}, {"PORT": "4", "FASTSSE_PORT": "6"}, {"FASTSSE_PORT": "3"}, 6, "FASTSSE_PORT"),
        ({"port": "7"}, {"FASTSSE_PORT": "6"}, {}, 7, "--port"),
        ({}, {"FASTSSE_PORT": "", "PORT": " "}, {"PORT": "1"}, 1, ".env: PORT"),
    ]
    for flags, environ, dotenv, port, source in layers:
        config, came = sources.load(flags, environ, dotenv)
        assert (config.port, came["port"]) == (port, source)
        assert came["host"] == "default"


@pytest.mark.parametrize("name", SETTINGS)
def test_every_field_can_be_set_by_its_variable(name: str) -> None:
    words, kind = choices(name), TYPES[name]
    text: str
    value: object
    if words is not None:
        text = value = words[-1]
    elif kind is bool:
        text, value = "on", True
    elif SETTINGS[name].unit == "bytes":
        text, value = "256KiB", 262144
    elif kind in (int, float):
        text, value = "2", 2
    else:
        urls = dict.fromkeys(("public_url", "allowed_origins", "issuer", "jwks_url"), "https://a.b")
        forms = urls | {"trusted_proxies": "10.0.0.0/8", "tokens": f"ann: sha256:{'0' * 64}"}
        text = forms.get(name, "sixteen-bytes-or-more.example")
        value = (text,) if kind == tuple[str, ...] else text
    beside = {"FASTSSE_TLS_CERT": "cert.pem"} if name in ("tls_key", "tls_client_ca") else {}
    if name == "jwks_url":
        beside = {"FASTSSE_ISSUER": "https://a.b", "FASTSSE_AUDIENCE": "us"}
    config, came = sources.load({}, beside | {f"FASTSSE_{name.upper()}": text})
    assert getattr(config, name) == value
    assert came[name] == f"FASTSSE_{name.upper()}"


def test_the_guides_names() -> None:
    environ = {
        "MCP_SSE_PORT": "3003",
        "MCP_SSE_HOST": "0.0.0.0",
        "ALLOWED_ORIGINS": "https://yourdomain.com,https://app.yourdomain.com",
        "MAX_CONNECTIONS": "100",
        "NODE_ENV": "production",
    }
    config, _ = sources.load({}, environ)
    assert (config.port, config.host, config.max_streams, config.production) == (3003, "0.0.0.0", 100, True)
    assert config.allowed_origins == ("https://yourdomain.com", "https://app.yourdomain.com")
    assert not sources.load({}, {"NODE_ENV": "development"})[0].production
    assert not sources.load({}, {"NODE_ENV": "production", "FASTSSE_PRODUCTION": "off"})[0].production


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("max_body", "8MiB", 8 << 20),
        ("max_body", "1.5m", 3 << 19),
        ("max_body", "64 kb", 64 << 10),
        ("max_body", "4_194_304", 4 << 20),
        ("ping", "500ms", 0.5),
        ("ping", "2m", 120),
        ("ping", "1.5h", 5400),
        ("retry_ms", "3s", 3000),
    ],
)
def test_units(name: str, text: str, value: float) -> None:
    assert getattr(sources.load({name: text}, {})[0], name) == value


@pytest.mark.parametrize(
    ("variable", "text", "sentence"),
    [
        ("MCP_SSE_PORT", "70000", "port is 70000, but must be a whole number from 0 to 65535 (from MCP_SSE_PORT)"),
        ("FASTSSE_PORT", "3.5", "port is 3.5, but must be a whole number from 0 to 65535 (from FASTSSE_PORT)"),
        ("FASTSSE_PORT", "http", "port is 'http', but must be a number (from FASTSSE_PORT)"),
        ("FASTSSE_PING", "10x", "ping is '10x', but must be a number, perhaps with a unit (ms, s, m, min, h, d)"),
        ("FASTSSE_PING", "-1", "ping is '-1', but must be a number"),
        ("FASTSSE_PRODUCTION", "maybe", "production is 'maybe', but must be one of 1, true, yes, on, 0, false, no"),
        ("FASTSSE_PORT", "tcp://10.0.0.1:80", "port is 'tcp://10.0.0.1:80', but must be a number. Kubernetes sets"),
    ],
)
def test_errors_name_the_source(variable: str, text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        sources.load({}, {variable: text})
    assert str(caught.value).startswith(sentence)
    assert variable in str(caught.value)


@given(st.sampled_from(sorted(SETTINGS)), st.text(max_size=30))
def test_any_text_is_accepted_or_refused_in_our_words(name: str, text: str) -> None:
    said = ""
    try:
        sources.load({}, {sources.variable(name): text})
    except ConfigError as error:
        said = str(error)
    assert not said or said.startswith((name, "buffer_high is"))


def test_a_slip_of_the_pen_is_noticed() -> None:
    environ = {"FASTSSE_PROT": "1", "FASTSSE_DEBUG": "1", "FASTSSE_PORT": "1", "PATH": "/"}
    kubernetes = {"FASTSSE_SERVICE_HOST": "10.0.0.1", "FASTSSE_PORT_80_TCP": "x"}
    assert sources.unknown(environ | kubernetes) == ["FASTSSE_PROT is no setting; did you mean FASTSSE_PORT?"]


def test_a_dotenv_file() -> None:
    text = (
        "\ufeff# SSE Server Configuration\r\nMCP_SSE_PORT=3003\r\n\nexport MCP_SSE_HOST = localhost # where\n"
        'A=\'single # kept\'\nB="two\\nlines"\nC=\nD=a#b\nE=a=b\nnot a variable\n1F=x\nG="x" # after\n'
    )
    assert sources.parse_dotenv(text) == {
        "MCP_SSE_PORT": "3003",
        "MCP_SSE_HOST": "localhost",
        "A": "single # kept",
        "B": "two\nlines",
        "C": "",
        "D": "a#b",
        "E": "a=b",
        "G": "x",
    }


@given(st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True), st.text("ab =#$\\", max_size=8)))
def test_single_quotes_keep_everything(variables: dict[str, str]) -> None:
    assert sources.parse_dotenv("\n".join(f"{name}='{value}'" for name, value in variables.items())) == variables
