"""Lists of 50 for every user of MovieLens-100K: `top_n`, implicit's `recommend`, LensKit's `batch.recommend`.

On one thread each, and on as many as each takes by itself. Needs the extra [bench]."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import torch

from benchmarks._common import RESULTS, alternate, spread, write
from benchmarks.other_packages import implicit_lists, lenskit_lists
from benchmarks.serve import SHOWN, made
from movielens_ce.data import load_ml100k, random_split
from movielens_ce.recommendation import top_n

N, OURS = 50, 'dot, top_n'
THREADS = ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'NUMBA_NUM_THREADS', 'RAYON_NUM_THREADS',
           'LK_NUM_THREADS', 'LK_NUM_BACKEND_THREADS')
SETTINGS = {'one each': dict.fromkeys(THREADS, '1'), 'as they come': {}}


def our_lists(name, ratings):
    "(`() -> lists`, `lists -> frame of user and item`): of a model as it is made, since its weights do not change the time."
    model, dls = made(name, ratings)
    return lambda: top_n(model, dls, N), lambda best: best[['user', 'item']]


def check(name, pairs, train):
    "Raises `ValueError` where a list has not 50 different items that its user did not rate in training."
    n, rated = len(pairs.drop_duplicates()), len(pairs.merge(train, on=['user', 'item']))
    if n != train.user.nunique()*N or rated: raise ValueError(f'{name}: {n} different places, {rated} of them rated')


def one(setting, n_runs):
    "Prints the seconds of each contender as JSON."
    ratings, n_threads = load_ml100k().ratings, 1 if SETTINGS[setting] else None
    train = ratings.iloc[random_split(0, ratings)[0]]
    contenders = {f'{name}, top_n': our_lists(name, ratings) for name in SHOWN}
    contenders['implicit ALS, recommend'] = implicit_lists(train, N, n_threads)
    contenders['LensKit BiasedMF (ALS), batch.recommend'] = lenskit_lists(train, N, n_threads)
    if n_threads: torch.set_num_threads(n_threads)               # importing a peer may change it
    for name, (make, pairs) in contenders.items(): check(name, pairs(make()), train)
    def timed(make):
        def run(): make()
        return run
    print(json.dumps(alternate({name: timed(make) for name, (make, _) in contenders.items()}, n_runs)))


def in_a_process(setting, n_runs):
    "What `one` prints in a fresh process, as rows of the table."
    command = [sys.executable, '-m', 'benchmarks.lists', setting, str(n_runs)]
    root, env = Path(__file__).parent.parent, os.environ | SETTINGS[setting]
    done = subprocess.run(command, cwd=root, env=env, stdout=subprocess.PIPE, text=True, check=True)
    seconds = json.loads(done.stdout.splitlines()[-1])
    table = pd.DataFrame([dict(name=n, setting=setting, **spread(s), runs=len(s)) for n, s in seconds.items()])
    return table.assign(times_ours=table.median_s/table.median_s[table.name == OURS].item())


def main(n_runs):
    write(pd.concat([in_a_process(setting, n_runs) for setting in SETTINGS]), RESULTS/'lists.csv')


if __name__ == '__main__': one(sys.argv[1], int(sys.argv[2]))
