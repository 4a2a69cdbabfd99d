"""MovieLens-1M: a tenth of the ratings tested (three random splits), then a fifth (one), with the settings of `LARGE`. Each run is added
to nbs/results/million.csv as soon as it is there, and a run that is there is not done again.

    python -m answer.million                   everything, on one core
    python -m answer.million ordinal_ids       some of the rows
    python -m answer.million --closer          the settings of `python -m answer.search --data 1m-near`, columns, 4 members; needs the extra [bench]
    python -m answer.million --peers           myFM and ours side by side in one run, nbs/results/million_peers.csv; needs the extra [bench]

myFM's ordered probit has the rank (32) and the iterations (512) of its own notebook on MovieLens-1M, and is told the same sets and times by the same loaders.
"""
import argparse
import resource
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from answer.kept import add, rows_in
from answer.new_people import biases
from movielens_ce.comparison import fit_entry, fit_head, make_fold
from movielens_ce.context import TimeContext
from movielens_ce.data import RatingScale, hold_out, rating_dls
from movielens_ce.evaluation import Predictions, predict, score
from movielens_ce.fitted import Gaussian
from movielens_ce.movielens import load_movielens
from movielens_ce.registry import MODELS, SEARCHED_ON, entry_of

RESULTS, PEERS = (Path(__file__).parent.parent/f'nbs/results/{name}.csv' for name in ('million', 'million_peers'))
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


def closer():
    "The row of `--closer`: name -> entry."
    from answer.search import SIZES, done, with_best
    return {'ordinal_ids, closer': replace(with_best(MODELS['ordinal_ids'], done(SIZES['1m-near'], 'ordinal_ids_near')), n_members=4)}


def of_biases(ratings, train, test, scale):
    rest, held = hold_out(train, 0.1, 0)
    head = Gaussian.fit(biases(ratings.iloc[rest], ratings.iloc[held]), ratings.rating.iloc[held], scale)
    points = biases(ratings.iloc[train], ratings.iloc[test])
    return Predictions(head.probs(points), ratings.rating.iloc[test].to_numpy(float), scale, head.width, points), 0.


def of_entry(entry, ratings, train, test, scale, **features):
    model, dls, _, seconds = fit_entry(entry, ratings, (train, test), 0, scale, **features)
    head, spent = fit_head(entry, ratings, train, dls, 0, **features)
    return predict(model, dls.valid, head), seconds + spent*(entry.fit_head is not None)


def of_myfm(context, ratings, train, test, scale):
    "myFM's ordered probit, told what our model with this context is told."
    from benchmarks.other_packages import myfm_told
    dls = rating_dls(ratings, (train, test), target='class', scale=scale, device='cpu', context=context)
    seconds, probs = myfm_told(dls, seed=0, n_iter=512, rank=32)
    return Predictions(probs/probs.sum(1, keepdims=True), ratings.rating.iloc[test].to_numpy(float), scale), seconds


def add_run(path, model, fold, pred, seconds):
    "Adds the row of a run to a table and prints it."
    got, peak = score(pred), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/2**20
    row = dict(model=model, fold=fold, n_test=len(pred), **{m: round(got[m], 5) for m in METRICS}, seconds=round(seconds, 1), peak_gib=round(peak, 2))
    print(*row.values(), flush=True)
    add(path, row)


def side_by_side():
    "Ours and myFM's, one after the other in one process, with sets and times on both sides."
    torch.set_num_threads(1)
    ratings = load_movielens('1m').ratings
    splits, scale, entry = make_fold(FOLDS[0], ratings), RatingScale.from_ratings(ratings.rating), rows(len(ratings))['ordinal']
    for name, run in {'ordinal': partial(of_entry, entry), 'myFM': partial(of_myfm, entry.context)}.items():
        if not (rows_in(PEERS, 'model').model == name).any(): add_run(PEERS, name, FOLDS[0], *run(ratings, *splits, scale))


def main(entries, names, folds):
    torch.set_num_threads(1)
    ml = load_movielens('1m')
    ratings, columns = ml.ratings, dict(user_features=ml.users, item_features=ml.items[['year', 'genres']])
    scale = RatingScale.from_ratings(ratings.rating)
    for fold in folds:
        splits = make_fold(fold, ratings)
        for name in names or entries:
            if fold != FOLDS[0] and name not in EVERYWHERE: continue
            there = rows_in(RESULTS, 'model', 'fold')
            if ((there.model == name) & (there.fold == fold)).any(): continue
            run = of_biases if entries[name] is None else partial(of_entry, entries[name], **columns if name.endswith(('columns', 'closer')) else {})
            add_run(RESULTS, name, fold, *run(ratings, *splits, scale))


if __name__ == '__main__':
    parser = argparse.ArgumentParser('python -m answer.million', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*', metavar='ROW', help='some of the rows (default: all)')
    parser.add_argument('--peers', action='store_true', help='myFM beside ours instead')
    parser.add_argument('--closer', action='store_true', help='the row of the closer search instead')
    args = parser.parse_args()
    if args.peers: side_by_side()
    elif args.closer: main(closer(), args.names, FOLDS[:1])
    else: main(rows(SEARCHED_ON), args.names, FOLDS)
