"""Read an image file, or check an array, into uint8 RGB; anything doubtful is refused with a reason.

PIL decodes, because it raises where OpenCV returns None or half an image. Two gaps of its `load` are closed here: it
does not check the checksums of a PNG's pixel data, and other code may have set its switch LOAD_TRUNCATED_IMAGES.
HEIC, which phones write, needs pillow-heif. It is optional, because its wheels carry a GPL encoder.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps

# No format that starts an outside program (EPS) or reads other files.
FORMATS = ("PNG", "JPEG", "BMP", "DIB", "TIFF", "WEBP", "GIF", "HEIF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".gif", ".heic", ".heif")
MAX_PIXELS = 120_000_000  # 360 MB as RGB; a challenge photo has 6.6 million
MAX_WEBP_PIXELS = 80_000_000  # its decoder holds four copies of four bytes a pixel: 1.3 GB
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

    Arrays may be (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA of bool, uint8, uint16 (of 8, 12 or 16 bits, as
    the largest value says) or float (0..1, or 0..255). Of several frames the first is read.

    Raises
    ------
    UnreadableImage : reason "missing", "no_permission", "not_a_file", "empty_file", "too_large" (more than
        `max_pixels`, of WebP MAX_WEBP_PIXELS, read from the header before any pixel), "pdf", "needs_pillow_heif" (a
        HEIC photo, and the optional decoder is not installed), "cannot_decode" (also: truncated, bad checksum) or
        "bad_array".
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, max_pixels)
    path = Path(source)
    try:
        if not path.exists():
            raise UnreadableImage("missing", f"There is no file {path}: check the path.")
        if not path.is_file():
            raise UnreadableImage("not_a_file", f"{path} is a folder or a special file: give the path of an image.")
        if path.stat().st_size == 0:
            raise UnreadableImage("empty_file", f"{path} is empty (0 bytes): copy or download it again.")
        return _decode(path, max_pixels)
    except UnreadableImage:
        raise
    except PermissionError as error:
        raise UnreadableImage("no_permission", f"{path} may not be read by this user: change its rights.") from error
    except Image.DecompressionBombError as error:
        raise UnreadableImage("too_large", f"{path} is too large: {error}; reduce it first.") from error
    except Exception as error:  # the decoders raise OSError, SyntaxError, struct.error, ... on damaged files
        raise UnreadableImage("cannot_decode", f"{path} cannot be read as an image: {error}.") from error


def _decode(path: Path, max_pixels: int) -> np.ndarray:
    # a file object, for Pillow maps the memory of an uncompressed TIFF's path and then turns it wrongly
    with open(path, "rb") as file:
        head = file.read(12)
        if head.startswith(b"%PDF-"):
            raise UnreadableImage("pdf", f"{path} is a PDF: save its page as an image, PNG or JPEG.")
        if head[4:8] == b"ftyp" and head[8:] in _HEIC_BRANDS:
            _register_heif(path)
        Image.init()  # Pillow stumbles over the name of a format whose plugin is not registered
        formats = [name for name in FORMATS if name in Image.OPEN]
        truncated_allowed, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
        try:
            image = Image.open(file, formats=formats)
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


def _register_heif(path: Path) -> None:
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise UnreadableImage(
            "needs_pillow_heif", f"{path} is a HEIC photo: pip install pillow-heif, or save it as JPEG."
        ) from None
    register_heif_opener()


def _to_rgb(image: Image.Image) -> np.ndarray:
    """Band by band: PIL's and numpy's whole copies of an image just under the limit would take 4 GB."""
    width, height = image.size
    rows = max(1, _BAND_PIXELS // width)

    def bands() -> Iterator[tuple[int, Image.Image]]:
        for top in range(0, height, rows):
            yield top, image.crop((0, top, width, min(top + rows, height)))

    numbers = image.mode in ("I", "F") or image.mode.startswith("I;16")  # grey of 16 or 32 bits
    largest = max(_largest(np.asarray(band)) for _, band in bands()) if numbers else 0
    rgb = np.empty((height, width, 3), np.uint8)
    for top, band in bands():
        if numbers:
            part = _eight_bit(np.asarray(band), largest)[..., None]
        elif image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
            part = _over_white(band.convert("RGBA"))
        else:
            part = np.asarray(band.convert("RGB"))
        rgb[top : top + rows] = part
    return rgb


def _over_white(rgba: Image.Image) -> np.ndarray:
    white = Image.new("RGB", rgba.size, "white")
    white.paste(rgba, mask=rgba.getchannel("A"))
    return np.array(white)


def _largest(values: np.ndarray) -> float:
    return float(values.max(where=np.isfinite(values), initial=0))


def _eight_bit(values: np.ndarray, largest: float) -> np.ndarray:
    """Floats 0..1 or 0..255, or integers 0..65535, as uint8.

    Integers whose largest value fits into 8 or 12 bits have no more than these.
    """
    if values.dtype.kind == "f":
        white = 1 if largest <= 1 else 255
    else:
        white = 255 if largest <= 255 else 4095 if largest <= 4095 else 65535
    scaled = np.where(np.isfinite(values), values, 0).astype(np.float64)  # in place from here: it may be 120 Mpx
    scaled *= 255 / white
    return np.rint(np.clip(scaled, 0, 255, out=scaled), out=scaled).astype(np.uint8)


def _from_array(array: np.ndarray, max_pixels: int) -> np.ndarray:
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or array.size == 0:
        raise UnreadableImage("bad_array", f"Image array has shape {array.shape}; give (H, W), (H, W, 3) or (H, W, 4).")
    if array.shape[0] * array.shape[1] > max_pixels:
        raise UnreadableImage("too_large", f"Image array {array.shape} has more than max_pixels={max_pixels}.")
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    elif array.dtype == np.uint16 or array.dtype.kind == "f":
        array = _eight_bit(array, _largest(array))
    elif array.dtype != np.uint8:
        raise UnreadableImage("bad_array", f"Image array has dtype {array.dtype}; give uint8, uint16, bool or float.")
    if array.shape[2] == 4:
        return _over_white(Image.fromarray(array))
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))
