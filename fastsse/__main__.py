"""`python -m fastsse [TARGET]` serves an app; `python -m fastsse config` shows the settings in force and their sources.

Flags are made from the table in `config`. Reads the environment and `.env`, prints where the server listens and whom it
accepts, and turns what cannot work into one sentence on stderr: exit code 2 for settings, 1 for the rest.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fastsse import __version__, logs, sources, target
from fastsse.config import DEFAULTS, KIB, MIB, SETTINGS, TYPES, Config, choices
from fastsse.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastsse.hosting import Servable
    from fastsse.server import Server


log = logging.getLogger("fastsse")


class Failed(click.ClickException):
    """One sentence for the operator; exit code 1."""

    def show(self, file: Any = None) -> None:
        click.echo(f"fastsse: {self.message}", err=True)


class Misconfigured(Failed):
    """The same about a setting; exit code 2, as for a flag that does not exist."""

    exit_code = 2


# -- flags ------------------------------------------------------------------------------------------------------------


class Flag(click.Option):
    """The flag of one setting; its text is parsed by `sources`, like that of a variable."""

    def __init__(self, name: str) -> None:
        setting, kind = SETTINGS[name], TYPES[name]
        words = choices(name)
        spelled, variables = sources.flag(name), (sources.variable(name), *setting.aliases)
        units = {"bytes": "BYTES", "s": "SECONDS", "ms": "MILLISECONDS", "": "NUMBER" if kind is int else "TEXT"}
        super().__init__(
            [f"{spelled}/--no-{spelled[2:]}" if kind is bool else spelled, name],
            default=None,
            multiple=kind == tuple[str, ...],
            metavar=None if kind is bool else f"[{'|'.join(words)}]" if words else units[setting.unit],
            help=f"{setting.about} [{'; '.join((text(name, DEFAULTS[name]), ', '.join(variables)))}]",
        )
        self.group = setting.group


def text(name: str, value: Any) -> str:
    """A setting's value as people write it; secrets hidden."""
    if value is None or value == ():
        return "none"
    if SETTINGS[name].secret:
        return "(hidden)"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(value)
    if SETTINGS[name].unit == "bytes":
        for unit, size in (("MiB", MIB), ("KiB", KIB)):
            if value and value % size == 0:
                return f"{value // size}{unit}"
    return f"{value:g}" if isinstance(value, float) else str(value)


class Command(click.Command):
    """Shows its flags group by group."""

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(context):
            record = parameter.get_help_record(context)
            if record is not None and isinstance(parameter, click.Option):
                groups.setdefault(getattr(parameter, "group", "General"), []).append(record)
        for group, records in groups.items():
            with formatter.section(group):
                formatter.write_dl(records, col_max=36)


def _flags() -> list[click.Parameter]:
    env_file = click.Option(
        ["--env-file"], metavar="PATH", help="file of variables; flags and the environment go first [.env]"
    )
    return [*(Flag(name) for name in SETTINGS), env_file]


# -- settings ---------------------------------------------------------------------------------------------------------


def settings(flags: dict[str, Any]) -> tuple[Config, dict[str, str], dict[str, str]]:
    """The settings, where each came from, and what stands in the `.env` file."""
    file = flags.pop("env_file", None)
    given = {name: value for name, value in flags.items() if value not in (None, ())}
    for name, value in given.items():
        if isinstance(value, tuple):  # each entry of a list may be several, as in the environment
            given[name] = ",".join(value)
    try:
        dotenv = sources.parse_dotenv(Path(file or ".env").read_text("utf-8"))
    except FileNotFoundError:
        if file is not None:
            raise Misconfigured(f"there is no file {file} (from --env-file)") from None
        dotenv = {}
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{file or '.env'} cannot be read: {error}") from None
    try:
        config, came = sources.load(given, os.environ, dotenv)
    except ConfigError as error:
        raise Misconfigured(str(error)) from None
    return config, came, dotenv


