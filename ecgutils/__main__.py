"""Command line: python -m ecgutils run | predict | app | evaluate | calibrate | adapt | preprocess | generate |
export | validate | check."""

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from ecgutils.findings import DISCLAIMER, FINDINGS


def main(arguments: list[str] | None = None) -> int:
    """Parse and run one command. Bad input prints one sentence on stderr and returns 2."""
    args = _parser().parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_rest, **_named: print(f"warning: {message}", file=sys.stderr)
            if cluster := getattr(args, "cluster", None):
                from ecgutils.parallel import join_cluster

                join_cluster(cluster)
                os.environ["ECG_CLUSTER"] = cluster  # for notebooks, too
            return args.command(args) or 0
    except ModuleNotFoundError as error:
        if (error.name or "ecgutils").startswith("ecgutils"):  # a mistake of ours, and no matter of what is installed
            raise
        what = f"{args.command.__name__[1:]} needs {error.name}, which is not installed: pip install it."
        what = str(error) if "pip install" in str(error) else what  # where `optional` says what it is for
    except (ValueError, OSError, RuntimeError, KeyError, FloatingPointError) as error:
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
        if name in ("run", "predict", "evaluate", "adapt", "preprocess", "generate"):
            what = "of a Dask scheduler, whose workers do this instead; all its machines see the same folders"
            sub.add_argument("--cluster", metavar="ADDRESS", help=what)
        return sub

    run = command("run", _run, "run the notebooks 01-05 in order")
    run.add_argument("--profile", default="demo", help="smoke, demo (default), weights or full")
    run.add_argument("--signals", help="simulated (default), ptbxl or wfdb")
    run.add_argument("--data", help="folder of the signals, with --signals ptbxl or wfdb")
    run.add_argument("--photos", "--bhf", help="labelled photos, a CSV or a folder: the target instead of our renders")
    run.add_argument("--photos-test", help="more of them, with or without labels, to test on")
    run.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change any other profile key")
    run.add_argument("--only", action="append", default=[], metavar="NN", help="only this notebook; may be repeated")
    run.add_argument("--publish", action="store_true", help="then copy the executed notebooks, stripped, to notebooks/")
    run.add_argument("--hours", type=float, help="stop after so many, with what is done kept for --resume")
    run.add_argument("--resume", action="store_true", help="skip what finished, go on where a training was interrupted")

    predict = command("predict", _predict, "probabilities of the five findings for photos of printed ECGs")
    predict.add_argument("photos", nargs="+", metavar="PHOTO", help="file, folder, or pattern such as 'in/*.pdf'")
    predict.add_argument("--recursive", action="store_true", help="read the sub-folders of a folder, too")
    which = predict.add_mutually_exclusive_group()
    which.add_argument("--model", action="append", default=[], help="checkpoint folder, or simulated; repeat for more")
    which.add_argument("--onnx", type=Path, metavar="FOLDER", help="what export wrote: the same answers, sooner")
    predict.add_argument("--out", type=Path, help="also write the table, .csv, .jsonl or .parquet; repeat to go on")
    predict.add_argument("--overlay", type=Path, help="folder for one picture per photo: outline, flat page, result")
    curves = predict.add_mutually_exclusive_group()
    curves.add_argument("--raw", action="store_true", help="leave the probabilities uncalibrated")
    curves.add_argument("--calibration", type=Path, metavar="FILE", help="what calibrate wrote for these models")
    predict.add_argument("--corners", metavar="X,Y,...", help="one photo's TL, TR, BR, BL in px, or --corners=-9,...")
    predict.add_argument("--workers", type=int, default=1, help="processes")

    page = command("app", _app, "a page on this machine to read photos on, in a browser")
    page.add_argument("--port", type=int, default=8080)

    _add_scoring(command)
    _add_images(command)

    export = command("export", _export, "write networks as ONNX files, which need no PyTorch")
    export.add_argument("models", nargs="*", metavar="MODEL", help="checkpoint folder or simulated; default: predict's")
    export.add_argument("--out", type=Path, required=True, help="folder to make")

    validate = command("validate", _validate, "check a submission CSV before it is uploaded")
    validate.add_argument("submission", type=Path)
    validate.add_argument("--ids", type=Path, help="CSV with the expected ID column (sample submission or test list)")

    check = command("check", _check, "check that a data set is in place")
    check.add_argument("dataset", choices=("ptbxl", "bhf", "wfdb"))
    check.add_argument("folder", type=Path)
    return parser


