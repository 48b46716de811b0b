"""Spaces, looks and views of an OpenColorIO config: the library's built-in ACES config, or a studio's own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from pipeline_color.mixing import layers
from pipeline_color.straight import on_colors
from pipeline_core import Image, OperationError, operation, progress

if TYPE_CHECKING:
    from torch import Tensor

BUILT_IN = "studio-config-v4.0.0_aces-v2.0_ocio-v2.5"
"""Named, not the library's default, so that a newer library gives the same picture."""
STRIP = 2**18  # pixels that a thread takes at once

Config = Annotated[
    Path | None, Field(description="an .ocio or .ocioz file; by default the ACES studio config of OpenColorIO")
]
Source = Annotated[
    str | None, Field(description="the space that the values are in, if not the image's own", examples=[None])
]


def _converted(image: Image, *, to: str, source: str | None = None, config: Path | None = None) -> Image:
    opened = _config(config)
    _space(opened, source or image.color, image)
    return _labelled(image, opened, to)


@operation(support=0, device="cpu", infer=_converted, aliases=("OCIOColorSpace", "colorspace_ocio"))
def ocio_convert(
    image: Image,
    *,
    to: Annotated[str, Field(min_length=1, description="a space, alias or role of the config", examples=["ACEScct"])],
    source: Source = None,
    config: Config = None,
) -> Image:
    """Convert an image to a colour space of an OpenColorIO config.

    As `color_convert`, for all the spaces that a config has: cameras' logs, a studio's own, and roles
    (`compositing_log`, `scene_linear`, `texture_paint`). Names and aliases are taken, ids of the Colour Interop Forum too.

    Convention: alpha is divided out and multiplied in again. The result is labelled by the id that the config gives the
    space, or else as unknown. A config may use no files but itself; `ocioarchive` packs it with its tables as .ocioz.
    """
    labelled = _converted(image, to=to, source=source, config=config)
    return _through(image, config, _ocio().ColorSpaceTransform(source or image.color, to), labelled.color)


def _looked(image: Image, *, look: str, source: str | None = None, config: Path | None = None, **_: Any) -> Image:
    opened = _config(config)
    _space(opened, source or image.color, image)
    for name in look.replace(":", ",").replace("|", ",").split(","):
        _known(name.strip(" +-"), [one.getName() for one in opened.getLooks()], "look")
    return image.like()


@operation(support=0, device="cpu", infer=_looked, aliases=("OCIOLookTransform", "look"))
def ocio_look(
    image: Image,
    *,
    look: Annotated[
        str,
        Field(
            min_length=1,
            description="a look of the config, or several: '+first, -second' (- takes it off)",
            examples=["ACES 1.3 Reference Gamut Compression"],
        ),
    ],
    source: Source = None,
    config: Config = None,
) -> Image:
    """Apply a look of an OpenColorIO config: a grade that the config names.

    The values come back in the space that they came in. The built-in config has the ACES gamut compression alone.

    Convention: alpha is divided out and multiplied in again. A config may use no files but itself (.ocioz).
    """
    _looked(image, look=look, source=source, config=config)
    space = source or image.color
    return _through(image, config, _ocio().LookTransform(space, space, look), image.color)


def _shown(image: Image, *, display: str, view: str, source: str | None = None, config: Path | None = None) -> Image:
    opened = _config(config)
    _space(opened, source or image.color, image)
    _known(display, list(opened.getDisplays()), "display")
    _known(view, list(opened.getViews(display)), f"view of '{display}'")
    space = opened.getDisplayViewColorSpaceName(display, view)
    return _labelled(image, opened, display if space == "<USE_DISPLAY_NAME>" else space)


@operation(support=0, device="cpu", infer=_shown, aliases=("OCIODisplay", "view_transform", "aces_output"))
def display_transform(
    image: Image,
    *,
    display: Annotated[str, Field(min_length=1, description="a display of the config")] = "sRGB - Display",
    view: Annotated[
        str, Field(min_length=1, description="a view of the display")
    ] = "ACES 2.0 - SDR 100 nits (Rec.709)",
    source: Source = None,
    config: Config = None,
) -> Image:
    """Render an image for a display, through a view of an OpenColorIO config: by default ACES 2.0 for sRGB.

    This is what a viewer shows of scene-linear light, as a picture to be saved. The view `Un-tone-mapped` shows colours as
    they are; `Rec.2100-PQ - Display` is for HDR.

    Convention: alpha is divided out and multiplied in again. The result has the display's own id
    (`srgb_rec709_display`). A config may use no files but itself; `ocioarchive` packs it with its tables as .ocioz.
    """
    labelled = _shown(image, display=display, view=view, source=source, config=config)
    transform = _ocio().DisplayViewTransform(source or image.color, display, view)
    return _through(image, config, transform, labelled.color)


