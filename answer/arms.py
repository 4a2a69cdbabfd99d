"""*Which loss wins?*: the entries of the plan on u1-u5 and on two splits by time, three seeds each, with settings
from a search in each split; and their tables.

arms.csv          a row for each run: what it is, split, seed, metrics, adaptive calibration error, seconds
planned.csv       the planned comparisons on u1-u5, 100,000 draws of users, items, folds and seeds, p-values by Holm
                  over all of them
arm_intervals.csv each entry on u1-u5: value, interval, 10,000 draws
described.csv     differences that were not planned: every head against one width, likelihood against squared error
                  with each head; 10,000 draws, no tests
outputs.csv       the same for other outputs of the dot product, against squared error with cuts of users and items
                  fitted afterwards
pit.csv           the PIT of each entry, in tenths, over folds and seeds
ensembles.csv     a row for each entry and split: the metrics of the average prediction of its three seeds
arm_groups.csv    some entries on the split by one date: metrics by how many training ratings the user has, and the
                  film, means over seeds
sets.csv          sets of levels with a promised coverage, tuned on one random half of each fold's test rows and
                  measured on the other, by how much the user has rated
"""
from collections import defaultdict

import numpy as np
import pandas as pd

from answer import plan
from answer.tables import RESULTS, columns_of, counts, paired, ranges, write
from movielens_ce.compare.experiment import iter_runs
from movielens_ce.compare.runs import kept_runs, load_run
from movielens_ce.data.movielens import load_ml100k
from movielens_ce.scoring.calibration import adaptive_calibration_error, level_sets, pit
from movielens_ce.scoring.intervals import CrossedLosses, holm, intervals, score_by
from movielens_ce.scoring.predictions import Predictions, score

TRACE = RESULTS.parent.parent/'answer/results/nested.csv'
IN_SETS = plan.name(head='width'), plan.name(), plan.name(loss='ce', fitted='trained'), plan.name('sets', 'ce',
                                                                                                  fitted='trained')
COVERAGES = .8, .9
IN_GROUPS = [plan.name(s, loss, head, fitted) for s in ('dot', 'sets') for loss, head, fitted in
             (('mse', 'width', 'after'), ('mse', 'both_cuts', 'after'), ('ce', 'both_cuts', 'after'),
              ('ce', 'both_cuts', 'trained'))]


def run(out, jobs):
    "Searches settings and trains what `out` does not have."
    ml, splits = load_ml100k(), (*plan.FOLDS, *plan.OTHER_SPLITS)
    for entries, by, folds in ((plan.ENTRIES, 'rmse', splits), (plan.BY_NLL, 'nll', splits),
                               (plan.OTHERS, 'rmse', plan.FOLDS)):
        runs = iter_runs(ml.ratings, entries, folds, plan.SEEDS, out=out, jobs=jobs, stack=True, n_trials=plan.N_TRIALS,
                         by=by, trace=TRACE, **columns_of(ml))
        for r, new in runs:
            if new:
                print(r.row['model'], r.row['fold'], r.row['seed'], *(f'{m} {r.row[m]:.4f}' for m in plan.METRICS),
                      flush=True)
    for _ in iter_runs(ml.ratings, plan.BASELINE, plan.FOLDS, plan.SEEDS, out=out, jobs=jobs): pass


def planned(losses):
    "Each planned comparison, b − a, with its interval; the p-values of all of them are corrected together."
    tables = []
    for metric in dict.fromkeys(c.metric for c in plan.COMPARISONS):
        asked = {(c.b, c.a): c.name for c in plan.COMPARISONS if c.metric == metric}
        part = losses.take([metric], sorted({name for pair in asked for name in pair}))
        tables.append(paired(part, [metric], asked, plan.DRAWS, level=1 - plan.LEVEL,
                             tests=True).assign(name=list(asked.values())))
    table = pd.concat(tables).set_index('name').loc[[c.name for c in plan.COMPARISONS]].reset_index()
    return table.assign(p_holm=holm(table.p))


def described(losses, n_boot=10_000):
    """(b, a):
    a head against one width, likelihood against squared error, trained with the score against afterwards,
    settings by NLL against by RMSE."""
    names = list(losses.rows['nll'])
    def other(n, **words):
        return next((m for m, e in plan.ENTRIES.items() if e.words == plan.EVERY[n].words | words), None)
    heads = [(n, other(n, head='width', fitted='after')) for n in names]
    of_loss = [(n, other(n, loss='mse')) for n in names if plan.EVERY[n].loss == 'ce']
    trained = [(n, other(n, fitted='after')) for n in names if plan.EVERY[n].fitted == 'trained']
    more = [(n, other(n)) for n in plan.BY_NLL] + [(n, plan.name('sets', 'ce', fitted='trained')) for n in names
                                                   if plan.EVERY[n].inputs in plan.LADDER]
    pairs = [(b, a) for b, a in dict.fromkeys(heads + of_loss + trained + more) if a in names and b in names and a != b]
    return paired(losses, plan.METRICS, pairs, n_boot)