def show(**flags: Any) -> None:
    """Shows the settings in force and where each value came from; takes the same flags as the server."""
    config, came, _ = settings(flags)
    rows = [(name, text(name, getattr(config, name)), came[name]) for name in SETTINGS]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    group = ""
    for name, value, source in rows:
        if SETTINGS[name].group != group:
            group = SETTINGS[name].group
            click.echo(f"{'' if name == rows[0][0] else chr(10)}{group}")
        click.echo(f"  {name:{widths[0]}}  {value:{widths[1]}}  {source}")
    for sentence in sources.unknown(os.environ):
        click.echo(f"\nfastsse: {sentence}", err=True)


# -- serving ----------------------------------------------------------------------------------------------------------


def serve(target_name: str | None, reload: bool, **flags: Any) -> None:
    """Serves TARGET over MCP: module:app or path/file.py:app (":app" may be left out), or without TARGET a demo.

    `fastsse config` shows the settings in force. Every flag is also a variable, in the environment or in a .env file;
    sizes may be written 64KiB or 4MiB, times 500ms, 30s or 2m.
    """
    config, _, dotenv = settings(flags)
    logs.begin(config)
    for sentence in sources.unknown(os.environ):
        if config.log_format == "json":
            log.warning("%s", sentence)
        else:
            click.echo(f"fastsse: {sentence}", err=True)
    name = target_name or target.DEMO
    if reload:
        sys.exit(_reload(name))
    for variable, value in dotenv.items():
        if not variable.startswith("FASTSSE_"):  # the rest is for the tools, as the guide has it
            os.environ.setdefault(variable, value)
    try:
        app = target.load(name)
    except target.TargetError as error:
        raise Failed(str(error)) from None
    sys.exit(_run(app, config))


def _run(app: Servable, config: Config) -> int:
    from fastsse.server import run

    try:
        return run(app, config, started=greet)
    except ConfigError as error:
        raise Failed(str(error)) from None


def _reload(name: str) -> int:
    try:
        from fastsse import reload
    except ImportError:
        raise Failed("--reload needs watchfiles: pip install 'fastsse[reload]'") from None
    return reload.run([argument for argument in sys.argv[1:] if argument != "--reload"], target.folder(name))


def greet(server: Server) -> None:
    """Says who serves, where, and whom: in a few lines, or in a record where every line is one."""
    title = f"fastsse {__version__} serves {server.app.name} {server.app.version}"
    rows = {
        "listens on": " and ".join(server.addresses),
        "doors": doors(server),
        "accepts hosts": ", ".join(server.hosts),
        "accepts origins": ", ".join(server.origins) or "none",
    }
    if server.config.log_format == "json":
        log.info("%s", title, extra={name.replace(" ", "_"): value for name, value in rows.items()})
    else:
        click.echo("\n".join([title, *(f"  {name:15}  {value}" for name, value in rows.items())]), err=True)


def doors(server: Server) -> str:
    """Where clients come in."""
    base = server.config.public_url or server.url
    if server.config.host in ("localhost", "0.0.0.0", "::"):  # what a browser on this machine can open
        scheme, _, rest = server.url.partition("://")
        base = server.config.public_url or f"{scheme}://localhost:{rest.rpartition(':')[2]}"
    found = "  ".join(f"{base}{path}" for path in ("/mcp", "/sse", "/docs"))
    kind, _, path = server.addresses[0].partition(":")
    if kind == "unix" and not server.config.public_url:
        found += f"  (curl --unix-socket {path})"
    return found


def _version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"fastsse {__version__}")
        context.exit()


VERSION = click.Option(
    ["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_version, help="show the version and exit"
)
RELOAD = click.Option(["--reload"], is_flag=True, help="start again when a source or .env changes (for development)")
SERVE = Command(
    "fastsse",
    callback=serve,
    help=serve.__doc__,
    context_settings={"max_content_width": 120},
    params=[click.Argument(["target_name"], metavar="[TARGET]", required=False), RELOAD, VERSION, *_flags()],
)
CONFIG = Command(
    "fastsse config",
    callback=show,
    help=show.__doc__,
    context_settings={"max_content_width": 120},
    params=_flags(),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point; ends the process."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    command, rest = (CONFIG, words[1:]) if words[:1] == ["config"] else (SERVE, words)
    program = "python -m fastsse" if Path(sys.argv[0]).name == "__main__.py" else "fastsse"
    command.main(rest, prog_name=f"{program} config" if command is CONFIG else program)


if __name__ == "__main__":
    main()