def _ocio() -> Any:
    try:
        import PyOpenColorIO
    except ImportError:
        raise OperationError("OpenColorIO is not installed: pip install 'pipeline-core[color]'") from None
    return PyOpenColorIO


def _config(path: Path | None) -> Any:
    return _built_in() if path is None else _read(path)


@lru_cache
def _built_in() -> Any:
    return _ocio().Config.CreateFromBuiltinConfig(BUILT_IN)


def _read(path: Path) -> Any:
    ocio = _ocio()
    try:
        config = ocio.Config.CreateFromFile(str(path))
        config.validate()
    except ocio.Exception as error:
        raise OperationError(f"{path.name} is no OpenColorIO config: {' '.join(str(error).split())}") from None
    return config


def _space(config: Any, name: str, image: Image | None = None) -> Any:
    """A colour space by name, alias, role or interop id; OperationError where there is none."""
    found = config.getColorSpace(name)
    if found is None:
        mend = "set_color says what the image is, or give 'source'" if image is not None and name == image.color else ""
        names = [one.getName() for one in config.getColorSpaces()] + [role for role, _ in config.getRoles()]
        _known(name, names, "colour space", mend)
    if found.isData():
        raise OperationError(f"'{name}' is data, which is never converted: set_color says what the image is")
    return found


def _known(name: str, names: list[str], what: str, mend: str = "") -> None:
    if name not in names:
        near = get_close_matches(name, names, cutoff=0.4) or names
        raise OperationError(f"the config has no {what} '{name}': {mend or 'it has ' + ', '.join(near)}")


def _labelled(image: Image, config: Any, to: str) -> Image:
    return image.like(color=_space(config, to).getInteropID() or "unknown")


def _through(image: Image, path: Path | None, transform: Any, color: str) -> Image:
    """Every layer's R, G and B through a transform of the config."""
    import torch

    ocio = _ocio()
    config = _config(path)
    try:
        processor = config.getProcessor(_context(config), transform, ocio.TRANSFORM_DIR_FORWARD)
        apply = processor.getOptimizedCPUProcessor(ocio.OPTIMIZATION_LOSSLESS).apply  # its usual powers are off by 1e-6
    except ocio.Exception as error:
        raise OperationError(f"OpenColorIO refuses: {' '.join(str(error).split())}") from None
    beside = [Path(file).name for file in processor.getProcessorMetadata().getFiles()]
    if beside and path is not None and path.suffix != ".ocioz":
        # Their content would be in no key: a change of theirs would go unseen.
        raise OperationError(
            f"{path.name} uses other files ({', '.join(beside)}): pack them into one by 'ocioarchive NAME --iconfig "
            f"{path.name}' and give NAME.ocioz"
        )
    triples = layers(image, gray_too=True)

    def change(values: Tensor) -> Tensor:
        result = values.clone()
        for where in triples:
            pixels = values[:, where].permute(0, 2, 3, 1).reshape(-1, 3).contiguous()
            strips = [ocio.PackedImageDesc(part.numpy(), len(part), 1, 3) for part in torch.split(pixels, STRIP)]
            with ThreadPoolExecutor(torch.get_num_threads()) as threads:
                for done, _ in enumerate(threads.map(apply, strips)):
                    progress(done, len(strips), "strips")
            result[:, where] = pixels.reshape(len(values), *values.shape[2:], 3).permute(0, 3, 1, 2)
        return result

    changed = on_colors(image, change)
    return changed.with_buffer(changed.buffer, color=color)


def _context(config: Any) -> Any:
    """The config's own values of its variables: what the machine's environment says is in no key."""
    context = config.getCurrentContext()
    for name in config.getEnvironmentVarNames():
        context.setStringVar(name, config.getEnvironmentVarDefault(name))
    return context
