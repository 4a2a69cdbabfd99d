"""How good is fold-in? A tenth of the users is held out wholly, each gives 1 to 50 ratings, and a third of their ratings
is predicted: by the unknown row, by `fold_in`, and by a model that is trained again with the given ratings. Writes
nbs/results/fold_in.csv. The prior was chosen on another tenth, which writes nothing: `--tenth 0 --priors 0.6:0.2,0.5:1000`
compares pairs of `prior` and `tail`."""
import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from movielens_ce.comparison import fit_entry
from movielens_ce.data import RatingScale, hold_out, load_ml100k
from movielens_ce.evaluation import predict, score
from movielens_ce.fitted import fit_gaussian
from movielens_ce.foldin import fold_in
from movielens_ce.registry import MODELS, known_models
from movielens_ce.runs import atomic_write

RESULTS = Path(__file__).parent.parent/'nbs/results/fold_in.csv'
GIVEN, SHOWN = (1, 2, 5, 10, 20, 50), ('dot', 'dot_ordinal', 'nn', 'nn_ce', 'implicit', 'ordinal_ids')


def people(ratings, tenth, seed=0):
    "Row numbers: (those of everybody else, test rows, number given -> given rows) for a tenth of the users."
    rng = np.random.default_rng(seed)
    users = rng.permutation(ratings.user.unique())
    held = np.array_split(users, 10)[tenth]
    rest = np.flatnonzero(~ratings.user.isin(held))
    test, given = [], {k: [] for k in GIVEN}
    for user in held:
        rows = rng.permutation(np.flatnonzero(ratings.user == user))
        test, offered = [*test, *rows[:len(rows)//3]], rows[len(rows)//3:]
        for k in GIVEN: given[k] += list(offered[:k])
    return rest, np.array(test), {k: np.array(rows) for k, rows in given.items()}


def line(name, how, k, n_people, seconds, pred):
    got = score(pred)
    return dict(model=name, how=how, given=k, people=n_people, seconds=seconds, **{m: got[m] for m in ('rmse', 'accuracy', 'nll')})


def of_entry(name, ratings, tenth, fold_settings):
    "The lines of one model."
    rest, test, given = people(ratings, tenth)
    scale, n_people = RatingScale.from_ratings(ratings.rating), ratings.user[test].nunique()
    entry, head = replace(MODELS[name], n_members=1, context=None), None
    if entry.target == 'rating':
        twin, held, *_ = fit_entry(entry, ratings, hold_out(rest, 0.1), 0, scale)
        head = fit_gaussian(twin, held.valid)
    model, dls, _, seconds = fit_entry(entry, ratings, (rest, test), 0, scale)
    yield line(name, 'unknown row', 0, n_people, seconds, predict(model, dls.valid, head))
    width = {} if head is None else dict(width=head.width)
    for k, rows in given.items():
        start = time.perf_counter()
        new, new_dls = fold_in(model, dls, ratings.iloc[rows], **width, **fold_settings)
        seconds = time.perf_counter() - start
        yield line(name, 'fold-in', k, n_people, seconds, predict(new, new_dls.test_dl(ratings.iloc[test]), head))
        if fold_settings: continue
        again, again_dls, _, seconds = fit_entry(entry, ratings, (np.sort(np.r_[rest, rows]), test), 0, scale)
        yield line(name, 'trained again', k, n_people, seconds, predict(again, again_dls.valid, head))


def main(names, tenth, priors):
    known_models(names)
    torch.set_num_threads(1)
    ratings, found = load_ml100k().ratings, []
    for name in names:
        for settings in [dict(prior=p, tail=t) for p, t in priors] or [{}]:
            for found_line in of_entry(name, ratings, tenth, settings):
                found.append(found_line)
                print(*settings.values(), *(round(v, 4) if isinstance(v, float) else v for v in found_line.values()), flush=True)
    if tenth == 1 and tuple(names) == SHOWN and not priors:
        atomic_write(RESULTS, lambda tmp: pd.DataFrame(found).round(5).to_csv(tmp, index=False))


if __name__ == '__main__':
    parser = argparse.ArgumentParser('python -m answer.fold_in', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--models', default=','.join(SHOWN), help='models with commas between them')
    parser.add_argument('--tenth', type=int, default=1, choices=range(10), help='which tenth of the users is held out (default 1)')
    parser.add_argument('--priors', default='', metavar='PRIOR:TAIL,…', help='priors to compare, without training again')
    args = parser.parse_args()
    main(args.models.split(','), args.tenth, [tuple(map(float, p.split(':'))) for p in args.priors.split(',') if p])
