"""The gallery of the documentation: a picture of every image source, photo effect and reason, drawn and read anew.

`gallery()` returns the page and its pictures. A picture that stands for a reason is read, and has to get it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import nbformat
import numpy as np
from PIL import Image

from ecgutils.hearts import simulate
from ecgutils.preprocess import REASONS, FlatECG, Preprocessor
from ecgutils.synth import EFFECTS, PHOTO_SOURCE, SOURCES, PageStyle, Rendered, render_page, render_photo, render_scan
from ecgutils.synth.photo import Severity

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 760  # px, of a picture on the page
Files = dict[str, bytes]

SOURCE_WORDS = {
    "vector": "Export of a viewing program: crisp, everything set by a machine; nothing happened to it.",
    "office": "A cart's printout on a flatbed scanner: askew, paper tone, the lid's shadow, dust, JPEG.",
    "fax": "Photocopy or fax: grey or black and white, speckle, dropped lines, smudges.",
    "thermal": "A narrow thermal roll: faded in patches, yellowed, dead dots of the print head.",
    "archive": "Years in a folder: typed, yellowed, stamped, punched, written on, then scanned.",
    "photo": "A page under a phone, with all effects below drawn at random.",
}

# What each effect does; those in DETAIL are seen only from close by, so a part of the photo is shown enlarged.
EFFECT_WORDS = {
    "framing": "the page moves, turns and shrinks in the frame, or runs out of it",
    "perspective": "the phone is held askew",
    "lens": "straight lines bow; phones correct most of it, so little is seen",
    "bend": "the paper curls",
    "crease": "folds with worn ink along them",
    "crumple": "the paper was crushed and flattened again",
    "stain": "rings of a cup and dried spills",
    "clutter": "labels, other papers and fingers on the page",
    "light": "a lamp on one side, dark corners, exposure, stray light",
    "colour": "the colour of lamp and window",
    "shadow": "of a head, an arm or the phone",
    "glare": "a lamp's reflection on glossy paper",
    "moire": "bands where a screen's pixels beat with the sensor's",
    "blur": "out of focus, or shaken",
    "noise": "of a sensor in poor light",
    "sharpen": "light and dark rims along edges, as phones make them",
    "jpeg": "a small file",
    "rotation": "quarter turns; at any strength most photos have none, this one does",
}
DETAIL = ("moire", "blur", "noise", "sharpen", "jpeg")
# of the photo that shows each effect: found by looking
EFFECT_SEEDS = dict.fromkeys(EFFECTS, 9) | {"crease": 3, "stain": 17, "clutter": 6, "glare": 8, "blur": 17, "noise": 6}
EFFECT_SEEDS |= {"sharpen": 35, "jpeg": 35, "rotation": 17}
STRIP = PageStyle(source=PHOTO_SOURCE, width_mm=260, height_mm=150, footer_mm=8, font="sans-bold")


@dataclass(frozen=True)
class Example:
    """How an image with one reason comes about: `make(folder)` returns what is read, and is shown if an array is.

    corners : as `Preprocessor` takes them; they are drawn on the picture.
    """

    said: str
    make: Callable[[Path], Path | np.ndarray]
    corners: tuple[tuple[int, int], ...] | None = None


def page(seed: int = 0, px_per_mm: float = 5.0, **style: object) -> Rendered:
    """A flat page of a simulated heart, without what happens to paper; `style` as in PageStyle."""
    rng = np.random.default_rng(seed)
    fixed = {"height_mm": 190.0, "header_mm": 20.0, "footer_mm": 8.0, "font": "serif"}
    return render_page(simulate(rng, set()), rng, PageStyle(**{**fixed, **style}), px_per_mm)


def photo(seed: int, severity: Severity = None, style: PageStyle | None = None) -> np.ndarray:
    """A photo of a simulated heart's page, uint8 RGB."""
    rng = np.random.default_rng(seed)
    return render_photo(simulate(rng, set()), rng, severity, style=style).image


