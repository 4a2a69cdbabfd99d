"""The tables of the second answer, from the runs that `python -m answer.arms OUT` kept.

    python -m answer.inference OUT

arms.csv          a row for each run: arm, split, seed, metrics, adaptive calibration error, seconds
planned.csv       the planned comparisons of answer/plan.py on u1-u5, 100,000 draws of users, items, folds and seeds, p-values by Holm over all of them
arm_intervals.csv each arm on u1-u5: value, interval, 10,000 draws
described.csv     differences that were not planned: every head against one width, likelihood against squared error with each head; 10,000 draws, no tests
pit.csv           the PIT of each arm, in tenths, over folds and seeds
ensembles.csv     a row for each arm and split: the metrics of the average prediction of its three seeds
arm_groups.csv    some arms on the split by one date: metrics by how many training ratings the user has, and the film, means over seeds
sets.csv          sets of levels with a promised coverage, tuned on one random half of each fold's test rows and measured on the other, by how much the user has rated
"""
import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd

from answer.arms import name_of
from answer.plan import COMPARISONS, DRAWS, FOLDS, LEVEL, SEEDS, arms
from answer.tables import counts, ranges
from movielens_ce.data import load_ml100k
from movielens_ce.evaluation import Predictions, score
from movielens_ce.runs import atomic_write, fingerprint, kept_runs, load_run
from movielens_ce.statistics import CrossedLosses, adaptive_calibration_error, holm, intervals, level_sets, paired_differences, pit, score_by

RESULTS = Path(__file__).parent.parent/'nbs/results'
METRICS = 'rmse', 'mae', 'accuracy', 'nll'
IN_SETS = 'dot-mse-width-after', 'dot-mse-both_cuts-after', 'dot-ce-both_cuts-trained', 'sets-ce-both_cuts-trained'
COVERAGES = .8, .9
IN_GROUPS = [f'{score}-{rest}' for score in ('dot', 'sets') for rest in ('mse-width-after', 'mse-both_cuts-after', 'ce-both_cuts-after', 'ce-both_cuts-trained')]


def planned(losses):
    "Each planned comparison, b − a, with its interval."
    found = []
    for metric in {c.metric: 0 for c in COMPARISONS}:
        asked = [c for c in COMPARISONS if c.metric == metric]
        some = sorted({name_of(x) for c in asked for x in (c.a, c.b)})
        part = CrossedLosses({metric: losses.rows[metric][some]}, losses.groups, {metric: losses.between_seeds[metric][some]})
        rows = paired_differences(part, metric, DRAWS, 1 - LEVEL, pairs=[(name_of(c.b), name_of(c.a)) for c in asked])
        found.append(rows.assign(name=[c.name for c in asked], metric=metric))
    table = pd.concat(found, ignore_index=True)
    order = {c.name: i for i, c in enumerate(COMPARISONS)}
    return table.assign(p_holm=holm(table.p)).sort_values('name', key=lambda s: s.map(order), ignore_index=True).rename(columns=dict(a='b', b='a'))


class Drawn:
    "Losses whose draws are made once for each metric."
    def __init__(self, losses): self.losses, self.metric, self.kept = losses, losses.metric, {}

    def draws(self, name, n_boot=10_000, seed=0):
        if name not in self.kept: self.kept[name] = self.losses.draws(name, n_boot, seed)
        return self.kept[name]


def pairs_to_describe(names):
    "(b, a): a head against one width, likelihood against squared error."
    every = list(arms())
    heads = [(name_of(x), f'{x.score}-{x.loss}-width-after') for x in every if not (x.head == 'width' and x.fitted == 'after')]
    losses = [(name_of(x), name_of(x).replace('-ce-', '-mse-')) for x in every if x.loss == 'ce' and x.fitted == 'after']
    trained = [(name_of(x), name_of(x).replace('-trained', '-after')) for x in every if x.fitted == 'trained']
    knows = [(n, n.removesuffix('-nll') if n.endswith('-nll') else 'sets-ce-both_cuts-trained') for n in names if n.count('-') == 4]
    return [(b, a) for b, a in dict.fromkeys(heads + losses + trained + knows) if b in names and a in names]


