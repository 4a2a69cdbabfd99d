"""Seconds and peak memory of an epoch for 0.1, 1, 10 and 25 million ratings with MovieLens-like marginals.

Each size runs in a process of its own: data made, encoded and trained."""
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks._common import RESULTS, write

# Users and items of ML-100k, 1M, 10M and 25M
SIZES = {100_000: (943, 1_682), 1_000_000: (6_040, 3_706),
         10_000_000: (69_878, 10_677), 25_000_000: (162_541, 59_047)}


def made_up_ratings(n, n_users, n_items, seed=0):
    """`n` ratings in half-stars, from biases and noise, of users and items drawn from long-tailed popularities.

    A pair may come twice."""
    rng = np.random.default_rng(seed)
    def draw(k):
        weight = rng.lognormal(0, 1.3, k)
        return rng.choice(k, n, p=weight/weight.sum()).astype(np.int32)
    user, item = draw(n_users), draw(n_items)
    score = 3.5 + rng.normal(0, .45, n_users)[user] + rng.normal(0, .5, n_items)[item] + rng.normal(0, .85, n)
    rating = ((score*2).round()/2).clip(.5, 5).astype(np.float32)
    return pd.DataFrame(dict(user=user, item=item, rating=rating))


def loaders(n):
    "(loaders of `n` ratings, seconds to make the ratings, seconds to make the loaders)."
    from movielens_ce.data import random_split, rating_dls
    t0 = time.perf_counter()
    ratings = made_up_ratings(n, *SIZES[n])
    t1 = time.perf_counter()
    dls = rating_dls(ratings, random_split(0, n, 0.05), bs=max(512, n//200), device='cpu')
    return dls, t1 - t0, time.perf_counter() - t1


def one(n):
    "Trains the dot-product model for an epoch on `n` made-up ratings; prints seconds and peak memory as JSON."
    import torch

    from movielens_ce.models import DotProductBias
    from movielens_ce.training import fit_one_cycle
    dls, made_s, loaders_s = loaders(n)
    torch.manual_seed(0)
    model = DotProductBias.from_dls(dls)
    h = fit_one_cycle(model, dls, 1, 5e-3, wd=0.1, seed=0, progress=False)
    n_parameters = sum(p.numel() for p in model.parameters())
    sizes = dict(ratings=n, users=SIZES[n][0], items=SIZES[n][1], parameters=n_parameters, bs=dls.train.bs)
    seconds = dict(made_s=made_s, loaders_s=loaders_s, epoch_s=h.seconds.iloc[-1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/2**20
    print(json.dumps(dict(**sizes, **seconds, valid_rmse=h.valid_loss.iloc[-1]**.5, peak_gib=peak)))


def in_a_process(n):
    "What `one` prints in a fresh process."
    command = [sys.executable, '-m', 'benchmarks.growth', str(n)]
    root = Path(__file__).parent.parent
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main(n_runs):
    rows = [in_a_process(n) for n in SIZES for _ in range(n_runs if n <= 1_000_000 else 1)]
    table = pd.DataFrame(rows).groupby('ratings', as_index=False).median()
    each = {f'{part}_us_per_rating': table[f'{part}_s']/table.ratings*1e6 for part in ('loaders', 'epoch')}
    write(table.assign(**each), RESULTS/'growth.csv')


if __name__ == '__main__': one(int(sys.argv[1]))
