"""The settings of `MODELS` and `LARGE`: a search of each model with the same number of trials, on training rows
alone. The best trials go into the registry by hand,
and `tests/test_tuning.py` compares the two.

tuning.csv     MovieLens-100K: 64,000 training rows of u1 train, 16,000 score; 16 trials each
tuning-1m.csv  MovieLens-1M: the training rows of a random split train, a tenth of them scores; 8 trials each

A search minimises the negative log-likelihood of a model of classes, and the RMSE of a model of ratings. Ensembles
are searched as a single member. The first trial
is what somebody has used for the model: the book's settings for most, the best settings found by hand for models with
sets, whose steps are too slow for small batches.

`…_more` and `implicit_ids` on MovieLens-1M had 24 trials, because the loss that they are trained with was behind on
the test rows; the first eight of `…_more` are copies
of those of the model itself. `ordinal_ids_near` (6 trials) asked how low the errors of the best model can go; its
ranges were drawn around the best of the eight trials
after a dozen settings tried by hand.
"""
from dataclasses import replace

from answer.tables import RESULTS
from movielens_ce.compare.entries import MODELS, Choice, Span
from movielens_ce.compare.fit import one_thread
from movielens_ce.compare.tune import tune, with_settings
from movielens_ce.data.movielens import load_ml100k, load_movielens
from movielens_ce.data.splits import inner_split, make_fold, train_valid_split

FOLDER = RESULTS.parent.parent/'answer/results'
BOOK = {'lr': 5e-3, 'wd': .1, 'wd_of.head': .1, 'n_epoch': 5, 'bs': 64, 'options.n_factors': 50, 'options.n_act': 100}
BY_HAND = {'lr': .01, 'wd': 2., 'wd_of.head': .3, 'n_epoch': 20, 'bs': 2048, 'options.n_factors': 64,
           'options.dropout': .3}
BY_HAND_1M = {'lr': .012, 'wd': .7, 'wd_of.head': .13, 'n_epoch': 16, 'bs': 8192, 'options.n_factors': 128,
              'options.dropout': .17}
LARGER = {'dot': (Choice((50, 100, 200)), Choice((512, 2048, 8192))),
          'nn': (Choice((50, 100, 200)), Choice((512, 2048, 8192))),
          # sizes and batches that are tried on MovieLens-1M
          'sets': (Choice((64, 128)), Choice((8192, 16384)))}
NEAR = {'wd': Span(.6, 1.4, log=True), 'options.n_factors': Choice((128, 256)), 'wd_of.head': Span(.06, .3, log=True),
        'options.dropout': Span(.1, .45),
        'lr': Span(.006, .02, log=True), 'n_epoch': Span(12, 20, log=True, whole=True), 'bs': Choice((4096, 8192))}


def kind(entry): return 'sets' if entry.inputs != 'ids' else entry.score


def first(entry, by_hand, **book):
    "The entry with the settings of the first trial."
    settings = by_hand if kind(entry) == 'sets' else BOOK | book
    return with_settings(entry, {name: settings[name] for name in entry.space})


def space_1m(entry):
    "The space of an entry with the sizes for a million ratings."
    size, bs = LARGER[kind(entry)]
    return {name: size if name in ('options.n_factors', 'options.n_act') else bs if name == 'bs' else values for name,
            values in entry.space.items()}


def searches_1m():
    "Name of a search -> (entry, trials, space)."
    ids = replace(MODELS['implicit'], context=None)
    all_of = {m: (MODELS[m], 8) for m in ('dot', 'dot_ordinal', 'implicit', 'ordinal_ids', 'nn', 'nn_ordinal')}
    all_of |= dict(implicit_ids=(ids, 24), dot_ordinal_more=(MODELS['dot_ordinal'], 24),
                   implicit_more=(MODELS['implicit'], 24))
    searches = {name: (first(e, BY_HAND_1M, bs=512), n, space_1m(e)) for name, (e, n) in all_of.items()}
    return searches | dict(ordinal_ids_near=(with_settings(MODELS['ordinal_ids'], BY_HAND_1M | dict(wd=.9)), 6, NEAR))


def rows_1m(ratings): return train_valid_split(make_fold('random:0:0.1', ratings)[0], 0.1, seed=0)


def search(name, entry, n_trials, space, ratings, splits, trace):
    criterion = 'rmse' if entry.target == 'rating' else 'nll'
    tune(entry, ratings, splits, n_trials, space, (criterion,), trace=trace, key=dict(search=name),
         say=lambda row: print(*row.values(), flush=True))


def main(out, jobs):
    ratings = load_ml100k().ratings
    with one_thread():
        for name, entry in MODELS.items():
            if entry.source != 'searched': continue
            attempt = dict(lr=1.2e-3, wd=.01) if name == 'nn_ce' else {}
            search(name, first(entry, BY_HAND, **attempt), 16, entry.space, ratings, inner_split('1', ratings),
                   FOLDER/'tuning.csv')
        ratings = load_movielens('1m').ratings
        for name, (entry, n, space) in searches_1m().items():
            search(name, entry, n, space, ratings, rows_1m(ratings), FOLDER/'tuning-1m.csv')
