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

# name -> (module, attribute, one line for the list of commands; "" hides it)
COMMANDS: dict[str, tuple[str, str, str]] = {
    "fs": ("curvine.cli.fs", "fs", "Files and directories: ls, cat, put, get, mkdir, rm, mv, ..."),
    "mount": ("curvine.cli.mounts", "mount", "Tie an under storage to a path, or list the mounts"),
    "umount": ("curvine.cli.mounts", "umount", "Untie an under storage from a path"),
    "load": ("curvine.cli.jobs", "load", "Bring data of an under storage into the cache"),
    "export": ("curvine.cli.jobs", "export", "Copy data of the cache to its under storage"),
    "load-status": ("curvine.cli.jobs", "load_status", "Tell how far a load job is"),
    "jobs": ("curvine.cli.jobs", "jobs", "List load and export jobs"),
    "exports": ("curvine.cli.jobs", "exports", "Show what under storages have not got yet"),
    "cancel-load": ("curvine.cli.jobs", "cancel_load", "Stop a load job"),
    "report": ("curvine.cli.report", "report", "Capacity, workers and numbers of the cluster"),
    "node": ("curvine.cli.nodes", "node", "List workers, take them out of service and back"),
    "bench": ("curvine.cli.bench", "bench", "Measure metadata operations and throughput"),
    "config": ("curvine.cli.config", "config", "Show, check and explain the configuration"),
    "up": ("curvine.cli.embedded", "up", "Start a cluster on this machine"),
    "down": ("curvine.cli.embedded", "down", "Stop the cluster that `cv up` started (data stay)"),
    "status": ("curvine.cli.embedded", "status", "Tell what of `cv up`'s cluster is running"),
    "fuse": ("curvine.cli.fuse", "fuse", "Mounts of this machine: list, watch, upgrade, abort"),
    "fluid": ("curvine.cli.fluid", "fluid", "Fluid: check, render and mount manifests, diagnose"),
    "completion": ("curvine.cli.completion", "completion", "Print a shell's completion script"),
    "version": ("curvine.cli.report", "version", "Print the version"),
    "transfer-status": ("curvine.cli.jobs", "load_status", ""),
    "cancel-transfer": ("curvine.cli.jobs", "cancel_load", ""),
    "transfer": ("curvine.cli.jobs", "transfer", ""),
    "manual": ("curvine.cli.manual", "manual", ""),
}

EXIT_CODES = """\
\b
Exit codes:
  0    done
  1    failed; stderr has one line that begins with "❌ Error:"
  2    the command line is wrong
  3    `cv status`: not everything is running
  130  interrupted
  141  nobody reads the output any more
"""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, row in COMMANDS.items() if row[2]]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            from difflib import get_close_matches

            near = get_close_matches(args[0], self.list_commands(ctx), 1)
            hint = f"did you mean {near[0]}?" if near else "`cv --help` lists them"
            raise click.UsageError(f"there is no command {args[0]!r}; {hint}", ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, row[2]) for name, row in COMMANDS.items() if row[2]])


def _print_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f'{{"component":"cli","release_version":"{ANNOUNCED_VERSION}"}}')
        ctx.exit()


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXIT_CODES,
)
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
    """Curvine: a distributed file cache.

    --conf and --master-addrs may also stand behind the command. Most commands take
    --output json.
    """
    ctx.obj = Settings(conf=conf, master_addrs=master_addrs)


def main() -> None:
    """Entry point: one line for an error, and an exit code of EXIT_CODES."""
    stdout = sys.stdout
    try:
        code = cv.main(prog_name="cv", standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except click.UsageError as error:
        error.show()
        sys.exit(error.exit_code)
    except SystemExit as end:
        # click replaces stdout when the reader of our output went away: nobody is left to tell.
        sys.exit(end.code if sys.stdout is stdout else 141)
    except (CurvineError, OSError, click.ClickException) as error:
        text = error.format_message() if isinstance(error, click.ClickException) else str(error)
        click.echo(f"❌ Error: {text}", err=True)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
