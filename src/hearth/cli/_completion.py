"""`hearth completion`: the script that a shell loads to complete commands, options, plans and execution ids."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

__all__ = ["completion"]

_SET_UP = {
    "bash": '# Into ~/.bashrc:  eval "$(hearth completion bash)"',
    "zsh": '# Into ~/.zshrc, after compinit:  eval "$(hearth completion zsh)"',
    "fish": "# Once:  hearth completion fish > ~/.config/fish/completions/hearth.fish",
}


@click.command()
@click.argument("shell", type=click.Choice(sorted(_SET_UP)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a shell's completion script; its first line says where it goes."""
    kind = get_completion_class(shell)
    if kind is None:  # click without this shell: none of the versions that we allow
        raise click.ClickException(f"click cannot complete in {shell}")
    root = context.find_root()
    complete = kind(root.command, {}, "hearth", "_HEARTH_COMPLETE")
    click.echo(_SET_UP[shell])
    # Not source(): that runs bash to find out its version, which may not be the shell the script is for.
    click.echo(complete.source_template % complete.source_vars())
