"""MovieLens-1M: a tenth of the ratings tested (three random splits), then a fifth (one), with the settings of `LARGE`. Each run is added
to nbs/results/million.csv as soon as it is there, and a run that is there is not done again.

    python -m answer.million                   everything, on one core
    python -m answer.million ordinal_ids       some of the rows
"""
import argparse
import resource
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from filelock import FileLock

from answer.new_people import biases
from movielens_ce.comparison import fit_entry, fit_head, make_fold
from movielens_ce.context import TimeContext
from movielens_ce.data import RatingScale, hold_out
from movielens_ce.evaluation import Predictions, predict, score
from movielens_ce.fitted import Gaussian
from movielens_ce.movielens import load_movielens
from movielens_ce.registry import entry_of
from movielens_ce.runs import atomic_write

RESULTS = Path(__file__).parent.parent/'nbs/results/million.csv'
FOLDS = ['random:0:0.1', 'random:1:0.1', 'random:2:0.1', 'random:0']        # all rows on the first, `EVERYWHERE` on each
EVERYWHERE = 'biases', 'dot', 'dot_fitted', 'dot_ordinal', 'ordinal_ids', 'ordinal', 'ordinal, earlier'
METRICS = 'rmse', 'mae', 'accuracy', 'nll'


def looking(look, n):
    "`ordinal` whose context looks at earlier ratings only."
    return replace(entry_of('ordinal', n), context=partial(TimeContext, look=look), n_members=1)


def rows(n):
    "Name -> entry, for `n` ratings; `None` for the table of biases."
    one = {name: replace(entry_of(name, n), n_members=1) for name in ('dot', 'dot_fitted', 'dot_ordinal', 'implicit', 'ordinal_ids', 'ordinal')}
    many = {f'{name}, 4 members': replace(one[name], n_members=4) for name in ('ordinal_ids', 'ordinal')}
    told = {f'{name}, columns': one[name] for name in ('ordinal_ids', 'ordinal')}
    return dict(biases=None) | one | {'ordinal, earlier': looking('before', n), 'ordinal, up to the second': looking('up_to', n)} | told | many


def of_biases(ratings, train, test, scale):
    rest, held = hold_out(train, 0.1, 0)
    head = Gaussian.fit(biases(ratings.iloc[rest], ratings.iloc[held]), ratings.rating.iloc[held], scale)
    points = biases(ratings.iloc[train], ratings.iloc[test])
    return Predictions(head.probs(points), ratings.rating.iloc[test].to_numpy(float), scale, head.width, points), 0.


def of_entry(entry, ratings, train, test, scale, **features):
    model, dls, _, seconds = fit_entry(entry, ratings, (train, test), 0, scale, **features)
    head, spent = fit_head(entry, ratings, train, dls, 0, **features)
    return predict(model, dls.valid, head), seconds + spent*(entry.fit_head is not None)


def done(): return pd.read_csv(RESULTS) if RESULTS.exists() else pd.DataFrame(columns=['model', 'fold'])


def add(row):
    with FileLock(f'{RESULTS}.lock'):
        together = pd.concat([o for o in (done(), pd.DataFrame([row])) if len(o)])
        atomic_write(RESULTS, lambda tmp: together.to_csv(tmp, index=False))


def main(names):
    torch.set_num_threads(1)
    ml = load_movielens('1m')
    ratings, columns = ml.ratings, dict(user_features=ml.users, item_features=ml.items[['year', 'genres']])
    scale, entries = RatingScale.from_ratings(ratings.rating), rows(len(ratings))
    for fold in FOLDS:
        splits = make_fold(fold, ratings)
        for name in names or entries:
            if fold != FOLDS[0] and name not in EVERYWHERE: continue
            if ((done().model == name) & (done().fold == fold)).any(): continue
            run = of_biases if entries[name] is None else partial(of_entry, entries[name], **columns if name.endswith('columns') else {})
            pred, seconds = run(ratings, *splits, scale)
            got, peak = score(pred), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/2**20
            row = dict(model=name, fold=fold, n_test=len(pred), **{m: round(got[m], 5) for m in METRICS}, seconds=round(seconds, 1), peak_gib=round(peak, 2))
            print(*row.values(), flush=True)
            add(row)


if __name__ == '__main__':
    parser = argparse.ArgumentParser('python -m answer.million', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*', metavar='ROW', help='some of the rows (default: all)')
    main(parser.parse_args().names)
