"""`layer_stack`: images over images, as the layers of a paint program's file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from pipeline_compose import canvas
from pipeline_compose.canvas import draw, new_canvas
from pipeline_compose.clipping import with_clipped
from pipeline_compose.fit import alpha_state, check_mask, color_in_common, common_batch
from pipeline_compose.operators import RULES, Operator
from pipeline_compose.tree import stacked
from pipeline_core import Image, Mask, OperationError, Seed, Table, Unit, operation


class Layer(BaseModel):
    """How one of the images lies on those below."""

    model_config = ConfigDict(extra="forbid")

    operation: Annotated[Operator, Field(description="as in merge")] = "over"
    opacity: Unit = 1.0
    x: Annotated[int, Field(description="pixels from base's left edge; may be negative")] = 0
    y: Annotated[int, Field(description="pixels from base's top; may be negative")] = 0
    mask: Annotated[int | None, Field(ge=0, description="which of the masks it has, the first is 0")] = None
    clipping: Annotated[bool, Field(description="shown only where the nearest layer below that is not clipped is")] = (
        False
    )
    visible: bool = True
    seed: Annotated[Seed, Field(description="which grains dissolve shows")] = 0


class _Leaf(NamedTuple):
    """An image with its settings and its number, for messages."""

    number: int
    image: Image
    mask: Mask | None
    set: Layer


@operation(version=4, aliases=("merge_layers", "composite_layers", "psd", "image_stack"))
def layer_stack(
    base: Image,
    images: list[Image],
    masks: list[Mask] | None = None,
    table: Table | None = None,
    *,
    layers: Annotated[
        list[Layer],
        Field(
            description="settings for each image, in order; the rest lie over, at 0, 0",
            examples=[[{"operation": "multiply", "opacity": 0.75}, {"clipping": True, "x": 4}]],
        ),
    ] = [],  # noqa: B006  read only
) -> Image:
    """Lay images on a base, the first at the bottom, as the layers of a PSD file.

    Each has an operator, opacity and a place; of a size of its own, it is cut off at base's frame, or comes in on the
    other side where base tiles. A mask has its image's size and goes with it. A clipped layer is blended into the
    colours of the nearest layer below that is not clipped, and takes on its alpha, its place in the stack, its
    operator and its opacity ("blend clipped layers as group" in Photoshop). Invisible layers take what is clipped to
    them along. The result has base's size, colour space, alpha state and metadata. Batches are equal or one.

    With a `table`, as `load_layers` gives it, `images` is one batch of layers, all of base's size, and the table says of
    each: a row has `image`, the layer's place in the batch, and may have `blend`, `opacity`, `visible`, `clipped` and
    `parent`, the row of its group. A row of kind group is merged for itself and laid down as a whole, by its own blend
    and opacity; its image, where it has one, is its mask. With blend pass-through what it holds is laid on what is below
    the group. Then `masks` and `layers` stay out.

    Convention: an empty canvas is a base of alpha 0. Everything else is as in `merge`, layer by layer.
    """
    if table is not None:
        if masks or layers:
            raise OperationError("a table says all there is to say of the layers: leave masks and layers out")
        return stacked(base, images, table)
    leaves = _leaves(base, images, masks or [], layers)
    groups = list(_visible_groups(leaves))
    drawn = [(leaf.image, leaf.set.operation) for leaf, _ in groups]
    found = {f"image {leaf.number}": leaf.image for leaf in leaves}
    found_masks = {f"mask of image {leaf.number}": leaf.mask for leaf in leaves}
    batch = common_batch(base=base, **found, **found_masks)
    result = new_canvas(base, alpha_state(base, drawn), batch)
    for leaf, clipped in groups:
        layer = _layer(result, leaf)
        draw(result, result, with_clipped(layer, [_layer(result, above) for above in clipped]))
    return result


def _leaves(base: Image, images: Sequence[Image], masks: Sequence[Mask], layers: Sequence[Layer]) -> list[_Leaf]:
    if len(layers) > len(images):
        raise OperationError(f"there are {len(layers)} layers for {len(images)} images: one at most for each")
    unused = set(range(len(masks))) - {layer.mask for layer in layers}
    if unused:
        raise OperationError(f"mask {min(unused)} belongs to no layer: write 'mask: {min(unused)}' where it does")
    leaves = []
    for number, image in enumerate(images):
        settings = layers[number] if number < len(layers) else Layer()
        if settings.mask is not None and settings.mask >= len(masks):
            raise OperationError(f"layer {number} has mask {settings.mask}, but there are {len(masks)} masks")
        mask = None if settings.mask is None else masks[settings.mask]
        check_mask(mask, image, f"image {number}")
        color_in_common(base, image, settings.operation, f"image {number}")
        leaves.append(_Leaf(number, image, mask, settings))
    return leaves


def _visible_groups(leaves: Sequence[_Leaf]) -> Iterator[tuple[_Leaf, list[_Leaf]]]:
    """Each visible layer that is not clipped, with the visible ones clipped to it."""
    groups: list[tuple[_Leaf, list[_Leaf]]] = []
    for leaf in leaves:
        if not leaf.set.clipping:
            groups.append((leaf, []))
        elif not groups:
            raise OperationError(f"layer {leaf.number} is clipped, but no layer below it is there to clip it to")
        elif not RULES[leaf.set.operation].keeps_opaque:
            raise OperationError(
                f"layer {leaf.number} is clipped and its operation is {leaf.set.operation}: "
                "a clipped layer changes colours only, by over, atop, plus or a blend mode"
            )
        elif leaf.set.visible:
            groups[-1][1].append(leaf)
    return (group for group in groups if group[0].set.visible)


def _layer(below: Image, leaf: _Leaf) -> canvas.Layer:
    return canvas.Layer(
        leaf.image,
        RULES[leaf.set.operation],
        color_in_common(below, leaf.image, leaf.set.operation, f"image {leaf.number}"),
        (leaf.set.x, leaf.set.y),
        leaf.set.opacity,
        leaf.mask,
        mask_moves=True,
        seed=leaf.set.seed,
    )
