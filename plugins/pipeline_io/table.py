"""Tables as files."""

from __future__ import annotations

import csv
import io
import json
from typing import Annotated, Any, Literal

from pydantic import Field

from pipeline_core import File, OperationError, Table, operation

FormatParam = Annotated[Literal["csv", "json"], Field(description="the kind of file, by its suffix")]

_MEDIA = {"csv": "text/csv", "json": "application/json"}


def _infer_table(table: Table, *, format: str) -> File:  # noqa: A002  as below
    return File(b"", media_type=_MEDIA[format])


@operation(device="cpu", infer=_infer_table, aliases=("save_table", "csv"))
def encode_table(
    table: Table,
    *,
    format: FormatParam,  # noqa: A002  what the run looks for
) -> File:
    """A table as a CSV file with a line of names, or as a JSON list of objects; UTF-8.

    Numbers are written so that they read back as the same. In CSV nothing (None) is an empty field, and truth values
    are true and false; in JSON, which has no words for them, NaN and infinity are refused.
    """
    if format == "csv":
        return File(_csv(table).encode(), media_type=_MEDIA[format])
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    try:
        text = json.dumps(rows, ensure_ascii=False, allow_nan=False, indent=1)
    except ValueError:
        raise OperationError("json has no NaN or infinity, but the table has; save it as csv") from None
    return File((text + "\n").encode(), media_type=_MEDIA[format])


def _csv(table: Table) -> str:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows([_field(value) for value in row] for row in table.rows)
    return out.getvalue()


def _field(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value
