"""Channels: picked, moved between images, packed, computed."""

from collections.abc import Callable, Sequence
from typing import Any

from pipeline_channel.arithmetic import channel_math
from pipeline_channel.join import combine_channels, pack_channels
from pipeline_channel.picking import select_channels, shuffle, split_channels
from pipeline_core import hookimpl

__all__ = ["channel_math", "combine_channels", "pack_channels", "select_channels", "shuffle", "split_channels"]


@hookimpl
def operations() -> Sequence[Callable[..., Any]]:
    """What this plugin offers."""
    return [select_channels, shuffle, split_channels, combine_channels, pack_channels, channel_math]
