"""Command line: python -m ecgutils run | predict | preprocess | generate | bhf | validate | check."""

import argparse
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from ecgutils.findings import DISCLAIMER, FINDINGS


def main(arguments: list[str] | None = None) -> int:
    """Parse and run one command. Bad input prints one sentence on stderr and returns 2."""
    args = _parser().parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_rest, **_named: print(f"warning: {message}", file=sys.stderr)
            return args.command(args) or 0
    except ModuleNotFoundError as error:
        if (error.name or "ecgutils").startswith("ecgutils"):  # a mistake of ours, and no matter of what is installed
            raise
        what = f"{args.command.__name__[1:]} needs {error.name}, which is not installed: pip install it."
    except (ValueError, OSError, RuntimeError, KeyError) as error:
        what = error.args[0] if isinstance(error, KeyError) and error.args else str(error)
    except KeyboardInterrupt:
        print("interrupted; repeat the command (run: with --resume) to go on", file=sys.stderr)
        return 130
    print(f"error: {what}", file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ecgutils", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(name: str, function: Callable[[argparse.Namespace], int | None], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.set_defaults(command=function)
        return sub

    run = command("run", _run, "run the notebooks 01-05 in order")
    run.add_argument("--profile", default="demo", help="smoke, demo (default), weights or full")
    run.add_argument("--signals", help="simulated (default) or ptbxl")
    run.add_argument("--data", help="PTB-XL folder, with --signals ptbxl")
    run.add_argument("--bhf", help="folder in the BHF challenge layout; then it is the target instead of our renders")
    run.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change any other profile key")
    run.add_argument("--only", action="append", default=[], metavar="NN", help="only this notebook; may be repeated")
    run.add_argument("--publish", action="store_true", help="then copy the executed notebooks, stripped, to notebooks/")
    run.add_argument("--resume", action="store_true", help="skip what finished, go on where a training was interrupted")

    predict = command("predict", _predict, "probabilities of the five findings for photos of printed ECGs")
    predict.add_argument("photos", nargs="+", metavar="PHOTO", help="file, folder, or a pattern such as 'in/*.jpg'")
    predict.add_argument("--recursive", action="store_true", help="read the sub-folders of a folder, too")
    predict.add_argument("--model", action="append", default=[], help="checkpoint folder; repeat for an ensemble")
    predict.add_argument("--out", type=Path, help="also write the table to this CSV")
    predict.add_argument("--overlay", type=Path, help="folder for one picture per photo: outline, flat page, result")
    predict.add_argument("--corners", metavar="X,Y,...", help="one photo's TL, TR, BR, BL in px, or --corners=-9,...")

    prepare = command("preprocess", _preprocess, "flatten every image of a folder (or of a manifest CSV)")
    prepare.add_argument("images", type=Path)
    prepare.add_argument("--recursive", action="store_true", help="read the folder's sub-folders, too")
    prepare.add_argument("--size", metavar="WxH", help="of a flat page in pixels; default: 384x192")
    prepare.add_argument("--px-per-mm", type=float, help="its scale; default: 1.4 at 384x192, and in proportion")
    prepare.add_argument("--report", type=Path, help="also write a review, worst first, to this HTML file")
    prepare.add_argument("--mask-header", action="store_true", help="grey out the top of each page in the report")

    generate = command("generate", _generate, "render ECG images and their manifest from simulated or PTB-XL signals")
    generate.add_argument("-n", type=int, default=10, help="number of records (with --data: at most)")
    generate.add_argument("--data", type=Path, help="PTB-XL folder; without it signals are simulated")
    generate.add_argument("--sources", nargs="+", help="image sources; default: all")
    generate.add_argument("--size", help="WIDTHxHEIGHT in pixels; default: each source's own")
    generate.add_argument("--seed", type=int, default=0)

    bhf = command("bhf", _bhf, "write a folder in the BHF challenge layout from a manifest")
    bhf.add_argument("manifest", type=Path)
    bhf.add_argument("--test-folds", type=int, nargs="+", default=[10], help="folds that become the test set")
    bhf.add_argument("--intact", action="store_true", help="leave out the damaged files that the real set has too")

    validate = command("validate", _validate, "check a submission CSV before it is uploaded")
    validate.add_argument("submission", type=Path)
    validate.add_argument("--ids", type=Path, help="CSV with the expected ID column (sample submission or test list)")

    check = command("check", _check, "check that a data set is in place")
    check.add_argument("dataset", choices=("ptbxl", "bhf"))
    check.add_argument("folder", type=Path)

    for sub in (predict, prepare, generate):
        sub.add_argument("--workers", type=int, default=1, help="processes")
    for sub in (prepare, generate, bhf):
        sub.add_argument("--out", type=Path, required=True, help="folder to write")
    return parser


def _run(args: argparse.Namespace) -> None:
    from ecgutils.profiles import load_profile
    from ecgutils.run import publish_notebooks, run_notebooks

    if wrong := [item for item in args.set if "=" not in item]:
        raise ValueError(f"--set needs KEY=VALUE, got {wrong[0]!r}.")
    changes = dict(item.split("=", 1) for item in args.set)
    changes |= {key: getattr(args, key) for key in ("signals", "data", "bhf") if getattr(args, key)}
    for key in ("data", "bhf", "pretrained"):  # notebooks run in their own folder, where a relative path means another
        if changes.get(key) not in (None, "", "hub"):
            changes[key] = str(Path(changes[key]).resolve())
    if os.environ.get("ECG_RUNS"):
        os.environ["ECG_RUNS"] = str(Path(os.environ["ECG_RUNS"]).resolve())
    profile = load_profile(args.profile, **changes)
    run_dir = run_notebooks(profile, changes, args.only, args.resume)
    if args.publish:
        publish_notebooks(run_dir)
    print(f"notebooks:  {run_dir / 'notebooks'}\nfigures:    {run_dir / 'figures'}")
    note = run_dir / "submission.txt"
    if note.is_file():
        print(f"submission: {note.read_text().strip()}")


def _predict(args: argparse.Namespace) -> int:
    from ecgutils.files import atomic_path, write_bytes
    from ecgutils.learn import SHIPPED, find_calibration, load_model, read_photos
    from ecgutils.learn.checkpoint import read_params
    from ecgutils.manifest import image_ids
    from ecgutils.preprocess.decode import files_named

    if args.overlay:
        from ecgutils.plots import plot_reading

        args.overlay.mkdir(parents=True, exist_ok=True)
    photos = files_named(args.photos, args.recursive)
    if args.corners is not None and len(photos) != 1:
        raise ValueError(f"--corners are those of one photo, but {len(photos)} were given.")
    quads = {} if args.corners is None else {image_ids(photos)[0]: _corners(args.corners)}
    names = args.model or SHIPPED
    models = [load_model(name, device="auto") for name in names]
    origins = {read_params(name)[1].get("run", {}).get("trained_on", "data its card does not name") for name in names}
    rows = []
    for photo, (row, flat) in zip(photos, read_photos(models, photos, args.workers, quads=quads), strict=True):
        rows.append(row)
        if args.overlay:
            try:
                with atomic_path(args.overlay / f"{row['ID']}.png") as temporary:
                    plot_reading(photo, flat, row).savefig(temporary)
            except OSError as error:  # a full disk must not take the answers along
                warnings.warn(f"No overlay of {photo}: {error.strerror}.", stacklevel=1)
    table = pd.DataFrame(rows)
    if args.out:
        write_bytes(args.out, table.to_csv(index=False).encode())
    shown = table.drop(columns="calibrated_on", errors="ignore").round(dict.fromkeys((*FINDINGS, "quality"), 3))
    print(shown.to_string(index=False))
    _explain(table["reasons"])
    _, fitted = find_calibration(models)
    print(f"Learned from {' and '.join(sorted(origins))}; probabilities are {fitted}, and not for any hospital.")
    print(DISCLAIMER)
    return 0 if table["readable"].all() else 1


def _corners(text: str) -> np.ndarray:
    """Eight numbers as corners (4, 2)."""
    from ecgutils.geometry import check_outline

    try:
        corners = np.array([float(part) for part in text.split(",")]).reshape(4, 2)
    except ValueError:
        raise ValueError(f"--corners needs eight numbers, x,y of TL, TR, BR, BL; got {text!r}.") from None
    return check_outline(corners)


def _explain(reasons: pd.Series) -> None:
    """Print what the codes in a column of ";"-joined reasons say."""
    from ecgutils.preprocess import REASONS

    seen = {reason.split(" ")[0] for reason in ";".join(reasons).split(";")}
    print("".join(f"  {code}: {meaning}\n" for code, meaning in REASONS.items() if code in seen), end="")


def _size(text: str) -> tuple[int, int]:
    """WIDTHxHEIGHT in pixels."""
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise ValueError(f"--size is WIDTHxHEIGHT, e.g. 3460x1900; got {text!r}.")
    return int(width), int(height)


def _preprocess(args: argparse.Namespace) -> None:
    from ecgutils.manifest import manifest_from_paths, read_manifest
    from ecgutils.preprocess import PreprocessSettings, build_cache, write_report
    from ecgutils.preprocess.decode import files_in

    if args.mask_header and not args.report:
        raise ValueError("--mask-header is about the report: give --report FILE.html, too.")
    own = PreprocessSettings()
    size, px_per_mm = _size(args.size) if args.size else own.size, args.px_per_mm
    if px_per_mm is None:  # a page of another size shows as many millimetres
        px_per_mm = round(own.px_per_mm * min(size[0] / own.size[0], size[1] / own.size[1]), 3)
    settings = PreprocessSettings(size, px_per_mm)
    if args.images.suffix.lower() == ".csv":
        table = read_manifest(args.images)
    elif not args.images.is_dir():
        raise FileNotFoundError(f"No folder or manifest CSV at {args.images}.")
    elif found := files_in(args.images, args.recursive):
        table = manifest_from_paths(found)
    else:
        raise ValueError(f"No files in {args.images}; give the folder that holds the images.")
    cache = build_cache(table, args.out, settings, workers=args.workers)
    refused = cache.index[~cache.index["readable"]]
    print(f"{len(table) - len(refused)} of {len(table)} images readable; flat pages in {cache.folder / 'pages'}")
    for name, reasons in refused[["image_id", "reasons"]].to_numpy():
        print(f"  unreadable: {name}: {reasons}")
    _explain(cache.index["reasons"])
    if args.report:
        write_report(cache, table, args.report, args.mask_header)
        print(f"review: {args.report}")


def _generate(args: argparse.Namespace) -> None:
    from ecgutils.hearts import load_records
    from ecgutils.synth import SOURCES, generate_images

    size = _size(args.size) if args.size else None
    records = load_records(args.n, args.seed, ptbxl=args.data, workers=args.workers)
    table = generate_images(records, args.out, args.sources or SOURCES, args.seed, workers=args.workers, size=size)
    print(f"{len(table)} images, manifest {args.out / 'manifest.csv'}")


def _bhf(args: argparse.Namespace) -> None:
    from ecgutils.challenge import write_bhf
    from ecgutils.manifest import read_manifest

    table = read_manifest(args.manifest)
    test = table["fold"].isin(args.test_folds)
    write_bhf(table[~test], table[test], args.out, damaged=not args.intact)
    print(f"{int((~test).sum())} training and {int(test.sum())} test images in {args.out}")


def _validate(args: argparse.Namespace) -> int:
    from ecgutils.challenge import read_ids, validate_submission

    problems = validate_submission(args.submission, read_ids(args.ids) if args.ids else None)
    verdict = f"{len(problems)} problem(s)" if problems else "valid"
    print(*problems, f"{args.submission}: {verdict}", sep="\n")
    return 1 if problems else 0


def _check(args: argparse.Namespace) -> None:
    if args.dataset == "ptbxl":
        from ecgutils.signals import check_ptbxl as check
    else:
        from ecgutils.challenge import check_bhf as check
    print(*(f"{key}: {value}" for key, value in check(args.folder).items()), sep="\n")


if __name__ == "__main__":
    sys.exit(main())
