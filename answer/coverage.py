"""How often a 95 % interval holds the truth: a simulation on the rows of u1-u5, with their users, items and folds,
three seeds a fold.

The losses of a pair of models differ by nothing on average, and by the sum of an effect of the user, one of the item,
one of the fold, one of the seed
and noise for each row. coverage.csv has for each size of these effects the share of intervals that hold 0, for a
bootstrap over users alone, over users
and items, and over users, items, folds and seeds. 300 data sets, 400 draws each."""
import numpy as np
import pandas as pd

from answer.plan import FOLDS, SEEDS
from answer.tables import write
from movielens_ce.data.movielens import load_ml100k
from movielens_ce.data.splits import make_fold
from movielens_ce.scoring.intervals import CrossedLosses

OVER = {'users': ('user',), 'users, items': ('user', 'item'),
        'users, items, folds, seeds': ('user', 'item', 'fold', 'seed')}
NOISE = .5                                                     # of a row, in nats
EFFECTS = [dict(user=.05, item=0., fold=0., seed=0.), dict(user=.05, item=.05, fold=0., seed=0.),
           dict(user=.05, item=.05, fold=0., seed=.005),
           dict(user=.05, item=.05, fold=0., seed=.015), dict(user=.05, item=.05, fold=.005, seed=.005)]
N_SETS, N_BOOT = 300, 400


def made(rng, groups, codes, effects):
    "Losses of one data set: rows averaged over seeds, and the variance that seeds leave."
    n = {c: k.max() + 1 for c, k in codes.items()}
    of_rows = rng.normal(0, NOISE, len(groups)) + sum(rng.normal(0, effects[c], n[c])[codes[c]] for c in codes)
    of_seeds = rng.normal(0, effects['seed'], (n['fold'], len(SEEDS)))
    rows = of_rows + of_seeds.mean(1)[codes['fold']]
    left = of_seeds.var(axis=1, ddof=1).mean()/len(SEEDS)
    return CrossedLosses({'nll': pd.DataFrame({'difference': rows})}, groups, {'nll': pd.Series({'difference': left})})


def main(out, jobs):
    ratings = load_ml100k().ratings
    groups = pd.concat([ratings[['user', 'item']].iloc[make_fold(f, ratings)[1]].assign(fold=f) for f in FOLDS],
                       ignore_index=True)
    codes, rows = {c: pd.factorize(groups[c])[0] for c in groups}, []
    for effects in EFFECTS:
        hits, widths = {o: [] for o in OVER}, {o: [] for o in OVER}
        for k in range(N_SETS):
            losses = made(np.random.default_rng(k), groups, codes, effects)
            for name, over in OVER.items():
                low, high = np.quantile(losses.draws('nll', N_BOOT, seed=k, over=over)[:, 0], [.025, .975])
                hits[name].append(low < 0 < high)
                widths[name].append(high - low)
        rows += [effects | dict(over=o, covered=np.mean(hits[o]), width=round(np.mean(widths[o]), 5), n_sets=N_SETS)
                 for o in OVER]
    write([('coverage', pd.DataFrame(rows))])
