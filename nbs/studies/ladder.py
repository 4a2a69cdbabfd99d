"""The ladder of an earlier attempt to match fastai in plain PyTorch (ua.base, ua.test).

Its variants, the mended one, and each difference on and off. From the repository's root:

    python nbs/studies/ladder.py   three seeds of each, a quarter of an hour and more
"""
import time
import warnings
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks._common import write
from movielens_ce.data.movielens import load_ml100k
from movielens_ce.data.splits import ua_split

N_FACTORS, BS = 40, 64
RESULTS = Path(__file__).parent.parent/'results'


@dataclass(frozen=True)
class Variant:
    """What an earlier attempt could switch, and what it could not see.

    The defaults are those of its best run, 0.923."""
    # Dot product and biases: '[n] + [n, 1]' broadcasts to `[n, n]`; '[n, 1]' keeps all apart; '[n]' is fastai's,
    # against targets `[n, 1]`
    shapes: str = '[n] + [n, 1]'
    y_range: tuple = (0.5, 5.5)      # Ends of the sigmoid, in rating units
    std: float = 0.01                # Of the truncated normal initial weights; None: N(0, 1) as `nn.Embedding` has it
    optim: str = 'AdamW'             # 'Adam': weight decay goes through the moments (L2); 'AdamW': it is decoupled
    wd: float = 0.01                 # Weight decay
    eps: float = 1e-8                # In the denominator of Adam's step; 1e-5 is fastai 2's
    lr: float = 1e-2                 # Highest learning rate
    n_epoch: int = 10
    one_cycle: bool = True           # Else the learning rate and the momentum stay where they are
    scheduler_first: bool = True     # Whether the scheduler steps before the optimizer
    replacement: bool = False        # Whether an epoch draws ratings with replacement, as fastai 2's loader does
    backward: bool = True            # Whether gradients are computed at all


BEST = Variant()
MENDED = Variant(shapes='[n, 1]', wd=0.1, y_range=(0, 5.5), eps=1e-5, scheduler_first=False)
FIRST = Variant(y_range=(-0.5, 5.5), std=None, optim='Adam', wd=0., lr=5e-3)
LADDER = {
    'plain Adam':           replace(FIRST, one_cycle=False),
    'one cycle':            FIRST,
    'y_range, lr, epochs':  replace(FIRST, y_range=(.5, 5.5), lr=1e-2, n_epoch=20),
    '+ wd .01 (Adam)':      replace(FIRST, y_range=(.5, 5.5), lr=1e-2, n_epoch=20, wd=.01),
    'small initial weights': Variant(optim='Adam', wd=0., n_epoch=20),
    'small, wd .01 (Adam)': Variant(optim='Adam', n_epoch=20),
    'AdamW, wd .01':        BEST,
    'AdamW, wd .1':         replace(BEST, wd=.1),
    "fastai's shapes":      replace(BEST, wd=.1, shapes='[n]'),
}
BETWEEN = {                          # what the steps of the ladder that change several things owe to each
    'one cycle':            FIRST,
    'y_range alone':        replace(FIRST, y_range=(.5, 5.5)),
    'lr alone':             replace(FIRST, lr=1e-2),
    'epochs alone':         replace(FIRST, n_epoch=20),
    'small initial weights, 10 epochs': Variant(optim='Adam', wd=0.),
}
SWITCHES = {                         # name -> (as in the best run, as in the mended one)
    'shapes':               dict(shapes=('[n] + [n, 1]', '[n, 1]')),
    'weight decay':         dict(wd=(0.01, 0.1)),
    'y_range':              dict(y_range=((0.5, 5.5), (0, 5.5))),
    'eps':                  dict(eps=(1e-8, 1e-5)),
    'order of the steps':   dict(scheduler_first=(True, False)),
}
BREAKS = {                           # what both runs have right, and its opposite
    'constant learning rate':     dict(one_cycle=False),
    'loader with replacement':    dict(replacement=True),
    'initial weights N(0, 1)':    dict(std=None),
    'weight decay through Adam':  dict(optim='Adam'),
    'no weight decay':            dict(wd=0.),
}


def toward():
    "The best run of the attempt with one thing changed at a time, then several: name -> variant."
    one = {name: replace(BEST, **{k: v[1] for k, v in s.items()}) for name, s in SWITCHES.items()}
    worse = {name: replace(BEST, **s) for name, s in BREAKS.items()}
    two = replace(BEST, shapes='[n, 1]', wd=.1)
    return {'the best run': BEST, **one, 'shapes and weight decay': two, 'all five': MENDED, **worse}


def away():
    "The mended run with one thing broken at a time: name -> variant."
    back = {name: replace(MENDED, **{k: v[0] for k, v in s.items()}) for name, s in SWITCHES.items()}
    return {'the mended run': MENDED, **back, **{name: replace(MENDED, **s) for name, s in BREAKS.items()}}


