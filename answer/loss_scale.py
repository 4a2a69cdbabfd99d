"""Squared error divided by a number, with everything else the same: sets on MovieLens-1M with the settings of `ordinal_ids`, RMSE on the held-out training rows
of `python -m answer.search --data 1m`. A minimum stays where it is; the gradients become smaller beside the epsilon of Adam (1e-5, as in fastai).

    python -m answer.loss_scale            writes nbs/results/loss_scale.csv, on one core
"""
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import torch

from answer.search import ENTRIES, rows_of, value
from movielens_ce.losses import mse
from movielens_ce.registry import entry_of
from movielens_ce.runs import atomic_write

RESULTS = Path(__file__).parent.parent/'nbs/results/loss_scale.csv'
DIVISORS = 1, 4, 16


@dataclass(frozen=True)
class Divided:
    "Squared error divided by a number."
    by: float

    def __call__(self, output, y): return mse(output, y)/self.by


def main():
    torch.set_num_threads(1)
    ratings, splits = rows_of('1m')
    of = entry_of('ordinal_ids', len(ratings))
    entry = replace(ENTRIES['implicit_ids'], n_members=1, lr=of.lr, wd=of.wd, n_epoch=of.n_epoch, bs=of.bs, options=of.options)
    rows = []
    for by in DIVISORS:
        rmse, seconds = value(replace(entry, loss=Divided(by)), ratings, splits)
        rows.append(dict(divided_by=by, rmse=round(rmse, 5), seconds=round(seconds, 1)))
        print(*rows[-1].values(), flush=True)
    atomic_write(RESULTS, lambda tmp: pd.DataFrame(rows).to_csv(tmp, index=False))


if __name__ == '__main__': main()
