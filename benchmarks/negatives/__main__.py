"""A contact sheet of all kinds of pictures that are no ECG: python benchmarks/negatives OUT.png [SEED]"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from negatives import KINDS, draw_negative


def main() -> int:
    """Write a contact sheet of all kinds."""
    columns, side, rng = 7, 360, np.random.default_rng(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    sheet = np.full((-(-len(KINDS) // columns) * (side + 24), columns * side, 3), 255, np.uint8)
    for i, name in enumerate(KINDS):
        image, cover = draw_negative(name, rng)
        scale = (side - 8) / max(image.shape[:2])
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        y, x = i // columns * (side + 24), i % columns * side
        sheet[y + 22 : y + 22 + small.shape[0], x : x + small.shape[1]] = small
        label = name + ("" if cover is None else " (ECG)")
        cv2.putText(sheet, label, (x, y + 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return 0 if cv2.imwrite(sys.argv[1], sheet[..., ::-1]) else 1


if __name__ == "__main__":
    sys.exit(main())
