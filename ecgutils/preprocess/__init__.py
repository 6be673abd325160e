"""From a photo of a printed ECG to a flat, upright, evenly lit image of fixed scale, with a judgement.

decode.py      safe reading             grid.py    the printed grid: homography and px/mm
page.py        the sheet in the scene   appearance.py   light, grid suppression, ink
traces.py      what is a trace          pipeline.py     the stages in order: Preprocessor
cache.py       whole manifests on disk
"""

from ecgutils.preprocess.cache import FlatCache, build_cache
from ecgutils.preprocess.decode import UnreadableImage, read_image
from ecgutils.preprocess.pipeline import FlatECG, Preprocessor, PreprocessSettings

__all__ = [
    "FlatCache",
    "FlatECG",
    "PreprocessSettings",
    "Preprocessor",
    "UnreadableImage",
    "build_cache",
    "read_image",
]
