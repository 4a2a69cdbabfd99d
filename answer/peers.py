"""*Which loss wins?*, other packages on equal terms: searched with as many trials as our models, within the training
rows of the fold that is tested, and given an
output head in the same way. One seed. Needs [bench].

peer_search.csv  the trials, in answer/results
peers.csv        Surprise's SVD and KNNBaseline and LensKit's BiasedMF predict ratings: 16 trials of optuna's TPE
                 each, the first with the package's own defaults, chosen by
                 RMSE on the fifth of the training rows that our searches hold out, too. Their heads, one Gaussian
                 width or cuts of users and items, are fitted to
                 out-of-fold predictions (five parts), as ours are. myFM's ordered probit predicts probabilities: its
                 16 trials are four ranks times four lengths
                 of the chain, so that a trial costs a quarter of a chain; chosen by RMSE of the mean, as ours.
peers_told.csv   myFM, told what our best models are told, sets, columns and times, by the same loaders; on u1 alone,
                 because a chain takes minutes, and with the rank and the
                 iterations of its documentation (10, 300)
"""
import json
import os

import numpy as np

from answer.plan import FOLDS, LADDER, N_TRIALS
from answer.tables import RESULTS, columns_of, scores_of
from movielens_ce.compare.entries import Choice, Span, grid_entry
from movielens_ce.compare.fit import one_thread
from movielens_ce.compare.runs import add_rows, read_rows
from movielens_ce.compare.tune import search
from movielens_ce.data.loaders import rating_dls
from movielens_ce.data.movielens import load_ml100k
from movielens_ce.data.scale import RatingScale
from movielens_ce.data.splits import inner_split, make_fold
from movielens_ce.scoring.metrics import rmse
from movielens_ce.scoring.posthoc import OutOfFold, fit_cuts
from movielens_ce.scoring.predictions import Predictions

TRIALS = RESULTS.parent.parent/'answer/results/peer_search.csv'
PEERS, TOLD = RESULTS/'peers.csv', RESULTS/'peers_told.csv'
MYFM, RANKS, LENGTHS, N_PARTS, SEED = 'myFM ordered probit', (4, 8, 16, 32), (50, 100, 200, 300), 5, 0


def models():
    "Name -> (settings -> model, the package's defaults, what a search tries)."
    from answer.packages import biased_mf, knn, svd
    def reals(low, high): return Span(low, high, log=True, digits=None)
    def numbers(low, high, log=True): return Span(low, high, log, whole=True)
    return {
        'Surprise SVD': (svd, dict(n_factors=100, n_epochs=20, lr_all=.005, reg_all=.02),
                         dict(n_factors=Choice((20, 50, 100, 200)), n_epochs=numbers(10, 100), lr_all=reals(.002, .02),
                              reg_all=reals(.01, .2))),
        'Surprise KNNBaseline': (knn, dict(k=40, min_k=1, name='msd', user_based=True, shrinkage=100),
                                 dict(k=numbers(10, 100), min_k=numbers(1, 10, log=False),
                                      name=Choice(('msd', 'cosine', 'pearson_baseline')),
                                      user_based=Choice((True, False)), shrinkage=numbers(10, 300))),
        'LensKit BiasedMF': (biased_mf, dict(features=50, epochs=10, user_reg=.1, item_reg=.1, damping=5.),
                             dict(features=Choice((10, 20, 50, 100)), epochs=numbers(5, 30), user_reg=reals(.01, 10),
                                  item_reg=reals(.01, 10),
                                  damping=reals(1, 30))),
    }


def shown(row): print(*row.values(), flush=True)


def add(path, *rows):
    "Adds rows to a table and prints them."
    add_rows(path, *rows)
    for row in rows: shown(row)


def trials(model, fold):
    rows = read_rows(TRIALS, 'model', 'fold')
    return rows[(rows.model == model) & (rows.fold == fold)]


def best(model, fold):
    tried = trials(model, fold)
    return json.loads(tried.params[tried.rmse.idxmin()])


def frames(ratings, splits): return (ratings.iloc[rows] for rows in splits)


