"""Pages, scans and photos of ECGs, drawn with the truth about every pixel.

sources/     what each source prints, and what happens to its pages
style.py     one page's style, drawn from that; where each lead goes
page.py      the flat page; scan-like sources   photo.py      the photo-like source
ink.py       lines, letters and their colour    lettering.py  print and handwriting on the page
scene.py     desk, papers, labels, fingers      camera.py     viewpoint and bent paper
effects.py   blur, noise, sensor, JPEG          rendered.py   image, geometry and truth
truth.py     the truth as a file                generate.py   a whole image set with its manifest
"""

from ecgutils.synth.generate import generate_images
from ecgutils.synth.page import render_page, render_scan
from ecgutils.synth.photo import EFFECTS, render_photo
from ecgutils.synth.rendered import Lens, Projection, Rendered, Surface
from ecgutils.synth.sources import PHOTO_SOURCE, SCAN_SOURCES, SOURCES
from ecgutils.synth.style import LAYOUTS, PageStyle, draw_style
from ecgutils.synth.truth import Truth, read_truth
