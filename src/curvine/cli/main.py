# SPDX-License-Identifier: Apache-2.0
"""``cv``: the command tree (control-plane specification 8.13).

A command parses, calls and prints. Commands live in modules of their own that are imported only
when one of them runs, so that ``cv --help`` stays fast.
"""

from __future__ import annotations

import sys
from importlib import import_module

import click

from curvine import ANNOUNCED_VERSION, __version__
from curvine.cli.context import Settings
from curvine.errors import CurvineError

# name -> (module, attribute, one line for the list of commands)
COMMANDS: dict[str, tuple[str, str, str]] = {
    "fs": ("curvine.cli.fs", "fs", "Files and directories: ls, cat, put, get, mkdir, rm, mv, ..."),
    "mount": ("curvine.cli.mounts", "mount", "Tie an under storage to a path, or list the mounts"),
    "umount": ("curvine.cli.mounts", "umount", "Untie an under storage from a path"),
    "load": ("curvine.cli.jobs", "load", "Bring data of an under storage into the cache"),
    "load-status": ("curvine.cli.jobs", "load_status", "Tell how far a load job is"),
    "cancel-load": ("curvine.cli.jobs", "cancel_load", "Stop a load job"),
    "report": ("curvine.cli.report", "report", "Capacity, workers and numbers of the cluster"),
    "up": ("curvine.cli.embedded", "up", "Start a cluster on this machine"),
    "down": ("curvine.cli.embedded", "down", "Stop the cluster that `cv up` started (data stay)"),
    "status": ("curvine.cli.embedded", "status", "Tell what of `cv up`'s cluster is running"),
    "version": ("curvine.cli.report", "version", "Print the version"),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, row[2]) for name, row in COMMANDS.items()])


def _print_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f'{{"component":"cli","release_version":"{ANNOUNCED_VERSION}"}}')
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--conf", metavar="FILE", help="curvine-cluster.toml (else CURVINE_CONF_FILE).")
@click.option("--master-addrs", metavar="H:P,H:P", help="Masters, instead of the file's.")
@click.option(
    "--version-json",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version as JSON.",
)
@click.version_option(__version__, prog_name="cv")
@click.pass_context
def cv(ctx: click.Context, conf: str | None, master_addrs: str | None) -> None:
    """Curvine: a distributed file cache."""
    ctx.obj = Settings(conf=conf, master_addrs=master_addrs)


def main() -> None:
    """Entry point: one line for an error, exit code 1; 130 when interrupted."""
    try:
        code = cv.main(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output went away; nothing to tell anybody
        sys.exit(141)
    except (CurvineError, OSError) as error:
        click.echo(f"❌ Error: {error}", err=True)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