def search_of(model, fold, ratings):
    "Tries settings of a model of ratings, as `tune` does for an entry."
    make, defaults, space = models()[model]
    train, test = frames(ratings, inner_split(fold, ratings))
    def scored(settings):
        seconds, points = make(**settings)(train, test)
        return dict(rmse=rmse(points, test.rating), seconds=seconds)
    search(scored, space, N_TRIALS, first=defaults, seed=int(fold), trace=TRIALS,
           key=dict(model=model, inputs='ids', fold=fold), say=shown)


def row_of(model, fold, head, pred, seconds):
    return dict(model=model, inputs='ids', fold=fold, head=head, **scores_of(pred), seconds=round(seconds, 1),
                params=json.dumps(best(model, fold)))


def of_points(model, fold, ratings, scale):
    "The scores of a model of ratings on test rows, once with each head."
    if len(trials(model, fold)) < N_TRIALS: search_of(model, fold, ratings)
    run, splits = models()[model][0](**best(model, fold)), make_fold(fold, ratings)
    dls = rating_dls(ratings, splits, target='class', scale=scale, device='cpu')
    x_train, x_test = (dls.train_ds.of(frame).x_cat.numpy() for frame in frames(ratings, splits))
    train, test = frames(ratings, splits)
    seconds, points = run(train, test)
    order = np.random.default_rng(SEED).permutation(len(train))
    points_oof = np.concatenate([run(train.iloc[np.setdiff1d(order, part)], train.iloc[part])[1]
                                 for part in np.array_split(order, N_PARTS)])
    oof = OutOfFold(points_oof, x_train[order], train.rating.to_numpy(float)[order])
    y, width, cuts = test.rating.to_numpy(float), oof.gaussian(scale), fit_cuts(oof, scale, (dls.n_users, dls.n_items))
    add(PEERS, row_of(model, fold, 'width', Predictions(width.probs(points), y, scale, width.width, points), seconds),
        row_of(model, fold, 'both_cuts', Predictions(cuts.probs(points, x_test), y, scale), seconds))


def of_chain(fold, ratings, scale):
    """The scores of myFM on test rows, with the rank and the length of the chain that predict held-out training rows
    best."""
    from answer.packages import myfm_chain
    for rank in RANKS:
        before = trials(MYFM, fold)
        if any(json.loads(p)['rank'] == rank for p in before.params): continue
        chain = myfm_chain(*frames(ratings, inner_split(fold, ratings)), scale, rank, LENGTHS)
        add(TRIALS, *(dict(model=MYFM, inputs='ids', fold=fold, trial=len(before) + k, rmse=scores_of(pred)['rmse'],
                           seconds=round(s, 1),
                           params=json.dumps(dict(rank=rank, n_iter=n))) for k, (n, pred, s) in enumerate(chain)))
    params = best(MYFM, fold)
    (_, pred, seconds), = myfm_chain(*frames(ratings, make_fold(fold, ratings)), scale, params['rank'],
                                     (params['n_iter'],))
    add(PEERS, row_of(MYFM, fold, 'trained', pred, seconds))


def told(inputs, ml, scale, fold='1'):
    "The scores of myFM, told what one of our models is told."
    from answer.packages import myfm_told
    context = grid_entry('dot', inputs, 'ce', 'both_cuts', 'trained', lr=1., wd=1.).context
    dls = rating_dls(ml.ratings, make_fold(fold, ml.ratings), target='class', scale=scale, device='cpu',
                     context=context,
                     **(columns_of(ml) if inputs in LADDER else {}))
    seconds, pred = myfm_told(dls, SEED)
    add(TOLD, dict(model=MYFM, inputs=inputs, fold=fold, **scores_of(pred), seconds=round(seconds, 1)))


def main(out, jobs):
    for name in ('LK_NUM_THREADS', 'LK_NUM_PROCS', 'LK_NUM_BACKEND_THREADS'): os.environ.setdefault(name, '1')
    ml = load_ml100k()
    scale = RatingScale.from_ratings(ml.ratings.rating)
    def there(model, fold):
        rows = read_rows(PEERS, 'model', 'fold')
        return ((rows.model == model) & (rows.fold == fold)).any()
    with one_thread():
        for fold in FOLDS:
            for model in models():
                if not there(model, fold): of_points(model, fold, ml.ratings, scale)
            if not there(MYFM, fold): of_chain(fold, ml.ratings, scale)
        for inputs in ('sets', *LADDER):
            if inputs not in list(read_rows(TOLD, 'inputs').inputs): told(inputs, ml, scale)
