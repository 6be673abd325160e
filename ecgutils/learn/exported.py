"""Classifiers that `export` wrote, as `predict` takes them: without PyTorch."""

from pathlib import Path

import joblib
import numpy as np

from ecgutils.findings import FINDINGS
from ecgutils.onnx import OnnxNetwork
from ecgutils.preprocess import PreprocessSettings
from ecgutils.reader.network import network

ONNX_NAME, READER_NAME = "model.onnx", "reader"
CPU_PIXELS = 2**20  # of a batch on a CPU: about what its cache holds; 64 pages of 768 x 384 at once take twice as long


class ExportedModel:
    """A classifier as an ONNX file; `settings`, `input_size` and `checkpoint` (its weights') as an ECGModel has them.

    exported : folder of the networks that read its pages. trained_on : what it learned from, in words.

    Raises as `OnnxNetwork` does, and ValueError for other findings, or pages of another size than the network's.
    """

    def __init__(self, folder: Path, exported: Path) -> None:
        self._network, self.exported = OnnxNetwork(folder / ONNX_NAME, joblib.cpu_count()), exported
        facts, reads = self._network.facts, self._network.shape[1:]
        try:
            self.settings = PreprocessSettings.from_dict(facts["preprocess"])
            self.checkpoint, self.trained_on = (folder.resolve(), facts["sha256"]), facts["trained_on"]
            findings, self.input_size = tuple(facts["findings"]), self.settings.size[::-1]  # (H, W) px
            if (findings, self.input_size) != (FINDINGS, reads):
                raise ValueError(f"{findings} of pages of {self.input_size}, not {FINDINGS} of {reads}")
        except (KeyError, TypeError, ValueError) as error:
            what = f"What lies beside {folder / ONNX_NAME} does not describe it"
            raise ValueError(f"{what} ({error}): export it again.") from None

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Logits float32 (N, 5) of flat pages uint8 (N, H, W)."""
        step = max(1, CPU_PIXELS // int(np.prod(self.input_size)))
        return np.concatenate([self._network(images[i : i + step])[0] for i in range(0, max(1, len(images)), step)])


def load_exported(folder: str | Path) -> list[ExportedModel]:
    """All classifiers of a folder that `export` wrote; FileNotFoundError for another, and as ExportedModel raises."""
    folder = Path(folder).absolute()
    found = sorted(folder.rglob(ONNX_NAME))
    if not found or not (folder / READER_NAME).is_dir():
        raise FileNotFoundError(f"{folder} is no folder that export wrote: give one that it did write.")
    for name in ("reader", "legend"):
        network(name, folder / READER_NAME)  # what is wrong with it is said before the first photo
    return [ExportedModel(path.parent, folder / READER_NAME) for path in found]