def _add_scoring(command: Callable[..., argparse.ArgumentParser]) -> None:
    evaluate = command("evaluate", _evaluate, "score what predict wrote on photos with labels of your own")
    evaluate.add_argument("--json", type=Path, help="also write the scores to this JSON file")
    evaluate.add_argument("--figure", type=Path, help="also draw them to this PNG file")
    evaluate.add_argument("--report", type=Path, help="also write the worst errors, with photos, to this HTML file")
    evaluate.add_argument("--thresholds", metavar="STTC=.3,...", help="chosen elsewhere; or a file --json wrote there")
    evaluate.add_argument("--workers", type=int, default=1, help="processes that read photos for the report")

    calibrate = command("calibrate", _calibrate, "fit probabilities to photos with labels of your own")
    calibrate.add_argument("--domain", required=True, help="what these photos are, in words: 'photos of ward 3'")
    calibrate.add_argument("--model", action="append", default=[], help="as predict was given it; repeat for more")
    calibrate.add_argument("--out", type=Path, required=True, help="JSON file to write")

    adapt = command("adapt", _adapt, "train further on labelled photos of your own, kept only if it is better")
    adapt.add_argument("photos", type=Path, help="a CSV or a folder with labels; some hundreds of photos")
    adapt.add_argument("--out", type=Path, required=True, help="folder to write; repeat to go on")
    adapt.add_argument("--start", default="default", help="what ships, or a checkpoint folder, to start from")
    adapt.add_argument("--folds", type=int, default=5, help="parts of the patients, 3 or more; a training each")
    adapt.add_argument("--views", type=int, default=1000, help="photos shown in a training; default: 1000")
    adapt.add_argument("--domain", help="what these photos are, in words; default: the name of their place")
    adapt.add_argument("--workers", type=int, default=1, help="processes that flatten")

    for sub in (evaluate, calibrate):
        sub.add_argument("predictions", type=Path, help="what predict --out wrote: .csv, .jsonl or .parquet")
        sub.add_argument("truth", type=Path, help="CSV of path or ID, findings, patient; or any labelled photos")


def _add_images(command: Callable[..., argparse.ArgumentParser]) -> None:
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
    generate.add_argument("--shard", type=int, nargs=2, default=(1, 1), metavar=("K", "N"), help="only part K of N")

    for sub in (prepare, generate):
        sub.add_argument("--workers", type=int, default=1, help="processes")
        sub.add_argument("--out", type=Path, required=True, help="folder to write")


def _run(args: argparse.Namespace) -> None:
    from ecgutils.learn import NAMED
    from ecgutils.profiles import PLACES, load_profile
    from ecgutils.run import publish_notebooks, run_notebooks
    from ecgutils.targets import read_target, run_parts

    if wrong := [item for item in args.set if "=" not in item]:
        raise ValueError(f"--set needs KEY=VALUE, got {wrong[0]!r}.")
    changes = dict(item.split("=", 1) for item in args.set)
    options = ("signals", "data", "photos", "photos_test")
    changes |= {key: getattr(args, key) for key in options if getattr(args, key)}
    for key in PLACES:  # notebooks run in their own folder, where a relative path means another
        if changes.get(key) not in (None, "", "hub", *NAMED):
            changes[key] = str(Path(changes[key]).resolve())
    if os.environ.get("ECG_RUNS"):
        os.environ["ECG_RUNS"] = str(Path(os.environ["ECG_RUNS"]).resolve())
    if args.hours is not None:
        if not args.hours > 0:
            raise ValueError(f"--hours must be above 0, got {args.hours:g}.")
        os.environ["ECG_DEADLINE"] = str(time.time() + 3600 * args.hours)
    profile, notes = load_profile(args.profile, **changes), ()
    if profile.photos:  # what is wrong with a label is said now, not after the images are rendered
        found = read_target(profile.photos, profile.photos_test or None)
        run_parts(found, profile.seed)
        notes = found.notes
        print(*notes, sep="\n", flush=True)
    run_dir = run_notebooks(profile, changes, args.only, args.resume)
    if args.publish:
        publish_notebooks(run_dir)
    print(f"notebooks:  {run_dir / 'notebooks'}\nfigures:    {run_dir / 'figures'}")
    note = run_dir / "submission.txt"
    if note.is_file():
        print(f"submission: {note.read_text().strip()}", *notes, sep="\n")


