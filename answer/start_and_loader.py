"""What the start of the linear layer and the loader's draw do to the dot product with cross-entropy, each on and off; the dot product with squared error beside it.

    python benchmarks/start_and_loader.py        eight seeds of each, 24 of the two runs at the book's learning rate that started it, each seed with its own random 80/20 split; half an hour and more
"""
import time
from dataclasses import asdict, dataclass
from itertools import product

import numpy as np
import pandas as pd
import torch
from _common import write

from movielens_ce.data import hold_out, load_ml100k, random_split, rating_dls
from movielens_ce.evaluation import fit_width, predict, score, score_by_decoder
from movielens_ce.models import DotProductBias, DotProductBiasCE
from movielens_ce.plots import confusion
from movielens_ce.training import fit_one_cycle

N_FACTORS, WD, BS = 50, 0.1, 64


@dataclass(frozen=True)
class Variant:
    "What is switched; the rest is the book's: 50 factors, weight decay 0.1, batches of 64."
    target: str = 'class'            # 'class': `DotProductBiasCE`, cross-entropy; 'rating': `DotProductBias`, squared error
    sigmoid: bool = False            # Whether the score passes a sigmoid before the linear layer
    start: str = 'random'            # Weights of the linear layer: as they come; the same numbers 'sorted'; 'even' steps from −1 to 1
    replacement: bool = True         # Whether an epoch draws ratings with replacement, as fastai's loader does
    lr: float = 5e-3                 # Highest learning rate
    n_epoch: int = 5


def grid(**options):
    "All combinations of the options."
    return [Variant(**dict(zip(options, o))) for o in product(*options.values())]


VARIANTS = [
    *grid(replacement=[True, False], start=['random', 'sorted', 'even']),
    *grid(sigmoid=[True], replacement=[True, False], start=['random', 'even']),
    *grid(lr=[0.1], replacement=[True, False], start=['random', 'even']),
    *grid(target=['rating'], replacement=[True, False]),
    *grid(target=['class'], start=['even'], replacement=[True, False], n_epoch=[10]),
    *grid(target=['rating'], replacement=[True, False], n_epoch=[10]),
]
REPORTED = grid(sigmoid=[True, False])         # as an earlier attempt had them; 16 seeds more, to see how far luck goes


def loaders(ratings, v, seed, held_out=False):
    "The loaders of a seed; with `held_out` a tenth of its training rows is set aside, and the test rows are left out."
    train, test = random_split(seed, n=len(ratings))
    return rating_dls(ratings, hold_out(train, .1, seed) if held_out else (train, test), item='title', target=v.target, full_vocab=True, replacement=v.replacement, bs=BS, device='cpu')


def build(v, dls, seed):
    "A model as it starts."
    torch.manual_seed(seed)
    y_range = dls.scale.y_range
    if v.target == 'rating': return DotProductBias(dls.n_users, dls.n_items, N_FACTORS, y_range)
    model = DotProductBiasCE(dls.n_users, dls.n_items, N_FACTORS, dls.c, y_range if v.sigmoid else None)
    w = model.linear.weight.data
    if v.start == 'sorted': w.copy_(w.sort(dim=0).values)
    if v.start == 'even': w.copy_(torch.linspace(-1, 1, dls.c)[:, None])
    return model


def train(variants, ratings, seeds, held_out=False):
    "Models, loaders and histories of `variants` × `seeds`, trained at once: the variants must differ in `start` alone."
    v, members = variants[0], [(o, s) for o in variants for s in seeds]
    dls = {s: loaders(ratings, v, s, held_out) for s in seeds}
    models = [build(o, dls[s], s) for o, s in members]
    history = fit_one_cycle(models, [dls[s] for _, s in members], v.n_epoch, v.lr, wd=WD, seed=[s for _, s in members], progress=False)
    return models, [dls[s] for _, s in members], history


def _numbers(values): return ' '.join(f'{o:.5g}' for o in np.asarray(values).flatten())


def rows(variants, ratings, seeds):
    "One row a (variant, seed); squared error gets its Gaussian's width from a twin that saw nine tenths of the training rows."
    models, dls, history = train(variants, ratings, seeds)
    twins = train(variants, ratings, seeds, held_out=True)[:2] if variants[0].target == 'rating' else None
    for i, (v, s) in enumerate((v, s) for v in variants for s in seeds):
        pred = predict(models[i], dls[i].valid, twins and fit_width(twins[0][i], twins[1][i].valid))
        by = score_by_decoder(pred)
        h = history[history.member == i]
        line = {} if twins else dict(start_weight=_numbers(build(v, dls[i], s).linear.weight.detach()), weight=_numbers(models[i].linear.weight.detach()), bias=_numbers(models[i].linear.bias.detach()))
        yield dict(asdict(v), seed=s, **score(pred), **{f'{m}_of_{d}': by.loc[m, d] for d in by for m in by.index},
                   train_loss=h.train_loss.iloc[-1], valid_losses=_numbers(h.valid_loss), confusion=_numbers(confusion(pred)), **line)


def results(variants, ratings, seeds=range(8), say=print):
    "Trains everything, the variants that differ in `start` alone together."
    together = {}
    for v in variants: together.setdefault((v.target, v.sigmoid, v.replacement, v.lr, v.n_epoch), []).append(v)
    found = []
    for key, group in together.items():
        start = time.perf_counter()
        found += rows(group, ratings, list(seeds))
        say(f'  {key}: accuracy {np.mean([o["accuracy"] for o in found[-len(group)*len(seeds):]]):.4f}, {time.perf_counter() - start:.0f} s', flush=True)
    return pd.DataFrame(found)


if __name__ == '__main__':
    torch.set_num_threads(1)
    ratings = load_ml100k().ratings
    write(pd.concat([results(VARIANTS, ratings), results(REPORTED, ratings, seeds=range(8, 24))]), 'start_and_loader.csv')
