"""Tables from files and as files."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from pipeline_core import File, OperationError, Table, operation
from pipeline_io.source import content_of

FormatParam = Annotated[Literal["csv", "json"], Field(description="the kind of file, by its suffix")]

_MEDIA = {"csv": "text/csv", "json": "application/json"}


_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")
_BROKEN = re.compile(r"-?(?:[0-9]+\.[0-9]*|\.?[0-9]+)(?:[eE][+-]?[0-9]+)?|nan|-?inf")
_MOST_BYTES = 64 << 20
Value = bool | int | float | str | None


def _infer_load(*, path: Path, text: bool = False) -> Table:
    return Table(load_table(path=path, text=text).columns, ())


@operation(device="cpu", infer=_infer_load, aliases=("read_csv", "load_csv", "load_labels"))
def load_table(
    *,
    path: Annotated[Path, Field(description="a .csv file with a line of names, or a .json list of objects")],
    text: Annotated[bool, Field(description="of csv: leave every field as it stands")] = False,
) -> Table:
    """Load a table, such as the labels of a batch of pictures: what `encode_table` writes, or a spreadsheet saved as CSV.

    In JSON an object is a row; the columns are the names of all of them, and what an object lacks is nothing (None).

    Convention: a field of CSV that is empty is nothing; true and false are truth values; what is written as a number is
    one, but with zeros before it (007) it is text. Separated by commas, or by semicolons where the line of names has them.
    """
    content = content_of(path)
    if len(content) > _MOST_BYTES:
        raise OperationError(f"{path}: {len(content):,} bytes are more than the {_MOST_BYTES:,} of a table")
    try:
        told = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise OperationError(f"{path} is not UTF-8 at byte {error.start}; save it as CSV UTF-8") from None
    if path.suffix.lower() not in (".csv", ".json"):
        raise OperationError(f"{path}: a table is a .csv or a .json file")
    return _objects(path, told) if path.suffix.lower() == ".json" else _fields(path, told, text)


def _fields(path: Path, told: str, text: bool) -> Table:
    first = told.partition("\n")[0]
    reader = csv.reader(io.StringIO(told, newline=""), delimiter=";" if ";" in first and "," not in first else ",")
    rows = _lines(path, reader)
    columns = next(rows, None)
    if columns is None:
        raise OperationError(f"{path} is empty; a table has a line of names")
    twice = next((name for i, name in enumerate(columns) if name in columns[:i]), None)
    if twice is not None:
        raise OperationError(f"{path}: there are two columns '{twice}'")
    found: list[tuple[Value, ...]] = []
    for row in rows:
        if len(row) != len(columns):
            raise OperationError(
                f"{path}, line {reader.line_num}: {len(row)} fields, but there are {len(columns)} columns"
            )
        found.append(tuple(row) if text else tuple(map(_value, row)))
    return Table(tuple(columns), tuple(found))


def _lines(path: Path, reader: Any) -> Iterator[list[str]]:
    """Rows without the empty lines."""
    try:
        yield from (row for row in reader if row)
    except csv.Error as error:
        raise OperationError(f"{path}, line {reader.line_num}: {error}") from None


def _value(field: str) -> Value:
    if _WHOLE.fullmatch(field):
        return int(field)
    if field in ("", "true", "false"):
        return {"": None, "true": True, "false": False}[field]
    # 007 is a name, 0.5 and 7e3 are numbers.
    if _BROKEN.fullmatch(field) and not re.match(r"-?0[0-9]", field) and not field.lstrip("-").isdigit():
        return float(field)
    return field


def _objects(path: Path, told: str) -> Table:
    try:
        found = json.loads(told)
    except (ValueError, RecursionError) as error:
        raise OperationError(f"{path} is no JSON: {error}") from None
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise OperationError(f"{path}: a table is a list of objects, [{{...}}, {{...}}]")
    columns = tuple(dict.fromkeys(name for row in found for name in row))
    for number, row in enumerate(found, 1):
        nested = next((name for name, value in row.items() if isinstance(value, (list, dict))), None)
        if nested is not None:
            raise OperationError(f"{path}, object {number}: '{nested}' is a list or an object; a cell is a plain value")
    return Table(columns, tuple(tuple(row.get(name) for name in columns) for row in found))


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