def of_sets(run, n_user):
    "Coverage and size of the sets of one run, by how much the user has rated."
    halves = np.random.default_rng(0).random(len(run.pred)) < .5
    held, pred = (Predictions(run.pred.probs[at], run.pred.y[at], run.pred.scale) for at in (halves, ~halves))
    for coverage in COVERAGES:
        sets = level_sets(held, pred, coverage)
        covered = sets[np.arange(len(pred)), pred.scale.to_class(pred.y)]
        yield pd.DataFrame(dict(promised=coverage, group=ranges(n_user[~halves], [0, 20, 50, 100, 200]), covered=covered, size=sets.sum(1)))


def of_groups(run, n_user, n_item):
    "The metrics of one run for people and films with few and with many training ratings."
    for by, group in dict(user=ranges(n_user, [0, 1, 20]), film=ranges(n_item, [0, 1, 10])).items():
        yield score_by(run.pred, group)[['rows', *METRICS]].rename_axis('group').reset_index().assign(model=run.row['model'], by=by)


def averaged(preds):
    "The average of several models' predictions for the same rows."
    first = preds[0]
    rating = None if first.rating is None else np.mean([p.rating for p in preds], axis=0)
    return Predictions(np.mean([p.probs for p in preds], axis=0), first.y, first.scale, first.width, rating)


def read(out, ratings):
    "Yields every run of OUT on these ratings."
    data = fingerprint(ratings)
    for path in kept_runs(out):
        run = load_run(path)
        if run.data != data: raise SystemExit(f'{path} is of other ratings')
        yield run


def tables(out, ratings):
    known = {f: counts(ratings, f) for f in (*FOLDS, 'time')}
    rows, together, groups, pits, sets, seeds = [], [], [], defaultdict(list), defaultdict(list), defaultdict(list)
    def on_folds():
        for run in read(out, ratings):
            model, fold, n = run.row['model'], run.row['fold'], len(run.pred)
            rows.append({k: run.row[k] for k in ('model', 'fold', 'seed', *METRICS)} | dict(
                calibration=adaptive_calibration_error(run.pred), seconds=run.row['train_seconds'], n_test=n))
            seeds[model, fold].append(run.pred)
            if len(seeds[model, fold]) == len(SEEDS):
                of_all = score(averaged(seeds.pop((model, fold))))
                together.append(dict(model=model, fold=fold, members=len(SEEDS)) | {m: of_all[m] for m in METRICS})
            if fold == 'time' and model in IN_GROUPS: groups.extend(of_groups(run, *known[fold]))
            if fold not in FOLDS: continue
            pits[model].append(pit(run.pred))
            if model in IN_SETS: sets[model] += list(of_sets(run, known[fold][0]))
            yield model, fold, ratings.iloc[run.rows], run.pred
    losses = CrossedLosses.from_runs(on_folds(), METRICS)
    names = list(losses.rows['nll'])
    yield 'arms', pd.DataFrame(rows)
    yield 'ensembles', pd.DataFrame(together)
    yield 'arm_groups', pd.concat(groups).groupby(['model', 'by', 'group'], sort=False).mean().reset_index()
    yield 'pit', pd.DataFrame({m: np.mean(p, axis=0) for m, p in pits.items()}).T.rename_axis('model').reset_index()
    by_group = {m: pd.concat(s).groupby(['promised', 'group']).agg(covered=('covered', 'mean'), size=('size', 'mean'), n=('size', 'size')) for m, s in sets.items()}
    yield 'sets', pd.concat(by_group, names=['model']).reset_index()
    yield 'planned', planned(losses)
    drawn = Drawn(losses)
    yield 'arm_intervals', pd.concat([intervals(drawn, m).rename_axis('model').reset_index().assign(metric=m) for m in METRICS])
    pairs = pairs_to_describe(names)
    yield 'described', pd.concat([paired_differences(drawn, m, pairs=pairs).drop(columns=['p', 'p_holm']).rename(columns=dict(a='b', b='a')).assign(metric=m)
                                  for m in METRICS])


def write(tables):
    "Writes (name, table) to nbs/results, numbers to six decimals."
    for name, table in tables:
        rounded = table.round({c: 6 for c in table.select_dtypes('float').columns})
        atomic_write(RESULTS/f'{name}.csv', lambda tmp: rounded.to_csv(tmp, index=False))
        print(f'{name}.csv: {len(table)} rows', flush=True)


if __name__ == '__main__':
    parser = argparse.ArgumentParser('python -m answer.inference', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', metavar='OUT', help='the folder that keeps the runs')
    write(tables(parser.parse_args().out, load_ml100k().ratings))
