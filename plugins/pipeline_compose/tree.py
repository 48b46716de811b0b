"""Layers that a table tells of: in groups, clipped, hidden, as `load_layers` gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from pipeline_compose.arrays import pixels_of
from pipeline_compose.canvas import Layer, draw, new_canvas
from pipeline_compose.clipping import with_clipped
from pipeline_compose.fit import alpha_state, color_in_common
from pipeline_compose.operators import RULES, Operator
from pipeline_core import Image, Mask, OperationError, Table

_THROUGH = "pass-through"


@dataclass
class Entry:
    """A row of the table, with what it holds and what is clipped to it, the lowest first."""

    number: int
    name: str
    image: int | None
    blend: str
    opacity: float
    visible: bool
    clipped: bool
    parent: int | None
    is_group: bool
    inside: list[Entry] = field(default_factory=list)
    above: list[Entry] = field(default_factory=list)

    @property
    def says(self) -> str:
        return f"row {self.number} ({self.name})" if self.name else f"row {self.number}"

    @property
    def lets_through(self) -> bool:
        """Whether what it holds is laid on what is below it."""
        return self.is_group and self.blend == _THROUGH and not self.above

    @property
    def operation(self) -> Operator:
        """Its operator where it is merged as one picture; a group that lets through is then like any other."""
        return "over" if self.blend == _THROUGH else self.blend  # type: ignore[return-value]  # checked when it was read


def stacked(base: Image, images: Sequence[Image], table: Table) -> Image:
    """A table's layers laid on base."""
    if len(images) != 1:
        raise OperationError(f"a table tells of the layers of one batch, got {len(images)} images: link one")
    batch = images[0]
    if batch.size != base.size:
        raise OperationError(
            f"base is {base.width}x{base.height}, the layers are {batch.width}x{batch.height}: with a table they lie on a "
            "canvas of base's size"
        )
    entries = read_entries(table, batch.batch)
    color_in_common(base, batch, "over", "the batch of layers")
    drawn = [(batch, entry.operation) for entry in _every(entries)]
    return _laid(new_canvas(base, alpha_state(base, drawn), base.batch), entries, batch)


def _every(entries: Sequence[Entry]) -> Iterator[Entry]:
    for entry in entries:
        yield entry
        yield from _every(entry.inside)


def _laid(canvas: Image, entries: Sequence[Entry], batch: Image) -> Image:
    """The canvas with entries drawn on it, from the bottom up."""
    for entry in entries:
        if not entry.lets_through:
            layer = _layer(canvas, entry, batch)
            draw(canvas, canvas, with_clipped(layer, [_layer(canvas, above, batch) for above in entry.above]))
        elif entry.opacity == 1 and entry.image is None:
            _laid(canvas, entry.inside, batch)
        else:
            through = _laid(new_canvas(canvas, canvas.alpha, canvas.batch), entry.inside, batch)
            mask = None if entry.image is None else _mask(batch, entry.image)
            groups = color_in_common(canvas, through, "copy")
            draw(canvas, canvas, Layer(through, RULES["copy"], groups, opacity=entry.opacity, mask=mask))
    return canvas


def _layer(below: Image, entry: Entry, batch: Image) -> Layer:
    """An entry as one picture with its operator."""
    groups = color_in_common(below, batch, entry.operation, entry.says)
    if not entry.is_group:
        assert entry.image is not None
        return Layer(_item(batch, entry.image), RULES[entry.operation], groups, opacity=entry.opacity)
    clear = new_canvas(_item(batch, 0), "straight", below.batch)
    picture = _laid(clear.with_buffer(clear.buffer * 0), entry.inside, batch)
    mask = None if entry.image is None else _mask(batch, entry.image)
    return Layer(picture, RULES[entry.operation], groups, opacity=entry.opacity, mask=mask)


def _item(batch: Image, place: int) -> Image:
    return batch.with_buffer(batch.buffer[place : place + 1], wrap=(False, False))


def _mask(batch: Image, place: int) -> Mask:
    """The alpha of an item."""
    if batch.alpha == "none":
        raise OperationError("a group's image is its mask, by its alpha, but the layers have none")
    alpha = pixels_of(_item(batch, place))[:, [batch.index("A")]]
    return Mask(alpha.reshape(1, *batch.buffer.shape[1:3], 1))


def read_entries(table: Table, count: int) -> list[Entry]:
    """The visible entries that lie in no group, each with its own; OperationError for what makes no sense."""
    if "image" not in table.columns:
        raise OperationError(f"a table of layers has a column 'image', this one has {', '.join(table.columns)}")
    found = [_entry(number, dict(zip(table.columns, row, strict=True))) for number, row in enumerate(table.rows)]
    for entry in found:
        if entry.image is not None and not 0 <= entry.image < count:
            raise OperationError(f"{entry.says} has image {entry.image}, but there are {count}")
        entry.visible &= entry.is_group or entry.image is not None
        if entry.blend not in get_args(Operator) and not (entry.is_group and entry.blend == _THROUGH):
            raise OperationError(f"{entry.says} has blend '{entry.blend}', which merge does not know")
    return _visible(_within(found))


def _entry(number: int, row: dict[str, Any]) -> Entry:
    def value(name: str, default: Any, right: Callable[[Any], bool], what: str) -> Any:
        found = row.get(name)
        if found is None:
            return default
        if not right(found):
            raise OperationError(f"row {number} of the table: '{name}' is {found!r}, and should be {what}")
        return found

    def whole(found: Any) -> bool:
        return type(found) is int and found >= 0

    def flag(found: Any) -> bool:
        return type(found) is bool

    return Entry(
        number=number,
        name=str(row.get("name") or ""),
        image=value("image", None, whole, "a place in the batch"),
        blend=value("blend", "over", lambda found: type(found) is str, "the name of an operator"),
        opacity=float(value("opacity", 1.0, lambda found: type(found) in (int, float) and 0 <= found <= 1, "0 to 1")),
        visible=value("visible", True, flag, "true or false"),
        clipped=value("clipped", False, flag, "true or false"),
        parent=value("parent", None, whole, "the number of a group's row"),
        is_group=row.get("kind") == "group",
    )


def _within(found: Sequence[Entry]) -> list[Entry]:
    """The entries in no group, with the others in theirs. A group is above what it holds, so that none holds itself."""
    outermost = []
    for entry in found:
        if entry.parent is None:
            outermost.append(entry)
        elif entry.number < entry.parent < len(found) and found[entry.parent].is_group:
            found[entry.parent].inside.append(entry)
        else:
            raise OperationError(f"{entry.says} has parent {entry.parent}, which is no group above it")
    return outermost


def _visible(entries: Sequence[Entry]) -> list[Entry]:
    """Those that are seen; what is clipped goes to the one below it that is not, and with it."""
    bases: list[Entry] = []
    for entry in entries:
        entry.inside = _visible(entry.inside)
        if not entry.clipped:
            bases.append(entry)
        elif not bases:
            raise OperationError(f"{entry.says} is clipped, but nothing below it is there to clip it to")
        elif not RULES[entry.operation].keeps_opaque:
            raise OperationError(
                f"{entry.says} is clipped and its blend is {entry.blend}, which changes more than colours"
            )
        elif entry.visible:
            bases[-1].above.append(entry)
    return [entry for entry in bases if entry.visible]
