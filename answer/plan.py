"""The plan of the answer: which entries are run, what is compared, and what counts as a difference. It was committed
before the runs that it governs. The scripts that make and analyse them import it, and the study *The plan* shows
it."""
from dataclasses import dataclass

from movielens_ce.compare.entries import MODELS, grid_entry

# the smallest differences that matter, in the metrics' own units
SMALLEST = dict(rmse=.002, accuracy=.005, nll=.01)
FOLDS = tuple('12345')                                      # u1-u5; the planned comparisons are made on these
OTHER_SPLITS = ('user-time', 'time')                        # the last fifth of each user; one date for all
SEEDS = (0, 1, 2)
N_TRIALS = 16                                               # of each search, on the training rows of each split
# bootstrap over users and items, with folds and seeds; family-wise error by Holm
DRAWS, LEVEL = 100_000, .05
METRICS = 'rmse', 'mae', 'accuracy', 'nll'

# the scores, with what they are told
SCORES = {'dot': ('dot', 'ids'), 'nn': ('nn', 'ids'), 'sets': ('dot', 'sets'), 'times': ('dot', 'times')}
HEADS = 'width', 'user_width', 'cuts', 'user_cuts', 'both_cuts'
TRAINED = 'both_cuts', 'user_cuts', 'cuts'                  # a search trains the first one
LADDER = 'columns', 'earlier', 'same_second', 'both_sides'   # what is told besides sets, one after the other
OUTPUTS = {'softmax': ('ce', 'levels'), 'HL-Gauss': ('hl_gauss', 'levels'), 'ranked probability': ('rps', 'levels'),
           # other outputs of the dot product: loss, head
           'line': ('ce', 'line'), 'line in order': ('ce', 'ordered_line')}

# what they are called on the pages
TITLES = dict(dot='dot product', nn='network', sets='dot product with implicit sets',
              times='the same with time on both sides')
LOSSES = dict(mse='squared error', ce='likelihood')
STEPS = dict(ids='ids alone (dot product)', sets='and implicit sets',
             columns='and columns: age, gender, occupation; year, genres',
             earlier='and earlier ratings of the same user', same_second='and those of the same second',
             both_sides='and later ones')

# where each search begins; with sets, the batches are larger
BOOK = dict(lr=5e-3, wd=.1, n_epoch=5, bs=64)
NO_DECAY = dict(user_bias=0., item_bias=0.)


def start(score, inputs, loss, head, fitted):
    "An entry with the settings that its search begins with."
    sets, cuts = inputs != 'ids', loss == 'ce' and (head in HEADS or fitted == 'after')
    size = dict(n_act=100) if score == 'nn' else dict(n_factors=64, dropout=0.) if sets else dict(n_factors=50)
    wd_of = (dict(head=.1) if cuts else {}) | (NO_DECAY if (sets or cuts) and score != 'nn' else {})
    trained = 'cuts' if cuts else head if loss != 'mse' else 'number'
    search = ' '.join((score, 'sets' if inputs in LADDER else inputs, loss, trained))
    return grid_entry(score, inputs, loss, head, fitted, **BOOK | dict(bs=2048 if sets else 64), wd_of=wd_of,
                      options=size, search=search)


def name(score='dot', loss='mse', head='both_cuts', fitted='after', inputs='ids', by='rmse'):
    """The name of an entry, under which its runs are kept. `score` may be a key of `SCORES`;
    `by` is the criterion that chose its settings."""
    score, inputs = (SCORES[score][0], inputs if inputs != 'ids'
                     else SCORES[score][1]) if score in SCORES else (score, inputs)
    return '-'.join((score, inputs, loss, head, fitted) + (() if by == 'rmse' else (by,)))


def named(*words, by='rmse'):
    score, inputs, loss, head, fitted = words
    return name(score, loss, head, fitted, inputs, by), start(*words)


