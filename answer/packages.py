"""Models of other packages: what they are told, how they are trained, what they predict. Needs the extra [bench].

A model of ratings is a function `(train, test) -> (seconds to fit, ratings)` of two frames; the settings come first."""
import contextlib
import io
import time
from functools import partial

import numpy as np
import pandas as pd
import scipy.sparse as sp

from movielens_ce.scoring.predictions import Predictions


def surprise(make):
    "A model of Surprise; its predictions are clipped to the scale, as Surprise does by default."
    def run(train, test):
        from surprise import Dataset, Reader
        data = Dataset.load_from_df(train[['user', 'item', 'rating']],
                                    Reader(rating_scale=(1, 5))).build_full_trainset()
        start = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()): model = make().fit(data)
        seconds = time.perf_counter() - start
        return seconds, np.array([model.predict(u, i).est for u, i in zip(test.user, test['item'])])
    return run


def svd(seed=0, **settings):
    from surprise import SVD
    return surprise(partial(SVD, random_state=seed, **settings))


def knn(k, min_k, name, user_based, shrinkage):
    from surprise import KNNBaseline
    similarity = dict(name=name, user_based=user_based) | (dict(shrinkage=shrinkage) if name == 'pearson_baseline'
                                                           else {})
    return surprise(partial(KNNBaseline, k=k, min_k=min_k, sim_options=similarity))


def lenskit_data(train):
    "Ratings as LensKit's data set."
    from lenskit.data import from_interactions_df
    names = dict(user='user_id', item='item_id')
    return from_interactions_df(train.rename(columns=names)[['user_id', 'item_id', 'rating']])


def biased_mf(features=50, epochs=10, user_reg=.1, item_reg=.1, damping=5., seed=0):
    "LensKit's BiasedMF by alternating least squares; the mean rating of the training rows where it predicts nothing."
    def run(train, test):
        from lenskit import predict
        from lenskit.als import BiasedMFScorer
        from lenskit.pipeline import predict_pipeline
        from lenskit.training import TrainingOptions
        data, pred = lenskit_data(train), pd.Series(np.nan, index=np.arange(len(test)))
        start = time.perf_counter()
        scorer = BiasedMFScorer(features=features, epochs=epochs, regularization=dict(user=user_reg, item=item_reg),
                                damping=damping)
        pipe = predict_pipeline(scorer)
        pipe.train(data, TrainingOptions(rng=seed))
        seconds = time.perf_counter() - start
        for user, rows in test.reset_index(drop=True).groupby('user'):
            pred[rows.index] = predict(pipe, int(user), rows['item'].to_numpy()).scores()
        return seconds, pred.fillna(train.rating.mean()).to_numpy()
    return run


def normalised(probs, y, scale):
    "Predictions of probabilities that sum to about 1."
    return Predictions(probs/probs.sum(1, keepdims=True), np.asarray(y, float), scale)


def one_hot(codes, n):
    "A row for each code with a 1 in its column; an empty row for the code −1."
    known = codes >= 0
    return sp.csr_matrix((np.ones(known.sum()), (np.flatnonzero(known), codes[known])), shape=(len(codes), n))


def by_ids(train):
    "(`frame -> what myFM is told of its rows`, user and item alone; sizes of the groups of columns)."
    index = {c: pd.Index(np.unique(train[c])) for c in ('user', 'item')}
    def design(frame): return sp.hstack([one_hot(i.get_indexer(frame[c]), len(i)) for c, i in index.items()]).tocsr()
    return design, [len(i) for i in index.values()]


def myfm_regression(rank=10, n_iter=300, seed=0):
    "myFM's regression on ids alone."
    def run(train, test):
        import myfm
        start = time.perf_counter()
        design, sizes = by_ids(train)
        with contextlib.redirect_stderr(io.StringIO()):
            model = myfm.MyFMRegressor(rank=rank, random_seed=seed)
            model.fit(X=design(train), y=train.rating.to_numpy(float), n_iter=n_iter, group_shapes=sizes)
        seconds = time.perf_counter() - start
        return seconds, model.predict(design(test))
    return run


def myfm_chain(train, test, scale, rank, lengths, burn_in=5, seed=0):
    """Runs the chain of myFM's ordered probit on ids alone;
    yields (length, predictions for `test`, seconds) for each of `lengths`."""
    import myfm
    start, (design, sizes) = time.perf_counter(), by_ids(train)
    asked, total, kept = design(test), np.zeros((len(test), scale.n_classes)), []
    def keep(i, fm, hyper, history):
        if i >= burn_in: total[:] += fm.oprobit_predict_proba(asked, [], 0)
        if i + 1 in lengths: kept.append((i + 1, normalised(total, test.rating, scale), time.perf_counter() - start))
        return False, None
    with contextlib.redirect_stderr(io.StringIO()):
        myfm.MyFMOrderedProbit(rank=rank, random_seed=seed).fit(
            X=design(train), y=scale.to_class(train.rating), n_iter=max(lengths), n_kept_samples=1, group_shapes=sizes,
            callback=keep)
    return kept


def scaled_rows(sets):
    "The rows of a 0/1 matrix times 1/√(ones in the row)."
    size = np.asarray(sets.sum(1)).ravel()
    return sp.diags(1/np.sqrt(np.maximum(size, 1))) @ sets


def as_told(dls):
    """What myFM is told of the rows of our loaders:
    ids, sets of the training rows, columns and context, as far as the loaders have them; and the sizes of the
    groups."""
    import myfm
    train, n = dls.train_ds, (dls.n_users, dls.n_items)
    user, item = train.x_cat.numpy().T
    rated = sp.csr_matrix((np.ones(len(user)), (user, item)), shape=n)
    tables, sizes = [], []
    for k, sets in enumerate((scaled_rows(rated), scaled_rows(rated.T.tocsr()))):
        parts = [sp.diags((np.arange(n[k]) > 0).astype(float)),
                 sets] + [sp.csr_matrix(f.weight.numpy()) for f in train.features[k:k + 1] if f]
        tables.append(sp.hstack(parts).tocsr())
        sizes += [p.shape[1] for p in parts]
    def features(ds):
        blocks = [myfm.RelationBlock(ds.x_cat[:, k].numpy(), table) for k, table in enumerate(tables)]
        return dict(X=None if ds.x_cont is None else sp.csr_matrix(ds.x_cont.numpy()), X_rel=blocks)
    return features, [len(dls.cont_names)]*bool(dls.cont_names) + sizes


def myfm_told(dls, seed=0, n_iter=300, rank=10):
    """(seconds, predictions for the validation rows) of myFM's ordered probit, which is told what our loaders know.
    `dls` have classes as targets."""
    import myfm
    start = time.perf_counter()
    features, sizes = as_told(dls)
    model = myfm.MyFMOrderedProbit(rank=rank, random_seed=seed)
    with contextlib.redirect_stderr(io.StringIO()):
        model.fit(y=dls.train_ds.y.numpy().reshape(-1).astype(int), n_iter=n_iter, group_shapes=sizes,
                  **features(dls.train_ds))
    y = dls.scale.to_rating(dls.valid_ds.y.numpy().reshape(-1))
    return time.perf_counter() - start, normalised(model.predict_proba(**features(dls.valid_ds)), y, dls.scale)
