"""Reading a photo asks for no package that other steps need; where one is missing, it is said what it is for."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ecgutils.optional import _USES, optional

PHOTO = Path(__file__).parents[2] / "docs" / "photo.jpg"
SPARED = ["wfdb", "iterstrat", "papermill", "ipywidgets", "matplotlib", "IPython", "pypdfium2", "pillow_heif"]
READ = """
import json, sys
spared = json.loads(sys.argv[1])

class Blocker:
    def find_spec(self, name, *_):
        if name.split(".")[0] in spared:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
from ecgutils.__main__ import main
code = main(["predict", sys.argv[2], "--out", sys.argv[3]])
sys.exit(code or 10 * any(name in sys.modules for name in spared))
"""


def test_a_photo_is_read_the_same_without_what_other_steps_need(tmp_path):
    answers = []
    for name, spared in (("with.csv", ()), ("without.csv", SPARED)):
        out = tmp_path / name
        subprocess.run([sys.executable, "-c", READ, json.dumps(spared), str(PHOTO), str(out)], check=True)
        answers.append(out.read_bytes())
    assert answers[0] == answers[1]


@pytest.mark.parametrize("module", _USES)
def test_what_is_missing_is_named_with_its_use(module, monkeypatch):
    pytest.importorskip(module)  # not all are in requirements.txt
    assert optional(module) is sys.modules[module]
    monkeypatch.setitem(sys.modules, module, None)
    package, use = _USES[module]
    with pytest.raises(ModuleNotFoundError, match=f"^{package} {use}: pip install {package}\\.$"):
        optional(module)
