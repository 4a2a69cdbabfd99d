"""Fixtures: the real data where it can be had, and made-up ratings everywhere.
Each of pytest's processes computes on one thread."""
import os
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from forked import ONE_THREAD
from hypothesis import settings

from movielens_ce.data.movielens import load_ml100k

torch.set_num_threads(1)
os.environ.update(ONE_THREAD)

# Examples are the same in every run; HYPOTHESIS_PROFILE=explore looks for new ones.
settings.register_profile('repeatable', derandomize=True)
settings.register_profile('explore')
settings.load_profile(os.environ.get('HYPOTHESIS_PROFILE', 'repeatable'))


def seconds(item):
    "How long a test takes that is marked `slow`, about."
    mark = item.get_closest_marker('slow')
    return (mark.args[0] if mark.args else 5) if mark else 0


def together(item):
    """What a test shares with others that are best run by one process: trained models, or parsed pages.
    Most tests share nothing."""
    mark = item.get_closest_marker('xdist_group')
    return mark.args[0] if mark else item.nodeid


def pytest_collection_modifyitems(config, items):
    """The longest tests come first, then those that share something, dealt out to xdist's processes, each of which
    begins with a stretch of its own of this list."""
    n = getattr(config, 'workerinput', {}).get('workercount', 1)
    groups, dealt = {}, [[] for _ in range(n)]
    for item in items: groups.setdefault(together(item), []).append(item)
    for group in sorted(groups.values(), key=lambda group: (seconds(group[0]) if len(group) == 1 else 0, len(group)),
                        reverse=True): min(dealt, key=len).extend(group)
    items[:] = [item for tests in dealt for item in tests]


def pytest_report_header(config):
    if config.option.markexpr == 'not study':
        return 'left out: six studies and two models that train for minutes; `pytest -m study` runs them'


def quick(entries):
    "Entries with two of those that are sampled, in few steps: the others differ by what they are told."
    kept = {m: e for m, e in entries.items() if e.trainer != 'posterior' or m in ('posterior_ids', 'posterior_times')}
    steps = dict(n_factors=3, n_steps=40, burn=20, every=2)
    return {m: replace(e, options=e.options | steps) if e.trainer == 'posterior' else e for m, e in kept.items()}


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
