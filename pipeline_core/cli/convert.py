"""pipeline convert-model"""

from __future__ import annotations

from pathlib import Path

import click

from pipeline_core.cli.options import TRACEBACK


@click.command("convert-model")
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path))
@TRACEBACK
def command(source: Path, target: Path, traceback: bool) -> None:
    """Take the tensors out of a pickle of PyTorch (.pth, .pt, .ckpt) and save them as safetensors.

    Nothing of the pickle is run. What is not a tensor is left out.
    """
    from pipeline_core.errors import OperationError, PipelineError
    from pipeline_core.folders import write_atomically
    from pipeline_core.plugins import catalogue

    if target.suffix != ".safetensors":
        raise click.UsageError(f"OUT is written as safetensors; call it '{target.stem}.safetensors'")
    offered = catalogue()
    convert, encode = (offered.load(offered.find(name)).function for name in ("convert_model", "encode_model"))
    assert convert is not None
    assert encode is not None
    try:
        model = convert(path=source)
    except OperationError as error:
        raise PipelineError(str(error)) from error
    try:
        write_atomically(target, encode(model, format="safetensors").content)
    except OSError as error:
        raise PipelineError(f"'{target}' can't be written: {error.strerror}") from error
    click.echo(f"{target}: {len(model.tensors):,} tensors, {model.nbytes:,} bytes")
