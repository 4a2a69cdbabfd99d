"Seconds to fit and RMSE on u1 to u5: Surprise, LensKit, myFM and this package, on the same rows in the same run. Needs the extra [bench]."
import os
import time

import numpy as np
import pandas as pd
import torch
from _common import alternate, write

from movielens_ce.data import fold_split, load_ml100k, rating_dls
from movielens_ce.evaluation import outputs
from movielens_ce.metrics import rmse
from movielens_ce.models import DotProductBias
from movielens_ce.training import fit_one_cycle


def surprise_model(make):
    "`(train, test) -> (seconds, predictions)` for a model of Surprise; predictions are clipped to the scale, as it does by default."
    from surprise import Dataset, Reader
    def run(train, test):
        data = Dataset.load_from_df(train[['user', 'item', 'rating']], Reader(rating_scale=(1, 5))).build_full_trainset()
        start = time.perf_counter()
        model = make()
        model.fit(data)
        seconds = time.perf_counter() - start
        return seconds, np.array([model.predict(u, i).est for u, i in zip(test.user, test['item'])])
    return run


def lenskit_model():
    "LensKit's BiasedMF by alternating least squares, 50 features."
    from lenskit import predict
    from lenskit.als import BiasedMFScorer
    from lenskit.data import from_interactions_df
    from lenskit.pipeline import predict_pipeline
    def run(train, test):
        data = from_interactions_df(train.rename(columns=dict(user='user_id', item='item_id'))[['user_id', 'item_id', 'rating']])
        start = time.perf_counter()
        pipe = predict_pipeline(BiasedMFScorer(features=50))
        pipe.train(data)
        seconds = time.perf_counter() - start
        pred = pd.Series(np.nan, index=test.index)
        for user, rows in test.groupby('user'):
            pred[rows.index] = predict(pipe, int(user), rows['item'].to_numpy()).scores()
        return seconds, pred.fillna(train.rating.mean()).to_numpy()
    return run


def myfm_model(n_iter=300):
    "myFM's regression, rank 10."
    import myfm
    from sklearn.preprocessing import OneHotEncoder
    def run(train, test):
        start = time.perf_counter()
        encode = OneHotEncoder(handle_unknown='ignore').fit(train[['user', 'item']])
        model = myfm.MyFMRegressor(rank=10, random_seed=0)
        model.fit(encode.transform(train[['user', 'item']]), train.rating.to_numpy(float), n_iter=n_iter, group_shapes=[len(c) for c in encode.categories_])
        return time.perf_counter() - start, model.predict(encode.transform(test[['user', 'item']]))
    return run


def dot_model(bs, lr, n_epoch, wd, n_factors=50):
    "The chapter's model with `fit_one_cycle` on all cores, which a peer may have taken from torch; encoding the ids is counted."
    def run(train, test):
        torch.set_num_threads(os.cpu_count())
        ratings = pd.concat([train, test], ignore_index=True)
        start = time.perf_counter()
        dls = rating_dls(ratings, (np.arange(len(train)), np.arange(len(train), len(ratings))), bs=bs, device='cpu')
        torch.manual_seed(0)
        model = DotProductBias.from_dls(dls, n_factors)
        fit_one_cycle(model, dls, n_epoch, lr, wd=wd, seed=0, progress=False)
        return time.perf_counter() - start, outputs(model, dls.valid)[0]
    return run


def main(n_runs):
    from surprise import SVD, SVDpp
    ratings = load_ml100k().ratings
    folds = [fold_split(k) for k in range(1, 6)]
    contenders = {'LensKit BiasedMF (ALS)': (lenskit_model(), n_runs), 'dot product, bs 64, 5 epochs': (dot_model(64, 5e-3, 5, .1), 1),
                  'dot product, bs 2048, 4 epochs': (dot_model(2048, 1e-2, 4, .2), n_runs),
                  'dot product, 10 factors, bs 2048, 3 epochs': (dot_model(2048, 2e-2, 3, .2, 10), n_runs), 'Surprise SVD': (surprise_model(lambda: SVD(random_state=0)), 1),
                  'Surprise SVD++': (surprise_model(lambda: SVDpp(random_state=0)), 1), 'myFM regression, rank 10': (myfm_model(), 1)}
    seconds, errors = {n: [] for n in contenders}, {n: [] for n in contenders}
    for name, (run, _) in contenders.items():
        if name.startswith(('LensKit', 'dot')): run(ratings.iloc[folds[0][0]], ratings.iloc[folds[0][1]])        # warm-up of compiled parts
    for turn in range(n_runs):
        for train, test in folds:
            for name, (run, turns) in contenders.items():
                if turn >= turns: continue
                s, pred = run(ratings.iloc[train], ratings.iloc[test])
                seconds[name].append(s)
                if not turn: errors[name].append(rmse(pred, ratings.rating.to_numpy(float)[test]))
    write(pd.DataFrame([dict(name=n, rmse=np.mean(errors[n]), rmse_sd=np.std(errors[n], ddof=1), median_s=np.median(seconds[n]), min_s=min(seconds[n]), max_s=max(seconds[n]),
                             fits=len(seconds[n])) for n in contenders]), 'peers.csv')