def arms():
    """All entries of loss × head × score. A score that is trained by squared error has no head in training, so that
    its heads come afterwards. A score that is trained by likelihood has a cumulative logit in training; afterwards its
    heads are fitted to the mean that it predicts."""
    for of in SCORES.values():
        yield from (named(*of, 'mse', head, 'after') for head in HEADS)
        yield from (named(*of, 'ce', head, 'trained') for head in TRAINED)
        yield from (named(*of, 'ce', head, 'after') for head in HEADS)
    yield from (named('dot', inputs, 'ce', 'both_cuts', 'trained') for inputs in LADDER)


ENTRIES = dict(arms())                                       # name -> entry, settings by the RMSE of its search
# settings by the NLL of the same search
BY_NLL = dict(named(*of, 'ce', 'both_cuts', 'trained', by='nll') for of in SCORES.values())
# not in the plan: described, not tested
OTHERS = dict(named('dot', 'ids', *of, 'trained') for of in OUTPUTS.values())
# the chapter's own model, with its own loader and settings
BASELINE = dict(fastai_dot=MODELS['fastai_dot'])
EVERY = ENTRIES | BY_NLL | OTHERS | BASELINE


def words(names):
    "Columns of a table with the names of entries: what each of them is, and the criterion that chose its settings."
    return [EVERY[n].words | dict(by='nll' if n in BY_NLL else 'rmse') for n in names]


@dataclass(frozen=True)
class Comparison:
    "A planned comparison: `b` minus `a` on the same rows."
    name: str # What is called what
    question: str # What it answers
    a: str # Name of an entry
    b: str # Name of an entry
    metric: str # The metric that decides
    expected: str # What the sketches led us to expect, before the runs


def _knows(inputs): return name(loss='ce', fitted='trained', inputs=inputs)


def _loss(score, expected):
    return Comparison(f'loss, {score}', 'Does the loss matter where score and head are the same?', name(score),
                      name(score, 'ce'), 'nll', expected)


HEAD, LITTLE = 'What does the head give, the score and its loss being the same?', 'less than .01 either way'
COMPARISONS = (
    *(_loss(score, LITTLE) for score in SCORES),
    Comparison('head, dot', HEAD, name(head='width'), name(), 'nll', '-.05'),
    Comparison('head, sets', HEAD, name('sets', head='width'), name('sets'), 'nll', '-.05'),
    Comparison('shape', 'How much of it is the shape alone?', name(head='width'), name(head='cuts'), 'nll', '-.02'),
    Comparison('people', 'How much of it is that people use the levels differently?', name(head='cuts'),
               name(head='user_cuts'), 'nll', '-.025'),
    Comparison('when', 'Is a head that is fitted afterwards as good as one that is trained with the score?',
               name(loss='ce', fitted='trained'),
               name(loss='ce'), 'nll', LITTLE),
    Comparison('sets', 'What do implicit sets add?', _knows('ids'), _knows('sets'), 'rmse', '-.025'),
    Comparison('columns', 'What do columns add to them?', _knows('sets'), _knows('columns'), 'rmse', '-.005'),
    Comparison('earlier ratings', 'What do earlier ratings add, as a system could use them?', _knows('columns'),
               _knows('earlier'), 'rmse', '-.003'),
)


def _averaged(name, question, a, b, expected): return Comparison(f'averaging, {name}', question, a, b, 'nll', expected)


# averaging over the posterior: entries of `MODELS`, one seed
AVERAGING = (
    _averaged('ids', 'Are samples of the posterior better than one set of weights with the same head?', 'dot_ordinal',
              'posterior_ids', 'yes, by .03'),
    _averaged('sets', 'Are they better where sets are known, too?', 'ordinal_ids', 'posterior_sets', 'yes, by .02'),
    _averaged('likelihood', 'Is the ordinal likelihood better than the Gaussian under averaging?', 'posterior_gaussian',
              'posterior_ids', 'yes, by .01'),
    _averaged('columns', 'Do columns help under averaging?', 'posterior_sets', 'posterior', 'yes, by .006'),
    _averaged('earlier', 'Do earlier ratings help under averaging?', 'posterior', 'posterior_earlier', 'a little'),
)
