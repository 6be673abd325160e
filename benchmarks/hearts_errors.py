"""Where the shipped network errs on fold 8, by PTB-XL's own codes.

    python benchmarks/hearts_errors.py FOLDER --data PTBXL

FOLDER holds the pages of hearts_pages.py. Per code: the AUROC of its records against those without the code's finding,
one view of each page, a record's photo and scan averaged where both are there. `--worst FOLDER` writes the fifty worst
misses and false alarms of each finding there, flat pages beside their codes, as a sheet each. Writes
benchmarks/hearts_errors.json.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from common import options, ptbxl, write
from hearts_pages import load_part, records_of
from sklearn.metrics import roc_auc_score

from ecgutils import FINDINGS
from ecgutils.findings import findings_from_scp
from ecgutils.learn import SHIPPED, load_model, predict_set
from ecgutils.plots import plot_contact_sheet, show

PART, LEAST, WORST = "val", 5, 50  # a code counts where it has so many records


def answers(folder: Path) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Mean probabilities per record, and its small flat pages with their record_id."""
    tables = []
    for name in SHIPPED:
        model = load_model(name)
        flat, record = load_part(PART, folder, f"{model.settings.size[0]}")
        tables.append(predict_set(model, flat)[list(FINDINGS)].assign(record=record))
    pages, record = load_part(PART, folder, "384")
    return pd.concat(tables).groupby("record").mean().dropna(), pages.images, record


def main() -> None:
    """Read, group by code, show the worst, write."""
    parser = options(__doc__, "data", "out")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--worst", type=Path)
    args = parser.parse_args()
    p, images, record = answers(args.folder)
    known = {heart.record_id: heart for heart in records_of(PART, ptbxl(args))}
    truth = pd.DataFrame({f: [f in known[i].findings for i in p.index] for f in FINDINGS}, index=p.index)
    codes = pd.Series({i: set(known[i].details["scp_codes"]) for i in p.index})
    statements, rows = pd.read_csv(Path(ptbxl(args)) / "scp_statements.csv", index_col=0), []
    for code in sorted(set().union(*codes)):
        has = codes.map(lambda of_it, code=code: code in of_it)
        for finding in findings_from_scp([code], statements):
            shown = (has & truth[finding]) | ~truth[finding]
            if (n := int((has & truth[finding]).sum())) >= LEAST:
                auroc = roc_auc_score(has[shown], p.loc[shown, finding])
                rows.append({"finding": finding, "code": code, "n": n, "auroc": auroc})
    table = pd.DataFrame(rows).sort_values(["finding", "auroc"])
    print(table.round(3).to_string(index=False))
    for finding in FINDINGS if args.worst else ():
        for what, there in (("misses", True), ("false alarms", False)):
            worst = p.loc[truth[finding] == there, finding].sort_values(ascending=there).index[:WORST]
            pages = [images[np.flatnonzero(record == i)[0]] for i in worst]
            titles = [f"{i}: {p.at[i, finding]:.2f}, {' '.join(sorted(codes[i]))}" for i in worst]
            show(plot_contact_sheet(pages, titles, 4), args.worst / f"{finding} {what}.png")
    write({"records": len(p), "by_code": table.to_dict("records")}, args.out)


if __name__ == "__main__":
    main()
