"""Loss, head and score on MovieLens-1M: the arms of answer/plan.py on a random tenth of the ratings, with one seed. The settings were found on the training rows of
the same split by `python -m answer.search --data 1m`, with eight trials. The loss of a score that was then behind on the test rows had 24
instead (`LONGER` in answer/search.py; the first eight of `…_more` are copies of those of the model itself):

    python -m answer.search --data 1m --trials 24 implicit_ids dot_ordinal_more implicit_more

    python -m answer.million_arms OUT_1M                      everything, on one core
    python -m answer.million_arms OUT_1M --scores dot,nn      some of the scores
    python -m answer.million_arms OUT_1M --jobs 2             two processes

Each run is kept in OUT_1M/runs, and the same command goes on from where it was stopped. The folder is another one than that of `answer.arms`: the two have other ratings.

million_arms.csv  a row for each arm and metric: value, interval, adaptive calibration error, seconds
million_diff.csv  every head against one width, likelihood against squared error with each head, cuts trained against cuts fitted afterwards

Both have 2,000 draws of users and items. One split and one seed have no spread of their own: the intervals leave it out.
"""
import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

import joblib
import pandas as pd

from answer.arms import Task, name_of
from answer.inference import METRICS, Drawn, pairs_to_describe, write
from answer.plan import LOSSES, SCORES
from answer.search import ENTRIES, SIZES, done, with_best
from movielens_ce.context import TimeContext
from movielens_ce.movielens import load_movielens
from movielens_ce.registry import MODELS, entry_of
from movielens_ce.runs import fingerprint, load_run, prepare_out, run_path
from movielens_ce.statistics import CrossedLosses, adaptive_calibration_error, intervals, paired_differences

FOLD, SEEDS, DRAWS = 'random:0:0.1', (0,), 2_000
NAMES = dict(dot=('dot', 'dot_ordinal_more'), nn=('nn', 'nn_ordinal'), sets=('implicit_ids', 'ordinal_ids'), time=('implicit_more', 'ordinal'))      # score -> by squared error, by likelihood


def task(score, loss, n_ratings):
    "The arms of a score and a loss."
    name = NAMES[score][list(LOSSES).index(loss)]
    entry = with_best(ENTRIES[name], done(SIZES['1m'], name)) if name not in MODELS else entry_of(name, n_ratings)
    return Task(FOLD, score, loss, entry=replace(entry, n_members=1, context=partial(TimeContext, look='both') if score == 'time' else None), seeds=SEEDS)


def tables(out, ratings, names):
    "(the arms, the differences)."
    runs = {name: load_run(run_path(out, name, FOLD, SEEDS[0])) for name in names}
    losses = Drawn(CrossedLosses.from_runs(((n, FOLD, ratings.iloc[r.rows], r.pred) for n, r in runs.items()), METRICS))
    more = pd.DataFrame({n: dict(calibration=adaptive_calibration_error(r.pred), seconds=r.row['train_seconds']) for n, r in runs.items()}).T
    values = pd.concat([intervals(losses, m, DRAWS).rename_axis('model').reset_index().assign(metric=m) for m in METRICS])
    pairs = pairs_to_describe(names)
    differences = [paired_differences(losses, m, DRAWS, pairs=pairs).drop(columns=['p', 'p_holm']).rename(columns=dict(a='b', b='a')).assign(metric=m) for m in METRICS]
    return values.merge(more, left_on='model', right_index=True), pd.concat(differences)


def main(out, scores, jobs):
    prepare_out(out)
    ml = load_movielens('1m')
    data = fingerprint(ml.ratings)
    tasks = [task(s, l, len(ml.ratings)) for s in scores for l in LOSSES]
    joblib.Parallel(n_jobs=jobs)(joblib.delayed(t.run)(out, ml) for t in tasks if not t.kept(out, data))
    if set(scores) != set(SCORES): return
    write(zip(('million_arms', 'million_diff'), tables(out, ml.ratings, [name_of(a) for t in tasks for a in t.arms()])))


if __name__ == '__main__':
    parser = argparse.ArgumentParser('python -m answer.million_arms', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', metavar='OUT_1M', help='the folder that keeps the runs')
    parser.add_argument('--scores', default=','.join(SCORES), help='some of the scores, with commas between them; tables are written for all of them (default: all)')
    parser.add_argument('--jobs', type=int, default=1, help='processes (default 1)')
    args = parser.parse_args()
    main(Path(args.out), args.scores.split(','), args.jobs)
