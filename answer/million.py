"""*A million ratings*: MovieLens-1M. Each row is added to its table as soon as it is there.

million.csv       a tenth of the ratings tested (three random splits), then a fifth (one), with the settings of `LARGE`
million_peers.csv myFM and ours side by side in one process, told the same sets and times; myFM with rank 32 and 512
                  iterations, as in its own notebook. Needs [bench]
million_arms.csv  the entries of the plan on a random tenth of the ratings, one seed: value, interval, adaptive
                  calibration error, seconds
million_diff.csv  every head against one width, likelihood against squared error with each head, cuts trained against
                  cuts fitted afterwards
loss_scale.csv    squared error divided by a number, with everything else the same: a minimum stays where it is, but
                  gradients become smaller beside the epsilon of Adam
growing.csv       a quarter of the users, drawn twice, trained with the settings of all in three ways; `entry_of` uses
                  the first

The tables of the plan have 2,000 draws of users and items. One split and one seed have no spread of their own: the
intervals leave it out. The last two
tables score the held-out training rows of `answer/settings.py`.
"""
import resource
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd

from answer import plan
from answer.arms import described, with_words
from answer.people import baseline, biases
from answer.settings import FOLDER, rows_1m
from answer.tables import RESULTS, columns_of, scores_of, write
from movielens_ce.compare.entries import MODELS, SEARCHED_ON, entry_of
from movielens_ce.compare.experiment import iter_runs
from movielens_ce.compare.fit import fit, one_thread
from movielens_ce.compare.runs import add_rows, load_run, read_rows, run_path
from movielens_ce.compare.tune import best_entry, held_out_scores
from movielens_ce.data.context import TimeContext
from movielens_ce.data.loaders import rating_dls
from movielens_ce.data.movielens import load_movielens
from movielens_ce.data.splits import make_fold
from movielens_ce.scoring.calibration import adaptive_calibration_error
from movielens_ce.scoring.intervals import CrossedLosses, intervals
from movielens_ce.training.losses import mse

# all rows on the first, `EVERYWHERE` on each
FOLDS = ['random:0:0.1', 'random:1:0.1', 'random:2:0.1', 'random:0']
EVERYWHERE = 'biases', 'dot', 'dot_fitted', 'dot_ordinal', 'ordinal_ids', 'ordinal', 'ordinal, earlier'
DRAWS = 2_000
# score and loss of the plan -> the search that its settings are from
SEARCHED = {('dot', 'mse'): 'dot', ('dot', 'ce'): 'dot_ordinal_more', ('nn', 'mse'): 'nn', ('nn', 'ce'): 'nn_ordinal',
            ('sets', 'mse'): 'implicit_ids',
            ('sets', 'ce'): 'ordinal_ids', ('times', 'mse'): 'implicit_more', ('times', 'ce'): 'ordinal_ids'}


def trials(search):
    rows = read_rows(FOLDER/'tuning-1m.csv')
    return rows[rows.search == search]


def named():
    "Name of a row -> (entry, whether it is told columns); no entry for the table of biases."
    def one(name): return replace(entry_of(name, SEARCHED_ON), n_members=1)
    def looking(look): return replace(one('ordinal'), context=partial(TimeContext, look=look))
    rows = {name: (one(name), False) for name in ('dot', 'dot_fitted', 'dot_ordinal', 'implicit', 'ordinal_ids',
                                                  'ordinal')}
    rows |= {'ordinal, earlier': (looking('before'), False), 'ordinal, up to the second': (looking('up_to'), False)}
    for name in ('ordinal_ids', 'ordinal'):
        rows |= {f'{name}, columns': (one(name), True), f'{name}, 4 members': (replace(one(name), n_members=4), False)}
    near = best_entry(MODELS['ordinal_ids'], trials('ordinal_ids_near'), 'nll')
    return dict(biases=(None, False)) | rows | {'ordinal_ids, closer': (replace(near, n_members=4), True)}


def add(table, model, fold, pred, seconds):
    "Adds the row of a run to a table and prints it."
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/2**20
    row = dict(model=model, fold=fold, n_test=len(pred), **scores_of(pred), seconds=round(seconds, 1),
               peak_gib=round(peak, 2))
    print(*row.values(), flush=True)
    add_rows(RESULTS/f'{table}.csv', row)


def is_there(table, model, fold):
    rows = read_rows(RESULTS/f'{table}.csv', 'model', 'fold')
    return ((rows.model == model) & (rows.fold == fold)).any()


def large(ml):
    "The rows of million.csv."
    for fold in FOLDS:
        splits = make_fold(fold, ml.ratings)
        for name, (entry, told) in named().items():
            if fold != FOLDS[0] and name not in EVERYWHERE or is_there('million', name, fold): continue
            if entry is None: pred, seconds = baseline(biases, ml.ratings, *splits), 0.
            else:
                fitted, = fit(entry, ml.ratings, splits, **columns_of(ml) if told else {})
                pred, seconds = fitted.predict(), fitted.seconds
            add('million', name, fold, pred, seconds)


