"""From a photo of a printed ECG to a flat, upright, evenly lit image of fixed scale, with a judgement.

decode.py      files, read safely       grid.py    the printed grid: homography and px/mm
phase.py       bent paper, by the grid's phase          scale.py   how many mm a line's period is
page.py        the sheet in the scene   appearance.py   light, grid suppression, ink
traces.py      what is a trace          judge.py        reasons and quality
                                        upright.py      which way up
plane.py       one resampling           canvas.py       the flat page on its canvas: FlatECG
pipeline.py    the stages: Preprocessor
cache.py       whole manifests on disk  report.py       their review as one HTML page
named.py       the image files that a user names
"""

from ecgutils.preprocess.cache import FlatCache, build_cache, correct_outline
from ecgutils.preprocess.canvas import FlatECG
from ecgutils.preprocess.decode import UnreadableImage, read_image
from ecgutils.preprocess.judge import REASONS
from ecgutils.preprocess.pipeline import Preprocessor, PreprocessSettings
from ecgutils.preprocess.report import write_report
