"""What the start of the linear layer and the loader's draw do to the dot product with cross-entropy, each on and off.

The dot product with squared error stands beside it. From the repository's root:

    python nbs/studies/start_and_loader.py   half an hour and more

Eight seeds of each, 24 of the two runs at the book's learning rate that started it, each seed with its own random
80/20 split.
"""
import time
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks._common import write
from movielens_ce.compare.plots import confusion
from movielens_ce.data.loaders import rating_dls
from movielens_ce.data.movielens import load_ml100k
from movielens_ce.data.splits import random_split, train_valid_split
from movielens_ce.models.models import DotProductBias, DotProductBiasCE
from movielens_ce.scoring.posthoc import fit_width
from movielens_ce.scoring.predictions import predict, score, score_by_decoder
from movielens_ce.training.stack import fit_stack

N_FACTORS, WD, BS = 50, 0.1, 64
RESULTS = Path(__file__).parent.parent/'results'


@dataclass(frozen=True)
class Variant:
    "What is switched; the rest is the book's: 50 factors, weight decay 0.1, batches of 64."
    target: str = 'class'            # 'class': `DotProductBiasCE`, cross-entropy; 'rating': `DotProductBias`, MSE
    sigmoid: bool = False            # Whether the score passes a sigmoid before the linear layer
    start: str = 'random'            # Weights of the linear layer: as they come; 'sorted'; 'even' steps from −1 to 1
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
REPORTED = grid(sigmoid=[True, False])   # as an earlier attempt had them; 16 seeds more, to see how far luck goes


def loaders(ratings, v, seed, held_out=False):
    "The loaders of a seed; with `held_out` a tenth of its training rows is set aside, test rows are left out."
    train, test = random_split(seed, ratings)
    splits = train_valid_split(train, .1, seed) if held_out else (train, test)
    return rating_dls(ratings, splits, item='title', target=v.target, full_vocab=True, replacement=v.replacement,
                      bs=BS, device='cpu')


def build(v, dls, seed):
    "A model as it starts."
    torch.manual_seed(seed)
    y_range = dls.scale.y_range
    if v.target == 'rating': return DotProductBias(dls.n_users, dls.n_items, N_FACTORS, y_range)
    model = DotProductBiasCE(dls.n_users, dls.n_items, N_FACTORS, dls.c, y_range if v.sigmoid else None)
    w = model.head.linear.weight.data
    if v.start == 'sorted': w.copy_(w.sort(dim=0).values)
    if v.start == 'even': w.copy_(torch.linspace(-1, 1, dls.c)[:, None])
    return model


def train(variants, ratings, seeds, held_out=False):
    """Models, loaders and histories of `variants` × `seeds`, trained at once.

    The variants must differ in `start` alone."""
    v, members = variants[0], [(o, s) for o in variants for s in seeds]
    of_seed = {s: loaders(ratings, v, s, held_out) for s in seeds}
    dls, member_seeds = [of_seed[s] for _, s in members], [s for _, s in members]
    models = [build(o, of_seed[s], s) for o, s in members]
    history = fit_stack(models, dls, v.n_epoch, v.lr, wd=WD, seeds=member_seeds, progress=False)
    return models, dls, history


def _numbers(values): return ' '.join(f'{o:.5g}' for o in np.asarray(values).flatten())


def widths(variants, ratings, seeds):
    """The Gaussian's width for each member of `variants` × `seeds`; None for cross-entropy, which has no width.

    It is measured on twins that saw nine tenths of the training rows."""
    if variants[0].target == 'class': return [None]*len(variants)*len(seeds)
    models, dls, _ = train(variants, ratings, seeds, held_out=True)
    return [fit_width(model, d.valid) for model, d in zip(models, dls)]


def line_weights(v, model, dls, seed):
    "The linear layer before and after training, as columns; none for squared error, which has no such layer."
    if v.target == 'rating': return {}
    start, linear = build(v, dls, seed).head.linear, model.head.linear
    layers = dict(start_weight=start.weight, weight=linear.weight, bias=linear.bias)
    return {name: _numbers(o.detach()) for name, o in layers.items()}


def rows(variants, ratings, seeds):
    "One row a (variant, seed)."
    models, dls, history = train(variants, ratings, seeds)
    members = zip(product(variants, seeds), models, dls, widths(variants, ratings, seeds))
    for i, ((v, s), model, d, width) in enumerate(members):
        pred, h = predict(model, d.valid, width), history[history.member == i]
        by = score_by_decoder(pred)
        decoded = {f'{m}_of_{name}': by.loc[m, name] for name in by for m in by.index}
        curves = dict(train_loss=h.train_loss.iloc[-1], valid_losses=_numbers(h.valid_loss))
        yield dict(asdict(v), seed=s, **score(pred), **decoded, **curves, confusion=_numbers(confusion(pred)),
                   **line_weights(v, model, d, s))


def results(variants, ratings, seeds=range(8), say=print):
    "Trains everything, the variants that differ in `start` alone together."
    together = {}
    for v in variants: together.setdefault(replace(v, start=''), []).append(v)
    found = []
    for key, group in together.items():
        start = time.perf_counter()
        new = list(rows(group, ratings, list(seeds)))
        accuracy = np.mean([row['accuracy'] for row in new])
        say(f'  {key}: accuracy {accuracy:.4f}, {time.perf_counter() - start:.0f} s', flush=True)
        found += new
    return pd.DataFrame(found)


if __name__ == '__main__':
    torch.set_num_threads(1)
    ratings = load_ml100k().ratings
    table = pd.concat([results(VARIANTS, ratings), results(REPORTED, ratings, seeds=range(8, 24))])
    write(table, RESULTS/'start_and_loader.csv')
