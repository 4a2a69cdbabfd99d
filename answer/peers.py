"""Other packages on equal terms: searched with as many trials as our models, within the training rows of the fold that is tested, and given an
output head in the same way. Needs the extra [bench].

    python -m answer.peers                                 everything, on one core
    python -m answer.peers --folds 1 --peers points,ids    some of it

`points`: Surprise's SVD and KNNBaseline and LensKit's BiasedMF predict ratings. 16 trials of optuna's TPE each, the first with the package's own defaults,
chosen by RMSE on the fifth of the training rows that answer/nested.py holds out, too. Their heads, one Gaussian width or cuts of users and items, are fitted to
out-of-fold predictions (five parts), as ours are. One seed.

`ids`: myFM's ordered probit predicts probabilities. Its 16 trials are four ranks times four lengths of the chain, so that a trial costs a quarter of a
chain; chosen by RMSE of the mean, as ours.

`told`: the same, told what our best models are told, sets, columns and times, by the same loaders; on u1 alone, because a chain takes minutes, and with the rank and the
iterations of its documentation (10, 300).

Trials go to answer/results/peer_search.csv, test scores to nbs/results/peers.csv and peers_told.csv as soon as they are there; what is there is not made again."""
import argparse
import contextlib
import io
import json
import os
import time
from functools import partial
from pathlib import Path

import numpy as np
import optuna
import torch

from answer import kept
from answer.nested import inner
from answer.plan import FOLDS, KNOWLEDGE, N_TRIALS
from benchmarks.other_packages import ids_alone, lenskit_predictions, myfm_told
from movielens_ce.comparison import make_fold
from movielens_ce.context import TimeContext
from movielens_ce.data import RatingScale, load_ml100k, rating_dls
from movielens_ce.evaluation import Predictions, score
from movielens_ce.fitted import HeldOut, fit_cuts
from movielens_ce.metrics import rmse

ROOT = Path(__file__).parent
TRIALS, RESULTS, TOLD = ROOT/'results/peer_search.csv', *(ROOT.parent/f'nbs/results/{name}.csv' for name in ('peers', 'peers_told'))
MYFM = 'myFM ordered probit'
METRICS, N_PARTS, SEED = ('rmse', 'mae', 'accuracy', 'nll'), 5, 0
RANKS, LENGTHS, BURN_IN = (4, 8, 16, 32), (50, 100, 200, 300), 5


def surprise(make, train, test):
    "Predictions of a model of Surprise."
    from surprise import Dataset, Reader
    data = Dataset.load_from_df(train[['user', 'item', 'rating']], Reader(rating_scale=(1, 5))).build_full_trainset()
    with contextlib.redirect_stdout(io.StringIO()): model = make().fit(data)
    return np.array([model.predict(u, i).est for u, i in zip(test.user, test['item'])])


def svd(n_factors, n_epochs, lr_all, reg_all):
    from surprise import SVD
    return partial(surprise, partial(SVD, n_factors=n_factors, n_epochs=n_epochs, lr_all=lr_all, reg_all=reg_all, random_state=SEED))


def knn(k, min_k, name, user_based, shrinkage):
    from surprise import KNNBaseline
    similarity = dict(name=name, user_based=user_based) | (dict(shrinkage=shrinkage) if name == 'pearson_baseline' else {})
    return partial(surprise, partial(KNNBaseline, k=k, min_k=min_k, sim_options=similarity))


def biased_mf(features, epochs, user_reg, item_reg, damping):
    from lenskit.als import BiasedMFScorer
    make = partial(BiasedMFScorer, features=features, epochs=epochs, regularization=dict(user=user_reg, item=item_reg), damping=damping)
    return partial(lenskit_predictions, make, seed=SEED)


