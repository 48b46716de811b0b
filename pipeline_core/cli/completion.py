"""pipeline completion"""

from __future__ import annotations

import os
from pathlib import PurePath

import click

# Each asks the command itself for the script of its shell (https://click.palletsprojects.com/shell-completion).
_LINES = {
    "bash": 'eval "$(_PIPELINE_COMPLETE=bash_source pipeline)"',
    "zsh": 'eval "$(_PIPELINE_COMPLETE=zsh_source pipeline)"',
    "fish": "_PIPELINE_COMPLETE=fish_source pipeline | source",
}


@click.command("completion")
@click.argument("shell", required=False, type=click.Choice(list(_LINES)))
def command(shell: str | None) -> None:
    """Print the line that turns on completion in your SHELL (default: the one you use).

    It belongs at the end of ~/.bashrc, ~/.zshrc, or ~/.config/fish/completions/pipeline.fish.
    """
    used = shell or PurePath(os.environ.get("SHELL", "")).name
    if used not in _LINES:
        raise click.UsageError(f"which shell? Write one of {', '.join(_LINES)}")
    click.echo(_LINES[used])
