"""A local web page that reads photos as `predict` does: outline, flat page, probabilities, reasons, heat by lead.

NiceGUI (the extra `app`) draws it and brings its own scripts and fonts, so nothing leaves the machine. Visitors share
the models; photos are read one after the other, whoever sent them. An upload lies under a name of ours in its
visitor's own temporary folder, which goes when the visitor does; its own name is only ever shown.
"""

import asyncio
import base64
import io
import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import pandas as pd
from nicegui import app, run, ui
from nicegui.events import MouseEventArguments, MultiUploadEventArguments
from starlette.middleware.trustedhost import TrustedHostMiddleware

from ecgutils.answers import prepare
from ecgutils.evaluate import Calibration, heat_by_lead
from ecgutils.findings import DISCLAIMER, FINDING_NAMES, FINDINGS, LEADS
from ecgutils.geometry import frame_corners, read_corners, thumbnail
from ecgutils.learn import SHIPPED, ECGModel, heat_maps, read_photos
from ecgutils.manifest import image_ids
from ecgutils.plots import plot_reading
from ecgutils.preprocess import REASONS, FlatECG, UnreadableImage, read_image
from ecgutils.preprocess.pages import pages_of

HOST = "127.0.0.1"
MAX_BYTES = 64 * 2**20  # of a file; pixels are limited by the decoder
MAX_PAGES = 50  # of a file
_RECONNECT = 60.0  # s that a visitor whose line broke keeps the photos
_SIDE = 1200  # px of the longer side of a photo as it is sent to the browser
_CORNERS = ("TL", "TR", "BR", "BL")
_TOO_LARGE = f"A file of over {MAX_BYTES >> 20} MB is not read: reduce it."
_PASTE = (
    "document.addEventListener('paste', e => e.clipboardData.files.length"
    " && runMethod({}, 'addFiles', [e.clipboardData.files]))"
)


