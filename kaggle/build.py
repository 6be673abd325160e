"""Write what Kaggle needs to run the notebooks without internet: a data set of wheels, and five notebooks to push.

    make kaggle USER=name [PROFILE=full] [COMPETITION=slug]
    kaggle datasets create -p kaggle-dataset                           # the wheels; it leaves out folders
    kaggle kernels push -p kaggle-dataset/notebooks/01_synthetic_generation    # and so on, each when the last is done

A notebook goes on from the output of the one before. One whose time is up goes on from its own: attach that as input,
too, and run it again.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell

ROOT = Path(__file__).resolve().parents[1]
DATASET = "ecgutils-wheels"
# What Kaggle's image lacks, with requirements.txt's versions; all are pure Python, so they fit any of its Pythons.
LACKING = {
    "wfdb": "reads PTB-XL and WFDB records",
    "iterative-stratification": "deals patients to folds",
    "timm": "is there, but its optimizers and networks may be older than the weights that ship",
}
HOURS = 8.5  # of the 9 that a notebook may take in a competition; saving its output takes the rest
ON_GPU = ("03", "04")  # that train
START = """\
# On Kaggle, without internet: install the wheels, go on from attached output, stop in time.
import glob, os, shutil, subprocess, sys, time

INPUT, RUNS, HOURS = "/kaggle/input", "/kaggle/working/runs", {hours}
if not (wheels := glob.glob(f"{{INPUT}}/**/ecgutils-*.whl", recursive=True)):
    raise FileNotFoundError("The data set {dataset} is not attached to this notebook: add it as input.")
options = ["--quiet", "--no-index", "--no-deps", "--find-links", os.path.dirname(wheels[0])]
subprocess.run([sys.executable, "-m", "pip", "install", *options, {packages}], check=True)
os.environ |= {{"ECG_RUNS": RUNS, "ECG_DEADLINE": str(time.time() + 3600 * HOURS)}}

from ecgutils.files import OutOfTime
from ecgutils.profiles import load_profile

folder = load_profile(PROFILE, **CHANGES).run_dir
outputs = glob.glob(f"{{INPUT}}/**/runs/{{folder.name}}", recursive=True)
if outputs and not folder.exists():
    latest = max(outputs, key=lambda path: len(glob.glob(f"{{path}}/**", recursive=True)))  # each adds files
    print("going on from", latest)
    shutil.copytree(latest, folder)


def stop(shell, kind, error, trace, tb_offset=None):  # a notebook that fails would lose its output
    print(f"{{error}} On Kaggle: add this notebook's output to its inputs, and run it again.")
    shell.showtraceback((SystemExit, SystemExit(0), None), exception_only=True)


get_ipython().set_custom_exc((OutOfTime,), stop)
"""


def write_wheels(out: Path) -> None:
    """Fetch the wheels of LACKING, build the package's, and put them into `out` instead of those that are there."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    pinned = [re.search(rf"^{name}==\S+", (ROOT / "requirements.txt").read_text(), re.M)[0] for name in LACKING]
    with tempfile.TemporaryDirectory() as folder:  # in the checkout, pip would take old files from a build folder
        fetch = [*pip, "download", "--no-deps", "--only-binary", ":all:", "--dest", f"{folder}/wheels", *pinned]
        subprocess.run(fetch, check=True)
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, folder)
        shutil.copytree(ROOT / "ecgutils", f"{folder}/ecgutils", ignore=shutil.ignore_patterns("tests", "__pycache__"))
        subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", f"{folder}/wheels", folder], check=True)
        for old in out.glob("*.whl"):
            old.unlink()
        shutil.copytree(f"{folder}/wheels", out, dirs_exist_ok=True)


def write_notebooks(out: Path, user: str, profile: str, competition: str) -> None:
    """Write a folder for each notebook: a copy that starts on Kaggle, and its kernel-metadata.json."""
    changes = {"photos": "/kaggle/input"} if competition else {}
    packages = ", ".join(f'"{name}"' for name in ("ecgutils", *LACKING))
    start = START.format(hours=HOURS, dataset=DATASET, packages=packages)
    before: list[str] = []
    for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        notebook = nbformat.read(path, 4)
        (place,) = [i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", [])]
        notebook.cells[place].source = f"PROFILE = {profile!r}\nCHANGES = {changes!r}\nRESUME = True"
        notebook.cells.insert(place + 1, new_code_cell(start, id="kaggle"))
        # Kaggle makes the slug of the title, so that they must agree
        title = f"ECG photos {path.stem.replace('_', ' ')}"
        slug = f"{user}/{title.lower().replace(' ', '-')}"
        facts = {
            "id": slug, "title": title, "code_file": path.name, "language": "python", "kernel_type": "notebook",
            "is_private": True, "enable_gpu": path.name[:2] in ON_GPU, "enable_internet": False,
            "dataset_sources": [f"{user}/{DATASET}"], "competition_sources": [competition] if competition else [],
            "kernel_sources": before, "model_sources": [],
        }  # fmt: skip
        folder = out / "notebooks" / path.stem
        folder.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, folder / path.name)
        (folder / "kernel-metadata.json").write_text(json.dumps(facts, indent=1))
        before = [slug]


def main() -> None:
    """Parse and build; a mistake ends with one sentence."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--user", help="your name in addresses of Kaggle")
    parser.add_argument("--profile", default="demo", choices=("smoke", "demo", "full"), help="what the notebooks run")
    parser.add_argument("--competition", default="", help="its name in addresses: adapt to its photos, and submit")
    parser.add_argument("--out", type=Path, default=ROOT / "kaggle-dataset", help="folder to write")
    args = parser.parse_args()
    if not args.user:
        parser.error("whose folder? Give your name on Kaggle: make kaggle USER=name")
    for name in filter(None, (args.user, args.competition)):
        if not re.fullmatch(r"[a-z0-9-]+", name):
            parser.error(f"{name!r} can't be part of an address of Kaggle, which has a-z, 0-9 and -: give it as there")
    args.out.mkdir(parents=True, exist_ok=True)
    try:
        write_wheels(args.out)
    except subprocess.CalledProcessError as error:
        parser.error(f"pip {error.cmd[5]} failed, for the reason above: mend it, then repeat")
    write_notebooks(args.out, args.user, args.profile, args.competition)
    about = "The package ecgutils with its weights (MIT), and what it needs that Kaggle lacks, each under its licence."
    facts = {"title": DATASET, "id": f"{args.user}/{DATASET}", "licenses": [{"name": "other"}], "description": about}
    (args.out / "dataset-metadata.json").write_text(json.dumps(facts, indent=1))
    print(f"{args.out}: {', '.join(sorted(path.name for path in args.out.glob('*.whl')))}, and five notebooks")


if __name__ == "__main__":
    main()
