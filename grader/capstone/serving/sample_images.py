"""Images to send to a server that need no package of drawings: good ones, and some that are not what they say."""

from __future__ import annotations

import io
import random
import struct
import zlib


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG of some tens of bytes whose head claims this many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)  # 8 bits, red, green, blue and opacity
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def synthetic_png(seed: int, side: int = 72) -> bytes:
    """A drawing of nothing in particular, with opacity: a disc and a bar in colours that `seed` chooses."""
    from PIL import Image, ImageDraw

    chance = random.Random(seed)
    image = Image.new("RGBA", (side, side))
    pen = ImageDraw.Draw(image)
    for shape in (pen.ellipse, pen.rectangle):
        left, top = chance.randrange(side // 2), chance.randrange(side // 2)
        colour = tuple(chance.randrange(256) for _ in range(3))
        shape((left, top, left + side // 3, top + side // 3), fill=colour)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def scrambled(png: bytes) -> bytes:
    """The same PNG with pixels that cannot be unpacked."""
    place = png.index(b"IDAT") + 8
    return png[:place] + b"\xff" * 16 + png[place + 16 :]
