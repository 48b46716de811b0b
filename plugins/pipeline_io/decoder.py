"""The program that decodes what may be hostile: a child process that can be killed, and that memory is rationed to.

It reads one request per line, JSON, and answers each with one line of JSON, followed by the pixels' bytes. It is run
as a file of its own, so that starting it imports no more than decoding takes.
"""

from __future__ import annotations

import base64
import json
import sys
from typing import Any, BinaryIO

import numpy as np
import OpenImageIO

Array = np.ndarray[Any, Any]
Request = dict[str, Any]


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answers until there are no more requests."""
    for line in requests:
        request = json.loads(line)
        pixels = None
        try:
            _ration(request["bytes"])
            if request["facts"]:
                answer = _describe_avif(request["path"]) if _is_avif(request) else _describe(request["path"])
            else:
                pixels = np.ascontiguousarray(_decode_avif(request) if _is_avif(request) else decode(request))
                answer = {"shape": pixels.shape, "dtype": pixels.dtype.name}
        except MemoryError:
            answer = {"error": "it takes more memory than its size allows"}
        except Exception as error:  # whatever a library raises on a damaged file is the answer
            answer = {"error": str(error) or type(error).__name__}
        answers.write(json.dumps(answer).encode() + b"\n")
        if pixels is not None:
            answers.write(pixels.data.cast("B"))
        answers.flush()


def decode(request: Request) -> Array:
    """`(H, W, C)` pixels; an exception for a file that can't be decoded whole."""
    settings = OpenImageIO.ImageSpec()
    settings.attribute("oiio:UnassociatedAlpha", 1)
    settings.attribute("oiio:reorient", 0)
    source = OpenImageIO.ImageInput.open(request["path"], settings)
    if source is None:
        raise ValueError(OpenImageIO.geterror())
    try:
        if not source.seek_subimage(request["part"], 0):
            raise ValueError(source.geterror() or "a part is not there")
        spec = source.spec()
        if (spec.width, spec.height) != tuple(request["size"]):
            raise ValueError(f"its header says {request['size']} and its pixels {spec.width}x{spec.height}")
        wanted = request["channels"]
        runs = _runs(spec.channelnames, wanted) if wanted else [(0, spec.nchannels, None)]
        blocks = [_read(source, request, first, stop, kind) for first, stop, kind in runs]
    finally:
        source.close()
    if len(blocks) == 1:
        return blocks[0]
    return np.concatenate([block.astype(np.result_type(*blocks), copy=False) for block in blocks], axis=2)


def _describe(path: str) -> Request:
    """What OpenImageIO says of a file's header."""
    source = OpenImageIO.ImageInput.open(path)
    if source is None:
        raise ValueError(OpenImageIO.geterror())
    try:
        spec = source.spec()
        dtype = {"half": "float16", "float": "float32"}.get(str(spec.format), str(spec.format))
        cicp = [int(code) for code in spec.get("CICP") or ()]
        return {"size": [spec.width, spec.height], "samples": spec.nchannels, "dtype": dtype, "cicp": cicp}
    finally:
        source.close()


def _is_avif(request: Request) -> bool:
    return str(request["path"]).endswith(".avif")


def _describe_avif(path: str) -> Request:
    import PIL.Image

    with PIL.Image.open(path, formats=["AVIF"]) as source:
        found = {
            name: source.info.get(key) or b""
            for name, key in (("icc", "icc_profile"), ("exif", "exif"), ("xmp", "xmp"))
        }
        texts = {name: base64.b64encode(value).decode() for name, value in found.items()}
        return {"size": source.size, "samples": len(source.getbands()), **texts}


def _decode_avif(request: Request) -> Array:
    import PIL.Image

    with PIL.Image.open(request["path"], formats=["AVIF"]) as source:
        return np.asarray(source)


def _runs(names: tuple[str, ...], wanted: list[list[str]]) -> list[tuple[int, int, str]]:
    """Channels that lie side by side and have one type are read at once: each reading inflates the file anew."""
    runs: list[tuple[int, int, str]] = []
    for name, kind in wanted:
        if name not in names:
            raise ValueError(f"its channel {name!a} is not there")
        index = names.index(name)
        if runs and runs[-1][1] == index and runs[-1][2] == kind:
            runs[-1] = (runs[-1][0], index + 1, kind)
        else:
            runs.append((index, index + 1, kind))
    return runs


def _read(source: OpenImageIO.ImageInput, request: Request, first: int, stop: int, kind: str | None) -> Array:
    spec, part, rows = source.spec(), request["part"], request.get("rows")
    if rows is None:
        pixels = source.read_image(part, 0, first, stop, kind or spec.format)
    else:
        pixels = read_rows(source, part, rows[0], rows[1], first, stop, kind or spec.format)
    complaint = source.geterror()
    if pixels is None or complaint:
        raise ValueError(complaint or "it can not be decoded")
    array: Array = np.asarray(pixels)
    if kind != "uint":
        return array
    floats = array.astype(np.float32)
    if (floats.astype(np.float64) != array).any():
        raise ValueError("it has integers above 2**24, which float32 can't hold; load the other channels by layer")
    return floats


def read_rows(
    source: OpenImageIO.ImageInput, part: int, top: int, bottom: int, first: int, stop: int, kind: Any
) -> Array | None:
    """Rows of the stored pixels, counted from 0; None where OpenImageIO can't read them and says why.

    Of a file of tiles the rows have to begin where a tile does.
    """
    spec = source.spec()
    top, bottom = spec.y + top, spec.y + bottom
    if not spec.tile_height:
        return source.read_scanlines(part, 0, top, bottom, 0, first, stop, kind)
    return source.read_tiles(part, 0, spec.x, spec.x + spec.width, top, bottom, spec.z, spec.z + 1, first, stop, kind)


def _ration(more: int) -> None:
    """No more than `more` bytes of address space on top of what is in use now, where the system has such limits."""
    try:
        import resource

        with open("/proc/self/statm") as file:
            now = int(file.read().split()[0]) * resource.getpagesize()
    except (ImportError, OSError):
        return
    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    wanted = now + more
    resource.setrlimit(resource.RLIMIT_AS, (wanted if most < 0 else min(wanted, most), most))


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
