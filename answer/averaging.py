"""*Averaging instead of choosing*: samples of the posterior against single sets of weights with the same head, and
against an ensemble, on u1-u5 and on two splits by time. One seed.

averaging.csv       metrics of each entry and fold, seconds of one core to train, and the adaptive calibration error
averaging_diff.csv  the planned comparisons on u1-u5, differences b - a with intervals over users, items and folds, and
                    p-values by Holm over all of them
averaging_path.csv  fold 1, `posterior_ids`: metrics of each sample by itself and of the mean of all samples so far
averaging_group.csv fold 1: metrics by how many training ratings the user has
"""
import numpy as np
import pandas as pd

from answer.plan import AVERAGING, FOLDS, OTHER_SPLITS
from answer.tables import columns_of, counts, paired, ranges, scores_of, write
from movielens_ce.compare.comparison import Comparison
from movielens_ce.compare.entries import MODELS
from movielens_ce.compare.experiment import iter_runs
from movielens_ce.compare.fit import one_thread, train
from movielens_ce.data.movielens import load_movielens
from movielens_ce.data.splits import make_fold
from movielens_ce.scoring.calibration import adaptive_calibration_error
from movielens_ce.scoring.intervals import score_by
from movielens_ce.scoring.metrics import METRICS
from movielens_ce.scoring.predictions import Predictions

POINT = 'dot_fitted', 'dot_ordinal', 'ordinal_ids'
SAMPLED = tuple(m for m, e in MODELS.items() if e.trainer == 'posterior')
SHOWN = 'model', 'fold', 'rmse', 'mae', 'accuracy', 'nll', 'train_seconds'


def path(ratings):
    "A row for each sample of `posterior_ids` on fold 1."
    splits = make_fold(1, ratings)
    fitted, = train(MODELS['posterior_ids'], ratings, splits)
    test, scale = fitted.dls.valid_ds, fitted.dls.scale
    y = scale.to_rating(test.y.flatten().numpy())
    with one_thread(): probs = fitted.model.samples(test.x_cat).exp().double().numpy()
    means = probs.cumsum(0)/np.arange(1, len(probs) + 1)[:, None, None]
    for k, pair in enumerate(zip(probs, means)):
        for of, p in zip(('sample', 'mean'), pair):
            yield dict(of=of, n=k + 1, step=fitted.model.trace.step[k], **scores_of(Predictions(p, y, scale)))


def by_user(compared, ratings):
    "Metrics of fold 1 by the number of training ratings of the user."
    group = ranges(counts(ratings, 1)[0], (0, 10, 30, 100, 300))
    for m in compared.models:
        run = next(run for run in compared.of(m) if run.row['fold'] == '1')
        yield score_by(run.pred, group)[['rows', 'rmse', 'accuracy',
                                         'nll']].rename_axis('ratings').reset_index().assign(model=m)


def main(out, jobs):
    ml = load_movielens('100k')
    names, columns = [*POINT, *SAMPLED], columns_of(ml)
    runs = [run for run, _ in iter_runs(ml.ratings, names, (*FOLDS, *OTHER_SPLITS), out=f'{out}/averaging', jobs=jobs,
                                        **columns)]
    compared = Comparison(runs, ml.ratings, {m: MODELS[m] for m in names})
    table = compared.frame[[*SHOWN]].assign(calibration=[adaptive_calibration_error(run.pred) for m in compared.models
                                                         for run in sorted(compared.of(m),
                                                                           key=lambda r: r.row['fold'])])
    on_folds = Comparison([run for run in runs if run.row['fold'] in FOLDS], ml.ratings, compared.entries)
    metrics = [m for m in ('nll', 'rmse', 'accuracy') if METRICS[m].row_loss]
    differences = paired(on_folds.losses, metrics, [(c.b, c.a) for c in AVERAGING], tests=True)
    write([('averaging', table), ('averaging_diff', differences),
           ('averaging_path', pd.DataFrame(path(ml.ratings))),
           ('averaging_group', pd.concat(by_user(on_folds, ml.ratings)))])
