"""The command `pipeline`. Each subcommand lives in a module of its own, imported only when it is called."""

from __future__ import annotations

import atexit
import importlib
import os
import sys
import threading
from typing import Any

import click

from pipeline_core import __version__
from pipeline_core.garbage import held

COMMANDS = {
    "run": ("pipeline_core.cli.run", "Run a pipeline and save its outputs."),
    "check": ("pipeline_core.cli.check", "Say everything that is wrong with a pipeline file."),
    "plan": ("pipeline_core.cli.plan", "Show what a run would do: steps, keys, sizes, bytes."),
    "explain": ("pipeline_core.cli.explain", "Say why a node would run or not."),
    "graph": ("pipeline_core.cli.graph", "Draw a pipeline."),
    "info": ("pipeline_core.cli.info", "Print how a picture was made."),
    "cache": ("pipeline_core.cli.cache", "Look at the kept results, and look after them."),
    "ops": ("pipeline_core.cli.ops", "List the operations, or show one."),
    "plugins": ("pipeline_core.cli.plugins", "List the installed plugins."),
    "schema": ("pipeline_core.cli.schema", "Print the JSON Schema of pipeline files."),
    "convert-model": ("pipeline_core.cli.convert", "Make safetensors of a pickle's tensors, without running it."),
    "completion": ("pipeline_core.cli.completion", "Print the line that turns on completion in your shell."),
}

EXIT_FAILED, EXIT_BAD, EXIT_INTERRUPTED = 1, 2, 130


class _Lazy(click.Group):
    """Lists its commands without importing them: help must be quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0])
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from pipeline_core.errors import did_you_mean

            hint = did_you_mean(args[0], COMMANDS) or f"; the commands are {', '.join(COMMANDS)}"
            ctx.fail(f"no command '{args[0]}'{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="pipeline", message="%(prog)s %(version)s")
def group() -> None:
    """Turn a text file of image operations into pictures.

    Exit codes: 0 done, 1 a run failed, 2 a bad command or pipeline file, 130 interrupted.
    """


def program() -> None:
    """What is installed as `pipeline`: as `main`, and then the process ends at once.

    To take the interpreter apart takes a twentieth of a second, and nothing is left to do in it: files are whole and closed.
    """
    try:
        with held():
            main()
    except SystemExit as done:
        if isinstance(done.code, int) and all(t.daemon or t is threading.main_thread() for t in threading.enumerate()):
            atexit._run_exitfuncs()
            sys.stdout.flush()
            if not sys.stderr.closed:
                sys.stderr.flush()
            os._exit(done.code)
        raise


def main() -> None:
    """Runs the command; a user's mistake is one clear message and an exit code, never a traceback."""
    arguments: list[str] = sys.argv[1:]
    # numpy's matrix products stay in the thread that calls them: the engine has its own on every core.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # torch asks for large pages, where the system has them: others are handed out one by one, which takes longer than most
    # operations on whole pictures.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    # pydantic would look through all that is installed for plugins of its own.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    try:
        # click returns the code of an Exit when it is not standalone, and None when all went well.
        _leave(group.main(args=arguments, prog_name="pipeline", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        _leave(EXIT_BAD)
    except (KeyboardInterrupt, click.Abort) as stop:
        # click puts its own Abort in the place of what was raised
        kept = getattr(stop, "kept", ()) or getattr(stop.__cause__, "kept", ())
        click.echo(f"interrupted{_kept(kept)}", err=True)
        _leave(EXIT_INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone: `pipeline ops | head`
        _leave(0)
    except Exception as error:
        _leave(_report(error, "--traceback" in arguments))


def _report(error: Exception, with_traceback: bool) -> int:
    from pipeline_core.errors import GraphError, NodeError, OutputError, PipelineError, SpecError

    if with_traceback or not isinstance(error, PipelineError):
        import traceback

        traceback.print_exception(error)
        if not isinstance(error, PipelineError):
            click.echo("This is a fault of pipeline-core itself; please report it with the lines above.", err=True)
            return EXIT_FAILED
    click.echo(f"{error}{_kept(getattr(error, 'kept', ()))}", err=True)
    if isinstance(error, (SpecError, GraphError)) and len(error.problems) > 1:
        click.echo(f"{len(error.problems)} problems", err=True)
    of_files = error.problems and all(problem.in_file for problem in error.problems)
    return EXIT_FAILED if of_files or isinstance(error, (NodeError, OutputError)) else EXIT_BAD


def _kept(names: tuple[str, ...]) -> str:
    from pipeline_core.errors import listing

    return f"\nkept so far, so that the next run starts there: {listing(names, 20)}" if names else ""


def _leave(code: int) -> Any:
    sys.stdout.flush()
    if not sys.stderr.closed:
        sys.stderr.flush()
    if code == EXIT_INTERRUPTED:
        os._exit(code)  # an operation that does not report progress may still be running; don't wait for it
    sys.exit(code)
