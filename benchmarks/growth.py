"""Seconds and peak memory of an epoch for 0.1, 1, 10 and 25 million ratings with MovieLens-like marginals.

The dot product, the model with implicit sets (one member), the context of time of all training ratings, and LensKit's alternating least squares
with as many factors as the dot product. Each runs in a process of its own: data made, encoded and trained. `python -m benchmarks.growth
ordinal_ids 1000000` runs one. LensKit needs the extra [bench]; it takes all cores by itself."""
import json
import resource
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks._common import RESULTS, write

# Users and items of ML-100k, 1M, 10M and 25M
SIZES = {100_000: (943, 1_682), 1_000_000: (6_040, 3_706),
         10_000_000: (69_878, 10_677), 25_000_000: (162_541, 59_047)}
NAMES = 'dot', 'ordinal_ids', 'TimeContext', 'LensKit ALS'


def made_up_ratings(n, n_users, n_items, seed=0):
    """`n` ratings in half-stars, from biases and noise, of users and items drawn from long-tailed popularities.

    A pair may come twice. Users rate in sittings of ten minutes, on one of ten days each."""
    rng = np.random.default_rng(seed)
    def draw(k):
        weight = rng.lognormal(0, 1.3, k)
        return rng.choice(k, n, p=weight/weight.sum()).astype(np.int32)
    user, item = draw(n_users), draw(n_items)
    score = 3.5 + rng.normal(0, .45, n_users)[user] + rng.normal(0, .5, n_items)[item] + rng.normal(0, .85, n)
    rating = ((score*2).round()/2).clip(.5, 5).astype(np.float32)
    timestamp = rng.integers(0, 10, n)*86_400 + rng.integers(0, 600, n)
    return pd.DataFrame(dict(user=user, item=item, rating=rating, timestamp=timestamp))


def model_of(name, dls):
    "The model called `name`, untrained, and the settings of its training."
    from movielens_ce.models import DotProductBias
    from movielens_ce.registry import MODELS
    if name == 'dot': return DotProductBias.from_dls(dls), dict(lr_max=5e-3, wd=0.1)
    entry = MODELS[name]
    return entry.make(dls), dict(lr_max=entry.lr, wd=entry.wd, wd_of=entry.wd_of)


def epoch(name, ratings, rows):
    "Trains `name` for an epoch; the figures of it."
    import torch

    from movielens_ce.data import rating_dls
    from movielens_ce.training import fit_one_cycle
    n, start = len(ratings), time.perf_counter()
    dls = rating_dls(ratings, rows, target='rating' if name == 'dot' else 'class', bs=max(512, n//200), device='cpu')
    loaders_s = time.perf_counter() - start
    torch.manual_seed(0)
    model, settings = model_of(name, dls)
    h = fit_one_cycle(model, dls, 1, **settings, seed=0, progress=False, unknown=False)
    n_parameters = sum(p.numel() for p in model.parameters())
    return dict(parameters=n_parameters, bs=dls.train.bs, loaders_s=loaders_s, epoch_s=h.seconds.iloc[-1],
                valid_loss=h.valid_loss.iloc[-1])


def context(ratings, rows):
    "Computes the context of the training rows; its seconds stand for an epoch's."
    from movielens_ce.context import TimeContext
    train, start = ratings.iloc[rows[0]], time.perf_counter()
    TimeContext(train)(train)
    return dict(epoch_s=time.perf_counter() - start)


def lenskit(ratings, rows):
    "Trains LensKit's BiasedMF for an epoch, 50 features; the frame turned into its data set counts as making loaders."
    from lenskit.als import BiasedMFScorer
    from lenskit.training import TrainingOptions

    from benchmarks.other_packages import lenskit_data
    start = time.perf_counter()
    data = lenskit_data(ratings.iloc[rows[0]].drop_duplicates(['user', 'item']))
    loaders_s = time.perf_counter() - start
    BiasedMFScorer(features=50, epochs=1).train(data, TrainingOptions(rng=0))
    return dict(loaders_s=loaders_s, epoch_s=time.perf_counter() - start - loaders_s)


def one(name, n):
    "Prints the figures of `name` on `n` made-up ratings as JSON."
    from movielens_ce.data import random_split
    ratings, rows = made_up_ratings(n, *SIZES[n]), random_split(0, n, 0.05)
    run = {'TimeContext': context, 'LensKit ALS': lenskit}.get(name, partial(epoch, name))
    figures = run(ratings, rows)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/2**20
    print(json.dumps(dict(model=name, ratings=n, users=SIZES[n][0], items=SIZES[n][1], **figures, peak_gib=peak)))


def in_a_process(name, n):
    "What `one` prints in a fresh process."
    command = [sys.executable, '-m', 'benchmarks.growth', name, str(n)]
    root = Path(__file__).parent.parent
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main(n_runs):
    rows = [in_a_process(name, n) for name in NAMES for n in SIZES for _ in range(n_runs if n <= 1_000_000 else 1)]
    table = pd.DataFrame(rows).groupby(['model', 'ratings'], as_index=False, sort=False).median()
    each = {f'{part}_us_per_rating': table[f'{part}_s']/table.ratings*1e6 for part in ('loaders', 'epoch')}
    dot = table.ratings.map(table[table.model == 'dot'].set_index('ratings').epoch_s)
    write(table.assign(**each, times_dot=table.epoch_s/dot), RESULTS/'growth.csv')


if __name__ == '__main__': one(sys.argv[1], int(sys.argv[2]))
