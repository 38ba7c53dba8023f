# SPDX-License-Identifier: Apache-2.0
"""``cv completion``: the script that makes a shell complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_HOW = {
    "bash": 'eval "$(cv completion bash)"      # in ~/.bashrc (bash 4.4 or later)',
    "zsh": 'eval "$(cv completion zsh)"       # in ~/.zshrc, after compinit',
    "fish": "cv completion fish | source        # in ~/.config/fish/completions/cv.fish",
}


@click.command(epilog="\b\n" + "\n".join(_HOW.values()))
@click.argument("shell", type=click.Choice(list(_HOW)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for SHELL."""
    chosen = get_completion_class(shell)
    assert chosen is not None
    script = chosen(ctx.find_root().command, {}, "cv", "_CV_COMPLETE")
    click.echo(script.source_template % script.source_vars())
