"""From a photo of a printed ECG to a flat, upright, evenly lit image of fixed scale, with a judgement.

decode.py    files, read safely              pages.py       which files and pages a user means
page.py      the sheet in the scene          grid.py        the printed grid: homography and px/mm
phase.py     its waves: their scale, and bent paper by their phase
traces.py    where the traces are            appearance.py  light
plane.py     one resampling, and the flat page on its canvas: FlatECG
judge.py     reasons and quality             pipeline.py    the stages: Preprocessor
cache.py     whole manifests on disk         review.py      pages of photos beside their flat pages
"""

from ecgutils.preprocess.cache import FlatCache, build_cache, correct_outline
from ecgutils.preprocess.decode import UnreadableImage, read_image
from ecgutils.preprocess.judge import REASONS
from ecgutils.preprocess.pipeline import Preprocessor, PreprocessSettings
from ecgutils.preprocess.plane import FlatECG
from ecgutils.preprocess.review import write_report
