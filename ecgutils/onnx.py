"""Networks as ONNX files, run by onnxruntime: PyTorch, which takes seconds to import, isn't needed."""

import json
from pathlib import Path

import numpy as np

from ecgutils.files import content_hash


class OnnxNetwork:
    """A network that `ecgutils.export` wrote: `network(array)` is the list of its outputs; on the CPU.

    path : the .onnx file; a .json file of the same name holds its `facts`. threads : of this network.

    Raises ValueError where the two aren't there, whole and of one export; ModuleNotFoundError without onnxruntime.
    """

    def __init__(self, path: Path, threads: int) -> None:
        import onnxruntime  # an extra

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads leave the cores alone
        try:
            self.facts = json.loads(path.with_suffix(".json").read_text())
            if self.facts["onnx_sha256"] != content_hash(path):
                raise ValueError("its sha256 is another")
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's are of many kinds, none of them public
            reason = (str(error).splitlines() or [""])[0]
            what = f"{path} with its .json is not a network that export wrote ({type(error).__name__}: {reason})"
            raise ValueError(f"{what}: export it again.") from error
        self._input = self._session.get_inputs()[0]
        self.shape: tuple[int | str, ...] = tuple(self._input.shape)  # of its input, a name where any length will do

    def __call__(self, array: np.ndarray) -> list[np.ndarray]:
        return self._session.run(None, {self._input.name: array})