def _url(image: np.ndarray) -> str:
    """uint8 (H, W), without loss, or RGB (H, W, 3) as a picture that a page can hold."""
    kind, shown = ("png", image) if image.ndim == 2 else ("jpeg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return f"data:image/{kind};base64,{base64.b64encode(cv2.imencode(f'.{kind}', shown)[1]).decode()}"


def _bar(name: str, share: float, text: str) -> None:
    """A row of a name, a bar of `share` (0..1) and the number as text."""
    with ui.row().classes("w-full items-center no-wrap gap-2 bar"):
        ui.label(name).classes("w-2/5 max-w-xs shrink-0")
        ui.linear_progress(share, show_value=False, size="14px").classes("grow").props("aria-hidden=true")
        ui.label(text).classes("min-w-20 text-right tabular-nums whitespace-nowrap value")


def _text(x: float, y: float, text: str, size: float, color: str, more: str = "") -> str:
    """SVG of a text with a white rim; it is a name of ours, for nothing is escaped."""
    look = f'font-size="{size}" fill="{color}" stroke="#fff" stroke-width="{size / 5}" paint-order="stroke" {more}'
    return f'<text x="{x}" y="{y}" {look}>{text}</text>'


@dataclass(frozen=True)
class Reader:
    """What visitors share: models, their calibration, where both come from in words, a folder, and turns to take."""

    models: Sequence[ECGModel]
    calibration: Calibration | None
    origin: str
    folder: str
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def do(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """The result of `work`, done in a thread, so that the page lives on, when no other work is."""
        async with self.turn:
            return await run.io_bound(work, *arguments)

    def read(self, page: Path, quad_xy: np.ndarray | None) -> tuple[dict[str, Any], FlatECG, np.ndarray | None, float]:
        """A page's row of `predict`'s table and flat page; the photo, reduced, uint8 (h, w, 3), or None, and its scale.

        quad_xy (4, 2) as `Preprocessor` takes it. What can't be read doesn't raise.
        """
        how = {"raw": self.calibration is None, "calibration": self.calibration, "progress": False}
        quads = {} if quad_xy is None else {"": quad_xy}
        ((row, flat),) = read_photos(self.models, [page], quads=quads, ids=[""], **how)
        try:
            return row, flat, *thumbnail(read_image(page), _SIDE)
        except UnreadableImage:  # the row says why
            return row, flat, None, 1.0

    def heat(self, flat: FlatECG, finding: str) -> pd.DataFrame:
        """`heat_by_lead` of the first model, whose flat page it is."""
        return heat_by_lead(heat_maps(self.models[0], flat.image[None], finding)[0], flat.lead_boxes)

    def overlay(self, page: Path, flat: FlatECG, row: dict[str, Any]) -> bytes:
        """The PNG that `predict --overlay` draws."""
        content = io.BytesIO()
        plot_reading(page, flat, row).savefig(content, format="png")
        return content.getvalue()


class Outline:
    """A photo whose four corners are moved: by mouse, by finger, or as eight numbers."""

    def __init__(
        self, photo: np.ndarray, scale: float, found: np.ndarray | None, again: Callable[[np.ndarray | None], Any]
    ) -> None:
        self.scale, self.size = scale, np.array(photo.shape[1::-1])
        corners = frame_corners(self.size / scale) if found is None else found
        self.quad_xy, self.held = np.rint(np.asarray(corners, float)), None
        ui.label("No outline found: set one" if found is None else "Outline on the photo").classes("font-bold")
        how = {"on_mouse": self.move, "events": ["mousedown", "mousemove", "mouseup"]}
        self.picture = (
            ui.interactive_image(_url(photo), **how)
            .classes("w-full cursor-crosshair photo")
            .props("role=img aria-label=outline")
        )
        ui.label("Wrong? Click where a corner belongs, or drag it: the nearest one moves. TL to TR is the page's top.")
        label = "corners x,y of TL, TR, BR, BL in px"
        self.numbers = ui.input(label).classes("w-full").on("blur", self.typed).on("keydown.enter", self.typed)
        self.said = ui.label().classes("font-bold break-all").props("role=alert")
        with ui.row():
            ui.button("Read again", on_click=lambda: self.typed() and again(self.quad_xy))
            ui.button("Find outline", on_click=lambda: again(None))
        self.draw()

    def draw(self) -> None:
        """Show the corners as they are now."""
        unit, points = max(self.size) / 25, self.quad_xy * self.scale
        shape = " ".join(f"{x:.0f},{y:.0f}" for x, y in points)
        top = " ".join(f"{x:.0f},{y:.0f}" for x, y in points[:2])
        svg = f'<polygon points="{shape}" fill="none" stroke="#00a651" stroke-width="{unit / 8}"/>'
        svg += f'<polyline points="{top}" stroke="#dc0000" stroke-width="{unit / 4}"/>'
        marks = np.clip(points, 0, self.size)  # a corner may lie outside the photo
        inside = np.clip(points, unit, self.size - unit)
        for name, (x, y), (text_x, text_y) in zip(_CORNERS, marks, inside, strict=True):
            svg += f'<circle cx="{x}" cy="{y}" r="{unit / 3}" fill="#fff" stroke="#000" stroke-width="{unit / 10}"/>'
            svg += _text(text_x, text_y + unit / 3, name, unit, "#000", "text-anchor='middle' font-weight='bold'")
        self.picture.set_content(svg)
        self.said.set_text("")
        self.numbers.set_value(",".join(f"{value:.0f}" for value in self.quad_xy.ravel()))

    def move(self, event: MouseEventArguments) -> None:
        """Take the nearest corner, and let it follow until the button is up."""
        at = np.array([event.image_x, event.image_y]) / self.scale
        if event.type == "mousedown":
            self.held = int(np.linalg.norm(self.quad_xy - at, axis=1).argmin())
        elif event.type == "mousemove" and not event.buttons:
            self.held = None
        if self.held is not None:
            self.quad_xy[self.held] = np.rint(at)
            self.draw()
        if event.type == "mouseup":
            self.held = None

    def typed(self) -> bool:
        """Take the corners from the numbers; whether they are an outline. If not, one sentence says why."""
        try:
            self.quad_xy = read_corners(self.numbers.value)
        except ValueError as error:
            self.said.set_text(str(error))
            return False
        self.draw()
        return True


class Photo:
    """One photo's card on its visitor's page."""

    def __init__(self, reader: Reader, page: Path, name: str) -> None:
        self.reader, self.page, self.name = reader, page, name
        self.row: dict[str, Any] | None = None  # of what was read
        self.card = ui.card().classes("w-full reading")
        self._head()

    async def read(self, quad_xy: np.ndarray | None = None) -> None:
        """Read it, with another outline too, and show what came of it."""
        if self.card.is_deleted:  # the visitor left
            return
        with self.card, ui.row().classes("items-center"):
            ui.spinner()
            ui.label("Being read; photos take turns.")
        try:
            row, flat, photo, scale = await self.reader.do(self.reader.read, self.page, quad_xy)
        except Exception as error:  # of this photo; the others go on
            logging.exception("a photo could not be read")
            self.refuse(f"Reading it failed ({error}): this is a mistake of ours.")
            return
        if self.card.is_deleted:
            return
        self.row = row
        self._head()
        with self.card:
            self._verdict()
            with ui.element("div").classes("grid grid-cols-1 md:grid-cols-2 gap-6 w-full"):
                if photo is not None:
                    with ui.column().classes("w-full min-w-0"):
                        Outline(photo, scale, flat.quad_xy, self.read)
                        ui.button("Overlay as PNG", icon="download", on_click=lambda: self._overlay(flat))
                if row["readable"]:
                    with ui.column().classes("w-full min-w-0"):
                        self._page(flat)
                        self._heat(flat)

    def refuse(self, why: str) -> None:
        """Say why it is not read."""
        self._head()
        with self.card:
            ui.label(why).classes("refused")

    def _head(self) -> None:
        self.card.clear()
        with self.card:
            ui.label(self.name).classes("text-lg font-bold break-all name")

    def _verdict(self) -> None:
        row = self.row
        if row["readable"]:
            for finding in FINDINGS:
                _bar(f"{FINDING_NAMES[finding]} ({finding})", float(row[finding]), f"{row[finding]:.3f}")
            ui.label(self.reader.origin)
            ui.label(f"Quality {row['quality']:.2f} of 1, a plausibility that was not validated.")
        if row["reasons"]:
            ui.label("Doubts" if row["readable"] else "Not read: why, and what helps").classes("font-bold")
            with ui.element("ul").classes("list-disc pl-6 reasons"):
                for reason in row["reasons"].split(";"):
                    with ui.element("li"):
                        ui.label(f"{reason}: {REASONS[reason.split(' ')[0]]}")

    def _page(self, flat: FlatECG) -> None:
        ui.label("Flat page, as the model sees it").classes("font-bold")
        svg = ""
        for name, (x0, y0, x1, y1) in flat.lead_boxes.items():
            svg += f'<rect x="{x0}" y="{y0}" width="{x1 - x0}" height="{y1 - y0}" fill="none" stroke="#4477aa" '
            svg += 'stroke-width=".5"/>' + _text(x0 + 1, y0 + 10, name.replace("_", " "), 11, "#1d4f91")
        ui.interactive_image(_url(flat.image), content=svg).classes("w-full")
        seen = {name.split("_")[0] for name in flat.lead_boxes}
        found, missing = ([lead for lead in LEADS if (lead in seen) == wanted] for wanted in (True, False))
        layout = f"; layout {flat.layout}" if flat.layout else ""
        ui.label(f"Leads found: {', '.join(found)}; missing: {', '.join(missing) or 'none'}{layout}.").classes("leads")

    def _heat(self, flat: FlatECG) -> None:
        ui.label("Heat by lead").classes("font-bold")
        ui.label("Share of what raised a score, and how many times its share of the page.")
        with ui.row().classes("gap-2"):
            for finding in FINDINGS:
                ui.button(finding, on_click=lambda finding=finding: show(finding)).props("dense padding='4px 8px'")
        place = ui.column().classes("w-full gap-1 heat")

        async def show(finding: str) -> None:
            table = await self.reader.do(self.reader.heat, flat, finding)
            place.clear()
            with place:
                if table["heat"].isna().all():
                    ui.label(f"Nothing on the page raised {finding}.")
                    return
                ui.label(f"{FINDING_NAMES[finding]}: which lead, not which wave")
                for row in table[table["area"] > 0].itertuples():
                    _bar(row.lead, row.heat, f"{row.heat:.0%}, {row.ratio:.1f}x")

    async def _overlay(self, flat: FlatECG) -> None:
        ui.download.content(await self.reader.do(self.reader.overlay, self.page, flat, self.row), "overlay.png")


class Visitor:
    """One visitor's page, with the photos of that visitor alone."""

    def __init__(self, reader: Reader) -> None:
        self.reader, self.numbers = reader, count()
        self.photos: list[Photo] = []
        self.folder = TemporaryDirectory(dir=reader.folder)
        ui.context.client.on_delete(self.folder.cleanup)
        ui.colors(primary="#2272c3")  # white on it, and it on black, can be read
        ui.add_css(".q-uploader__subtitle { display: none }")  # of bytes
        with ui.footer().classes("bg-grey-10 text-white p-2"):
            ui.label(DISCLAIMER).classes("text-sm")
        with ui.column().classes("w-full max-w-screen-xl mx-auto"):
            ui.label("Read photos of paper ECGs").classes("text-2xl").props("role=heading aria-level=1")
            ui.label("Drop, paste or choose photos or PDFs of 12-lead ECGs. Nothing leaves this machine.")
            limits = {"max_file_size": MAX_BYTES, "on_rejected": lambda: ui.notify(_TOO_LARGE, type="warning")}
            self.upload = ui.upload(multiple=True, auto_upload=True, on_multi_upload=self.take, **limits)
            self.upload.props('label="Drop photos here, or press +"').classes("w-full")
            ui.button("Answers as CSV", icon="download", on_click=self.save)
            self.list = ui.column().classes("w-full")
        ui.run_javascript(_PASTE.format(self.upload.id))

    async def take(self, event: MultiUploadEventArguments) -> None:
        """Keep what was uploaded, and read it page by page."""
        self.upload.reset()
        new = []
        for file in event.files:
            if self.list.is_deleted:  # the visitor left, and the folder with it
                return
            kept = Path(self.folder.name, str(next(self.numbers)))
            with self.list:
                if file.size() > MAX_BYTES:
                    Photo(self.reader, kept, file.name).refuse(_TOO_LARGE)
                    continue
                await file.save(kept)
                pages = await self.reader.do(pages_of, kept)
                names = [file.name + page.name.removeprefix(kept.name) for page in pages[:MAX_PAGES]]
                new += [Photo(self.reader, *known) for known in zip(pages, names, strict=False)]
                if len(pages) > MAX_PAGES:
                    Photo(self.reader, kept, file.name).refuse(f"Only its first {MAX_PAGES} pages are read: split it.")
        self.photos += new
        for photo in new:
            await photo.read()

    def save(self) -> None:
        """Hand out the rows of all photos that were read, as `predict --out` writes them."""
        read = [photo for photo in self.photos if photo.row]
        if not read:
            ui.notify("No photo was read yet.", type="warning")
            return
        table = pd.DataFrame([photo.row for photo in read])
        table["ID"] = image_ids([Path(photo.name) for photo in read])
        ui.download.content(table.to_csv(index=False), "answers.csv")


def serve(port: int) -> None:
    """Load what ships and serve the page at `port` of this machine alone, until interrupted.

    Raises OSError where the port is not free.
    """
    try:
        socket.create_server((HOST, port)).close()
    except (OSError, OverflowError) as error:
        raise OSError(f"Port {port} can't be used ({error}): give another --port.") from None
    folder = TemporaryDirectory(prefix="ecgutils-")
    app.on_shutdown(folder.cleanup)  # a server that is killed gets no further
    reader = Reader(*prepare(SHIPPED), folder.name)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])  # no other name leads here
    ui.run(
        lambda: Visitor(reader), host=HOST, port=port, title="ECG photos", dark=None, reload=False,
        reconnect_timeout=_RECONNECT,
    )  # fmt: skip
