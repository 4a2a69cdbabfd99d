"""Do settings travel to a data set with another number of users? A quarter of the users of MovieLens-1M, drawn twice, trained with the settings of the whole, in three ways:
the same number of steps an epoch and epsilon in inverse proportion to the batch (`entry_of` does this from 300,000 ratings on); the same steps and the same epsilon;
the same batch and epsilon. Scored on a tenth of the training rows of `python -m answer.million`, as its search is.

    python -m answer.growing               writes nbs/results/growing.csv, on one core, five minutes
"""
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from answer.search import rows_of, value
from movielens_ce.registry import entry_of
from movielens_ce.runs import atomic_write

RESULTS = Path(__file__).parent.parent/'nbs/results/growing.csv'
SHARE, NAMES, SEEDS = 1/4, ('dot', 'dot_ordinal', 'ordinal_ids'), (0, 1)


def ways(entry):
    "Name -> entry for a data set with a share of the users."
    steps = replace(entry, bs=round(entry.bs*SHARE))
    return {'same steps, epsilon scaled': replace(steps, eps=entry.eps/SHARE), 'same steps': steps, 'same batch': entry}


def main():
    torch.set_num_threads(1)
    ratings, splits = rows_of('1m')
    users, found = ratings.user.unique(), []
    for seed in SEEDS:
        some = np.random.default_rng(seed).permutation(users)[:round(len(users)*SHARE)]
        inside = ratings.user.isin(some).to_numpy()
        rows = tuple(r[inside[r]] for r in splits)
        for name in NAMES:
            for way, entry in ways(replace(entry_of(name, len(ratings)), n_members=1)).items():
                got, seconds = value(entry, ratings, rows, seed)
                found.append(dict(model=name, way=way, seed=seed, bs=entry.bs, eps=entry.eps, value=round(got, 5), seconds=round(seconds, 1)))
                print(*found[-1].values(), flush=True)
    atomic_write(RESULTS, lambda tmp: pd.DataFrame(found).to_csv(tmp, index=False))


if __name__ == '__main__': main()