def _predict(args: argparse.Namespace) -> int:
    from ecgutils.answers import answer, prepare, summary
    from ecgutils.geometry import read_corners
    from ecgutils.manifest import image_ids
    from ecgutils.preprocess.pages import files_named

    photos = files_named(args.photos, args.recursive)
    if args.corners is not None and len(photos) != 1:
        raise ValueError(f"--corners are those of one photo, but {len(photos)} were given.")
    quads = {} if args.corners is None else {image_ids(photos)[0]: read_corners(args.corners)}
    models, calibration, origin = prepare(args.model, args.raw, args.calibration, args.onnx)
    table = answer(models, photos, args.out, args.workers, quads, calibration, args.overlay)
    print(summary(table), origin, DISCLAIMER, sep="\n")
    return 0 if table["readable"].all() else 1


def _export(args: argparse.Namespace) -> None:
    from ecgutils.export import export
    from ecgutils.learn import SHIPPED

    print(*export(args.models or SHIPPED, args.out), sep="\n")


def _app(args: argparse.Namespace) -> None:
    from ecgutils.app import serve

    serve(args.port)


def _evaluate(args: argparse.Namespace) -> None:
    from ecgutils.evaluate import join_truth, match_truth, read_predictions, read_thresholds, reliability
    from ecgutils.evaluate.labelled import in_cells, score_table, worst_errors
    from ecgutils.files import jsonable, write_json
    from ecgutils.targets import read_truth

    limits = read_thresholds(args.thresholds) if args.thresholds else None
    predictions, truth = match_truth(read_predictions(args.predictions), read_truth(args.truth))
    table = score_table(predictions, truth, limits)
    refused = int(predictions[list(FINDINGS)].isna().all(axis=1).sum())
    domains = predictions.get("calibrated_on", pd.Series(dtype=object)).dropna().unique()
    calibrated_on = " and ".join(domains) or None
    said = (
        f"{len(truth)} photos, {refused} of them refused; probabilities "
        f"{f'calibrated on {calibrated_on}' if calibrated_on else 'not calibrated'}; "
        f"95 % intervals {table['intervals'].iloc[0]}"
    )
    chosen = (
        "chosen here to flag 9 of 10 positives, the rates measured on other patients" if limits is None else "given"
    )
    print(f"{said}.\n{in_cells(table).to_string(index=False)}")
    print("A refused photo counts in AUROC and AUPRC with the share of positives among these photos, else not at all.")
    print(f"Thresholds are {chosen}. An ece near ece_if_perfect can't be told from none.\n{DISCLAIMER}")
    thresholds = table.set_index("finding")["threshold"][list(FINDINGS)]
    if args.json:
        facts = {"photos": len(truth), "refused": refused, "calibrated_on": calibrated_on}
        facts |= {"thresholds": thresholds.to_dict(), "scores": table.to_dict("records")}
        write_json(args.json, jsonable(facts))
    if args.figure:
        from ecgutils.plots import show
        from ecgutils.plots.scores import plot_scores

        answers = join_truth(predictions, truth)
        show(plot_scores(table, reliability(answers.y, answers.p)), args.figure)
    if args.report:
        from ecgutils.plots.scores import write_errors

        write_errors(worst_errors(predictions, truth, thresholds), args.report, said, args.workers)


