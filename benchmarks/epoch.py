"""An epoch of the dot-product model, 50 factors, batches of 64: fastai, its repair, `fit_one_cycle`, a floor.

The floor is the same arithmetic compiled into one function."""
from unittest.mock import patch

import torch
from fastai.collab import CollabDataLoaders, TabularCollab, collab_learner
from fastai.tabular.core import TabDataLoader
from fastai.torch_core import set_seed

from benchmarks._common import RESULTS, alternate, report
from movielens_ce.data import load_ml100k, random_split, rating_dls
from movielens_ce.models import DotProductBias
from movielens_ce.training import fit_one_cycle, one_cycle


def learner_epoch(dls):
    "Trains fastai's model for an epoch with fastai's Learner; the validation pass is left out on all sides."
    learn = collab_learner(dls, n_factors=50, y_range=(0, 5.5))
    learn._do_epoch_validate = lambda *args, **kwargs: None
    def run():
        with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(1, 5e-3, wd=0.1)
    return run


def loop_epoch(dls, progress=False):
    "The same with `fit_one_cycle`."
    model = DotProductBias.from_dls(dls)
    one_row = dls.valid_ds.decode(*(t[:1] for t in dls.valid_ds.tensors))
    dls.loaders[1] = dls.test_dl(one_row)
    def run(): fit_one_cycle(model, dls, 1, 5e-3, wd=0.1, seed=0, progress=progress)
    return run


def fused_epoch(dls):
    """A floor: gradients written out by hand and Adam in one compiled function.

    The formulas are the same; there is no autograd and no Python between them."""
    model = DotProductBias.from_dls(dls)
    params = [p.detach().clone() for p in model.parameters()]
    moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in params]
    tables = [n.split('.')[0] for n, _ in model.named_parameters()]

    @torch.compile(fullgraph=True)
    def step(params, moments, x, y, lr, mom, unbias1, unbias2):
        named = dict(zip(tables, params))
        u, i = x[:, 0], x[:, 1]
        p, q = named['user_factors'][u], named['item_factors'][i]
        s = torch.sigmoid((p*q).sum(1, keepdim=True) + named['user_bias'][u] + named['item_bias'][i])
        g = 2*(5.5*s - y)/len(y)*5.5*s*(1 - s)
        rows = dict(user_factors=(u, g*q), item_factors=(i, g*p), user_bias=(u, g), item_bias=(i, g))
        for name, p, (avg, sqr) in zip(tables, params, moments):
            grad = torch.zeros_like(p).index_add(0, *rows[name])
            p.mul_(1 - lr*0.1)
            avg.mul_(mom).add_((1 - mom)*grad)
            sqr.mul_(.99).add_(.01*grad*grad)
            p.sub_(lr/unbias1*avg/((sqr/unbias2).sqrt() + 1e-5))

    def run():
        n = len(dls.train)
        with torch.no_grad():
            for k, (x, y) in enumerate(dls.train):
                lr, mom = one_cycle(k/n, 5e-3/25, 5e-3, 5e-8), one_cycle(k/n, .95, .85, .95)
                unbias = 1 - mom**(k + 1), 1 - .99**(k + 1)
                if len(y) == 64: step(params, moments, x, y, *(torch.tensor(v) for v in (lr, mom, *unbias)))
    return run


def contenders(ratings):
    "Name -> a function that trains an epoch."
    cpu = dict(bs=64, device=torch.device('cpu'))
    def theirs(dl_type):
        with patch.object(TabularCollab, '_dl_type', dl_type):
            return CollabDataLoaders.from_df(ratings, valid_pct=0.2, seed=0, **cpu)
    def ours(): return rating_dls(ratings, random_split(0, ratings), **cpu)
    return {
        'fastai as it comes': learner_epoch(theirs(TabularCollab._dl_type)),
        'fastai, each rating once': learner_epoch(theirs(TabDataLoader)),
        'Learner on rating_dls': learner_epoch(ours()),
        'fit_one_cycle': loop_epoch(ours()),
        'fit_one_cycle, progress bar': loop_epoch(ours(), True),
        'floor: one compiled function': fused_epoch(ours()),
    }


def main(n_runs):
    set_seed(0)                      # fastai's loaders draw from Python's, NumPy's and torch's generators
    ratings = load_ml100k().ratings[['user', 'item', 'rating']]
    report(alternate(contenders(ratings), n_runs), 'fastai as it comes', RESULTS/'epoch.csv')