# name -> (parameters -> (train, test) -> predicted ratings; the package's defaults; trial -> parameters)
POINTS = {
    'Surprise SVD': (svd, dict(n_factors=100, n_epochs=20, lr_all=.005, reg_all=.02), lambda t: dict(
        n_factors=t.suggest_categorical('n_factors', [20, 50, 100, 200]), n_epochs=t.suggest_int('n_epochs', 10, 100, log=True),
        lr_all=t.suggest_float('lr_all', .002, .02, log=True), reg_all=t.suggest_float('reg_all', .01, .2, log=True))),
    'Surprise KNNBaseline': (knn, dict(k=40, min_k=1, name='msd', user_based=True, shrinkage=100), lambda t: dict(
        k=t.suggest_int('k', 10, 100, log=True), min_k=t.suggest_int('min_k', 1, 10), name=t.suggest_categorical('name', ['msd', 'cosine', 'pearson_baseline']),
        user_based=t.suggest_categorical('user_based', [True, False]), shrinkage=t.suggest_int('shrinkage', 10, 300, log=True))),
    'LensKit BiasedMF': (biased_mf, dict(features=50, epochs=10, user_reg=.1, item_reg=.1, damping=5.), lambda t: dict(
        features=t.suggest_categorical('features', [10, 20, 50, 100]), epochs=t.suggest_int('epochs', 5, 30, log=True),
        user_reg=t.suggest_float('user_reg', .01, 10, log=True), item_reg=t.suggest_float('item_reg', .01, 10, log=True),
        damping=t.suggest_float('damping', 1, 30, log=True))),
}


def add(path, rows):
    "Adds rows to a table and prints them."
    kept.add(path, *rows)
    for row in rows: print(*row.values(), flush=True)


def trials(model, knows, fold):
    "The trials of one search."
    rows = kept.rows_in(TRIALS, 'model', 'knows', 'fold')
    return rows[(rows.model == model) & (rows.knows == knows) & (rows.fold == fold)]


def best(found): return json.loads(found.loc[found.rmse.idxmin()].params)


def search_points(model, fold, ratings):
    "The parameters that predict held-out training rows best."
    make, defaults, suggest = POINTS[model]
    train, test = (ratings.iloc[rows] for rows in inner(fold, ratings))
    before = trials(model, 'ids', fold)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=int(fold), n_startup_trials=N_TRIALS//2), direction='minimize')
    if len(before) < N_TRIALS: study.enqueue_trial(defaults)                # a search that was stopped begins again: all of it takes minutes
    rows = []
    def objective(trial):
        params, start = suggest(trial), time.perf_counter()
        value = rmse(make(**params)(train, test), test.rating)
        rows.append(dict(model=model, knows='ids', fold=fold, trial=trial.number, rmse=round(value, 5), seconds=round(time.perf_counter() - start, 1), params=json.dumps(params)))
        return value
    if len(before) < N_TRIALS:
        study.optimize(objective, n_trials=N_TRIALS)
        add(TRIALS, rows)
    return best(trials(model, 'ids', fold))


def coded(ratings, splits, scale):
    "(rows of users and items in the tables of a model for training and test rows, sizes of the tables)."
    dls = rating_dls(ratings, splits, target='class', scale=scale, device='cpu')
    return [dls.train_ds.of(ratings.iloc[rows]).tensors[0].numpy() for rows in splits], (dls.n_users, dls.n_items)


def test_points(model, fold, ratings, scale):
    "The scores on test rows, once with each head."
    params, splits = search_points(model, fold, ratings), make_fold(fold, ratings)
    run, known = POINTS[model][0](**params), coded(ratings, splits, scale)
    train, test = (ratings.iloc[rows] for rows in splits)
    start = time.perf_counter()
    points = run(train, test)
    seconds = time.perf_counter() - start
    order = np.random.default_rng(SEED).permutation(len(train))
    parts = np.array_split(order, N_PARTS)
    held_points = np.concatenate([run(train.iloc[np.setdiff1d(order, part)], train.iloc[part]) for part in parts])
    held = HeldOut(held_points, known[0][0][order], train.rating.to_numpy(float)[order])
    y, gaussian = test.rating.to_numpy(float), held.gaussian(scale)
    preds = {'width': Predictions(gaussian.probs(points), y, scale, gaussian.width, points)}
    head = fit_cuts(held, scale, known[1])
    preds['both_cuts'] = Predictions(head.probs(points, known[0][1]), y, scale)
    add(RESULTS, [row_of(model, 'ids', fold, head, pred, seconds, params) for head, pred in preds.items()])


def row_of(model, knows, fold, head, pred, seconds, params):
    got = score(pred)
    return dict(model=model, knows=knows, fold=fold, head=head, **{m: round(got[m], 5) for m in METRICS}, seconds=round(seconds, 1), params=json.dumps(params))


