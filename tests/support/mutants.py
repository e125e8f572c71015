"""Small pictures in every format, and what comes of changing some of their bytes."""

import struct

import numpy as np
from pictures import encode_picture, make_chunk, make_png
from PIL import Image as PILImage


def seed_files():
    """Small pictures in every format, with what hangs on them: EXIF, palettes, frames, keys."""
    rng = np.random.default_rng(0)
    rgb = PILImage.fromarray(rng.integers(0, 256, (13, 17, 3), dtype=np.uint8))
    grey = PILImage.fromarray(rng.integers(0, 65536, (13, 17), dtype=np.uint16))
    rgba, palette = rgb.convert("RGBA"), rgb.quantize(16)
    exif = PILImage.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "maker"
    frames = {"save_all": True, "append_images": [rgb.rotate(90), rgb]}
    yield from (
        encode_picture(rgb, "JPEG", exif=exif),
        encode_picture(rgb, "JPEG", progressive=True, restart_marker_blocks=1),
        encode_picture(rgb.convert("CMYK"), "JPEG"),
        encode_picture(rgb, "PNG", exif=exif),
        encode_picture(palette, "PNG", transparency=3),
        encode_picture(grey, "PNG"),
        encode_picture(rgba, "PNG", **frames),
        make_png((2, 1), depth=2, raw=b"\0\x90", extra=make_chunk(b"tRNS", b"\0\2")),
        encode_picture(palette, "GIF", transparency=3),
        encode_picture(rgb, "GIF", **frames),
        encode_picture(rgb, "WEBP", exif=exif),
        encode_picture(rgba, "WEBP", lossless=True),
        encode_picture(rgb, "WEBP", **frames),
        encode_picture(rgb, "BMP"),
        encode_picture(palette, "BMP"),
        encode_picture(rgba, "BMP"),
        encode_picture(rgb, "TIFF", exif=exif),
        encode_picture(grey, "TIFF", compression="tiff_lzw"),
        encode_picture(rgb, "TIFF", compression="jpeg"),
        encode_picture(rgb.convert("1"), "TIFF", compression="group4"),
        encode_picture(rgba, "TIFF", compression="tiff_adobe_deflate", **frames),
        encode_picture(grey.convert("F"), "TIFF"),
        encode_picture(rgb.convert("YCbCr"), "TIFF"),
    )


def mutant_of(data, rng):
    """The same bytes after one to four changes."""
    data = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) or 1)
        length = rng.choice((1, 2, 4, 8, rng.randint(1, 64)))
        match rng.randrange(6):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                data[at : at + length] = rng.choice((b"\0", b"\xff", b"\x7f", b"\1")) * length
            case 2:
                del data[at : at + length]
            case 3:
                data[at:at] = rng.randbytes(length)
            case 4:
                source = rng.randrange(len(data) or 1)
                data[at:at] = data[source : source + length]
            case _ if rng.random() < 0.3:
                del data[at:]
    changed = bytes(data)
    if changed.startswith(b"\x89PNG\r\n\x1a\n") and rng.random() < 0.7:
        return _fix_png_sums(changed)
    return changed


def _fix_png_sums(data):
    """Right check sums for a PNG's chunks, so that changes get past them."""
    fixed, at = bytearray(data[:8]), 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        fixed += make_chunk(data[at + 4 : at + 8], data[at + 8 : at + 8 + length])
        at += 12 + length
    return bytes(fixed)
