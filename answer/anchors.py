"""Models of other packages on the rows of the comparison, kept beside the runs of `movielens-ce compare` and scored in the same way. Needs the extra [bench].

    python benchmarks/anchors.py OUT                   all of them on u1 to u5
    python benchmarks/anchors.py OUT --seeds 0,1,2     with these random seeds (the default is 0)

Default settings, unless the name or a comment says more. A model that says one number gets its cut Gaussian as ours do: a second copy, trained on nine tenths of the training rows, is measured
on the last tenth. `…_implicit` knows besides which items a user rated and which users rated an item, in the training rows, each set with weights 1/√size. What OUT keeps is not made again.
"""
import argparse
import time
import warnings
from functools import partial

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from peers import lenskit_model, surprise_model
from scipy.optimize import minimize_scalar
from sklearn.dummy import DummyRegressor

from movielens_ce import __version__
from movielens_ce.comparison import Run, _fingerprint, load_run, prepare_out, run_path, save_run, write_results
from movielens_ce.data import RatingScale, fold_split, hold_out, load_ml100k
from movielens_ce.evaluation import Predictions, cut_gaussian, score
from movielens_ce.metrics import nll


def mean_model(train, test):
    "The mean of the training ratings."
    start = time.perf_counter()
    model = DummyRegressor().fit(train[['user']], train.rating)
    return time.perf_counter() - start, model.predict(test[['user']])


def myfm_model(kind, implicit, seed, n_iter=300):
    "`(train, test) -> (seconds, ratings or probabilities)` for `MyFMRegressor` or `MyFMOrderedProbit`, rank 10."
    import myfm
    def run(train, test):
        start = time.perf_counter()
        users, items = (pd.Index(np.unique(train[c])) for c in ('user', 'item'))
        one_hot = lambda codes, n: sp.csr_matrix((np.ones((codes >= 0).sum()), (np.flatnonzero(codes >= 0), codes[codes >= 0])), shape=(len(codes), n))
        rated = sp.csr_matrix((np.ones(len(train)), (users.get_indexer(train.user), items.get_indexer(train['item']))))
        sets = [sp.diags(1/np.sqrt(np.maximum(np.asarray(m.sum(1)).ravel(), 1))) @ m for m in (rated, rated.T.tocsr())]
        def block(ids, index, members):
            distinct, at = np.unique(ids, return_inverse=True)
            codes = index.get_indexer(distinct)
            own = one_hot(codes, len(index))
            return myfm.RelationBlock(at, sp.hstack([own, own @ members] if implicit else [own]).tocsr())
        blocks = lambda frame: [block(frame.user, users, sets[0]), block(frame['item'], items, sets[1])]
        model = getattr(myfm, kind)(rank=10, random_seed=seed)
        target = train.rating.to_numpy(float) if kind == 'MyFMRegressor' else train.rating.to_numpy(int) - 1
        shapes = [len(users), len(items), len(items), len(users)] if implicit else [len(users), len(items)]
        model.fit(None, target, X_rel=blocks(train), n_iter=n_iter, group_shapes=shapes)
        seconds = time.perf_counter() - start
        return seconds, model.predict(None, X_rel=blocks(test)) if kind == 'MyFMRegressor' else model.predict_proba(None, X_rel=blocks(test))
    return run


def anchors(seed):
    "Name -> `(train, test) -> (seconds, ratings or probabilities)`."
    from surprise import SVD, BaselineOnly, KNNBaseline, SVDpp
    knn = partial(KNNBaseline, sim_options=dict(name='pearson_baseline', user_based=False), verbose=False)
    return dict(mean=mean_model, surprise_baseline=surprise_model(partial(BaselineOnly, verbose=False)), surprise_knn=surprise_model(knn),
                surprise_svd=surprise_model(partial(SVD, random_state=seed)), surprise_svdpp=surprise_model(partial(SVDpp, random_state=seed)), lenskit_mf=lenskit_model(),
                myfm=myfm_model('MyFMRegressor', False, seed), myfm_implicit=myfm_model('MyFMRegressor', True, seed),
                myfm_ordinal=myfm_model('MyFMOrderedProbit', False, seed), myfm_ordinal_implicit=myfm_model('MyFMOrderedProbit', True, seed))


def width_of(model, ratings, train, scale, seed):
    "The width of the cut Gaussian, see `movielens_ce.evaluation.fit_width`."
    most, held = hold_out(train, 0.1, seed)
    _, out = model(ratings.iloc[most], ratings.iloc[held])
    span = scale.high - scale.low
    return float(minimize_scalar(lambda w: nll(cut_gaussian(out, w, scale), ratings.rating.to_numpy(float)[held], scale), bounds=(span/100, 2*span), method='bounded').x)


def run_anchor(name, model, ratings, fold, seed):
    "A run as `run_one` makes them."
    train, test = fold_split(fold, len(ratings))
    scale, y = RatingScale.from_ratings(ratings.rating), ratings.rating.to_numpy(float)[test]
    seconds, out = model(ratings.iloc[train], ratings.iloc[test])
    if out.ndim == 2: pred = Predictions(out/out.sum(1, keepdims=True), y, scale)
    else:
        width = width_of(model, ratings, train, scale, seed)
        pred = Predictions(cut_gaussian(out, width, scale), y, scale, width, out)
    return Run(dict(model=name, fold=str(fold), seed=seed, n_test=len(test), **score(pred), width=pred.width, train_seconds=seconds, version=__version__), pred, pd.DataFrame(), test)


def main(out, seeds):
    torch.set_num_threads(1)
    warnings.filterwarnings('ignore')
    prepare_out(out)
    ratings = load_ml100k().ratings
    for seed in seeds:
        for name, model in anchors(seed).items():
            for fold in range(1, 6):
                path = run_path(out, name, fold, seed)
                if not path.exists(): save_run(run_anchor(name, model, ratings, fold, seed), out, _fingerprint(ratings))
                row = load_run(path)[0].row
                print(name, fold, seed, *(f'{m} {row[m]:.4f}' for m in ('rmse', 'mae', 'accuracy', 'nll')), f'{row["train_seconds"]:.1f} s', flush=True)
    write_results(out)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', metavar='OUT')
    parser.add_argument('--seeds', default='0')
    args = parser.parse_args()
    main(args.out, [int(s) for s in args.seeds.split(',')])