def chain(ml, splits, scale, rank, lengths):
    "Runs myFM's chain; gives (length, predictions for the second part of `splits`, seconds) for each of `lengths`."
    import myfm
    start, (train, test) = time.perf_counter(), (ml.ratings.iloc[rows] for rows in splits)
    features, sizes = ids_alone(train)
    asked, y = features(test)['X'], test.rating.to_numpy(float)
    total, found = np.zeros((len(y), scale.n_classes)), []
    def keep(i, fm, hyper, history):
        if i >= BURN_IN: total[:] += fm.oprobit_predict_proba(asked, [], 0)
        if i + 1 in lengths: found.append((i + 1, Predictions(total/total.sum(1, keepdims=True), y, scale), time.perf_counter() - start))
        return False, None
    with contextlib.redirect_stderr(io.StringIO()):
        model = myfm.MyFMOrderedProbit(rank=rank, random_seed=SEED)
        model.fit(y=scale.to_class(train.rating), n_iter=max(lengths), n_kept_samples=1, group_shapes=sizes, callback=keep, **features(train))
    return found


def search_chain(fold, ml, scale):
    "The rank and the length of the chain that predict held-out training rows best."
    for rank in RANKS:
        before = trials(MYFM, 'ids', fold)
        if any(json.loads(p)['rank'] == rank for p in before.params): continue
        add(TRIALS, [dict(model=MYFM, knows='ids', fold=fold, trial=len(before) + k, rmse=round(score(pred)['rmse'], 5), seconds=round(s, 1),
                          params=json.dumps(dict(rank=rank, n_iter=n))) for k, (n, pred, s) in enumerate(chain(ml, inner(fold, ml.ratings), scale, rank, LENGTHS))])
    return best(trials(MYFM, 'ids', fold))


def test_chain(fold, ml, scale):
    "The scores of myFM on test rows."
    params = search_chain(fold, ml, scale)
    (_, pred, seconds), = chain(ml, make_fold(fold, ml.ratings), scale, params['rank'], (params['n_iter'],))
    add(RESULTS, [row_of(MYFM, 'ids', fold, 'trained', pred, seconds, params)])


def test_told(knows, ml, scale, fold='1'):
    "The scores of myFM, told what one of our models is told."
    look = knows if knows in ('before', 'up_to', 'both') else None
    features = {} if knows == 'sets' else dict(user_features=ml.users, item_features=ml.items[['year', 'genres']])
    dls = rating_dls(ml.ratings, make_fold(fold, ml.ratings), target='class', scale=scale, device='cpu', context=look and partial(TimeContext, look=look), **features)
    seconds, probs = myfm_told(dls, SEED)
    got = score(Predictions(probs/probs.sum(1, keepdims=True), scale.to_rating(dls.valid_ds.tensors[-1].numpy()), scale))
    add(TOLD, [dict(model=MYFM, knows=knows, fold=fold) | {m: round(got[m], 5) for m in METRICS} | dict(seconds=round(seconds, 1))])


def main(folds, peers):
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    ml = load_ml100k()
    scale = RatingScale.from_ratings(ml.ratings.rating)
    def there(model, fold):
        rows = kept.rows_in(RESULTS, 'model', 'fold')
        return ((rows.model == model) & (rows.fold == fold)).any()
    for fold in folds:
        for model in POINTS if 'points' in peers else ():
            if not there(model, fold): test_points(model, fold, ml.ratings, scale)
        if 'ids' in peers and not there(MYFM, fold): test_chain(fold, ml, scale)
    for knows in (k for k in KNOWLEDGE if k != 'ids' and 'told' in peers):
        if knows not in list(kept.rows_in(TOLD, 'knows').knows): test_told(knows, ml, scale)


if __name__ == '__main__':
    for name in ('LK_NUM_THREADS', 'LK_NUM_PROCS', 'LK_NUM_BACKEND_THREADS'): os.environ.setdefault(name, '1')
    parser = argparse.ArgumentParser('python -m answer.peers', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--folds', default=','.join(FOLDS), help='names of folds with commas between them (default: all)')
    parser.add_argument('--peers', default='points,ids,told', help='some of points, ids and told (default: all)')
    args = parser.parse_args()
    main(args.folds.split(','), args.peers.split(','))
