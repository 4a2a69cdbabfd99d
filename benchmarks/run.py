"""Times the package against its peers, side by side in one run. Results go to benchmarks/results.

    python benchmarks/run.py                 all of them
    python benchmarks/run.py loader epoch    some of them
    python benchmarks/run.py --runs 9        more runs for the medians
"""
import argparse
import importlib
import warnings

import torch

NAMES = ('loader', 'epoch', 'quality', 'stack', 'sweep', 'growth', 'peers', 'winner')

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*', metavar='NAME', help=f'one of {", ".join(NAMES)}')
    parser.add_argument('--runs', type=int, default=5, help='runs of each contender (default 5)')
    args = parser.parse_args()
    if unknown := set(args.names) - set(NAMES): parser.error(f'unknown benchmark {", ".join(sorted(unknown))}: use {", ".join(NAMES)}')
    warnings.filterwarnings('ignore', message='The given NumPy array is not writable')
    threads = torch.get_num_threads()
    for name in args.names or NAMES:
        torch.set_num_threads(threads)                   # importing a peer may change it
        module = importlib.import_module(name)
        print(f'\n{name}: {module.__doc__}')
        module.main(args.runs)
