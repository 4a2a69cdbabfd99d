"""*New people*, *Columns of users and items* and the library's page of fold-in: what is predicted for those of whom
little is known. One seed.

new_people.csv  every searched model on the split by time and on u1-u5, once with the rows of unknown ids where
                training leaves them and once with the rows that
                `fit_unknown` finds, beside fastai's models as they come, the mean rating, and a table of user and
                item biases
features.csv    what columns are worth: age, gender and occupation; year and genres. Each split `new:K` makes people
                new on purpose: of a tenth of the users the
                training rows have nothing, of a tenth 1 to 5 ratings, of a tenth 6 to 19, of a tenth of the films
                nothing. The rest of their ratings is the test set, with
                a tenth of all the others; ratings of a new film by one of these users are left out. Then the split by
                time, and u1-u5 as they are
fold_in.csv     how well `fold_in` predicts people whom the model has not seen: a tenth of the users is held out, some
                of their ratings are given, a third is tested;
                the unknown row and a model that is trained again with the given ratings beside it
"""
import copy
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from answer.plan import FOLDS
from answer.tables import columns_of, scores_of, write
from movielens_ce.compare.entries import MODELS
from movielens_ce.compare.fit import fit, one_thread, train
from movielens_ce.data.movielens import load_ml100k
from movielens_ce.data.scale import RatingScale
from movielens_ce.data.splits import make_fold, train_valid_split
from movielens_ce.models.models import Ensemble
from movielens_ce.models.parts import id_tables
from movielens_ce.scoring.gaussian import Gaussian
from movielens_ce.scoring.predictions import Predictions, predict
from movielens_ce.use.foldin import fold_in

METRICS = 'rmse', 'accuracy', 'nll'
SEARCHED = [m for m, e in MODELS.items() if e.source == 'searched']
# groups of `made_new`: numbers of training ratings
GIVEN = {'no ratings': (0, 0), '1 to 5': (1, 5), '6 to 19': (6, 19)}
N_GIVEN, FOLDED = (1, 2, 5, 10, 20, 50), ('dot', 'dot_ordinal', 'nn', 'nn_ce', 'implicit', 'ordinal_ids')


def mean_rating(train, test): return np.full(len(test), train.rating.mean())


def biases(train, test, shrink=5):
    "Mean, item and user deviations, each as if by five more ratings without one."
    mean = train.rating.mean()
    def deviations(by, left):
        groups = left.groupby(train[by])
        return groups.sum()/(groups.size() + shrink)
    of_item = deviations('item', train.rating - mean)
    of_user = deviations('user', train.rating - mean - train['item'].map(of_item))
    return (mean + test['item'].map(of_item).fillna(0) + test.user.map(of_user).fillna(0)).to_numpy()


def baseline(points_of, ratings, train, test):
    "Predictions of a baseline, with widths from held-out training rows as `fit_gaussian` finds them."
    scale, (rest, held) = RatingScale.from_ratings(ratings.rating), (ratings.iloc[rows]
                                                                     for rows in train_valid_split(train, 0.1, 0))
    columns = (), ('user',), ('item',), ('user', 'item')
    widths = [Gaussian.fit(points_of(rest, held.assign(**dict.fromkeys(c, -1))), held.rating, scale).width
              for c in columns]
    fit, new = ratings.iloc[train], ratings.iloc[test]
    # 0 where it is unknown
    unknown = np.stack([new[c].isin(fit[c]) for c in ('user', 'item')], axis=1).astype(int)
    points = points_of(fit, new)
    probs = Gaussian(widths[0], scale, tuple(widths[1:])).probs(points, unknown)
    return Predictions(probs, new.rating.to_numpy(float), scale, widths[0], points)


def as_it_starts(model):
    "A copy whose unknown rows are 0: that is where training leaves them, to a hundredth."
    other = copy.deepcopy(model)
    with torch.no_grad():
        for member in other.models if isinstance(other, Ensemble) else [other]:
            for table in id_tables(member): table.own.weight[0] = 0
    return other


def with_and_without(entry, ratings, splits):
    "How unknown rows are found -> predictions for the test rows."
    fitted, = fit(entry, ratings, splits)
    if entry.trainer != 'loop': return {'as it comes': fitted.predict()}
    plain = replace(fitted.head, unknown=()) if fitted.head else None
    return {'as it starts': predict(as_it_starts(fitted.model), fitted.dls.valid, plain), 'fitted': fitted.predict()}


def new_people(ratings):
    "The lines of new_people.csv."
    for fold in ('time', *FOLDS):
        splits = make_fold(fold, ratings)
        known, new = (ratings.iloc[rows] for rows in splits)
        no_user, no_item = (~new[c].isin(known[c]).to_numpy() for c in ('user', 'item'))
        groups = {'all': np.ones(len(new), bool), 'unknown user': no_user, 'unknown item': no_item,
                  'known': ~no_user & ~no_item}
        preds = {(name, ''): baseline(model, ratings, *splits) for name,
                 model in dict(mean=mean_rating, biases=biases).items()}
        for name in (*SEARCHED, 'fastai_dot', 'fastai_nn'):
            preds |= {(name, how): pred for how, pred in with_and_without(MODELS[name], ratings, splits).items()}
        for (name, how), pred in preds.items():
            for rows, at in groups.items():
                if not at.any(): continue
                some = pred.take(at)
                yield dict(fold=fold, model=name, unknown=how, rows=rows, n=at.sum(), **scores_of(some, METRICS),
                           mean_predicted=round(some.point().mean(), 5), mean_rating=round(some.y.mean(), 5))


