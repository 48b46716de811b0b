"""The asset of `benchmarks.asset` as others make it: straight-line code, as one writes it who is after speed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import OpenImageIO
import PIL.Image
import PIL.ImageChops
import PIL.ImageFilter
import torch

Array = np.ndarray[Any, Any]
ANGLE, AMOUNT, SIGMA = 10.0, 1.0, 2.0

VIPS = """\
import sys, pyvips
folder, width, height, x, y, cw, ch = sys.argv[1], *map(int, sys.argv[2:])
a, b = (pyvips.Image.new_from_file(f"{folder}/{name}.png", access="sequential") for name in "ab")
b2 = pyvips.Image.new_from_file(f"{folder}/b.png", access="sequential", memory=False)
card = a.composite2(b, "multiply").composite2(b2, "over")
half = card.cast("uchar").resize(0.5, kernel="lanczos3")
turned = half.similarity(angle=10, interpolate=pyvips.Interpolate.new("bilinear"))
cut = turned.crop((turned.width - width) // 2 + x, (turned.height - height) // 2 + y, cw, ch)
(cut + (cut - cut.gaussblur(2)) * 1.0).cast("uchar").pngsave(f"{folder}/vips.png", compression=1)
"""
"""As a command of its own."""


class Peers:
    """`half` is (width, height) after halving; `cut` is x, y, width, height of the crop."""

    def __init__(self, folder: Path, half: tuple[int, int], cut: tuple[int, int, int, int]) -> None:
        self.folder, self.half, self.cut = folder, half, cut
        matrix = cv2.getRotationMatrix2D((half[0] / 2 - 0.5, half[1] / 2 - 0.5), -ANGLE, 1)
        self.matrix = matrix

    def path(self, name: str) -> str:
        return str(self.folder / f"{name}.png")

    def read(self) -> list[Array]:
        """As OpenCV has them, BGRA."""
        return [cv2.imread(self.path(name), cv2.IMREAD_UNCHANGED) for name in "ab"]

    def write(self, name: str, pixels: Array) -> None:
        cv2.imwrite(self.path(name), pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])

    def opencv(self) -> None:
        self.write("cv2", self.opencv_compute(*self.read()))

    def opencv_compute(self, a: Array, b: Array) -> Array:
        """8 bits all the way; the blend as if both were opaque, which is what one gets away with."""
        product = cv2.multiply(a, b, scale=1 / 255)
        cover = cv2.cvtColor(b[..., 3], cv2.COLOR_GRAY2BGRA)
        cover[..., 3] = b[..., 3]
        card = cv2.add(
            cv2.multiply(b, cover, scale=1 / 255), cv2.multiply(product, cv2.bitwise_not(cover), scale=1 / 255)
        )
        return self._finished(card)

    def _finished(self, card: Array) -> Array:
        half = cv2.resize(card, self.half, interpolation=cv2.INTER_LANCZOS4)
        turned = cv2.warpAffine(half, self.matrix, self.half, flags=cv2.INTER_LINEAR)
        x, y, cw, ch = self.cut
        cut = turned[y : y + ch, x : x + cw]
        return cv2.addWeighted(cut, 1 + AMOUNT, cv2.GaussianBlur(cut, (0, 0), SIGMA), -AMOUNT, 0)

    def opencv_float(self) -> None:
        a, b = (pixels.astype(np.float32) / 255 for pixels in self.read())
        ta, ba = b[..., 3:], a[..., 3:]
        product = a * ba * (1 - ta) + b * ta * (1 - ba) + a * b * (ta * ba)
        product[..., 3:] = ta + ba * (1 - ta)
        card = b * ta + product * (1 - ta)
        card[..., 3:] = ta + product[..., 3:] * (1 - ta)
        self.write("float", np.round(self._finished(card).clip(0, 1) * 255).astype(np.uint8))

    def pillow(self) -> None:
        a, b = (PIL.Image.open(self.path(name)) for name in "ab")
        product = PIL.ImageChops.multiply(a, b)
        card = PIL.Image.alpha_composite(product, b)
        half = card.resize(self.half, PIL.Image.Resampling.LANCZOS)
        turned = half.rotate(-ANGLE, PIL.Image.Resampling.BILINEAR)
        x, y, cw, ch = self.cut
        sharp = turned.crop((x, y, x + cw, y + ch)).filter(PIL.ImageFilter.UnsharpMask(SIGMA, 100, 0))
        sharp.save(self.path("pillow"), compress_level=1)

    def vips(self) -> None:
        import pyvips

        pyvips.cache_set_max(0)  # else it decodes the files once and for all
        a, b = (pyvips.Image.new_from_file(self.path(name)) for name in "ab")
        card = a.composite2(b, "multiply").composite2(b, "over")
        half = card.cast("uchar").resize(0.5, kernel="lanczos3")
        turned = half.similarity(angle=ANGLE, interpolate=pyvips.Interpolate.new("bilinear"))
        x, y, cw, ch = self.cut
        left, upper = (turned.width - self.half[0]) // 2, (turned.height - self.half[1]) // 2
        cut = turned.crop(left + x, upper + y, cw, ch)
        sharp = cut + (cut - cut.gaussblur(SIGMA)) * AMOUNT
        sharp.cast("uchar").pngsave(self.path("vips"), compression=1)

    def openimageio(self) -> None:
        algo = OpenImageIO.ImageBufAlgo
        a, b = (OpenImageIO.ImageBuf(self.path(name)) for name in "ab")
        card = algo.over(b, algo.mul(a, b))
        half = algo.resize(card, "lanczos3", 0.0, OpenImageIO.ROI(0, self.half[0], 0, self.half[1]))
        turned = algo.rotate(half, np.radians(ANGLE), "triangle", 0.0, False, half.roi)
        x, y, cw, ch = self.cut
        sharp = algo.unsharp_mask(
            algo.cut(turned, OpenImageIO.ROI(x, x + cw, y, y + ch)), "gaussian", 6 * SIGMA, AMOUNT, 0.0
        )
        sharp.specmod().attribute("compression", "zip:1")
        sharp.write(self.path("oiio"), "uint8")

    def bare_torch(self) -> None:
        self.write("torch", self.torch_compute(*self.read()))

    def torch_compute(self, a: Array, b: Array) -> Array:
        """float32, node by node."""
        from torch.nn import functional

        half = functional.interpolate(_card(a, b), self.half[::-1], mode="bicubic", antialias=True, align_corners=False)
        cos, sin = np.cos(np.radians(ANGLE)), np.sin(np.radians(ANGLE))
        ratio = self.half[1] / self.half[0]
        theta = torch.tensor([[[cos, sin * ratio, 0], [-sin / ratio, cos, 0]]], dtype=torch.float32)
        grid = functional.affine_grid(theta, list(half.shape), align_corners=False)
        turned = functional.grid_sample(half, grid, align_corners=False)
        x, y, cw, ch = self.cut
        cut = turned[..., y : y + ch, x : x + cw]
        taps = torch.exp(-0.5 * (torch.arange(-6, 7) / SIGMA) ** 2)
        taps = (taps / taps.sum()).repeat(4, 1)
        soft = functional.conv2d(cut, taps[:, None, None], padding=(0, 6), groups=4)
        soft = functional.conv2d(soft, taps[:, None, :, None], padding=(6, 0), groups=4)
        return _codes(cut + (cut - soft) * AMOUNT)

    def kornia(self) -> None:
        self.write("kornia", self.kornia_compute(*self.read()))

    def kornia_compute(self, a: Array, b: Array) -> Array:
        """What kornia has of it; it has no blend modes, and no Lanczos."""
        import kornia

        half = kornia.geometry.resize(_card(a, b), self.half[::-1], interpolation="bicubic", antialias=True)
        turned = kornia.geometry.rotate(half, torch.tensor([-ANGLE]), mode="bilinear", align_corners=False)
        x, y, cw, ch = self.cut
        return _codes(kornia.filters.unsharp_mask(turned[..., y : y + ch, x : x + cw], (13, 13), (SIGMA, SIGMA)))


def _card(a: Array, b: Array) -> torch.Tensor:
    """b over the product of both, as float32 planes."""
    a, b = (torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255 for pixels in (a, b))
    ta, ba = b[:, 3:], a[:, 3:]
    both = ta + ba * (1 - ta)
    product = torch.cat([(a * ba * (1 - ta) + b * ta * (1 - ba) + a * b * (ta * ba))[:, :3], both], 1)
    return torch.cat([(b * ta)[:, :3] + product[:, :3] * (1 - ta), ta + both * (1 - ta)], 1)


def _codes(planes: torch.Tensor) -> Array:
    pixels: Array = (planes.clamp(0, 1)[0].permute(1, 2, 0) * 255).round().to(torch.uint8).contiguous().numpy()
    return pixels
