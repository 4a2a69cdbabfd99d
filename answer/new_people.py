"""What strangers get: every searched model on the split by time and on u1-u5, once with the rows of unknown ids where
training leaves them and once with the rows that `fit_unknown` finds, beside fastai's models as they come, the mean
rating, and a table of user and item biases. Writes nbs/results/new_people.csv; `--folds` and `--models` make less of it, on the screen only."""
import argparse
import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from movielens_ce.comparison import fit_entry, make_fold
from movielens_ce.data import RatingScale, hold_out, load_ml100k
from movielens_ce.evaluation import Predictions, predict, score
from movielens_ce.fitted import Gaussian, fit_gaussian, fit_width
from movielens_ce.models import Ensemble
from movielens_ce.registry import MODELS, known_models
from movielens_ce.runs import atomic_write
from movielens_ce.training import _id_tables

RESULTS = Path(__file__).parent.parent/'nbs/results/new_people.csv'
SHOWN = [m for m, e in MODELS.items() if e.source == 'searched'] + ['fastai_dot', 'fastai_nn']


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


def hidden(frame, *columns): return frame.assign(**dict.fromkeys(columns, -1))


def baseline(model, ratings, train, test, scale, seed):
    "Predictions of a baseline, with widths from held-out training rows as `fit_gaussian` finds them."
    rest, held = (ratings.iloc[rows] for rows in hold_out(train, 0.1, seed))
    columns = (), ('user',), ('item',), ('user', 'item')
    widths = [Gaussian.fit(model(rest, hidden(held, *c)), held.rating, scale).width for c in columns]
    fit, new = ratings.iloc[train], ratings.iloc[test]
    unknown = np.stack([new[c].isin(fit[c]) for c in ('user', 'item')], axis=1).astype(int)        # 0 where it is unknown
    points = model(fit, new)
    probs = Gaussian(widths[0], scale, tuple(widths[1:])).probs(points, unknown)
    return Predictions(probs, new.rating.to_numpy(float), scale, widths[0], points)


def as_it_starts(model):
    "A copy whose unknown rows are 0: that is where training leaves them, to a hundredth."
    other = copy.deepcopy(model)
    with torch.no_grad():
        for member in other.models if isinstance(other, Ensemble) else [other]:
            for table in _id_tables(member).values(): table.weight[0] = 0
    return other


def lines(name, fold, unknown, pred, no_user, no_item):
    "Scores of all rows and of those with unknown ids."
    groups = {'all': np.ones(len(pred), bool), 'unknown user': no_user, 'unknown item': no_item, 'known': ~no_user & ~no_item}
    for rows, at in groups.items():
        if not at.any(): continue
        some = Predictions(pred.probs[at], pred.y[at], pred.scale, pred.width, None if pred.rating is None else pred.rating[at])
        got = score(some)
        yield dict(fold=fold, model=name, unknown=unknown, rows=rows, n=at.sum(), **{m: got[m] for m in ('rmse', 'accuracy', 'nll')},
                   mean_predicted=some.point().mean(), mean_rating=some.y.mean())


def of_entry(name, ratings, splits, scale, seed):
    "Unknown rows -> predictions for the test rows."
    entry, (train, test) = MODELS[name], splits
    model, dls, *_ = fit_entry(entry, ratings, splits, seed, scale)
    before = after = None
    if entry.target == 'rating':
        twin, held, *_ = fit_entry(replace(entry, trainer='loop'), ratings, hold_out(train, 0.1, seed), seed, scale)
        before, after = fit_width(twin, held.valid), fit_gaussian(twin, held.valid)
    if entry.trainer != 'loop': return {'as it comes': predict(model, dls.valid, before)}
    return {'as it starts': predict(as_it_starts(model), dls.valid, before), 'fitted': predict(model, dls.valid, after)}


def of_fold(fold, names, ratings, seed=0):
    "The lines of one fold."
    scale, splits = RatingScale.from_ratings(ratings.rating), make_fold(fold, ratings)
    fit, new = (ratings.iloc[rows] for rows in splits)
    unknown = [~new[c].isin(fit[c]).to_numpy() for c in ('user', 'item')]
    for name, model in dict(mean=mean_rating, biases=biases).items():
        yield from lines(name, fold, '', baseline(model, ratings, *splits, scale, seed), *unknown)
    for name in names:
        for how, pred in of_entry(name, ratings, splits, scale, seed).items(): yield from lines(name, fold, how, pred, *unknown)


def main(folds, names):
    known_models(names)
    torch.set_num_threads(1)
    ratings, found = load_ml100k().ratings, []
    for fold in folds:
        for line in of_fold(fold, names, ratings):
            found.append(line)
            shown = {k: round(v, 4) if isinstance(v, float) else v for k, v in line.items()}
            print(*shown.values(), flush=True)
    if list(folds) == FOLDS and list(names) == SHOWN:
        atomic_write(RESULTS, lambda tmp: pd.DataFrame(found).round(5).to_csv(tmp, index=False))


FOLDS = ['time', '1', '2', '3', '4', '5']
if __name__ == '__main__':
    parser = argparse.ArgumentParser('python -m answer.new_people', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--folds', default=','.join(FOLDS), help='names of folds with commas between them')
    parser.add_argument('--models', default=','.join(SHOWN), help='models with commas between them')
    args = parser.parse_args()
    main(args.folds.split(','), args.models.split(','))
