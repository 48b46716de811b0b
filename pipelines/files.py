"""Makes the files that the workflows begin with, and puts them into `files/`, beside this file.

- artwork.psd: a poster in ten layers and a group, as a painter would hand it over; written by psd-tools, which also
  flattens it.
- render.exr: what a renderer writes of a small scene: beauty, albedo, emission, normals and depth; visitor.exr: one more
  thing, rendered apart, with its depth.
- scan.tif: a photograph as a scanner gives it, in 16 bits: cast, flat tones, dust and hairs, crooked on the white lid.

The photographs in them are those of photos.py. All of it is the same each time.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO
from PIL import Image as Picture
from PIL import ImageCms, ImageDraw, ImageFilter

Array = np.ndarray[Any, Any]
FOLDER = Path(__file__).parent / "files"
NAMES = ("artwork.psd", "render.exr", "visitor.exr", "scan.tif")


def make_files(folder: Path = FOLDER, photos: Path | None = None) -> list[Path]:
    """Makes every file that is not there yet; returns where they all are."""
    folder.mkdir(parents=True, exist_ok=True)
    if photos is None:
        photos = folder.parent / "photos"
        runpy.run_path(str(Path(__file__).with_name("photos.py")))["copy_photos"](photos)
    if not (folder / "artwork.psd").exists():
        write_artwork(folder / "artwork.psd", photos)
    if not (folder / "render.exr").exists():
        write_render(folder / "render.exr", [("ground", (0, -101, 0), 100), *BALLS])
    if not (folder / "visitor.exr").exists():
        write_render(folder / "visitor.exr", [("gold", (0.35, -0.25, 0.55), 0.75)])
    if not (folder / "scan.tif").exists():
        write_scan(folder / "scan.tif", photos)
    return [folder / name for name in NAMES]


# --- a Photoshop file ---

POSTER = 480, 640


def write_artwork(path: Path, photos: Path) -> None:
    try:
        from psd_tools import PSDImage
        from psd_tools.constants import BlendMode
    except ImportError:
        raise SystemExit("the Photoshop file is written by psd-tools: pip install psd-tools") from None

    art = PSDImage.new("RGB", POSTER)
    stars = Picture.open(photos / "hubble_deep_field.jpg").convert("RGB").resize((735, 640)).crop((120, 0, 600, 640))
    art.create_pixel_layer(stars, name="stars")
    art.create_pixel_layer(solid(POSTER, "#2b1b5a"), name="night", opacity=190, blend_mode=BlendMode.SCREEN)
    art.create_pixel_layer(glow(420, "#ff9a3d"), name="glow", left=30, top=110, blend_mode=BlendMode.LINEAR_DODGE)
    figure = art.create_group(name="figure", blend_mode=BlendMode.NORMAL)
    cat = Picture.open(photos / "chelsea.png").convert("RGB").crop((60, 0, 360, 300)).resize((360, 360))
    shape = ellipse((360, 360), (6, 6, 354, 354), soft=1.2)
    shadow = Picture.new("RGBA", (420, 420), "#12081f")
    shadow.putalpha(ellipse((420, 420), (36, 36, 396, 396), soft=14))
    art.create_pixel_layer(
        shadow, name="shadow", left=38, top=142, opacity=170, blend_mode=BlendMode.MULTIPLY
    ).move_to_group(figure)
    cat.putalpha(shape)
    art.create_pixel_layer(cat, name="cat", left=60, top=150).move_to_group(figure)
    tint = art.create_pixel_layer(
        solid((360, 360), "#ff5f6d"), name="tint", left=60, top=150, opacity=110, blend_mode=BlendMode.SOFT_LIGHT
    )
    tint.clipping = True
    tint.move_to_group(figure)
    art.create_pixel_layer(rays(), name="rays", opacity=70, blend_mode=BlendMode.OVERLAY)
    band = art.create_pixel_layer(
        solid((480, 120), "#140c2c"), name="band", left=0, top=520, opacity=205, blend_mode=BlendMode.MULTIPLY
    )
    band.visible = True
    art.create_pixel_layer(lettering("CHELSEA", 78), name="title", left=36, top=532, opacity=240)
    art.create_pixel_layer(solid(POSTER, "#00ff88"), name="guides").visible = False
    art.save(path)


def solid(size: tuple[int, int], color: str) -> Picture.Image:
    return Picture.new("RGBA", size, color)


def ellipse(size: tuple[int, int], box: tuple[int, int, int, int], soft: float) -> Picture.Image:
    mask = Picture.new("L", size)
    ImageDraw.Draw(mask).ellipse(box, fill=255)
    return mask.filter(ImageFilter.GaussianBlur(soft))


def glow(size: int, color: str) -> Picture.Image:
    y, x = np.mgrid[:size, :size]
    far = np.hypot(x - size / 2, y - size / 2) / (size / 2)
    picture = Picture.new("RGBA", (size, size), color)
    picture.putalpha(Picture.fromarray((np.clip(1 - far, 0, 1) ** 1.5 * 200).astype(np.uint8)))
    return picture


def rays() -> Picture.Image:
    width, height = POSTER
    y, x = np.mgrid[:height, :width]
    beams = (np.sin(24 * np.arctan2(y - 330, x - 240)) > 0) * 255
    beams = np.where(np.hypot(x - 240, y - 330) > 190, beams, 0).astype(np.uint8)
    picture = Picture.new("RGBA", POSTER, "#fff2c8")
    picture.putalpha(Picture.fromarray(beams).filter(ImageFilter.GaussianBlur(1)))
    return picture


def lettering(text: str, size: int) -> Picture.Image:
    from PIL import ImageFont

    font = ImageFont.load_default(size)
    mask = Picture.new("L", (410, 100))
    ImageDraw.Draw(mask).text((205, 50), text, font=font, fill=255, anchor="mm")
    picture = Picture.new("RGBA", mask.size, "#ffe7b0")
    picture.putalpha(mask)
    return picture


# --- what a renderer writes ---

FRAME = 480, 270
SAMPLES = 3  # to a side, in each pixel
ALBEDO = {"ground": (0.32, 0.30, 0.28), "red": (0.7, 0.08, 0.05), "blue": (0.05, 0.16, 0.6), "lamp": (0.9, 0.9, 0.9),
          "white": (0.75, 0.75, 0.72), "gold": (0.95, 0.6, 0.12)}  # fmt: skip
LIGHT = {"lamp": (4.0, 2.2, 0.7)}
BALLS = [("red", (-1.3, -0.2, 0.4), 0.8), ("blue", (1.5, -0.45, -0.6), 0.55), ("lamp", (0.35, -0.62, -1.1), 0.38),
         ("white", (0.9, 0.5, 3.0), 1.5)]  # fmt: skip
SUN = np.array([-0.55, 0.72, -0.42]) / np.linalg.norm([-0.55, 0.72, -0.42])


def write_render(path: Path, balls: list[tuple[str, tuple[float, float, float], float]]) -> None:
    """Balls lit by a sun and the sky, seen from z = -6; depth is along z, and nothing is where no ray hits."""
    width, height = FRAME
    across, down = (np.arange(n * SAMPLES) + 0.5 for n in FRAME)
    x, y = np.meshgrid(across / SAMPLES / width - 0.5, 0.5 - down / SAMPLES / height)
    rays = np.stack([x * 1.05, y * 1.05 * height / width - 0.06, np.ones_like(x)], axis=-1)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    eye = np.array([0.0, 0.35, -6.0])
    far, normal, albedo, emission = trace(eye, rays, balls)
    seen = np.isfinite(far)
    place = eye + rays * np.where(seen, far, 0)[..., None]
    sunlit = np.isinf(trace(place + normal * 1e-3, np.broadcast_to(SUN, place.shape), balls)[0])
    direct = np.clip(normal @ SUN, 0, None) * sunlit
    sky = 0.5 + 0.5 * normal[..., 1]
    light = direct[..., None] * (2.1, 2.0, 1.8) + sky[..., None] * (0.16, 0.2, 0.3)
    shine = np.clip(((2 * (normal @ SUN)[..., None] * normal - SUN) * -rays).sum(-1), 0, 1) ** 60 * sunlit
    beauty = albedo * light + 0.4 * shine[..., None] + emission
    coverage = seen[..., None].astype(float)
    depth = np.where(seen, place[..., 2] + 6, np.inf).reshape(height, SAMPLES, width, SAMPLES).min(axis=(1, 3))
    # Colours are means over a pixel, associated; of depths and normals a mean is none: the middle sample's is taken.
    middle = (slice(SAMPLES // 2, None, SAMPLES),) * 2
    layers = {
        "": (("R", "G", "B", "A"), np.concatenate([mean(beauty * coverage), mean(coverage)], axis=-1)),
        "Z": (("Z",), np.where(np.isinf(depth), 1e4, depth)[..., None]),
        "N": (("N.X", "N.Y", "N.Z"), (normal * coverage)[middle]),
        "albedo": (("albedo.R", "albedo.G", "albedo.B"), mean(albedo * coverage)),
        "emission": (("emission.R", "emission.G", "emission.B"), mean(emission * coverage)),
    }
    names = [name for channels, _ in layers.values() for name in channels]
    pixels = np.concatenate([pixels for _, pixels in layers.values()], axis=-1)
    spec = OpenImageIO.ImageSpec(width, height, len(names), "half")
    spec.channelnames = names
    spec.attribute("compression", "zip")
    spec.attribute("Software", "a small ray tracer")
    spec.attribute("DateTime", "2026:01:01 00:00:00")
    out = OpenImageIO.ImageOutput.create(str(path))
    if (
        out is None
        or not out.open(str(path), spec)
        or not out.write_image(pixels.astype(np.float32))
        or not out.close()
    ):
        raise SystemExit(f"{path}: {OpenImageIO.geterror()}")


def trace(
    eye: Array, rays: Array, balls: list[tuple[str, tuple[float, float, float], float]]
) -> tuple[Array, Array, Array, Array]:
    """Distance of the first ball on each ray, its normal, colour and own light."""
    far = np.full(rays.shape[:-1], np.inf)
    normal, albedo, emission = np.zeros(rays.shape), np.zeros(rays.shape), np.zeros(rays.shape)
    for name, center, radius in balls:
        from_center = eye - np.array(center, float)
        b = (rays * from_center).sum(-1)
        under = b * b - ((from_center**2).sum(-1) - radius**2)
        hit = -b - np.sqrt(np.clip(under, 0, None))
        nearer = (under > 0) & (hit > 1e-4) & (hit < far)
        far = np.where(nearer, hit, far)
        with np.errstate(invalid="ignore"):
            outward = (from_center + rays * hit[..., None]) / radius
        normal = np.where(nearer[..., None], outward, normal)
        albedo = np.where(nearer[..., None], ALBEDO[name], albedo)
        emission = np.where(nearer[..., None], LIGHT.get(name, (0, 0, 0)), emission)
    return far, normal, albedo, emission


def mean(samples: Array) -> Array:
    height, width, channels = samples.shape
    return np.asarray(
        samples.reshape(height // SAMPLES, SAMPLES, width // SAMPLES, SAMPLES, channels).mean(axis=(1, 3))
    )


# --- a scan ---


def write_scan(path: Path, photos: Path) -> None:
    rng = np.random.default_rng(1937)
    photo = Picture.open(photos / "astronaut.png").convert("RGB").crop((0, 0, 512, 400))
    sheet = Picture.new("RGB", (600, 480), (246, 246, 244))
    sheet.paste(photo, (44, 40))
    values = np.asarray(sheet.rotate(-1.4, Picture.Resampling.BICUBIC, fillcolor=(246, 246, 244)), np.float64) / 255
    faded = values**0.9 * (0.70, 0.66, 0.55) + (0.20, 0.17, 0.13)  # old prints lose blue and black
    faded = np.where(values.min(-1, keepdims=True) > 0.94, (0.93, 0.93, 0.92), faded)
    dust = Picture.new("L", (600, 480))
    draw = ImageDraw.Draw(dust)
    for x, y, r in zip(rng.uniform(0, 600, 90), rng.uniform(0, 480, 90), rng.exponential(0.8, 90) + 0.6, strict=True):
        draw.ellipse((x - r, y - r, x + r, y + r), fill=255)
    for _ in range(6):
        points = np.cumsum(
            np.concatenate([rng.uniform((60, 60), (520, 400), (1, 2)), rng.normal(0, 9, (6, 2))]), axis=0
        )
        draw.line([tuple(point) for point in points], fill=235, width=1)
    faded += (np.asarray(dust.filter(ImageFilter.GaussianBlur(0.5)), float) / 255)[..., None] * (0.97 - faded)
    faded += rng.normal(0, 0.006, faded.shape)
    pixels = np.rint(np.clip(faded, 0, 1) * 65535).astype(np.uint16)
    spec = OpenImageIO.ImageSpec(600, 480, 3, "uint16")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    spec.attribute("ICCProfile", OpenImageIO.TypeDesc(f"uint8[{len(profile)}]"), np.frombuffer(profile, np.uint8))
    for name, value in (("XResolution", 300.0), ("YResolution", 300.0)):
        spec.attribute(name, value)
    spec.attribute("ResolutionUnit", "in")
    spec.attribute("Software", "a flatbed scanner")
    spec.attribute("compression", "zip")
    out = OpenImageIO.ImageOutput.create(str(path))
    if out is None or not out.open(str(path), spec) or not out.write_image(pixels) or not out.close():
        raise SystemExit(f"{path}: {OpenImageIO.geterror()}")


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    print(f"{len(make_files(target))} files in {target}")
