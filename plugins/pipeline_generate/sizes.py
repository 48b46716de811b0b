"""Params that all generated pictures have."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Length = Annotated[int, Field(ge=1, le=2**20, description="pixels")]
Space = Annotated[str, Field(min_length=1, description="colour id of the new image; values are taken as they are")]