def _covered() -> np.ndarray:
    """A note over V1 to V3."""
    drawn = page(3, layout="3x4")
    boxes = np.stack([drawn.lead_boxes[lead] for lead in ("V1", "V2", "V3")])
    x0, y0, x1, y1 = (*boxes[:, :2].min(0).astype(int), *boxes[:, 2:].max(0).astype(int))
    drawn.image[y0 - 20 : y1 + 20, x0 + 8 : x1 - 4] = (250, 240, 150)
    return drawn.image


def _one_row() -> np.ndarray:
    drawn = page(layout="12x1")
    return drawn.image[: int(drawn.lead_boxes["aVR"][1])]


def _letter() -> np.ndarray:
    text = np.full((600, 900, 3), 255, np.uint8)
    for i in range(18):
        cv2.putText(text, "nothing on this page is a trace of a heart", (30, 30 + 32 * i), 0, 1, (0, 0, 0), 2)
    return text


def _scaled(px_per_mm: float) -> np.ndarray:
    image = page().image
    return cv2.resize(image, None, fx=px_per_mm / 5, fy=px_per_mm / 5, interpolation=cv2.INTER_AREA)


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _half_a_file(path: Path) -> Path:
    whole = _jpeg(page().image)
    return _write(path, whole[: len(whole) // 2])


def _bomb(path: Path) -> Path:
    Image.new("1", (20_000, 20_000)).save(path)
    return path


def _locked(path: Path) -> Path:
    """A PDF of one empty page that names a lock."""
    lock = f"/Encrypt<</Filter/Standard/V 1/R 2/P -4/O<{'11' * 32}>/U<{'22' * 32}>>>/ID[<00><00>]"
    body = "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    body += "3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]>>endobj\n"
    return _write(path, f"{body}trailer<</Root 1 0 R/Size 4{lock}>>\n%%EOF".encode())


EXAMPLES = {
    "missing": Example("A path that leads nowhere.", lambda at: at / "none.png"),
    "not_a_file": Example("A folder.", lambda at: at),
    "empty_file": Example("A file of 0 bytes.", lambda at: _write(at / "empty.png", b"")),
    "cannot_decode": Example("The first half of a JPEG.", lambda at: _half_a_file(at / "half.jpg")),
    "password": Example("A PDF that names a lock.", lambda at: _locked(at / "locked.pdf")),
    "too_large": Example(
        "A PNG of a few kB whose header says 20,000 x 20,000 px: refused before it is decoded.",
        lambda at: _bomb(at / "bomb.png"),
    ),
    "too_small": Example("A thumbnail, 90 px wide (shown larger).", lambda at: _scaled(90 / 279.4)),
    "bad_array": Example("An array of floating-point numbers.", lambda at: np.zeros((9, 9))),
    "bad_outline": Example(
        "Corners given in the wrong order.",
        lambda at: photo(2, {"framing": 0.5}),
        ((500, 80), (80, 80), (500, 640), (80, 640)),
    ),
    "too_narrow": Example(
        "One row, 40 times as long as high.", lambda at: np.tile(page(layout="3x4+1").image[720:790], (1, 2, 1))
    ),
    "not_an_ecg": Example("A page of text.", lambda at: _letter()),
    "not_12_leads": Example("The first three rows of a 12x1 page.", lambda at: _one_row()),
    "mirrored": Example("A page, mirrored.", lambda at: np.ascontiguousarray(page().image[:, ::-1])),
    "leads_missing": Example("A note lies on V1 to V3.", lambda at: _covered()),
    "coarse": Example("A page of 1.6 px/mm: read, with a warning. Below 1.2 it is refused.", lambda at: _scaled(1.6)),
    "several_ecgs": Example(
        "Two pages, one above the other.",
        lambda at: np.concatenate([page(seed, 4.5, layout="3x4+1").image for seed in (5, 6)]),
    ),
    "leads_assumed": Example("Names of 0.9 mm.", lambda at: page(name_mm=0.9).image),
    "speed_unsure": Example(
        "50 mm/s, without a legend or a pulse.",
        lambda at: page(speed=50.0, header_mm=0.0, footer_mm=0.0, calibration="none").image,
    ),
    "no_page": Example("No grid, and no edge of the paper in the picture.", lambda at: page(grid="none").image),
    "grid_not_found": Example(
        "Blank paper on a desk.",
        lambda at: photo(9, {"framing": 0.7}, replace(STRIP, grid="none")),
    ),
    "scale_unsure": Example(
        "A cart's dotted grid: the 5 mm boxes are paler than the dots.", lambda at: photo(3, {"framing": 0.5})
    ),
    "cut_off": Example("Both ends lie outside.", lambda at: page().image[:, 150:1250]),
    "glare": Example(
        "A lamp's reflection over V3.", lambda at: photo(8, {"framing": 0.3, "light": 0.5, "glare": 1.0}, STRIP)
    ),
    "blurred": Example("Out of focus by 0.8 mm.", lambda at: cv2.GaussianBlur(page().image, (0, 0), 4)),
    "too_dark": Example("An eighth of the light.", lambda at: (page().image * 0.12).astype(np.uint8)),
}
NOT_DRAWN = {
    "no_permission": "depends on who reads the file: an administrator may read all",
    "needs_pypdfium2": "comes only where pypdfium2 is not installed",
    "needs_pillow_heif": "comes only where pillow-heif is not installed",
}


def read_example(code: str) -> tuple[FlatECG, np.ndarray | None]:
    """Read the example of a reason, and its picture; AssertionError if it does not get the reason."""
    example = EXAMPLES[code]
    with tempfile.TemporaryDirectory() as folder:
        source = example.make(Path(folder))
        corners = None if example.corners is None else np.array(example.corners, float)
        flat = Preprocessor()(source, quad_xy=corners)
    assert code in [reason.split(" ")[0] for reason in flat.reasons], f"{code}: its example got {flat.reasons}"
    shown = source if isinstance(source, np.ndarray) and source.ndim == 3 else None
    if corners is not None:
        cv2.polylines(shown, [corners.astype(np.int32)], True, (220, 30, 30), 4, cv2.LINE_AA)
    return flat, shown


def _jpeg(image: np.ndarray) -> bytes:
    """uint8 RGB (H, W, 3) as the bytes of a JPEG."""
    return cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


def _fit(image: np.ndarray, width: int = WIDTH) -> np.ndarray:
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def _answer(flat: FlatECG) -> str:
    """What reading a picture gave, in one line."""
    said = ", ".join(f"`{reason}`" for reason in flat.reasons) or "no reason against it"
    return f"Read, quality {flat.quality:.2f}: {said}.\n" if flat.readable else f"Refused: {said}.\n"


def _effect(name: str) -> tuple[np.ndarray, FlatECG]:
    """The same photo without an effect and with it at full strength, side by side, and what the second one gives."""
    framed = {} if name == "framing" else {"framing": 0.5}
    both = [photo(EFFECT_SEEDS[name], {**framed, **more}, STRIP) for more in ({}, {name: 1.0})]
    flat = Preprocessor()(both[1])
    if name in DETAIL:
        both = [image[250:450, 500:800] for image in both]
    both = [_fit(image, WIDTH // 2 - 4) for image in both]
    sheet = np.full((max(map(len, both)), WIDTH, 3), 255, np.uint8)
    sheet[: len(both[0]), : WIDTH // 2 - 4], sheet[: len(both[1]), WIDTH // 2 + 4 :] = both
    return sheet, flat


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _figure(name: str, alt: str) -> str:
    return f"![{alt}](gallery/{name})\n"


def notebook_figures(path: Path) -> Iterator[tuple[str, str]]:
    """The heading above each picture that a committed notebook shows, and the picture's name as nbconvert gives it."""
    heading = path.stem
    for i, cell in enumerate(nbformat.read(path, 4).cells):
        if cell.cell_type == "markdown":
            heading = next((line.lstrip("# ") for line in cell.source.splitlines() if line.startswith("#")), heading)
        for j, output in enumerate(cell.get("outputs", [])):
            for kind, ending in (("image/png", "png"), ("image/jpeg", "jpg")):
                if kind in output.get("data", {}):
                    yield heading, f"output_{i}_{j}.{ending}"


def gallery(pictures: float = np.inf) -> tuple[str, Files]:
    """The page as Markdown, and its pictures by name. pictures : draw only so many of each kind, the first ones."""
    files: Files = {}
    intro = """# Gallery

Every picture here was drawn while this site was built, from fixed seeds; the hearts are simulated. Below each stands
what the pre-processing said when it read it.
"""
    parts = (_sources(files, pictures), _effects(files, pictures), _reasons(files, pictures), _figures())
    return "\n".join([intro, *(line for part in parts for line in part)]), files


def _sources(files: Files, pictures: float) -> Iterator[str]:
    yield "## Image sources\n\n`python -m ecgutils generate` draws a heart in each of these.\n"
    for i, name in enumerate(SOURCES):
        yield f"### {name} {{#source-{name}}}\n\n{SOURCE_WORDS[name]}\n"
        if i < pictures:
            rng = np.random.default_rng(4)
            record = simulate(rng, set())
            drawn = render_photo(record, rng) if name == PHOTO_SOURCE else render_scan(record, rng, name)
            files[f"source-{name}.jpg"] = _jpeg(_fit(drawn.image))
            yield _figure(f"source-{name}.jpg", f"a page of the source {name}")
            yield _answer(Preprocessor()(drawn.image))


def _effects(files: Files, pictures: float) -> Iterator[str]:
    yield (
        "## Photo effects\n\nEach alone: without it on the left, at full strength on the right, the last ones from"
        " close by. `render_photo` takes the strength of each, 0 to 1. What they cost is measured, see "
        "[What was measured](../benchmarks/README.md#weights-of-simulated-hearts-alone).\n"
    )
    for i, name in enumerate(EFFECTS):
        yield f"### {name} {{#effect-{name}}}\n\n{_sentence(EFFECT_WORDS[name])}\n"
        if i < pictures:
            both, flat = _effect(name)
            files[f"effect-{name}.jpg"] = _jpeg(both)
            yield _figure(f"effect-{name}.jpg", f"a photo without and with {name}")
            yield _answer(flat)


def _reasons(files: Files, pictures: float) -> Iterator[str]:
    yield (
        "## Reasons\n\nWhat `predict` and `preprocess` say about a photo, and what helps. Each example was read, and"
        " got its reason.\n"
    )
    for i, (code, words) in enumerate(REASONS.items()):
        yield f"### {code} {{#reason-{code}}}\n\n{_sentence(words)}\n"
        if code in NOT_DRAWN:
            yield f"No example: it {NOT_DRAWN[code]}.\n"
        elif i < pictures:
            flat, image = read_example(code)
            yield f"Example{'' if image is not None else ', without a picture'}: *{EXAMPLES[code].said}*\n"
            if image is not None:
                files[f"reason-{code}.jpg"] = _jpeg(_fit(image))
                yield _figure(f"reason-{code}.jpg", f"an image that gets the reason {code}")
            yield _answer(flat)


def _figures() -> Iterator[str]:
    yield "## Figures of the notebooks\n\nAs they are committed.\n"
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        yield f"### {path.stem} {{#{path.stem}}}\n\nFrom [the notebook](../notebooks/{path.name}).\n"
        for heading, name in notebook_figures(path):
            yield f"**{heading}**\n\n![{heading}](../notebooks/{path.stem}_files/{name})\n"
