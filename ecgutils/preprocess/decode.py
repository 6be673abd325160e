"""Read an image file, or check an array, into uint8 RGB; anything doubtful is refused with a reason. And which files a
user means who names files, folders and patterns.

PIL decodes, because it raises where OpenCV returns None or half an image. Two gaps of its `load` are closed here: it
does not check the checksums of a PNG's pixel data, and other code may have set its switch LOAD_TRUNCATED_IMAGES.
HEIC, which phones write, needs pillow-heif. It is optional, because its wheels carry a GPL encoder.
"""

import contextlib
import glob
import os
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps

# No format that starts an outside program (EPS) or reads other files.
FORMATS = ("PNG", "JPEG", "BMP", "DIB", "TIFF", "WEBP", "GIF")
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
    Arrays are uint8 (H, W) or (H, W, 3) RGB. Of several frames the first is read; grey of 16 bits has 8, 12 or 16, as
    its largest value says.

    Raises UnreadableImage with reason "missing", "no_permission", "not_a_file", "empty_file", "too_large" (more than
    `max_pixels`, of WebP MAX_WEBP_PIXELS, read from the header before any pixel), "pdf", "needs_pillow_heif" (a HEIC
    photo, and no decoder), "cannot_decode" (also: truncated, bad checksum) or "bad_array".
    """
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim < 2 or source.shape[2:] not in ((), (3,)) or source.size == 0:
            raise UnreadableImage("bad_array", f"{source.dtype} {source.shape} given: give uint8 (H, W) or (H, W, 3).")
        if source.shape[0] * source.shape[1] > max_pixels:
            raise UnreadableImage("too_large", f"Image array {source.shape} has more than max_pixels={max_pixels}.")
        return np.ascontiguousarray(source if source.ndim == 3 else np.stack([source] * 3, axis=-1))
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
        head, formats = file.read(12), FORMATS
        if head.startswith(b"%PDF-"):
            raise UnreadableImage("pdf", f"{path} is a PDF: save its page as an image, PNG or JPEG.")
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


def files_named(given: list[str], recursive: bool) -> list[Path]:
    """Files as named, then of a folder or a pattern those that aren't there yet; what gives no file is a row itself."""
    photos: list[Path] = []
    for name in given:
        if os.path.isdir(name):
            found = files_in(Path(name), recursive)
        elif not os.path.lexists(name) and glob.has_magic(name):
            found = [Path(match) for match in sorted(glob.glob(name, recursive=True)) if os.path.isfile(match)]
        else:
            photos.append(Path(name))
            continue
        if not found:
            warnings.warn(f"{name} gives no file.", stacklevel=2)
        there = set(photos)
        photos += [path for path in found or [Path(name)] if path not in there]
    return photos


def files_in(folder: Path, recursive: bool) -> list[Path]:
    """The files of a folder, whatever they are, but not those that lie beside an image of the same name."""

    def refused(error: OSError) -> None:
        warnings.warn(f"{error.filename} can't be looked into: {error.strerror}.", stacklevel=2)

    found: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=refused):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if folders and not recursive:
            warnings.warn(f"{len(folders)} sub-folder(s) of {place} are not read; --recursive does.", stacklevel=2)
            folders.clear()
        paths = [Path(place, name) for name in sorted(names) if not name.startswith(".")]
        named = {path.stem for path in paths if path.suffix.lower() in SUFFIXES}
        found += [path for path in paths if path.suffix.lower() in SUFFIXES or path.stem not in named]
    return found