def of_sets(run, n_user):
    "Coverage and size of the sets of one run, by how much the user has rated."
    halves = np.random.default_rng(0).random(len(run.pred)) < .5
    held, pred = run.pred.take(halves), run.pred.take(~halves)
    for coverage in COVERAGES:
        sets = level_sets(held, pred, coverage)
        covered = sets[np.arange(len(pred)), pred.scale.to_class(pred.y)]
        yield pd.DataFrame(dict(promised=coverage, group=ranges(n_user[~halves], [0, 20, 50, 100, 200]),
                                covered=covered, size=sets.sum(1)))


def of_groups(run, n_user, n_item):
    "The metrics of one run for people and films with few and with many training ratings."
    for by, group in dict(user=ranges(n_user, [0, 1, 20]), film=ranges(n_item, [0, 1, 10])).items():
        yield score_by(run.pred,
                       group)[['rows', *plan.METRICS]].rename_axis('group').reset_index().assign(model=run.row['model'],
                                                                                                 by=by)


def tables(out, ratings):
    "Yields (name, table). One run is in memory at a time, with those of its entry and split."
    known = {f: counts(ratings, f) for f in (*plan.FOLDS, 'time')}
    rows, together, groups, pits, sets, seeds = [], [], [], defaultdict(list), defaultdict(list), defaultdict(list)
    def on_folds():
        for run in map(load_run, kept_runs(out)):
            model, fold = run.row['model'], run.row['fold']
            if model not in plan.EVERY: continue
            rows.append({k: run.row[k] for k in ('model', 'fold', 'seed', *plan.METRICS)}
                        | dict(calibration=adaptive_calibration_error(run.pred), seconds=run.row['train_seconds'],
                               n_test=len(run.pred)))
            if model in plan.BASELINE: continue
            seeds[model, fold].append(run.pred)
            if len(seeds[model, fold]) == len(plan.SEEDS):
                of_all = score(Predictions.mean(seeds.pop((model, fold))))
                together.append(dict(model=model, fold=fold, members=len(plan.SEEDS))
                                | {m: of_all[m] for m in plan.METRICS})
            if fold == 'time' and model in IN_GROUPS: groups.extend(of_groups(run, *known[fold]))
            if fold not in plan.FOLDS: continue
            pits[model].append(pit(run.pred))
            if model in IN_SETS: sets[model] += list(of_sets(run, known[fold][0]))
            yield model, fold, ratings.iloc[run.rows], run.pred
    losses = CrossedLosses.from_runs(on_folds(), plan.METRICS)
    yield 'arms', with_words(pd.DataFrame(rows))
    yield 'ensembles', pd.DataFrame(together)
    yield 'arm_groups', pd.concat(groups).groupby(['model', 'by', 'group'], sort=False).mean().reset_index()
    yield 'pit', pd.DataFrame({m: np.mean(p, axis=0) for m, p in pits.items()}).T.rename_axis('model').reset_index()
    by_group = {m: pd.concat(s).groupby(['promised', 'group']).agg(covered=('covered', 'mean'), size=('size', 'mean'),
                                                                   n=('size', 'size')) for m, s in sets.items()}
    yield 'sets', pd.concat(by_group, names=['model']).reset_index()
    yield 'planned', planned(losses)
    yield 'outputs', paired(losses, plan.METRICS, [(n, plan.name())
                                                   for n in (plan.name(head='width'), plan.name(loss='ce'),
                                                             plan.name(loss='ce', fitted='trained'),
                            plan.name(loss='ce', head='cuts', fitted='trained'), *plan.OTHERS)])
    arms = losses.take(plan.METRICS, [n for n in losses.rows['nll'] if n not in plan.OTHERS])
    yield 'arm_intervals', with_words(pd.concat([intervals(losses,
                                                           m).rename_axis('model').reset_index().assign(metric=m)
                                                           for m in plan.METRICS]))
    yield 'described', described(arms)


def with_words(table):
    "A table with columns for what its entries are."
    return pd.concat([table[['model']], pd.DataFrame(plan.words(table.model), table.index),
                      table.drop(columns='model')], axis=1)


def main(out, jobs):
    run(out, jobs)
    write(tables(out, load_ml100k().ratings))
