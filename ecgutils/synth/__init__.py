"""Pages, scans and photos of ECGs, drawn with the truth about every pixel.

page.py      the flat page: grid, text, traces            layout.py   where each lead goes
style.py     what each named source prints                scan.py     scan-like sources
photo.py     the photo-like source                        camera.py   perspective and bent paper
generate.py  a whole image set with its manifest          effects.py  blur, noise, JPEG, light fields
"""

from ecgutils.synth.generate import generate_images
from ecgutils.synth.layout import LAYOUTS
from ecgutils.synth.page import render_page
from ecgutils.synth.photo import EFFECTS, render_photo
from ecgutils.synth.rendered import Projection, Rendered, Surface
from ecgutils.synth.scan import render_scan
from ecgutils.synth.style import PHOTO_SOURCE, SCAN_SOURCES, SOURCES, PageStyle, draw_style

__all__ = [
    "EFFECTS",
    "LAYOUTS",
    "PHOTO_SOURCE",
    "SCAN_SOURCES",
    "SOURCES",
    "PageStyle",
    "Projection",
    "Rendered",
    "Surface",
    "draw_style",
    "generate_images",
    "render_page",
    "render_photo",
    "render_scan",
]
