"""The page of `python -m ecgutils app`, worked in a real browser as its users do."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ecgutils.__main__ import main
from ecgutils.findings import DISCLAIMER, FINDINGS
from ecgutils.geometry import read_corners
from ecgutils.learn import SHIPPED, predict
from ecgutils.preprocess import REASONS

pytest.importorskip("nicegui", reason="the extra app is not installed")
webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
in_browser = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium or chromedriver is not installed")
PHOTO = Path(__file__).parents[2] / "docs" / "photo.jpg"
FLAGS = (
    "headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
    "disable-component-update", "disable-sync", "window-size=1200,1000",
)  # fmt: skip
SLOW = 60  # s to wait at most; a photo takes two


def wait(condition):
    """What `condition` gives as soon as it is true, or the last that it gave."""
    end = time.monotonic() + SLOW
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


class User:
    """A browser of its own that has the page open."""

    def __init__(self, address, folder):
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for flag in (*FLAGS, f"user-data-dir={folder / 'profile'}"):
            options.add_argument(f"--{flag}")
        options.add_experimental_option("prefs", {"download.default_directory": str(folder)})
        options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
        self.browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
        self.folder, self.address = folder, address

    def open(self):
        self.browser.get(self.address)
        assert wait(lambda: self.all("input[type=file]"))
        return self

    def all(self, css):
        return self.browser.find_elements("css selector", css)

    def texts(self, css):
        """Of all elements, in one look: between two a card may be drawn anew."""
        return self.browser.execute_script(f"return [...document.querySelectorAll({css!r})].map(one => one.innerText)")

    def press(self, text):
        button = next(button for button in self.all("button") if button.text.lower().endswith(text.lower()))
        self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
        button.click()

    def choose(self, *paths):
        """Hand files over; the cards there are when all were read."""
        there = len(self.all(".reading"))
        self.all("input[type=file]")[0].send_keys("\n".join(map(str, paths)))
        wait(lambda: len(self.all(".reading")) >= there + len(paths) and not self.all(".q-spinner"))
        return self.all(".reading")

    def drop(self, path):
        """As the system's own drag and drop."""
        box = self.all(".q-uploader")[0].rect
        data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            at = {"type": kind, "x": box["x"] + 100, "y": box["y"] + 80, "data": data}
            self.browser.execute_cdp_cmd("Input.dispatchDragEvent", at)
            if kind == "dragOver":
                assert wait(lambda: self.all(".q-uploader__dnd"))
        wait(lambda: self.all(".reading") and not self.all(".q-spinner"))

    def download(self, text, name):
        self.press(text)
        assert wait((self.folder / name).is_file)
        return self.folder / name

    def probabilities(self):
        return self.texts(".reading > .bar .value")


@pytest.fixture(scope="module")
def address():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "ecgutils", "app", "--port", str(port)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTEST_CURRENT_TEST"}  # NiceGUI looks
    environment["BROWSER"] = "true"  # does nothing
    server = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    address = f"http://127.0.0.1:{port}/"

    def answers():
        try:
            return urllib.request.urlopen(address, timeout=5).status == 200
        except OSError:
            return server.poll() is not None

    wait(answers)
    assert server.poll() is None, server.stderr.read()
    yield address
    server.terminate()
    assert "Traceback" not in server.communicate(timeout=SLOW)[1]


@pytest.fixture(scope="module")
def users(address, tmp_path_factory):
    users = [User(address, tmp_path_factory.mktemp(name)) for name in ("one", "two")]
    yield users
    for user in users:
        user.browser.quit()


@pytest.fixture
def user(users):
    return users[0].open()


@pytest.fixture(scope="module")
def expected():
    return predict(SHIPPED, [PHOTO], progress=False)


def rounded(table):
    return [f"{p:.3f}" for p in table[list(FINDINGS)].iloc[0]]


@in_browser
def test_a_photo_that_is_dropped_gets_what_predict_says(user, expected):
    user.drop(PHOTO)
    assert user.probabilities() == rounded(expected)
    assert expected["calibrated_on"][0] in user.texts(".reading")[0]
    assert user.texts(".leads") == ["Leads found: I, II, III, aVR, aVL, aVF, V1, V2, V3, V4, V5, V6; missing: none; "
                                    "layout 3x4+1."]  # fmt: skip
    assert user.texts("footer") == [DISCLAIMER]
    table = pd.read_csv(user.download("Answers as CSV", "answers.csv"), keep_default_na=False)
    pd.testing.assert_frame_equal(table, expected, check_exact=True)
    with Image.open(user.download("Overlay as PNG", "overlay.png")) as overlay:
        assert overlay.size == (1400, 420)


@in_browser
def test_heat_by_lead_is_shown_for_the_finding_that_is_asked_for(user):
    user.choose(PHOTO)
    user.press("AF")
    wait(lambda: user.all(".heat .bar"))
    shares = [text.split("%")[0] for text in user.texts(".heat .value")]
    assert user.texts(".heat > div")[0].startswith("atrial fibrillation")
    assert len(shares) == 12
    assert sum(map(float, shares)) == pytest.approx(100, abs=6)


