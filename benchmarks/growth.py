"Seconds and peak memory of an epoch for 0.1, 1, 10 and 25 million ratings with MovieLens-like marginals, each in a process of its own; data made, encoded and trained."
import json
import resource
import subprocess
import sys
import time

import numpy as np
import pandas as pd
from _common import write

SIZES = {100_000: (943, 1_682), 1_000_000: (6_040, 3_706), 10_000_000: (69_878, 10_677), 25_000_000: (162_541, 59_047)}     # users and items of ML-100k, 1M, 10M and 25M


def made_up_ratings(n, n_users, n_items, seed=0):
    "`n` ratings: users and items drawn from long-tailed popularities, ratings in half-stars from biases and noise. A pair may come twice."
    rng = np.random.default_rng(seed)
    def draw(k):
        weight = rng.lognormal(0, 1.3, k)
        return rng.choice(k, n, p=weight/weight.sum()).astype(np.int32)
    user, item = draw(n_users), draw(n_items)
    score = 3.5 + rng.normal(0, .45, n_users)[user] + rng.normal(0, .5, n_items)[item] + rng.normal(0, .85, n)
    return pd.DataFrame(dict(user=user, item=item, rating=((score*2).round()/2).clip(.5, 5).astype(np.float32)))


def one(n):
    "Makes `n` ratings and trains the dot-product model for an epoch; prints seconds of each part and peak memory as JSON."
    import torch

    from movielens_ce.data import random_split, rating_dls
    from movielens_ce.models import DotProductBias
    from movielens_ce.training import fit_one_cycle
    t0 = time.perf_counter()
    ratings = made_up_ratings(n, *SIZES[n])
    t1 = time.perf_counter()
    dls = rating_dls(ratings, random_split(0, 0.05, n), bs=max(512, n//200), device='cpu')
    del ratings
    t2 = time.perf_counter()
    torch.manual_seed(0)
    model = DotProductBias.from_dls(dls)
    h = fit_one_cycle(model, dls, 1, 5e-3, wd=0.1, seed=0, progress=False)
    print(json.dumps(dict(ratings=n, users=SIZES[n][0], items=SIZES[n][1], parameters=sum(p.numel() for p in model.parameters()), bs=dls.train.bs, made_s=t1 - t0,
                          loaders_s=t2 - t1, epoch_s=h.seconds.iloc[-1], valid_rmse=h.valid_loss.iloc[-1]**.5, peak_gib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/2**20)))


def main(n_runs):
    rows = []
    for n in SIZES:
        for _ in range(n_runs if n <= 1_000_000 else 1):
            done = subprocess.run([sys.executable, __file__, str(n)], capture_output=True, text=True, check=True)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
    table = pd.DataFrame(rows).groupby('ratings', as_index=False).median()
    write(table.assign(loaders_us_per_rating=table.loaders_s/table.ratings*1e6, epoch_us_per_rating=table.epoch_s/table.ratings*1e6), 'growth.csv')


if __name__ == '__main__': one(int(sys.argv[1]))