def made_new(seed, ratings):
    "A split that makes some users and films new, and the group of each test row."
    rng = np.random.default_rng(seed)
    users, films = (rng.permutation(ratings[c].unique()) for c in ('user', 'item'))
    tenths = np.array_split(users, 10)[:len(GIVEN)]
    shuffled = rng.permutation(len(ratings))
    # a random order of each user's ratings
    nth = ratings.iloc[shuffled].groupby('user').cumcount().reindex(ratings.index)
    group = pd.Series(np.where(rng.random(len(ratings)) < 0.1, 'other users', ''), ratings.index)
    for (name, (low, high)), some in zip(GIVEN.items(), tenths):
        kept = pd.Series(rng.integers(low, high + 1, len(some)), some)
        mine = ratings.user.isin(some)
        group[mine] = np.where(nth[mine] < ratings.user[mine].map(kept), '', name)
    cold = ratings['item'].isin(films[:len(films)//10])
    group[cold] = np.where(ratings.user[cold].isin(np.concatenate(tenths)), 'left out', 'films without ratings')
    test = ~group.isin(['', 'left out'])
    return (np.flatnonzero(group == ''), np.flatnonzero(test)), group[test].to_numpy()


def splits_and_groups(ratings):
    "Yields (name, split, group of each test row)."
    for k in range(5): yield f'new:{k}', *made_new(k, ratings)
    for fold in ('time', *FOLDS):
        splits = make_fold(fold, ratings)
        known, test = (ratings.iloc[rows] for rows in splits)
        yield fold, splits, np.where(test.user.isin(known.user), 'known users',
                                     'no ratings') if fold == 'time' else np.full(len(test), 'all')


def features(ml):
    "The lines of features.csv."
    columns = columns_of(ml)
    options = {'nothing': (), 'users': ('user_features',), 'items': ('item_features',), 'both': tuple(columns)}
    for split, splits, group in splits_and_groups(ml.ratings):
        for name in ('dot', 'nn', 'ordinal_ids'):
            for told in options if name == 'ordinal_ids' else ('nothing', 'both'):
                fitted, = fit(MODELS[name], ml.ratings, splits, **{c: columns[c] for c in options[told]})
                pred = fitted.predict()
                for rows in dict.fromkeys(group):
                    yield dict(split=split, model=name, told=told, rows=rows, n=int((group == rows).sum()),
                               **scores_of(pred.take(group == rows), METRICS),
                               seconds=round(fitted.seconds, 4))


def held_people(ratings, tenth=1, seed=0):
    "Row numbers: (those of everybody else, test rows, number given -> given rows) for a tenth of the users."
    rng = np.random.default_rng(seed)
    users = rng.permutation(ratings.user.unique())
    held = np.array_split(users, 10)[tenth]
    rest = np.flatnonzero(~ratings.user.isin(held))
    test, given = [], {k: [] for k in N_GIVEN}
    for user in held:
        rows = rng.permutation(np.flatnonzero(ratings.user == user))
        test, offered = [*test, *rows[:len(rows)//3]], rows[len(rows)//3:]
        for k in N_GIVEN: given[k] += list(offered[:k])
    return rest, np.array(test), {k: np.array(rows) for k, rows in given.items()}


def folded(ratings):
    "The lines of fold_in.csv."
    rest, test, given = held_people(ratings)
    n_people = ratings.user[test].nunique()
    def line(name, how, k, seconds, pred):
        return dict(model=name, how=how, given=k, people=n_people, seconds=round(seconds, 5),
                    **scores_of(pred, METRICS))
    for name in FOLDED:
        entry = replace(MODELS[name], n_members=1, context=None)
        fitted, = fit(entry, ratings, (rest, test))
        yield line(name, 'unknown row', 0, fitted.seconds, fitted.predict())
        width = {} if fitted.head is None else dict(width=fitted.head.width)
        for k, rows in given.items():
            start = time.perf_counter()
            new, new_dls = fold_in(fitted.model, fitted.dls, ratings.iloc[rows], **width)
            seconds = time.perf_counter() - start
            yield line(name, 'fold-in', k, seconds, predict(new, new_dls.test_dl(ratings.iloc[test]), fitted.head))
            again, = train(entry, ratings, (np.sort(np.r_[rest, rows]), test))
            yield line(name, 'trained again', k, again.seconds, predict(again.model, again.dls.valid, fitted.head))


def main(out, jobs):
    ml = load_ml100k()
    tables = dict(new_people=new_people(ml.ratings), features=features(ml), fold_in=folded(ml.ratings))
    with one_thread(): write((name, pd.DataFrame(list(lines))) for name, lines in tables.items())
