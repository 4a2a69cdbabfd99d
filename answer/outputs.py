"""Other ways to get probabilities from the dot product: a softmax of a dot product for each level, HL-Gauss, the ranked probability score, and logits
on a line. Each with the settings that the search of its fold found (answer/nested.py), on u1-u5 with three seeds, beside the arms of the dot product
in answer/plan.py. They were not in the plan: their differences are described, not tested.

    python -m answer.outputs OUT                   on one core
    python -m answer.outputs OUT --jobs 2          on two

Each run is kept in OUT/runs, and the same command goes on from where it was stopped. OUT may be the folder of answer/arms.py, whose runs are used again.

outputs.csv       a row for each run: model, fold, seed, metrics, adaptive calibration error, seconds
outputs_diff.csv  each of them against squared error with cuts of users and items fitted afterwards; 10,000 draws of users, items, folds and seeds
"""
import argparse
from pathlib import Path

import joblib
import pandas as pd
import torch

from answer.arms import Task, name_of, train
from answer.inference import METRICS, write
from answer.nested import OUTPUTS, settings
from answer.plan import FOLDS, SEEDS, Arm
from movielens_ce import __version__
from movielens_ce.comparison import make_fold
from movielens_ce.data import RatingScale, load_ml100k
from movielens_ce.evaluation import predict, score
from movielens_ce.registry import definition
from movielens_ce.runs import Run, fingerprint, load_run, prepare_out, run_path, save_run
from movielens_ce.statistics import CrossedLosses, adaptive_calibration_error, paired_differences

AGAINST = name_of(Arm('dot', 'mse', 'both_cuts', 'after'))
BESIDE = [name_of(a) for a in (Arm('dot', 'mse', 'width', 'after'), Arm('dot', 'ce', 'both_cuts', 'after'), Arm('dot', 'ce', 'both_cuts', 'trained'),
                               Arm('dot', 'ce', 'cuts', 'trained'))]
NAMES = [f'dot-{output}' for output in OUTPUTS]


class Output:
    "One output of the dot product on one fold."
    def __init__(self, fold, output): self.fold, self.name, self.entry = fold, f'dot-{output}', settings(fold, 'dot', output)

    @property
    def digest(self): return definition(self.entry.definition, SEEDS)

    def kept(self, out, data):
        paths = [run_path(out, self.name, self.fold, s) for s in SEEDS]
        return all(p.exists() for p in paths) and all((r.definition, r.data) == (self.digest, data) for r in map(load_run, paths))

    def run(self, out, ml):
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
        ratings, splits = ml.ratings, make_fold(self.fold, ml.ratings)
        models, dls, seconds = train(self.entry, ratings, splits, RatingScale.from_ratings(ratings.rating))
        for seed, model in zip(SEEDS, models):
            pred = predict(model, dls.valid)
            row = dict(model=self.name, fold=self.fold, seed=seed, n_test=len(pred), **score(pred), train_seconds=seconds/len(SEEDS), **self.entry.settings,
                       version=__version__)
            save_run(Run(row, pred, pd.DataFrame(), splits[1], fingerprint(ratings), self.digest), out)
        print(self.fold, self.name, f'{seconds:.0f} s', flush=True)


def tables(out, ratings):
    "(rows of the runs, differences)."
    rows = []
    def on_folds():
        for name in (AGAINST, *BESIDE, *NAMES):
            for fold in FOLDS:
                for seed in SEEDS:
                    run = load_run(run_path(out, name, fold, seed))
                    rows.append({k: run.row[k] for k in ('model', 'fold', 'seed', *METRICS)} | dict(
                        calibration=adaptive_calibration_error(run.pred), seconds=run.row['train_seconds']))
                    yield name, fold, ratings.iloc[run.rows], run.pred
    losses = CrossedLosses.from_runs(on_folds(), METRICS)
    differences = [paired_differences(losses, m, pairs=[(n, AGAINST) for n in (*BESIDE, *NAMES)]).drop(columns=['p', 'p_holm']).assign(metric=m) for m in METRICS]
    return pd.DataFrame(rows), pd.concat(differences).rename(columns=dict(a='b', b='a'))


def main(out, jobs):
    prepare_out(out)
    ml = load_ml100k()
    data = fingerprint(ml.ratings)
    tasks = [Task(f, 'dot', loss) for f in FOLDS for loss in ('mse', 'ce')] + [Output(f, o) for f in FOLDS for o in OUTPUTS]
    joblib.Parallel(n_jobs=jobs)(joblib.delayed(t.run)(out, ml) for t in tasks if not t.kept(out, data))
    write(zip(('outputs', 'outputs_diff'), tables(out, ml.ratings)))


if __name__ == '__main__':
    parser = argparse.ArgumentParser('python -m answer.outputs', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', metavar='OUT', help='the folder that keeps the runs')
    parser.add_argument('--jobs', type=int, default=1, help='processes (default 1)')
    args = parser.parse_args()
    main(Path(args.out), args.jobs)
