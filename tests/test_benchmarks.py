"The command of the benchmarks: each name has its function, and what cannot be run is refused."
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import _common, run


@pytest.mark.slow(10)
@pytest.mark.parametrize('name', run.NAMES)
def test_each_name_is_a_benchmark_with_results(name):
    assert run.benchmark(name).__doc__ and (_common.RESULTS/f'{name}.csv').exists()


@pytest.mark.parametrize('line, said', [(['epochs'], 'unknown benchmark epochs'),
                                        (['loader', '--runs', '0'], '--runs must be at least 1, not 0')])
def test_what_cannot_be_run_is_refused(line, said, capsys):
    with pytest.raises(SystemExit) as e: run.arguments(line)
    assert e.value.code == 2 and said in capsys.readouterr().err


def test_runs_alternate_after_a_warm_up_and_what_never_ends_has_no_factor(tmp_path, capsys):
    order = []
    def contender(name, seconds): return lambda: order.append(name) or seconds
    seconds = _common.alternate({'a': contender('a', 4.), 'b': contender('b', 1.), 'c': contender('c', float('inf'))},
                                2)
    assert ''.join(order) == 'abc'*3 and seconds['b'] == [1., 1.]
    _common.report(seconds, 'a', tmp_path/'t.csv')
    table = pd.read_csv(tmp_path/'t.csv')
    assert table.times_faster[:2].tolist() == [1, 4] and table.times_faster.isna()[2] and 'torch' in table


@pytest.mark.skipif(not Path('/proc/self/status').exists(), reason='reads /proc')
def test_memory_is_that_of_the_new_process():
    "The process that starts another one has more memory than it."
    large = bytearray(1_000*2**20)
    large[::4096] = bytes(len(large[::4096]))
    del large
    assert 0 < _common.in_a_process(_common.peak_gib) < .9
