"""Made-up ratings with MovieLens-like marginals, up to 25 million: an epoch, and reading files.
Each figure comes from a process of its own."""
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from answer.packages import lenskit_data
from benchmarks._common import RESULTS, in_a_process, peak_gib, timed, write
from movielens_ce.compare.entries import MODELS
from movielens_ce.data.context import TimeContext
from movielens_ce.data.loaders import rating_dls
from movielens_ce.data.movielens import load_movielens
from movielens_ce.data.published import MOVIELENS
from movielens_ce.data.splits import random_split
from movielens_ce.training.loop import fit_one_cycle

# Users and items of ML-100k, 1M, 10M and 25M
SIZES = {100_000: (943, 1_682), 1_000_000: (6_040, 3_706), 10_000_000: (69_878, 10_677), 25_000_000: (162_541, 59_047)}


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


def epoch(name, ratings, rows):
    "Trains a member of the entry `name` for an epoch in batches that grow with the data; the figures of it."
    entry, n, start = MODELS[name], len(ratings), time.perf_counter()
    dls = rating_dls(ratings, rows, target=entry.target, bs=max(512, n//200), device='cpu')
    loaders_s = time.perf_counter() - start
    torch.manual_seed(0)
    model = entry.make(dls)
    h = fit_one_cycle(model, dls, 1, entry.lr, entry.wd, entry.wd_of, entry.loss_func, seed=0, progress=False,
                      unknown=False)
    return dict(parameters=sum(p.numel() for p in model.parameters()), bs=dls.train.bs, loaders_s=loaders_s,
                epoch_s=h.seconds.item(), valid_loss=h.valid_loss.item())


def context(ratings, rows):
    "Computes the context of the training rows; its seconds stand for an epoch's."
    train = ratings.iloc[rows[0]]
    return dict(epoch_s=timed(lambda: TimeContext(train)(train))())


def lenskit(ratings, rows):
    "Trains LensKit's BiasedMF for an epoch, 50 features; the frame turned into its data set counts as making loaders."
    from lenskit.als import BiasedMFScorer
    from lenskit.training import TrainingOptions
    start = time.perf_counter()
    data = lenskit_data(ratings.iloc[rows[0]].drop_duplicates(['user', 'item']))
    loaders_s = time.perf_counter() - start
    BiasedMFScorer(features=50, epochs=1).train(data, TrainingOptions(rng=0))
    return dict(loaders_s=loaders_s, epoch_s=time.perf_counter() - start - loaders_s)


MEASURED = {'dot': partial(epoch, 'dot'), 'ordinal_ids': partial(epoch, 'ordinal_ids'), 'TimeContext': context,
            'LensKit ALS': lenskit}


def grown(name, n):
    "The row of `name` on `n` made-up ratings."
    figures = MEASURED[name](made_up_ratings(n, *SIZES[n]), random_split(0, n, 0.05))
    return dict(zip(('users', 'items'), SIZES[n]), model=name, ratings=n, **figures, peak_gib=peak_gib())


def growth(n_runs):
    """Seconds and peak memory of an epoch for 0.1, 1, 10 and 25 million ratings.
    The dot product, the model with implicit sets (one member), the context of time of all training ratings, and
    LensKit's alternating
    least squares with as many factors as the dot product, which takes all cores by itself. LensKit needs the extra
    [bench]."""
    rows = [in_a_process(grown, name, n) for name in MEASURED for n in SIZES
            for _ in range(n_runs if n <= 1_000_000 else 1)]
    table = pd.DataFrame(rows).groupby(['model', 'ratings'], as_index=False, sort=False).median()
    each = {f'{part}_us_per_rating': table[f'{part}_s']/table.ratings*1e6 for part in ('loaders', 'epoch')}
    dot = table.ratings.map(table[table.model == 'dot'].set_index('ratings').epoch_s)
    write(table.assign(**each, times_dot=table.epoch_s/dot), RESULTS/'growth.csv')


def write_files(known, folder, chunk=1_000_000):
    "Writes made-up files of a size, sorted by user as the published ones, into `folder`."
    csv, n = known.sep == ',', known.n_ratings
    ratings = made_up_ratings(n, *SIZES[round(n, -6)]).sort_values('user', ignore_index=True)
    names = dict(user='userId', item='movieId') if csv else {}
    with open(folder/known.ratings, 'w') as f:
        for a in range(0, n, chunk):
            part = ratings[a:a + chunk].rename(columns=names).assign(timestamp=lambda d: d.index + 10**9)
            text = part.to_csv(index=False, header=csv and not a)
            f.write(text if csv else text.replace(',', '::'))
    films = pd.DataFrame(dict(movieId=range(known.n_items), genres='Comedy|Drama'))
    films.insert(1, 'title', 'Film, The ' + films.movieId.astype(str) + ' (1995)')
    text = films.to_csv(index=False) if csv else ''.join('::'.join(map(str, row)) + '\n'
                                                         for row in films.itertuples(index=False))
    (folder/known.items).write_text(text)


def read_files(size, folder):
    "Reads a size from `folder`: seconds and peak memory."
    start = time.perf_counter()
    ratings = load_movielens(size, folder).ratings
    seconds = time.perf_counter() - start
    return dict(size=size, ratings=len(ratings), read_s=seconds, frame_gib=ratings.memory_usage(deep=True).sum()/2**30,
                peak_gib=peak_gib())


def read(n_runs, sizes=('10m', '25m')):
    """Seconds and peak memory to check and read made-up ratings in the layouts of MovieLens-10M (`::`) and 25M (csv),
    as a folder.
    The files are as long as the published ones."""
    rows = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            write_files(MOVIELENS[size], Path(folder))
            rows += [in_a_process(read_files, size, folder) for _ in range(n_runs)]
    write(pd.DataFrame(rows).groupby(['size', 'ratings'], as_index=False).median().assign(runs=n_runs),
          RESULTS/'read.csv')
