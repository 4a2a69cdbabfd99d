"""Lists for every user, and new users.
The weights of the models do not change the time, so that they are left as they are made."""
from functools import partial
from operator import itemgetter
from unittest.mock import patch

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch

from answer.packages import lenskit_data
from benchmarks._common import RESULTS, alternate, in_a_process, spread, timed, write
from movielens_ce.compare.entries import MODELS
from movielens_ce.compare.fit import one_thread
from movielens_ce.data.loaders import rating_dls
from movielens_ce.data.movielens import load_ml100k
from movielens_ce.data.splits import random_split
from movielens_ce.models.models import OrdinalMF
from movielens_ce.use.cli import recommend
from movielens_ce.use.foldin import fold_in
from movielens_ce.use.recommend import top_n

SHOWN = ('dot', 'implicit', 'ordinal_ids')
N, OURS = 50, 'dot, top_n'
THREADS = ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'NUMBA_NUM_THREADS', 'RAYON_NUM_THREADS',
           'LK_NUM_THREADS', 'LK_NUM_BACKEND_THREADS')
SETTINGS = {'one each': dict.fromkeys(THREADS, '1'), 'as they come': {}}


def made(name, ratings):
    "The entry `name`, one member, untrained, and its loaders."
    dls = rating_dls(ratings, random_split(0, ratings), target=MODELS[name].target, device='cpu')
    torch.manual_seed(0)
    return MODELS[name].make(dls), dls


def pair_by_pair(model, dls):
    "Lists as they are made for models that are no dot product."
    with patch.object(recommend, '_as_dot', return_value=None): top_n(model, dls, N)


def many_people(n=1000, n_ratings=20):
    "Ratings of new users of MovieLens-100K's films."
    rng, items = np.random.default_rng(0), load_ml100k().items.index.to_numpy()
    rated = np.concatenate([rng.choice(items, n_ratings, replace=False) for _ in range(n)])
    return pd.DataFrame(dict(user=np.repeat(np.arange(n), n_ratings), item=rated,
                             rating=rng.integers(1, 6, n*n_ratings)))


def large(n=10_000, n_ratings=500_000):
    "A cumulative logit with sets on both sides, 64 factors, 10,000 users and as many items, and its loaders."
    rng = np.random.default_rng(0)
    pairs = np.unique(np.r_[rng.integers(0, n, (n_ratings, 2)), np.stack([np.arange(n)]*2, 1)], axis=0)
    ratings = pd.DataFrame(pairs, columns=['user', 'item']).assign(rating=rng.integers(1, 6, len(pairs)))
    dls = rating_dls(ratings, random_split(0, ratings), target='class', device='cpu', full_vocab=True)
    return OrdinalMF.from_dls(dls, 64), dls


@one_thread()
def serve(n_runs):
    "Lists of 50 films for every user of MovieLens-100K, 10,000 × 10,000 pairs, and 1,000 new users: one thread."
    ratings, people = load_ml100k().ratings, many_people()
    models = {name: made(name, ratings) for name in SHOWN}
    turns = {f'lists of 50, {name}': timed(top_n, *m, N) for name, m in models.items()}
    turns['lists of 50, ordinal_ids pair by pair'] = timed(pair_by_pair, *models['ordinal_ids'])
    turns |= {f'fold-in of 1,000 people, {name}': timed(fold_in, *m, people, width=1.) for name, m in models.items()}
    seconds = alternate(turns, n_runs)
    seconds['lists of 10, 10,000 × 10,000, cuts of both'] = [timed(top_n, *large(), 10)()]
    write(spread(seconds), RESULTS/'serve.csv')


def implicit_lists(train, n_threads, n_factors=50):
    """implicit's alternating least squares on the ratings: (`() -> lists`, `lists -> frame of user and item`).
    `n_threads` None: all that it takes by itself."""
    from implicit.als import AlternatingLeastSquares
    users, items = (pd.Index(np.unique(train[c])) for c in ('user', 'item'))
    at = users.get_indexer(train.user), items.get_indexer(train['item'])
    rated = sp.csr_matrix((train.rating.to_numpy(np.float32), at))
    model = AlternatingLeastSquares(n_factors, num_threads=n_threads or 0, random_state=0)
    model.fit(rated, show_progress=False)
    return (lambda: model.recommend(np.arange(len(users)), rated, N=N, filter_already_liked_items=True),
            lambda best: pd.DataFrame(dict(user=users.repeat(N), item=items[best[0].ravel()])))


def lenskit_lists(train, n_threads, n_features=50):
    """LensKit's BiasedMF in its pipeline for lists: (`() -> lists`, `lists -> frame of user and item`).
    `n_threads` None: the processes that it takes by itself."""
    from lenskit import batch
    from lenskit.als import BiasedMFScorer
    from lenskit.pipeline import topn_pipeline
    pipe = topn_pipeline(BiasedMFScorer(features=n_features), n=N)
    pipe.train(lenskit_data(train))
    return (lambda: batch.recommend(pipe, np.unique(train.user), n=N, n_jobs=n_threads),
            lambda best: best.to_df().rename(columns=dict(user_id='user', item_id='item'))[['user', 'item']])


def check(name, pairs, train):
    "Raises `ValueError` where a list has not 50 different items that its user did not rate in training."
    n, rated = len(pairs.drop_duplicates()), len(pairs.merge(train, on=['user', 'item']))
    if n != train.user.nunique()*N or rated: raise ValueError(f'{name}: {n} different places, {rated} of them rated')


def all_lists(setting, n_runs):
    "The rows of a setting of threads, in a process with its variables."
    ratings, n_threads = load_ml100k().ratings, 1 if SETTINGS[setting] else None
    train = ratings.iloc[random_split(0, ratings)[0]]
    contenders = {f'{name}, top_n': (partial(top_n, *made(name, ratings), N), itemgetter(['user', 'item']))
                  for name in SHOWN}
    contenders['implicit ALS, recommend'] = implicit_lists(train, n_threads)
    contenders['LensKit BiasedMF (ALS), batch.recommend'] = lenskit_lists(train, n_threads)
    if n_threads: torch.set_num_threads(n_threads)               # importing a peer may change it
    for name, (make, pairs) in contenders.items(): check(name, pairs(make()), train)
    table = spread(alternate({name: timed(make) for name, (make, _) in contenders.items()}, n_runs))
    return table.assign(setting=setting, times_ours=table.median_s/table.median_s[table.name == OURS].item())


def lists(n_runs):
    """Lists of 50 for every user of MovieLens-100K: `top_n`, implicit's `recommend`, LensKit's `batch.recommend`.
    On one thread each, and on as many as each takes by itself. Needs the extra [bench]."""
    write(pd.concat([in_a_process(all_lists, setting, n_runs, env=env) for setting, env in SETTINGS.items()]),
          RESULTS/'lists.csv')
