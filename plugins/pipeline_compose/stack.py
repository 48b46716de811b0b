"""`layer_stack`: images over images, as the layers of a paint program's file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from pipeline_compose import canvas
from pipeline_compose.canvas import draw, new_canvas
from pipeline_compose.fit import alpha_state, check_mask, color_in_common, common_batch
from pipeline_compose.operators import RULES, Operator
from pipeline_core import Image, Mask, OperationError, Seed, Unit, operation


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


@operation(version=2, aliases=("merge_layers", "composite_layers", "psd", "image_stack"))
def layer_stack(
    base: Image,
    images: list[Image],
    masks: list[Mask] | None = None,
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

    Convention: an empty canvas is a base of alpha 0. Everything else is as in `merge`, layer by layer.
    """
    leaves = _leaves(base, images, masks or [], layers)
    groups = list(_visible_groups(leaves))
    drawn = [(leaf.image, leaf.set.operation) for leaf, _ in groups]
    found = {f"image {leaf.number}": leaf.image for leaf in leaves}
    found_masks = {f"mask of image {leaf.number}": leaf.mask for leaf in leaves}
    batch = common_batch(base=base, **found, **found_masks)
    result = new_canvas(base, alpha_state(base, drawn), batch)
    for leaf, clipped in groups:
        image = _with_clipped(leaf, clipped) if clipped else leaf.image
        draw(result, result, _layer(result, leaf._replace(image=image)))
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


def _with_clipped(leaf: _Leaf, clipped: Sequence[_Leaf]) -> Image:
    """The image with the clipped ones merged into its colours, taken as opaque; its alpha as it was."""
    body = leaf.image.unassociate()
    batch = common_batch(body=body, **{f"image {above.number}": above.image for above in clipped})
    whole = new_canvas(body, body.alpha, batch)
    at = [i for i, name in enumerate(whole.channels) if name != "A"]
    color = whole.with_buffer(
        whole.buffer[..., at], channels=tuple(whole.channels[i] for i in at), alpha="none", wrap=(False, False)
    )
    for above in clipped:
        moved = above.set.model_copy(update={"x": above.set.x - leaf.set.x, "y": above.set.y - leaf.set.y})
        draw(color, color, _layer(color, above._replace(set=moved)))
    whole.buffer[..., at] = color.buffer
    return whole


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
