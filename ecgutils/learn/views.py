"""Flat pages varied at test time, as preprocessing might have handed them over. Never mirrored: another ECG."""

from dataclasses import dataclass

import cv2
import numpy as np

from ecgutils.geometry import frame_corners


@dataclass(frozen=True)
class View:
    """A small change of a flat page, as preprocessing might have handed it over.

    shift : (x, y) in hundredths of the width; scale : about the centre; keystone : how much longer the right side is
    than the left, as a rectification that is a little off leaves it; ink : factor of darkness.
    """

    shift: tuple[float, float] = (0.0, 0.0)
    scale: float = 1.0
    keystone: float = 0.0
    ink: float = 1.0

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Flat images uint8 (N, H, W), seen so; what comes in from outside is white."""
        if self == View():
            return images
        h, w = images.shape[1:]
        centre = np.array([(w - 1) / 2, (h - 1) / 2])
        corners = frame_corners((w, h)).astype(np.float32)
        sides = self.scale * (1 + self.keystone / 2 * np.array([[-1], [1], [1], [-1]]) * [[0, 1]])
        moved = centre + (corners - centre) * sides + np.array(self.shift) * w / 100
        matrix = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
        tone = np.clip(255 - (255 - np.arange(256)) * self.ink, 0, 255).round().astype(np.uint8)
        seen = [cv2.warpPerspective(image, matrix, (w, h), borderValue=255) for image in images]
        return np.stack([cv2.LUT(image, tone) for image in seen]) if seen else images


VIEWS = (
    View(),
    View(shift=(0.8, 0.4), ink=0.85),
    View(shift=(-0.8, -0.4), ink=1.2),
    View(scale=1.02, keystone=0.02),
    View(scale=0.98, keystone=-0.02),
)
