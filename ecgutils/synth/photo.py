"""The photo-like source: a printed page, lit and photographed with a phone."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from ecgutils.signals.record import Record
from ecgutils.synth.camera import NodeGrid, aim, draw_surface, scaled_projection
from ecgutils.synth.effects import add_noise, blur, jpeg, motion_blur, smooth_field
from ecgutils.synth.page import render_page
from ecgutils.synth.rendered import Projection, Rendered, apply_homography
from ecgutils.synth.scan import check_size
from ecgutils.synth.style import PHOTO_SOURCE, draw_style

DEFAULT_PHOTO_SIZE = (1280, 704)  # the shape of a challenge photo (3460 x 1900)
EFFECTS = (
    "framing", "perspective", "bend", "crease", "light", "colour", "shadow", "glare",
    "blur", "noise", "jpeg", "rotation",
)  # fmt: skip
Severity = float | dict[str, float] | None


def draw_severity(rng: np.random.Generator, severity: Severity) -> dict[str, float]:
    """Severity of each of EFFECTS.

    None draws each one (a fifth are 0, the others uniform in 0..1; quarter turns are always possible); a float sets
    all; a dict sets the effects it names and leaves the others at 0. A value outside 0..1 or an unknown effect raises
    ValueError.
    """
    drawn = np.where(rng.random(len(EFFECTS)) < 0.2, 0.0, rng.random(len(EFFECTS)))
    if severity is None:
        return {**dict(zip(EFFECTS, map(float, drawn), strict=True)), "rotation": 1.0}
    given = severity if isinstance(severity, dict) else dict.fromkeys(EFFECTS, severity)
    for name, value in given.items():
        if name not in EFFECTS:
            raise ValueError(f"Unknown photo effect {name!r}; choose from {', '.join(EFFECTS)}.")
        if not 0 <= value <= 1:
            raise ValueError(f"Severity of {name} must be between 0 and 1, got {value}.")
    return {name: float(given.get(name, 0.0)) for name in EFFECTS}


def render_photo(
    record: Record, rng: np.random.Generator, severity: Severity = None, size: tuple[int, int] | None = None
) -> Rendered:
    """Draw a record as a phone photo.

    Parameters
    ----------
    severity : how strong each effect is, see `draw_severity`. Every effect has its own random stream, so changing one
        severity leaves all else as it was; at 0 the result is the flat page.
    size : (W, H) of the upright photo, default 1280 x 704. A photo turned by 90 or 270 degrees is (H, W).
    """
    size = check_size(DEFAULT_PHOTO_SIZE if size is None else size)
    strength = draw_severity(rng, severity)
    streams = {name: np.random.default_rng(int(rng.integers(2**63))) for name in EFFECTS}
    style = draw_style(rng, PHOTO_SOURCE, size[0] / size[1])

    to_image_mm, camera_mm, close = aim(streams["framing"], style, size, strength["framing"], strength["perspective"])
    ppm = _scale_at_centre(to_image_mm, style.width_mm / 2, style.height_mm / 2)
    surface_mm = draw_surface(streams["bend"], streams["crease"], style, strength["bend"], strength["crease"])
    page = render_page(record, rng, style, ppm)
    projection = scaled_projection(to_image_mm, surface_mm, camera_mm, ppm)

    nodes = NodeGrid(projection, size)
    on_page = _on_page(nodes, page.page_size)
    image = _scene(rng, size, nodes, on_page)
    image, mask = _photograph(page, projection, nodes, image)
    image = _light(image, nodes, on_page, projection, streams, strength)
    image = _capture(image, streams, strength)

    turn = 0  # clockwise quarter turns of the picture
    if streams["rotation"].random() < 0.12 * strength["rotation"]:
        turn = int(streams["rotation"].integers(1, 4))
    image, mask = (np.ascontiguousarray(np.rot90(a, -turn)) for a in (image, mask))
    projection = replace(projection, homography=_turn_matrix(turn, size) @ projection.homography)
    drawn = {"severity": strength, "close_up": close, "rotation": (-turn % 4) * 90}
    return replace(page, image=image, trace_mask=mask, projection=projection, style={**page.style, **drawn})


def _scale_at_centre(homography_mm: np.ndarray, x: float, y: float) -> float:
    """Image px per mm at page mm (x, y): the scale at which the page is drawn, so that none is larger than needed."""
    p = apply_homography(homography_mm, np.array([(x, y), (x + 1, y), (x, y + 1)]))
    a, b = p[1] - p[0], p[2] - p[0]
    return float(np.clip(np.sqrt(abs(a[0] * b[1] - a[1] * b[0])), 0.3, 40))


def _turn_matrix(turn: int, size: tuple[int, int]) -> np.ndarray:
    """Homography of np.rot90(image, -turn) for an upright image of `size`."""
    w, h = size
    return np.array(
        {
            0: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
            1: [[0, -1, h - 1], [1, 0, 0], [0, 0, 1]],
            2: [[-1, 0, w - 1], [0, -1, h - 1], [0, 0, 1]],
            3: [[0, 1, 0], [-1, 0, w - 1], [0, 0, 1]],
        }[turn],
        dtype=np.float64,
    )


def _on_page(nodes: NodeGrid, page_size: tuple[int, int]) -> np.ndarray:
    """Bool (ny, nx): does this node lie on the paper?"""
    x, y = nodes.page_xy[..., 0], nodes.page_xy[..., 1]
    return (x > -0.5) & (x < page_size[0] - 0.5) & (y > -0.5) & (y < page_size[1] - 0.5)


def _scene(rng: np.random.Generator, size: tuple[int, int], nodes: NodeGrid, on_page: np.ndarray) -> np.ndarray:
    """What the paper lies on (wood, cloth or a plain table), with the paper's contact shadow; uint8 (H, W, 3)."""
    child = np.random.default_rng(rng.integers(2**63))  # the same draws from `rng` whether or not any table is seen
    w, h = size
    if on_page.all():
        return np.zeros((h, w, 3), np.uint8)
    ny, nx = on_page.shape
    kind = str(child.choice(["wood", "cloth", "plain"]))
    if kind == "wood":
        colour = np.array([(150, 105, 65), (96, 64, 42), (188, 158, 120), (120, 110, 100)][child.integers(4)])
        grain = cv2.resize(child.standard_normal((ny // 2, 4), dtype=np.float32), (nx, ny))
        texture = 0.10 * grain + 0.04 * smooth_field(child, (nx, ny), 9)
    elif kind == "cloth":
        colour = np.array([(58, 96, 130), (40, 52, 80), (120, 140, 142), (205, 205, 200)][child.integers(4)])
        texture = 0.10 * smooth_field(child, (nx, ny), 5) + 0.05 * child.standard_normal((ny, nx), dtype=np.float32)
    else:
        colour = np.array([(225, 224, 218), (62, 62, 66), (150, 168, 165), (172, 150, 132)][child.integers(4)])
        texture = 0.03 * smooth_field(child, (nx, ny), 4)
    shadow = cv2.GaussianBlur(on_page.astype(np.float32), (0, 0), float(child.uniform(1.5, 5)))
    scene = colour * ((1 + texture) * (1 - 0.55 * shadow))[..., None]
    full = np.ascontiguousarray(nodes.enlarge(np.clip(scene, 0, 255).astype(np.uint8)))
    return add_noise(full, child, float(child.uniform(5, 12)), 0.7 * nodes.step / 4) if kind == "cloth" else full


def _photograph(
    page: Rendered, projection: Projection, nodes: NodeGrid, scene: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Lay page and trace mask, resampled once, over the scene."""
    layers = cv2.merge([page.image, page.trace_mask])
    below = cv2.merge([scene, np.zeros(scene.shape[:2], np.uint8)])
    if projection.surface.is_flat:
        warp = {"flags": cv2.INTER_LINEAR, "borderMode": cv2.BORDER_TRANSPARENT}
        out = cv2.warpPerspective(layers, projection.homography, nodes.size, dst=below, **warp)
    else:
        out = cv2.remap(layers, *nodes.maps(), cv2.INTER_LINEAR, dst=below, borderMode=cv2.BORDER_TRANSPARENT)
    return np.ascontiguousarray(out[..., :3]), np.ascontiguousarray(out[..., 3])


def _light(
    image: np.ndarray,
    nodes: NodeGrid,
    on_page: np.ndarray,
    projection: Projection,
    streams: dict[str, np.random.Generator],
    strength: dict[str, float],
) -> np.ndarray:
    """Everything that changes brightness or colour slowly, gathered in one gain and one veil and applied once."""
    if not any(strength[name] for name in ("bend", "crease", "light", "colour", "shadow", "glare")):
        return image
    ny, nx = on_page.shape
    v, u = np.meshgrid(np.linspace(-ny / nx, ny / nx, ny, dtype=np.float32), np.linspace(-1, 1, nx, dtype=np.float32),
                       indexing="ij")  # fmt: skip
    gain = np.ones((ny, nx, 3), np.float32)
    veil = np.zeros((ny, nx), np.float32)  # light added on top, 0..1
    gain *= _lamp(streams["light"], strength["light"], u, v)[..., None]
    if strength["light"]:  # stray light lifts the blacks
        veil += strength["light"] * streams["light"].uniform(0.02, 0.2)
    gain *= _cast(streams["colour"], strength["colour"], u, v)
    gain *= _shadow(streams["shadow"], strength["shadow"], u, v)[..., None]

    if not projection.surface.is_flat:  # paper turned to the lamp is brighter, turned away darker
        angle = streams["crease"].uniform(0, 2 * np.pi)
        slope = projection.surface.slope(
            nodes.page_xy[..., 0], nodes.page_xy[..., 1], (float(np.cos(angle)), float(np.sin(angle)))
        )
        gain *= np.where(on_page, np.clip(1 + 0.6 * slope, 0.6, 1.12), 1)[..., None]
    veil = np.clip(veil + _glare(streams["glare"], strength["glare"], u, v), 0, 0.95)

    coded = np.clip(np.round(gain * (1 - veil)[..., None] * 170), 0, 255).astype(np.uint8)
    image = cv2.multiply(image, nodes.enlarge(coded), scale=1 / 170)
    if veil.any():
        tint = np.clip(gain / np.maximum(gain.max(axis=2, keepdims=True), 1e-3), 0, 1)  # the veil has the light's hue
        level = 170 + 80 * np.clip(veil * 2, 0, 1)[..., None]
        image = cv2.add(image, nodes.enlarge((level * veil[..., None] * tint).astype(np.uint8)))
    return image


def _lamp(rng: np.random.Generator, s: float, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Exposure, falloff from a lamp, and vignetting."""
    x, y = rng.uniform(-1.2, 1.2, 2)
    height = rng.uniform(0.8, 2.0)
    falloff = (1 + ((u - x) ** 2 + (v - y) ** 2) / height**2) ** (-rng.uniform(0.2, 1.0) * s)
    vignette = 1 - s * rng.uniform(0, 0.25) * (u**2 + v**2) / 1.3
    light = falloff * vignette
    exposure = 1 - s * rng.uniform(0.05, 0.4)  # phones meter white paper as grey: its mean ends well below white
    return np.minimum(light / light.mean() * exposure, 1.08)


def _cast(rng: np.random.Generator, s: float, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Colour of the light, which may change over the picture (lamp on one side, window on the other)."""
    tints = np.array([(1, 0.88, 0.68), (1, 0.94, 0.84), (0.86, 0.94, 1), (0.9, 1, 0.94), (1, 0.9, 0.94)], np.float32)
    first, second = tints[rng.integers(len(tints), size=2)]
    if rng.random() < 0.6:
        second = first
    angle = rng.uniform(0, 2 * np.pi)
    mix = np.clip(0.5 + 0.5 * (u * np.cos(angle) + v * np.sin(angle)), 0, 1)[..., None].astype(np.float32)
    return 1 - s * (1 - (first * mix + second * (1 - mix)))


def _shadow(rng: np.random.Generator, s: float, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Soft shadow of a head, arm or phone: the dark side of a wavy line, or a blob."""
    angle, at = rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 0.8)
    along = -u * np.sin(angle) + v * np.cos(angle)
    across = u * np.cos(angle) + v * np.sin(angle) - at + 0.12 * np.sin(rng.uniform(1, 4) * along + rng.uniform(0, 6))
    if rng.random() < 0.4:  # limited in width: an arm
        across = rng.uniform(0.15, 0.4) - np.abs(across)
    dark = 1 / (1 + np.exp(np.clip(-across / rng.uniform(0.02, 0.2), -30, 30)))
    return 1 - s * rng.uniform(0.15, 0.55) * dark


def _glare(rng: np.random.Generator, s: float, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Specular patches of lamp or window on glossy paper."""
    glare = np.zeros_like(u)
    for _ in range(int(rng.integers(1, 3))):
        angle, x, y = rng.uniform(0, np.pi), rng.uniform(-1, 1), rng.uniform(-0.6, 0.6)
        a = ((u - x) * np.cos(angle) + (v - y) * np.sin(angle)) / rng.uniform(0.15, 0.7)
        b = (-(u - x) * np.sin(angle) + (v - y) * np.cos(angle)) / rng.uniform(0.08, 0.3)
        glare += s * rng.uniform(0.15, 0.75) * np.exp(-((a**2 + b**2) ** 0.8)).astype(np.float32)
    return glare


def _capture(image: np.ndarray, streams: dict[str, np.random.Generator], strength: dict[str, float]) -> np.ndarray:
    """Lens, shake, sensor and file: defocus and motion blur, noise, JPEG. Lengths scale with the image."""
    scale = max(image.shape) / DEFAULT_PHOTO_SIZE[0]
    rng, s = streams["blur"], strength["blur"]
    image = blur(image, scale * s * rng.uniform(0.3, 1.5))
    if rng.random() < 0.35:
        image = motion_blur(image, scale * s * rng.uniform(1, 7), rng.uniform(0, np.pi))
    rng, s = streams["noise"], strength["noise"]
    if s:
        image = add_noise(image, rng, s * rng.uniform(2, 14), grain_px=0.6 * scale)
    rng, s = streams["jpeg"], strength["jpeg"]
    if s:
        image = jpeg(image, round(96 - s * rng.uniform(20, 65)))
    return image
