"Fixtures: the real data where it can be had, and made-up ratings everywhere. Each of pytest's processes computes on one thread."
import os

import numpy as np
import pandas as pd
import pytest
import torch

from movielens_ce.data import load_ml100k

torch.set_num_threads(1)
os.environ['OMP_NUM_THREADS'] = '1'
THREADS = dict.fromkeys(('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS'), '1')
PERSONAL = ('MPLBACKEND', 'MPLCONFIGDIR', 'MATPLOTLIBRC', 'COLUMNS', 'LINES', 'NO_COLOR', 'FORCE_COLOR', 'IPYTHONDIR', 'JUPYTER_CONFIG_DIR')


def own_environment():
    "The environment of a process that a test starts: one thread, and nothing that changes what Python and its libraries show."
    kept = {k: v for k, v in os.environ.items() if k not in PERSONAL and not (k.startswith('PYTHON') and k != 'PYTHONPATH')}
    return kept | THREADS


@pytest.fixture(scope='session')
def ml():
    "MovieLens-100K; the tests that need it are skipped, with the reason, where it cannot be fetched."
    try: return load_ml100k()
    except (FileNotFoundError, ValueError) as e: pytest.skip(f'needs MovieLens-100K: {e}')


@pytest.fixture(scope='session')
def made_up():
    "600 ratings of 30 users and 40 items on half-stars, with a taste in them."
    rng = np.random.default_rng(0)
    pairs = rng.permutation([(u, i) for u in range(30) for i in range(40)])[:600]
    score = 3 + rng.normal(size=30)[pairs[:, 0]]*.7 + rng.normal(size=40)[pairs[:, 1]]*.7
    return pd.DataFrame(dict(user=pairs[:, 0] + 100, item=pairs[:, 1] + 1000, rating=(score.clip(.5, 5)*2).round()/2,
                             timestamp=rng.permutation(600)))