@in_browser
def test_a_corner_that_is_put_right_by_mouse_or_number_changes_the_answer(user, expected):
    user.choose(PHOTO)
    photo, before = user.all(".photo img")[0], user.probabilities()
    found = read_corners(user.all("input[type=text]")[0].get_attribute("value"))
    width, height = photo.size["width"], photo.size["height"]
    user.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", photo)
    mouse = webdriver.ActionChains(user.browser)
    mouse.move_to_element_with_offset(photo, 10 - width // 2, 10 - height // 2).click_and_hold()
    mouse.move_by_offset(width // 8, height // 8).release().perform()
    corners = user.all("input[type=text]")[0]
    wait(lambda: corners.get_attribute("value") != ",".join(f"{value:.0f}" for value in found.ravel()))
    time.sleep(0.5)  # the last of the moves
    moved = read_corners(corners.get_attribute("value"))
    assert moved[0] == pytest.approx(np.array([10 / width + 1 / 8, 10 / height + 1 / 8]) * (1280, 704), abs=8)
    np.testing.assert_array_equal(moved[1:], found[1:])
    user.press("Read again")
    assert wait(lambda: user.probabilities() not in (before, []))
    again = predict(SHIPPED, [PHOTO], progress=False, quads={"photo": moved})
    assert user.probabilities() == rounded(again) != before
    user.all("input[type=text]")[0].send_keys(",7", "\ue007")  # Enter
    assert wait(lambda: "eight numbers" in user.texts(".reading")[0])
    user.press("Find outline")
    assert wait(lambda: user.probabilities() == before)


@in_browser
def test_what_can_not_be_read_gets_a_sentence_and_the_others_are_read(user, tmp_path, expected):
    note, pdf = tmp_path / "note.txt", tmp_path / "two.pdf"
    note.write_text("no image")
    blank = Image.new("RGB", (200, 100), "white")
    blank.save(pdf, save_all=True, append_images=[blank])
    user.choose(note, pdf, PHOTO)
    assert user.texts(".name") == ["note.txt", "two.pdf#page=1", "two.pdf#page=2", "photo.jpg"]
    assert f"cannot_decode: {REASONS['cannot_decode']}" in user.texts(".reasons")[0]
    assert "not_an_ecg" in user.texts(".reasons")[1]
    assert user.probabilities() == rounded(expected)
    table = pd.read_csv(user.download("Answers as CSV", "answers (1).csv"))
    assert table["ID"].tolist() == ["note", "two-p1", "two-p2", "photo"]


@in_browser
def test_a_file_that_is_too_large_is_not_taken_even_past_the_page(user, tmp_path):
    with open(tmp_path / "big.jpg", "wb") as big:
        big.truncate(65 << 20)
    user.all("input[type=file]")[0].send_keys(str(tmp_path / "big.jpg"))
    assert wait(lambda: "over 64 MB" in "".join(user.texts(".q-notification")))
    assert not user.all(".reading")
    user.browser.execute_script(
        "const form = new FormData(), box = document.querySelector('.q-uploader');"
        "form.append('f', new File([new Uint8Array(65 << 20)], '../../big.jpg'));"
        "fetch(getElement(+box.id.slice(1)).computed_url, {method: 'POST', body: form})"
    )
    assert wait(lambda: "over 64 MB" in "".join(user.texts(".refused")))


@in_browser
def test_a_hostile_file_name_is_text(user, tmp_path):
    name = "<img src=x onerror=alert(1)>.jpg"
    (tmp_path / name).write_bytes(PHOTO.read_bytes())
    user.choose(tmp_path / name)
    assert user.texts(".name") == [name]
    assert not user.all("img[src=x]")
    assert user.probabilities()


@in_browser
def test_a_photo_that_is_pasted_is_read(user):
    script = (
        "const data = new DataTransfer(); data.items.add(new File(['no image'], 'pasted.png'));"
        "document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data}))"
    )
    wait(lambda: user.browser.execute_script(script) or user.texts(".name"))  # again until the page listens
    assert set(user.texts(".name")) == {"pasted.png"}


@in_browser
def test_two_users_at_once_get_their_own_answers(users, tmp_path, expected):
    other = tmp_path / "other.png"
    with Image.open(PHOTO) as photo:
        photo.resize((640, 352)).save(other)
    wanted = [rounded(expected), rounded(predict(SHIPPED, [other], progress=False))]
    assert wanted[0] != wanted[1]
    for user, path in zip(users, (PHOTO, other), strict=True):
        user.open().all("input[type=file]")[0].send_keys(str(path))
    assert wait(lambda: all(user.probabilities() for user in users))
    assert [user.probabilities() for user in users] == wanted


@in_browser
def test_no_request_left_the_machine(users, address):
    events = [
        json.loads(entry["message"])["message"] for user in users for entry in user.browser.get_log("performance")
    ]
    asked = {event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"}
    asked |= {event["params"]["url"] for event in events if event["method"] == "Network.webSocketCreated"}
    own = (address, address.replace("http", "ws"), "data:", "blob:", "chrome:")
    assert {url for url in asked if url.startswith(address)}
    assert not {url for url in asked if not url.startswith(own)}


def test_another_name_of_this_machine_leads_nowhere(address):
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(urllib.request.Request(address, headers={"Host": "example.org"}))


def test_a_port_that_is_taken_is_said_in_one_sentence(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["app", "--port", str(taken.getsockname()[1])]) == 2
    assert capsys.readouterr().err.endswith("give another --port.\n")
