"""The results files of the answer, `nbs/results/*.csv`, from the runs that `movielens-ce compare` and `anchors.py` kept in one folder.

    movielens-ce compare --folds 1,2,3,4,5 --seeds 0,1,2,3,4 --models dot,dot_ce,… --out OUT
    python benchmarks/anchors.py OUT
    python benchmarks/answer.py OUT

u1-u5.csv       a row for each run: every metric through the decoder that suits it
intervals.csv   each model's metrics over all 100,000 test rows with intervals: bootstrap over users, 10,000 draws, rows averaged over seeds
differences.csv each pair of the models in PAIRED: difference, interval, p-value, and the p-value corrected for the number of pairs (Holm)
decoders.csv    the metrics of each model through each decoder, means over folds, first seed
calibration.csv reliability and expected calibration error of each model
groups.csv      the metrics by the true rating, by the number of training ratings of the user and of the item, and for users or items without any
"""
import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd

from movielens_ce.comparison import _fingerprint, load_run, make_fold, results_frame
from movielens_ce.data import load_ml100k
from movielens_ce.evaluation import Predictions, score_by_decoder
from movielens_ce.statistics import UserLosses, expected_calibration_error, intervals, paired_differences, reliability, score_by

RESULTS = Path(__file__).parent.parent/'nbs'/'results'
METRICS = ('rmse', 'mae', 'accuracy', 'nll')
PAIRED = ('dot', 'dot_ce', 'dot_softmax', 'dot_hl_gauss', 'dot_rps', 'dot_ordinal', 'nn', 'nn_line', 'nn_ce', 'nn_ordinal', 'implicit', 'ordinal_ids', 'ordinal', 'book_dot', 'fastai_dot',
          'surprise_svdpp', 'myfm_ordinal_implicit')


def counts(ratings, fold):
    "For each test row of a fold the number of training ratings of its user and of its item."
    train, test = make_fold(fold, ratings)
    n = lambda c: ratings[c].iloc[test].map(ratings[c].iloc[train].value_counts()).fillna(0).astype(int).to_numpy()
    return n('user'), n('item')


def labels(y, n_user, n_item):
    "Name -> a label for each row, None where a row belongs to no group of that name."
    def cut(n, edges): return pd.cut(n, [*edges, np.inf], right=False, labels=[str(a) if b == a + 1 else f'{a}–{b - 1}' for a, b in zip(edges, edges[1:])] + [f'{edges[-1]} or more']).astype(str)
    return {'rating': y.astype(int).astype(str), "the user's training ratings": cut(n_user, [0, 20, 50, 100, 200]),
            "the item's training ratings": cut(n_item, [0, 1, 10, 50, 100, 200]), 'seen in training': np.where((n_user == 0) | (n_item == 0), 'user or item unseen', 'both seen')}


def pooled(preds):
    "Predictions of several runs as one."
    stack = lambda name: np.concatenate([getattr(p, name) for p in preds])
    return Predictions(stack('probs'), stack('y'), preds[0].scale, preds[0].width, None if preds[0].rating is None else stack('rating'))


def main(out):
    ratings = load_ml100k().ratings
    fingerprint = _fingerprint(ratings)
    paths = defaultdict(list)
    for path in sorted((Path(out)/'runs').glob('[!.]*.npz')): paths[path.name.rsplit('_', 2)[0]].append(path)
    known = {k: counts(ratings, k) for k in range(1, 6)}
    rows, decoders, calibration, groups = [], [], [], []
    def model_runs(model):
        "(user of each row, predictions) for each run of a model, which goes into the other files on the way."
        runs = [load_run(p) for p in paths[model]]
        if any(data != fingerprint for _, data in runs): raise SystemExit(f'{out} keeps runs of {model} on other ratings')
        runs = [r for r, _ in runs]
        rows.extend(r.row for r in runs)
        first = [r for r in runs if r.row['seed'] == min(r.row['seed'] for r in runs)]
        decoders.append((sum(score_by_decoder(r.pred) for r in first)/len(first)).rename_axis('metric').reset_index().assign(model=model))
        everything = pooled([r.pred for r in runs])
        calibration.append(reliability(everything).assign(model=model, calibration_error=expected_calibration_error(everything)))
        parts = [labels(r.pred.y, *known[int(r.row['fold'])]) for r in runs]
        for by in parts[0]:
            table = score_by(everything, np.concatenate([p[by] for p in parts])).rename_axis('group').reset_index()
            groups.append(table.assign(rows=table['rows']//len({r.row['seed'] for r in runs}), by=by, model=model))
        for r in runs: yield model, ratings.user.to_numpy()[r.rows], r.pred
    losses = UserLosses.from_runs(run for model in paths for run in model_runs(model))
    order = [m for m in results_frame(rows).model.unique()]
    part = lambda models: UserLosses({m: losses.sums[m][list(models)] for m in METRICS}, losses.counts)
    spans = pd.concat([intervals(part(order), m).rename_axis('model').reset_index().assign(metric=m) for m in METRICS])
    pairs = pd.concat([paired_differences(part([m for m in PAIRED if m in order]), m).assign(metric=m) for m in METRICS])
    RESULTS.mkdir(exist_ok=True)
    for name, table in {'u1-u5': results_frame(rows), 'intervals': spans, 'differences': pairs, 'decoders': pd.concat(decoders), 'calibration': pd.concat(calibration), 'groups': pd.concat(groups)}.items():
        floats = table.select_dtypes('float').columns
        first = [c for c in ('model', 'metric', 'by') if c in table]
        table[first + [c for c in table if c not in first]].assign(**{c: table[c].round(6) for c in floats}).to_csv(RESULTS/f'{name}.csv', index=False)
        print(f'{name}.csv: {len(table)} rows')


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', metavar='OUT')
    main(parser.parse_args().out)