def peers(ml):
    "Ours and myFM's, one after the other in one process, with sets and times on both sides."
    splits, entry = make_fold(FOLDS[0], ml.ratings), replace(entry_of('ordinal', SEARCHED_ON), n_members=1)
    if not is_there('million_peers', 'ordinal', FOLDS[0]):
        fitted, = fit(entry, ml.ratings, splits)
        add('million_peers', 'ordinal', FOLDS[0], fitted.predict(), fitted.seconds)
    if is_there('million_peers', 'myFM', FOLDS[0]): return
    from answer.packages import myfm_told
    dls = rating_dls(ml.ratings, splits, target='class', device='cpu', context=entry.context)
    seconds, pred = myfm_told(dls, n_iter=512, rank=32)
    add('million_peers', 'myFM', FOLDS[0], pred, seconds)


def arms():
    "Name -> entry of the plan, with the settings for a million ratings."
    entries = {n: e for n, e in plan.ENTRIES.items() if e.inputs not in plan.LADDER}
    searched = {plan.SCORES[score] + (loss,): search for (score, loss), search in SEARCHED.items()}
    return {n: replace(best_entry(e, trials(searched[e.score, e.inputs, e.loss]),
                                  'rmse' if e.loss == 'mse' else 'nll'), n_members=1)
            for n, e in entries.items()}


def loss_head_score(out, ml, jobs):
    "The tables of the plan's entries."
    entries, fold = arms(), FOLDS[0]
    for r, new in iter_runs(ml.ratings, entries, [fold], out=f'{out}/1m', jobs=jobs, stack=True):
        print(r.row['model'], round(r.row['nll'], 4), flush=True)
    runs = {name: load_run(run_path(f'{out}/1m', name, fold, 0)) for name in entries}
    losses = CrossedLosses.from_runs(((n, fold, ml.ratings.iloc[r.rows], r.pred) for n, r in runs.items()),
                                     plan.METRICS)
    more = pd.DataFrame({n: dict(calibration=adaptive_calibration_error(r.pred), seconds=r.row['train_seconds']) for n,
                         r in runs.items()}).T
    values = pd.concat([intervals(losses, m, DRAWS).rename_axis('model').reset_index().assign(metric=m)
                        for m in plan.METRICS])
    yield 'million_arms', with_words(values.merge(more, left_on='model', right_index=True).reset_index(drop=True))
    yield 'million_diff', described(losses, DRAWS)


@dataclass(frozen=True)
class Divided:
    "Squared error divided by a number."
    by: float
    def __call__(self, output, y): return mse(output, y)/self.by


def loss_scale(ml):
    of, splits = entry_of('ordinal_ids', SEARCHED_ON), rows_1m(ml.ratings)
    entry = replace(MODELS['implicit'], context=None, n_members=1, lr=of.lr, wd=of.wd, n_epoch=of.n_epoch, bs=of.bs,
                    options=of.options)
    by_divisor = {by: held_out_scores(replace(entry, loss_func=Divided(by)), ml.ratings, splits) for by in (1, 4, 16)}
    return pd.DataFrame([dict(divided_by=by, rmse=round(got['rmse'], 5), seconds=round(got['seconds'], 1)) for by,
                         got in by_divisor.items()])


def growing(ml, share=1/4):
    ratings, table = ml.ratings, []
    splits, users = rows_1m(ratings), ratings.user.unique()
    for seed in (0, 1):
        some = np.random.default_rng(seed).permutation(users)[:round(len(users)*share)]
        inside = ratings.user.isin(some).to_numpy()
        rows = tuple(r[inside[r]] for r in splits)
        for name in ('dot', 'dot_ordinal', 'ordinal_ids'):
            entry = replace(entry_of(name, SEARCHED_ON), n_members=1)
            steps = replace(entry, bs=round(entry.bs*share))
            for way, e in {'same steps, epsilon scaled': replace(steps, eps=entry.eps/share), 'same steps': steps,
                           'same batch': entry}.items():
                got = held_out_scores(e, ratings, rows, seed)
                value = got['rmse' if e.target == 'rating' else 'nll']
                table.append(dict(model=name, way=way, seed=seed, bs=e.bs, eps=e.eps, value=round(value, 5),
                                  seconds=round(got['seconds'], 1)))
    return pd.DataFrame(table)


def main(out, jobs):
    ml = load_movielens('1m')
    with one_thread():
        large(ml)
        write(loss_head_score(out, ml, jobs))
        write((name, table(ml)) for name, table in dict(loss_scale=loss_scale, growing=growing).items()
              if not (RESULTS/f'{name}.csv').exists())
        peers(ml)
