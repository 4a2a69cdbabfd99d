"What the scripts and the pages of the answer share: the folder of results, tables of differences, groups of test rows."
from pathlib import Path

import numpy as np
import pandas as pd

from movielens_ce.compare.runs import atomic_write, read_rows
from movielens_ce.data.splits import make_fold
from movielens_ce.scoring.intervals import paired_differences
from movielens_ce.scoring.metrics import METRICS

RESULTS = Path(__file__).parent.parent/'nbs/results'


def results(name):
    "A table of `nbs/results`."
    return read_rows(RESULTS/f'{name}.csv')


def write(tables):
    "Writes (name, table) to `nbs/results`, numbers to six decimals."
    for name, table in tables:
        rounded = table.round({c: 6 for c in table.select_dtypes('float').columns})
        atomic_write(RESULTS/f'{name}.csv', lambda tmp: rounded.to_csv(tmp, index=False))
        print(f'{name}.csv: {len(table)} rows', flush=True)


def scores_of(pred, metrics=('rmse', 'mae', 'accuracy', 'nll'), digits=5):
    "Some metrics of predictions, rounded, as columns of a table."
    return {m: round(METRICS[m].of(pred), digits) for m in metrics}


def columns_of(ml):
    "What is told of the users and films of MovieLens: age, gender, occupation; year, genres."
    return dict(user_features=ml.users, item_features=ml.items[['year', 'genres']])


def paired(losses, metrics, pairs, n_boot=10_000, level=.95, tests=False):
    "Differences b − a in each metric for pairs (b, a), with p-values if they are `tests`."
    by_metric = [paired_differences(losses, m, n_boot, level, pairs=pairs).assign(metric=m) for m in metrics]
    table = pd.concat(by_metric).rename(columns=dict(a='b', b='a'))
    return table if tests else table.drop(columns=['p', 'p_holm'])


def shown(d, digits=4):
    "A difference with its interval, as text."
    return f'{d.difference:+.{digits}f} [{d.low:+.{digits}f}, {d.high:+.{digits}f}]'


def counts(ratings, fold):
    "For each test row of a fold the number of training ratings of its user and of its item."
    train, test = make_fold(fold, ratings)
    def n(ids): return ids.iloc[test].map(ids.iloc[train].value_counts()).fillna(0).astype(int).to_numpy()
    return n(ratings.user), n(ratings['item'])


def ranges(n, edges):
    "The range between two `edges` in which each number lies, as text."
    names = [str(a) if b == a + 1 else f'{a}–{b - 1}' for a, b in zip(edges, edges[1:])]
    return pd.cut(n, [*edges, np.inf], right=False, labels=[*names, f'{edges[-1]} or more']).astype(str)