def _calibrate(args: argparse.Namespace) -> None:
    from ecgutils.evaluate import calibration_error, cross_calibrate, fit_calibration, match_truth
    from ecgutils.evaluate.labelled import FEWEST
    from ecgutils.evaluate.predictions import join_truth, read_predictions
    from ecgutils.learn.checkpoint import SHIPPED, expanded, read_params
    from ecgutils.targets import read_truth

    if not args.domain.strip():
        raise ValueError("--domain is empty: say in words what these photos are; it goes with every probability.")
    predictions = read_predictions(args.predictions)
    if "calibrated_on" in predictions:
        raise ValueError(f"{args.predictions} holds calibrated probabilities: write raw ones with predict --raw.")
    models = [read_params(name)[1]["sha256"] for name in expanded(args.model or SHIPPED)]
    predictions, truth = match_truth(predictions, read_truth(args.truth))
    calibration = fit_calibration(predictions, truth, args.domain, models, FEWEST)
    tables = {"raw": predictions, "calibrated": cross_calibrate(predictions, truth, args.domain, fewest=FEWEST)}
    calibration.save(args.out)
    shown = pd.DataFrame(calibration.curves).T.assign(positives=calibration.positives)
    for name, table in tables.items():
        scored = join_truth(table, truth)
        shown[f"ece {name}"] = calibration_error(scored.y, scored.p).set_index("finding")["ece"]
    print(shown.round(3).to_string())
    print(f"calibrated on {calibration.describe()}; ece calibrated: each patient by curves from the other patients")
    print(f"A finding with fewer than {FEWEST} answered positives or negatives is left raw.")
    print(f"written to {args.out}; use it with predict --calibration {args.out}\n{DISCLAIMER}")


def _adapt(args: argparse.Namespace) -> None:
    from ecgutils.adapt import adapt
    from ecgutils.profiles import arm_settings, load_profile
    from ecgutils.targets import read_target

    settings = arm_settings(load_profile("demo", stage2_views=args.views))["from_shipped"]
    found = read_target(args.photos)
    print(*found.notes, sep="\n", flush=True)
    domain = args.domain or f"photos in {args.photos.resolve().name}"
    facts = adapt(found, args.out, args.start, settings, args.folds, domain, args.workers)
    print(pd.DataFrame(facts["scores"]).round(3).to_string(index=False))
    print("Each photo is scored by a network that learned from other patients; value is adapted less start.")
    print(*facts["notes"], facts["verdict"], DISCLAIMER, sep="\n")


def _size(text: str) -> tuple[int, int]:
    """WIDTHxHEIGHT in pixels."""
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise ValueError(f"--size is WIDTHxHEIGHT, e.g. 3460x1900; got {text!r}.")
    return int(width), int(height)


def _preprocess(args: argparse.Namespace) -> None:
    from ecgutils.manifest import manifest_from_paths, read_manifest
    from ecgutils.preprocess import PreprocessSettings, build_cache, write_report
    from ecgutils.preprocess.judge import explain
    from ecgutils.preprocess.pages import files_in

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
    for line in explain(cache.index["reasons"]):
        print(line)
    if args.report:
        write_report(cache, table, args.report, args.mask_header, args.workers)
        print(f"review: {args.report}")


def _generate(args: argparse.Namespace) -> None:
    from ecgutils.hearts import load_records
    from ecgutils.synth import SOURCES, generate_images

    size = _size(args.size) if args.size else None
    how = {"workers": args.workers, "shard": tuple(args.shard)}
    records = load_records(args.n, args.seed, ptbxl=args.data, **how)
    table = generate_images(records, args.out, args.sources or SOURCES, args.seed, size=size, **how)
    print(f"{len(table)} images and their manifest in {args.out}")


def _validate(args: argparse.Namespace) -> int:
    from ecgutils.challenge import read_ids, validate_submission

    problems = validate_submission(args.submission, read_ids(args.ids) if args.ids else None)
    verdict = f"{len(problems)} problem(s)" if problems else "valid"
    print(*problems, f"{args.submission}: {verdict}", sep="\n")
    return 1 if problems else 0


def _check(args: argparse.Namespace) -> None:
    if args.dataset == "ptbxl":
        from ecgutils.signals import check_ptbxl as check
    elif args.dataset == "wfdb":
        from ecgutils.signals import check_wfdb_folder as check
    else:
        from ecgutils.challenge import check_bhf as check
    print(*(f"{key}: {value}" for key, value in check(args.folder).items()), sep="\n")


if __name__ == "__main__":
    sys.exit(main())
