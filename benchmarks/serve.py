"Lists of 50 films for every user of MovieLens-100K, 10,000 × 10,000 pairs, and 1,000 new users: one thread."
import time
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch

from benchmarks._common import RESULTS, alternate, spread, write
from movielens_ce import recommendation
from movielens_ce.data import load_ml100k, random_split, rating_dls
from movielens_ce.foldin import fold_in
from movielens_ce.models import OrdinalMF
from movielens_ce.registry import MODELS

SHOWN = ('dot', 'implicit', 'ordinal_ids')


def made(name, ratings):
    "The model called `name`, one member, untrained, and its loaders."
    dls = rating_dls(ratings, random_split(0, ratings), target=MODELS[name].target, device='cpu')
    torch.manual_seed(0)
    return MODELS[name].make(dls), dls


def pair_by_pair(model, dls):
    "Lists as they are made for models that are no dot product."
    with patch.object(recommendation, '_as_dot', return_value=None): recommendation.top_n(model, dls)


def many_people(n=1000, n_ratings=20):
    "Ratings of new users of MovieLens-100K's films."
    rng, items = np.random.default_rng(0), load_ml100k().items.index.to_numpy()
    rated = np.concatenate([rng.choice(items, n_ratings, replace=False) for _ in range(n)])
    return pd.DataFrame(dict(user=np.repeat(np.arange(n), n_ratings), item=rated, rating=rng.integers(1, 6, n*n_ratings)))


def large(n=10_000, n_ratings=500_000):
    "A cumulative logit with sets on both sides, 64 factors, 10,000 users and as many items, and its loaders."
    rng = np.random.default_rng(0)
    pairs = np.unique(np.r_[rng.integers(0, n, (n_ratings, 2)), np.stack([np.arange(n)]*2, 1)], axis=0)
    ratings = pd.DataFrame(pairs, columns=['user', 'item']).assign(rating=rng.integers(1, 6, len(pairs)))
    dls = rating_dls(ratings, random_split(0, ratings), target='class', device='cpu', full_vocab=True)
    return OrdinalMF.from_dls(dls, 64), dls


def main(n_runs):
    torch.set_num_threads(1)
    ratings, people = load_ml100k().ratings, many_people()
    models = {name: made(name, ratings) for name in SHOWN}
    turns = {f'lists of 50, {name}': lambda m=m, d=d: _timed(recommendation.top_n, m, d) for name, (m, d) in models.items()}
    turns['lists of 50, ordinal_ids pair by pair'] = lambda: _timed(pair_by_pair, *models['ordinal_ids'])
    for name, (m, d) in models.items(): turns[f'fold-in of 1,000 people, {name}'] = lambda m=m, d=d: _timed(fold_in, m, d, people, width=1.)
    seconds = alternate(turns, n_runs)
    seconds['lists of 10, 10,000 × 10,000, cuts of both'] = [_timed(recommendation.top_n, *large(), 10)]
    write(pd.DataFrame([dict(name=n, **spread(s), runs=len(s)) for n, s in seconds.items()]), RESULTS/'serve.csv')


def _timed(function, *args, **kwargs):
    start = time.perf_counter()
    function(*args, **kwargs)
    return time.perf_counter() - start