class Attempt(nn.Module):
    """The attempt's dot product, one member for each seed.

    Row `u` of a member's table is user `u + 1`, row `n_users + i` is item `i + 1`; the last column is the bias."""
    def __init__(self, v, seeds, n_users=943, n_items=1682):
        super().__init__()
        self.v, self.n_users = v, n_users
        shape = n_users + n_items, N_FACTORS + 1
        weights = [torch.randn(shape, generator=torch.Generator().manual_seed(s)) for s in seeds]
        self.weight = nn.Parameter(torch.stack([w if v.std is None else w.fmod(2)*v.std for w in weights]))
        self.register_buffer('offset', torch.arange(len(seeds))[:, None, None]*(n_users + n_items))

    def parts(self, pairs):
        "Dot products `[S, n]` and sums of biases `[S, n, 1]` for the rows `pairs` `[S, n, 2]`."
        p, q = F.embedding(pairs + self.offset, self.weight.flatten(0, 1)).unbind(2)
        return (p[..., :-1]*q[..., :-1]).sum(-1), p[..., -1:] + q[..., -1:]

    def rating(self, score):
        "The sigmoid from the lower to the upper end of `y_range`."
        low, high = self.v.y_range
        return low + (high - low)*torch.sigmoid(score)

    def forward(self, pairs):
        "Ratings `[S, n, 1]`, or what the shapes of `v` make of them: `[S, n, n]`, or `[S, 1, n]`."
        dot, bias = self.parts(pairs)
        if self.v.shapes == '[n, 1]': return self.rating(dot[..., None] + bias)
        return self.rating(dot[:, None, :] + (bias if self.v.shapes == '[n] + [n, 1]' else bias.mT))


@torch.no_grad()
def test_mse(model, pairs, y, chunk=500):
    "(MSE as the attempt measured it, over `[n, n]` where it broadcasts; MSE of the rating of each pair), each `[S]`."
    dot, bias = model.parts(pairs.expand(len(model.weight), -1, -1))
    own = (model.rating(dot[..., None] + bias) - y).square().mean((1, 2))
    if model.v.shapes == '[n, 1]': return own, own
    score = lambda b: dot[:, None, :] + (b if model.v.shapes == '[n] + [n, 1]' else bias.mT)
    parts = zip(bias.split(chunk, 1), y.split(chunk))
    seen = [(model.rating(score(b)) - t).square().sum((1, 2)) for b, t in parts]
    return torch.stack(seen).sum(0)/len(y)**2, own


def tensors(ratings):
    """(training pairs, ratings, test pairs, ratings) of ua.

    Pairs int64 `[n, 2]` are rows of `Attempt`'s table, ratings float32 `[n, 1]`."""
    pairs = torch.from_numpy(ratings[['user', 'item']].to_numpy() + [[-1, 942]])
    y = torch.from_numpy(ratings[['rating']].to_numpy(np.float32, copy=True))
    train, test = ua_split(ratings)
    return pairs[train], y[train], pairs[test], y[test]


def train(v, data, seeds=(0, 1, 2)):
    """Trains the members as the attempt did, with torch's own optimizer and OneCycleLR.

    Returns the model, with its loss on the last epoch's batches as `last_loss`."""
    pairs, y, _, _ = data
    n, model, draws = len(y), Attempt(v, seeds), [torch.Generator().manual_seed(s) for s in seeds]
    adam = dict(lr=v.lr, betas=(.9, .99), eps=v.eps, weight_decay=v.wd, fused=True)
    opt = getattr(torch.optim, v.optim)(model.parameters(), **adam)
    steps = dict(epochs=v.n_epoch, steps_per_epoch=-(-n//BS))
    cycle = torch.optim.lr_scheduler.OneCycleLR(opt, v.lr, **steps) if v.one_cycle else None
    def order(g): return torch.randint(n, (n,), generator=g) if v.replacement else torch.randperm(n, generator=g)
    with warnings.catch_warnings():           # about the order of the two steps, which is one of the switches
        warnings.filterwarnings('ignore', message='Detected call of `lr_scheduler.step')
        for _ in range(v.n_epoch):
            losses = []
            for rows in torch.stack([order(g) for g in draws]).split(BS, dim=1):
                loss = (model(pairs[rows]) - y[rows]).square().mean((1, 2))
                losses.append(loss.detach())
                if not v.backward: continue
                opt.zero_grad()
                loss.sum().backward()
                if cycle and v.scheduler_first: cycle.step()
                opt.step()
                if cycle and not v.scheduler_first: cycle.step()
    model.last_loss = torch.stack(losses).mean(0)
    return model


def results(groups, data, seeds=(0, 1, 2), say=print):
    """One row a (group, variant, seed); a variant in two groups is trained once.

    `seen_mse` is what the attempt's own loop would have printed."""
    done, rows = {}, []
    for group, variants in groups.items():
        for name, v in variants.items():
            if v not in done:
                start = time.perf_counter()
                model = train(v, data, seeds)
                done[v] = [o.tolist() for o in (model.last_loss, *test_mse(model, *data[2:]))]
                mean, sd = np.mean(done[v][1]), np.std(done[v][1], ddof=1)
                say(f'  {group:8} {name:34} {mean:.3f} ± {sd:.3f}, {time.perf_counter() - start:.0f} s')
            settings = asdict(v) | dict(y_range=str(v.y_range))
            rows += [dict(group=group, variant=name, seed=s, train_loss=a, seen_mse=b, test_mse=c, **settings)
                     for s, a, b, c in zip(seeds, *done[v])]
    return pd.DataFrame(rows)


if __name__ == '__main__':
    torch.set_num_threads(1)
    groups = dict(ladder=LADDER, between=BETWEEN, toward=toward(), away=away())
    write(results(groups, tensors(load_ml100k().ratings)), RESULTS/'ladder.csv')
