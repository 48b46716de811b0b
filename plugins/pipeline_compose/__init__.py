"""."""

from pipeline_core import hookimpl


@hookimpl
def operations():
    return []
