"""From a photo of a printed ECG to a flat, upright, evenly lit image of fixed scale, with a judgement.

decode.py    files, read safely              grid.py        the printed grid: homography and px/mm
page.py      the sheet in the scene          phase.py       its waves: their scale, and bent paper by their phase
traces.py    what is a trace                 appearance.py  light, grid suppression, ink
judge.py     reasons and quality             upright.py     which way up
plane.py     one resampling, and the flat page on its canvas: FlatECG
pipeline.py  the stages: Preprocessor
cache.py     whole manifests on disk         report.py      their review as one HTML page
"""

from ecgutils.preprocess.cache import FlatCache, build_cache, correct_outline
from ecgutils.preprocess.decode import UnreadableImage, read_image
from ecgutils.preprocess.judge import REASONS
from ecgutils.preprocess.pipeline import Preprocessor, PreprocessSettings
from ecgutils.preprocess.plane import FlatECG
from ecgutils.preprocess.report import write_report
