"""Image effects shared by the scan-like and the photo-like sources. All work on uint8 images and, to save memory, where
they can on the image itself: use what they return."""

import cv2
import numpy as np


def smooth_field(rng: np.random.Generator, size: tuple[int, int], cells: float) -> np.ndarray:
    """Smooth random float32 (H, W) field of mean 0 and about unit SD, with `cells` bumps along the longer side."""
    nx, ny = (max(2, round(cells * side / max(size))) + 2 for side in size)
    coarse = rng.standard_normal((ny, nx), dtype=np.float32)
    return cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC) * np.float32(1.4)


def multiply_field(image: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Multiply by a low-resolution gain (h, w, 3) in 0..1.5, enlarged in uint8, which is fast."""
    coded = np.clip(np.round(gain * 170), 0, 255).astype(np.uint8)
    full = cv2.resize(coded, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return cv2.multiply(image, full, dst=image, scale=1 / 170)


_NOISE_ROWS = 192  # an image takes its noise in bands of this height from one tile of twice the height


def add_noise(image: np.ndarray, rng: np.random.Generator, sigma: float, grain_px: float = 0.0) -> np.ndarray:
    """Add noise of `sigma` grey levels to `image`; `grain_px` > 0 blurs it, as demosaicing does, and keeps its SD."""
    h, w = image.shape[:2]
    shape = (min(2 * _NOISE_ROWS, h + 64), w + 64, *image.shape[2:])
    raw = rng.integers(0, 2**64, -(-int(np.prod(shape)) // 8), dtype=np.uint64)  # uniform bytes: SD 73.9
    tile = raw.view(np.uint8)[: int(np.prod(shape))].reshape(shape)
    sd = 73.9
    if grain_px > 0:
        tile = cv2.GaussianBlur(tile, (0, 0), grain_px)
        sd = float(tile[:64, :64].std()) + 1e-6
    gain = sigma / sd
    for y in range(0, h, _NOISE_ROWS):
        band = image[y : y + _NOISE_ROWS]
        y0, x0 = (int(rng.integers(n + 1)) for n in (len(tile) - len(band), 64))
        cv2.addWeighted(band, 1.0, tile[y0 : y0 + len(band), x0 : x0 + w], gain, -127.5 * gain, dst=band)
    return image


def sense(image: np.ndarray, rng: np.random.Generator, sigma: float) -> np.ndarray:
    """Look at an RGB image through a Bayer sensor of noise `sigma`: one colour per pixel, the others interpolated. As
    in a camera, a faint blur before the sensor keeps fine lines from turning into coloured fringes."""
    image = cv2.GaussianBlur(image, (3, 3), 0.7, dst=image)
    raw = np.empty(image.shape[:2], np.uint8)
    for y, x, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        raw[y::2, x::2] = image[y::2, x::2, channel]
    return cv2.cvtColor(add_noise(raw, rng, sigma), cv2.COLOR_BayerRGGB2RGB, dst=image)


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """Encode as JPEG and decode again, RGB in and out."""
    code = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, int(quality)])[1]
    image = cv2.imdecode(code, cv2.IMREAD_COLOR)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur, none below 0.2 px; its kernel ends at two sigma, not at OpenCV's three: two thirds of the time."""
    if sigma < 0.2:
        return image
    side = 2 * max(1, round(2 * sigma)) + 1
    return cv2.GaussianBlur(image, (side, side), sigma)


def motion_blur(image: np.ndarray, length_px: float, angle: float) -> np.ndarray:
    """Straight motion blur of `length_px` in direction `angle` (radians); below 1 px nothing is done."""
    if length_px < 1:
        return image
    n = 2 * int(np.ceil(length_px / 2)) + 1
    kernel = np.zeros((n, n), np.uint8)
    half = length_px / 2 * np.array([np.cos(angle), np.sin(angle)])
    a, b = (np.round(16 * (n // 2 + s * half)).astype(int).tolist() for s in (-1, 1))
    cv2.line(kernel, a, b, 255, 1, cv2.LINE_AA, 4)
    return cv2.filter2D(image, -1, kernel.astype(np.float32) / kernel.sum())
