"""Several images as one thing: put together, taken out, saved as a file each."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import Field

from pipeline_core import File, Image, ImageSet, OperationError, operation
from pipeline_io.encode import Compression, DepthParam, NanParam, Quality, Suffix, encode_image
from pipeline_io.target import Depth, for_image


def _infer_set(images: list[Image], *, names: list[str]) -> ImageSet:
    return image_set(images, names=names)


@operation(infer=_infer_set, aliases=("collect_images", "name_images"))
def image_set(
    images: list[Image],
    *,
    names: Annotated[list[str], Field(description="one for each image", examples=[["color", "height"]])],
) -> ImageSet:
    """Put images together under names, to be saved by one output: a file each, called after the output and the name."""
    if len(names) != len(images):
        raise OperationError(f"{len(images)} images need as many names, got {len(names)}: {', '.join(names)}")
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise OperationError(f"two images are called '{twice}': give each a name of its own")
    return ImageSet(dict(zip(names, images, strict=True)))


def _infer_pick(images: ImageSet, *, name: str) -> Image:
    return pick_image(images, name=name)


@operation(infer=_infer_pick, aliases=("image_of_set", "take_image"))
def pick_image(images: ImageSet, *, name: Annotated[str, Field(description="of the image", examples=["one"])]) -> Image:
    """Take one image out of a set, as `export_material` gives it."""
    if name not in images.images:
        raise OperationError(f"no image '{name}' in the set, it has {', '.join(images.images)}")
    return images.images[name]


Files = Annotated[Suffix, Field(description="the kind of file of the images")]


def _infer_encode(
    images: ImageSet,
    *,
    format: Literal["json"],  # noqa: A002  what the run looks for
    files: Suffix = "png",
    depth: Depth = "auto",
    **_: Any,
) -> File:
    for name, image in images.images.items():
        for_image(image, files, _depth(images, name, files, depth), drop=False)
    return File(b"", media_type="application/json")


@operation(device="cpu", infer=_infer_encode, aliases=("save_images", "save_folder", "export_images"))
def encode_image_set(
    images: ImageSet,
    *,
    format: Annotated[Literal["json"], Field(description="of the list, by the suffix")],  # noqa: A002  as above
    files: Files = "png",
    depth: DepthParam = "auto",
    quality: Quality = 92,
    compression: Compression = 4,
    nan: NanParam = "refuse",
    metadata: bool = True,
) -> File:
    """A set of images as a file each, and a list of them in JSON.

    An output `rock.json` is that list; the images lie beside it and are called after it: rock_color.png, rock_height.png,
    or with the suffixes that the set has for them (rock_Normal.png). They are written before the list, each whole or not
    at all; where the list is, everything is. It says of each its file (what follows the list's own name), size, channels
    and colour, and what else is known of it: whether it is to be imported as sRGB, what its channels hold. Otherwise as
    `encode_image`.

    Convention: `depth` auto is what the set says of an image (16 bits of a height), else as in `encode_image`.
    Convention: pictures of a batch get numbers from 0: rock_color.0000.png.
    """
    beside: dict[str, bytes] = {}
    listed = []
    for name, image in images.images.items():
        told = dict(images.facts.get(name, {}))
        suffix, bits = str(told.pop("suffix", f"_{name}")), _depth(images, name, files, depth)
        told.pop("bits", None)
        names = []
        for item in range(image.batch):
            number = f".{item:04d}" if image.batch > 1 else ""
            one = image.with_buffer(image.buffer[item : item + 1], meta={**image.meta, **images.meta})
            try:
                file = encode_image(
                    one, format=files, depth=bits, quality=quality, compression=compression, nan=nan, metadata=metadata
                )
            except OperationError as error:
                raise OperationError(f"image '{name}': {error}") from None
            names.append(f"{suffix}{number}.{files}")
            if names[-1] in beside:
                raise OperationError(f"image '{name}' has the suffix '{suffix}' of another one")
            beside[names[-1]] = file.content
        listed.append(
            {
                "name": name, "files": names, "width": image.width, "height": image.height,
                "stored": "".join(image.channels), "color": image.color, **told,
            }
        )  # fmt: skip
    text = json.dumps({"images": listed}, indent=2, ensure_ascii=False)
    return File(f"{text}\n".encode(), media_type="application/json", beside=beside)


def _depth(images: ImageSet, name: str, files: Suffix, depth: Depth) -> Depth:
    """The bits asked for; those of the set where files of the kind can hold them."""
    wanted = images.facts.get(name, {}).get("bits")
    return 16 if depth == "auto" and wanted == 16 and files in ("png", "tif", "tiff") else depth
