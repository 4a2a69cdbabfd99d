"""Models of other packages on the rows of the comparison, for the tables of the answer. Needs the extra [bench].

    python -m answer.anchors OUT                   all of them on u1 to u5
    python -m answer.anchors OUT --seeds 0,1,2     with these random seeds (the default is 0)

Their runs are kept in OUT beside those of `movielens-ce compare` and scored in the same way. What OUT keeps is
not made again. Settings are the packages' defaults, unless the name or a comment says more.

A model that says one number gets its cut Gaussian as ours do: a second copy, trained on nine tenths of the
training rows, is measured on the last tenth. `…_implicit` knows besides which items a user rated and which users
rated an item, in the training rows, each set with weights 1/√size.
"""
import argparse
import time
import warnings
from functools import partial

import pandas as pd
import torch
from sklearn.dummy import DummyRegressor

from benchmarks.other_packages import lenskit_model, myfm_model, surprise_model
from movielens_ce import __version__
from movielens_ce.data import RatingScale, fold_split, hold_out, load_ml100k
from movielens_ce.evaluation import Predictions, score
from movielens_ce.fitted import Gaussian
from movielens_ce.runs import Run, fingerprint, load_run, prepare_out, run_path, save_run, write_results


def mean_model(train, test):
    "The mean of the training ratings."
    start = time.perf_counter()
    model = DummyRegressor().fit(train[['user']], train.rating)
    return time.perf_counter() - start, model.predict(test[['user']])


def anchors(seed):
    "Name -> `(train, test) -> (seconds, ratings or probabilities)`."
    from surprise import SVD, BaselineOnly, KNNBaseline, SVDpp
    by_item = dict(name='pearson_baseline', user_based=False)
    return dict(
        mean=mean_model,
        surprise_baseline=surprise_model(partial(BaselineOnly, verbose=False)),
        surprise_knn=surprise_model(partial(KNNBaseline, sim_options=by_item, verbose=False)),
        surprise_svd=surprise_model(partial(SVD, random_state=seed)),
        surprise_svdpp=surprise_model(partial(SVDpp, random_state=seed)),
        lenskit_mf=lenskit_model(),
        myfm=myfm_model('MyFMRegressor', False, seed),
        myfm_implicit=myfm_model('MyFMRegressor', True, seed),
        myfm_ordinal=myfm_model('MyFMOrderedProbit', False, seed),
        myfm_ordinal_implicit=myfm_model('MyFMOrderedProbit', True, seed),
    )


def with_width(model, ratings, train, points, y, scale, seed):
    "Predictions of `points`, with the width that a second copy of the model has on held-out training rows."
    most, held = (ratings.iloc[rows] for rows in hold_out(train, 0.1, seed))
    _, held_points = model(most, held)
    head = Gaussian.fit(held_points, held.rating.to_numpy(float), scale)
    return Predictions(head.probs(points), y, scale, head.width, points)


def run_anchor(name, model, ratings, fold, seed):
    "A run as `run_one` makes them."
    train, test = fold_split(fold, ratings)
    scale, y = RatingScale.from_ratings(ratings.rating), ratings.rating.to_numpy(float)[test]
    seconds, out = model(ratings.iloc[train], ratings.iloc[test])
    if out.ndim == 2: pred = Predictions(out/out.sum(1, keepdims=True), y, scale)
    else: pred = with_width(model, ratings, train, out, y, scale, seed)
    row = dict(model=name, fold=str(fold), seed=seed, n_test=len(test), **score(pred), width=pred.width,
               train_seconds=seconds, version=__version__)
    return Run(row, pred, pd.DataFrame(), test, fingerprint(ratings))


def keep(name, model, ratings, fold, seed, out):
    "Trains and keeps a run unless `out` has it; its line of results."
    path = run_path(out, name, fold, seed)
    if not path.exists(): save_run(run_anchor(name, model, ratings, fold, seed), out)
    return load_run(path).row


def main(out, seeds):
    torch.set_num_threads(1)
    warnings.filterwarnings('ignore')
    prepare_out(out)
    ratings = load_ml100k().ratings
    for seed in seeds:
        for name, model in anchors(seed).items():
            for fold in range(1, 6):
                row = keep(name, model, ratings, fold, seed, out)
                figures = [f'{m} {row[m]:.4f}' for m in ('rmse', 'mae', 'accuracy', 'nll')]
                print(name, fold, seed, *figures, f'{row["train_seconds"]:.1f} s', flush=True)
    write_results(out)


if __name__ == '__main__':
    parser = argparse.ArgumentParser('python -m answer.anchors', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', metavar='OUT', help='the folder that keeps the runs')
    parser.add_argument('--seeds', default='0', help='random seeds with commas between them (default 0)')
    args = parser.parse_args()
    main(args.out, [int(s) for s in args.seeds.split(',')])
