"""The tables of the answer, `nbs/results/*.csv`, from the runs that two commands kept in one folder.

    movielens-ce compare --folds 1,2,3,4,5 --seeds 0,1,2,3,4 --models dot,dot_ce,… --out OUT
    python -m answer.anchors OUT
    python -m answer.tables OUT

u1-u5.csv       a row for each run: every metric through the decoder that suits it
intervals.csv   each model's metrics over all 100,000 test rows with intervals: bootstrap over users, 10,000 draws,
                rows averaged over seeds
differences.csv each pair of the models in PAIRED: difference, interval, p-value, and the p-value corrected for the
                number of pairs (Holm)
decoders.csv    the metrics of each model through each decoder, means over folds, first seed
calibration.csv reliability and expected calibration error of each model
groups.csv      the metrics by the true rating, by the number of training ratings of the user and of the item, and
                for users or items without any
"""
import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd

from movielens_ce.comparison import make_fold
from movielens_ce.data import load_ml100k
from movielens_ce.evaluation import Predictions, score_by_decoder
from movielens_ce.runs import fingerprint, kept_runs, load_run, results_frame
from movielens_ce.statistics import (UserLosses, expected_calibration_error, intervals, paired_differences,
                                     reliability, score_by)

RESULTS = Path(__file__).parent.parent/'nbs'/'results'
METRICS = ('rmse', 'mae', 'accuracy', 'nll')
PAIRED = ('dot', 'dot_ce', 'dot_softmax', 'dot_hl_gauss', 'dot_rps', 'dot_ordinal', 'nn', 'nn_line', 'nn_ce',
          'nn_ordinal', 'implicit', 'ordinal_ids', 'ordinal', 'book_dot', 'fastai_dot', 'surprise_svdpp',
          'myfm_ordinal_implicit')


def counts(ratings, fold):
    "For each test row of a fold the number of training ratings of its user and of its item."
    train, test = make_fold(fold, ratings)
    def n(ids): return ids.iloc[test].map(ids.iloc[train].value_counts()).fillna(0).astype(int).to_numpy()
    return n(ratings.user), n(ratings['item'])


def ranges(n, edges):
    "The range between two `edges` in which each number lies, as text."
    names = [str(a) if b == a + 1 else f'{a}–{b - 1}' for a, b in zip(edges, edges[1:])]
    return pd.cut(n, [*edges, np.inf], right=False, labels=[*names, f'{edges[-1]} or more']).astype(str)


def labels(y, n_user, n_item):
    "Name -> a label for each row, None where a row belongs to no group of that name."
    return {'rating': y.astype(int).astype(str),
            "the user's training ratings": ranges(n_user, [0, 20, 50, 100, 200]),
            "the item's training ratings": ranges(n_item, [0, 1, 10, 50, 100, 200]),
            'seen in training': np.where((n_user == 0) | (n_item == 0), 'user or item unseen', 'both seen')}


def pooled(runs):
    "Predictions of several runs as one."
    preds = [r.pred for r in runs]
    stack = lambda name: np.concatenate([getattr(p, name) for p in preds])
    rating = None if preds[0].rating is None else stack('rating')
    return Predictions(stack('probs'), stack('y'), preds[0].scale, preds[0].width, rating)


def kept(out, fingerprint):
    "Yields (model, its runs) for all models that `out` keeps; ends with a message where ratings differ."
    paths = defaultdict(list)
    for path in kept_runs(out): paths[path.name.rsplit('_', 2)[0]].append(path)
    for model, files in paths.items():
        runs = [load_run(p) for p in files]
        if any(run.data != fingerprint for run in runs):
            raise SystemExit(f'{out} keeps runs of {model} on other ratings')
        yield model, runs


def by_decoder(runs):
    "The metrics through each decoder, means over the folds of the first seed."
    seed = min(r.row['seed'] for r in runs)
    first = [score_by_decoder(r.pred) for r in runs if r.row['seed'] == seed]
    return (sum(first)/len(first)).rename_axis('metric').reset_index()


def calibration(runs):
    "Reliability, with the expected calibration error in each line."
    everything = pooled(runs)
    return reliability(everything).assign(calibration_error=expected_calibration_error(everything))


def by_group(runs, known):
    "The metrics of each group of rows; `known` are the `counts` of each fold."
    everything, n_seeds = pooled(runs), len({r.row['seed'] for r in runs})
    parts = [labels(r.pred.y, *known[int(r.row['fold'])]) for r in runs]
    for by in parts[0]:
        of_row = np.concatenate([p[by] for p in parts])
        table = score_by(everything, of_row).rename_axis('group').reset_index()
        yield table.assign(rows=table['rows']//n_seeds, by=by)


def of_models(losses, models):
    "The losses of some of the models."
    return UserLosses({m: losses.sums[m][list(models)] for m in METRICS}, losses.counts)


def comparisons(losses, order):
    "Intervals of the models in `order`, and the paired differences of those in PAIRED."
    pairs = of_models(losses, [m for m in PAIRED if m in order])
    every = of_models(losses, order)
    spans = [intervals(every, m).rename_axis('model').reset_index().assign(metric=m) for m in METRICS]
    differences = [paired_differences(pairs, m).assign(metric=m) for m in METRICS]
    return dict(intervals=pd.concat(spans), differences=pd.concat(differences))


def tables(out, ratings):
    "Name -> frame, for all tables; the runs of one model are in memory at a time."
    known = {k: counts(ratings, k) for k in range(1, 6)}
    rows, parts = [], defaultdict(list)
    def users_and_predictions():
        for model, runs in kept(out, fingerprint(ratings)):
            rows.extend(r.row for r in runs)
            parts['decoders'].append(by_decoder(runs).assign(model=model))
            parts['calibration'].append(calibration(runs).assign(model=model))
            parts['groups'] += [t.assign(model=model) for t in by_group(runs, known)]
            for r in runs: yield model, ratings.user.to_numpy()[r.rows], r.pred
    losses = UserLosses.from_runs(users_and_predictions())
    results = results_frame(rows)
    return {'u1-u5': results, **comparisons(losses, list(results.model.unique())),
            **{name: pd.concat(frames) for name, frames in parts.items()}}


def write(table, path):
    "Writes a table: what it is about in the first columns, numbers to six decimals."
    first = [c for c in ('model', 'metric', 'by') if c in table]
    rounded = {c: table[c].round(6) for c in table.select_dtypes('float').columns}
    table[first + [c for c in table if c not in first]].assign(**rounded).to_csv(path, index=False)
    print(f'{path.name}: {len(table)} rows')


def main(out):
    RESULTS.mkdir(exist_ok=True)
    for name, table in tables(out, load_ml100k().ratings).items(): write(table, RESULTS/f'{name}.csv')


if __name__ == '__main__':
    parser = argparse.ArgumentParser('python -m answer.tables', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', metavar='OUT', help='the folder that keeps the runs')
    main(parser.parse_args().out)
