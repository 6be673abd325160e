"""Where on the page a score came from.

A map does not show that the model reads the ECG as a cardiologist does. Its grid is that of the model's last feature
map, one cell for 32 x 32 px of the flat page: good for "which lead", not for "which wave".
"""

import cv2
import numpy as np
import torch

from ecgutils.findings import FINDINGS
from ecgutils.learn.model import ECGModel, to_ink


def heat_maps(model: ECGModel, images: np.ndarray, finding: str) -> np.ndarray:
    """How much each place raised the logit of `finding`: float32 (N, H, W), 0 and up, of flat images uint8 (N, H, W).

    Gradient times feature, summed over channels (HiResCAM, Draelos and Carin 2020, arXiv 2011.08891): a head that keeps
    places weighs V1 otherwise than aVF, which Grad-CAM's mean of the gradient over the page would mix.

    Raises ValueError for an unknown finding or images of another size than the model's.
    """
    if finding not in FINDINGS:
        raise ValueError(f"Unknown finding {finding!r}; choose from {', '.join(FINDINGS)}.")
    was_training = model.training
    model.eval()
    with torch.no_grad():  # only the head's gradient is needed, so the backbone keeps nothing for it
        features = model.features(to_ink(images, model.mean.device))
    features.requires_grad_()
    logits = model.head(features)[:, FINDINGS.index(finding)]
    (gradient,) = torch.autograd.grad(logits.sum(), features)
    model.train(was_training)
    maps = torch.relu((features * gradient).sum(1)).detach().cpu().numpy()  # (N, h, w)
    height, width = model.input_size
    return np.stack([cv2.resize(m, (width, height), interpolation=cv2.INTER_LINEAR) for m in maps])


def heat_on_photo(heat: np.ndarray, image_from_flat: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Carry a flat page's heat (H, W) back onto its photo of `size` (W, H); float32, 0 where the page doesn't reach.

    image_from_flat : (H, W, 2), as in `FlatECG`: where each flat pixel lies in the photo. It may be any smooth map.
    """
    width, height = size
    reduce = max(1.0, max(size) / max(heat.shape))  # on this copy flat pixels lie about 1 px apart
    small = (int(np.ceil(height / reduce)), int(np.ceil(width / reduce)))
    x, y = np.rint(image_from_flat.reshape(-1, 2).T / reduce).astype(int)
    inside = (x >= 0) & (y >= 0) & (x < small[1]) & (y < small[0])
    total, count = np.zeros(small, np.float32), np.zeros(small, np.float32)
    np.add.at(total, (y[inside], x[inside]), heat.ravel()[inside])
    np.add.at(count, (y[inside], x[inside]), 1)
    total, count = (cv2.GaussianBlur(a, (0, 0), 2) for a in (total, count))  # fills the gaps between flat pixels
    spread = np.divide(total, count, out=np.zeros(small, np.float32), where=count > 0.05)
    return cv2.resize(spread, size, interpolation=cv2.INTER_LINEAR)
