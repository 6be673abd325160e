"""Read an image file, or check an array, into uint8 RGB; anything doubtful is refused with a reason.

PIL decodes, because it raises where OpenCV returns None or half an image. Two gaps of its `load` are closed here: it
does not check the checksums of a PNG's pixel data, and other code may have set its switch LOAD_TRUNCATED_IMAGES.
HEIC, which phones write, needs pillow-heif. It is optional, because its wheels carry a GPL encoder. PDFium draws PDFs.
"""

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFile, ImageOps

from ecgutils.files import page_of

# No format that starts an outside program (EPS) or reads other files.
FORMATS = ("PNG", "JPEG", "BMP", "DIB", "TIFF", "WEBP", "GIF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".gif", ".heic", ".heif", ".pdf")
MAX_PIXELS = 120_000_000  # 360 MB as RGB; a challenge photo has 6.6 million
MAX_WEBP_PIXELS = 80_000_000  # its decoder holds four copies of four bytes a pixel: 1.3 GB
PDF_DPI = 300  # 11.8 px/mm
MAX_PDF_PIXELS = 35_000_000  # A2 at PDF_DPI; a page that is larger is a photo whose pixels were taken for points
_PDF_END = 2048  # bytes; an end mark further off is another one's, for the file was cut off
_BAND_PIXELS = 4_000_000
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")  # ISO 23008-12, annex B and 10


class UnreadableImage(ValueError):
    """No pixels could be had. `reason` is a short code (see `read_image`), the message one sentence."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def read_image(source: str | Path | np.ndarray, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a path or an array as uint8 RGB (H, W, 3), EXIF orientation applied, transparency over white.

    A HEIC photo is turned as its own rotation property says; its EXIF orientation only repeats that (ISO 23008-12).
    Arrays are uint8 (H, W) or (H, W, 3) RGB. Of several pages or frames the first is read, or the one that is named
    (`files.page_of`); a PDF's is drawn at PDF_DPI, coarser where that is over MAX_PDF_PIXELS or `max_pixels`. Grey of
    16 bits has 8, 12 or 16, as its largest value says.

    Raises UnreadableImage with reason "missing" (the file, or this page of it), "no_permission", "not_a_file",
    "empty_file", "too_large" (more than `max_pixels`, of WebP MAX_WEBP_PIXELS, read from the header before any pixel),
    "needs_pillow_heif" (a HEIC photo, and no decoder), "needs_pypdfium2" (the same for a PDF), "password",
    "cannot_decode" (also: truncated, bad checksum) or "bad_array".
    """
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim < 2 or source.shape[2:] not in ((), (3,)) or source.size == 0:
            raise UnreadableImage("bad_array", f"{source.dtype} {source.shape} given: give uint8 (H, W) or (H, W, 3).")
        if source.shape[0] * source.shape[1] > max_pixels:
            raise UnreadableImage("too_large", f"Image array {source.shape} has more than max_pixels={max_pixels}.")
        return np.ascontiguousarray(source if source.ndim == 3 else np.stack([source] * 3, axis=-1))
    path, number = page_of(source)
    try:
        if not path.exists():
            raise UnreadableImage("missing", f"There is no file {path}: check the path.")
        if not path.is_file():
            raise UnreadableImage("not_a_file", f"{path} is a folder or a special file: give the path of an image.")
        if path.stat().st_size == 0:
            raise UnreadableImage("empty_file", f"{path} is empty (0 bytes): copy or download it again.")
        return _decode(path, number or 1, max_pixels)
    except UnreadableImage:
        raise
    except PermissionError as error:
        raise UnreadableImage("no_permission", f"{path} may not be read by this user: change its rights.") from error
    except Image.DecompressionBombError as error:
        raise UnreadableImage("too_large", f"{path} is too large: {error}; reduce it first.") from error
    except Exception as error:  # the decoders raise OSError, SyntaxError, struct.error, ... on damaged files
        raise UnreadableImage("cannot_decode", f"{path} cannot be read as an image: {error}.") from error


def _decode(path: Path, number: int, max_pixels: int) -> np.ndarray:
    # a file object, for Pillow maps the memory of an uncompressed TIFF's path and then turns it wrongly
    with open(path, "rb") as file:
        head, formats = file.read(12), FORMATS
        if is_pdf(head):
            return _draw_pdf(path, number, max_pixels)
        if head[4:8] == b"ftyp" and head[8:] in _HEIC_BRANDS:
            try:
                from pillow_heif import register_heif_opener
            except ImportError:
                todo = "pip install pillow-heif, or save it as JPEG"
                raise UnreadableImage("needs_pillow_heif", f"{path} is a HEIC photo: {todo}.") from None
            register_heif_opener()
            formats = ("HEIF",)
        truncated_allowed, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
        try:
            image = Image.open(file, formats=formats)
            try:
                image.seek(number - 1)
            except EOFError:
                raise _no_page(path, number) from None
            limit = min(max_pixels, MAX_WEBP_PIXELS) if image.format == "WEBP" else max_pixels
            if image.width * image.height > limit:
                size = f"{image.width}x{image.height} pixels, more than max_pixels={limit}"
                raise UnreadableImage("too_large", f"{path} has {size}: reduce it first.")
            if image.format == "PNG":
                image.verify()  # of every chunk to the last; it spends the image
                image = Image.open(file, formats=formats)
            image.load()
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = truncated_allowed
        with contextlib.suppress(Exception):  # a damaged EXIF block does not make the pixels unreadable
            ImageOps.exif_transpose(image, in_place=True)
        return _to_rgb(image)


def is_pdf(head: bytes) -> bool:
    """Whether these first 12 bytes are a PDF's; some have a byte order mark or a line's end before them."""
    return head.lstrip(b"\xef\xbb\xbf\r\n ").startswith(b"%PDF-")


@contextlib.contextmanager
def open_pdf(path: Path) -> Iterator[Any]:
    """A `pypdfium2.PdfDocument`; raises UnreadableImage "needs_pypdfium2", "password" or "cannot_decode"."""
    try:
        import pypdfium2
    except ImportError:
        todo = "pip install pypdfium2, or save its pages as PNG"
        raise UnreadableImage("needs_pypdfium2", f"{path} is a PDF: {todo}.") from None
    with open(path, "rb") as file:  # PDFium repairs what was cut off, and half a page would look whole
        file.seek(max(0, os.path.getsize(path) - _PDF_END))
        if b"%%EOF" not in file.read():
            raise UnreadableImage("cannot_decode", f"{path} has no end: copy or download it again.")
    try:
        pdf = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        if error.err_code != pypdfium2.raw.FPDF_ERR_PASSWORD:
            raise UnreadableImage("cannot_decode", f"{path} cannot be read as a PDF: {error}") from error
        raise UnreadableImage("password", f"{path} is locked with a password: save it without one.") from error
    with contextlib.closing(pdf):
        yield pdf


def _draw_pdf(path: Path, number: int, max_pixels: int) -> np.ndarray:
    with open_pdf(path) as pdf:
        if number > len(pdf):
            raise _no_page(path, number)
        page = pdf[number - 1]
        width, height = page.get_size()  # points of 1/72 inch, as the page is turned
        scale = min(PDF_DPI / 72, math.sqrt(min(max_pixels, MAX_PDF_PIXELS) / (width * height)))
        return page.render(scale=scale, rev_byteorder=True).to_numpy().copy()  # the bitmap goes with the page


def _no_page(path: Path, number: int) -> UnreadableImage:
    return UnreadableImage("missing", f"There is no page {number} in {path}: it has fewer.")


def _to_rgb(image: Image.Image) -> np.ndarray:
    """Band by band: PIL's and numpy's whole copies of an image just under the limit would take 4 GB."""
    numbers = image.mode in ("I", "F") or image.mode.startswith("I;16")  # grey of 16 or 32 bits
    if numbers:
        image = image.convert("F")
        largest = image.getextrema()[1]
        white = next(level for level in (1, 255, 4095, 65535, largest) if largest <= level)
    transparent = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
    rgb = np.empty((image.height, image.width, 3), np.uint8)
    rows = max(1, _BAND_PIXELS // image.width)
    for top in range(0, image.height, rows):
        band = image.crop((0, top, image.width, min(top + rows, image.height)))
        if numbers:
            part = np.rint(np.clip(np.asarray(band, float) * (255 / white), 0, 255))[..., None]
        elif transparent:
            rgba, part = band.convert("RGBA"), Image.new("RGB", band.size, "white")
            part.paste(rgba, mask=rgba.getchannel("A"))
        else:
            part = band.convert("RGB")
        rgb[top : top + rows] = part
    return rgb
