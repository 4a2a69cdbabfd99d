"""Times the package against its peers, side by side in one run. Results go to benchmarks/results.

From the repository's root:

    python -m benchmarks.run                 all of them
    python -m benchmarks.run loader epoch    some of them
    python -m benchmarks.run --runs 9        more runs for the medians
"""
import argparse
import importlib
import warnings

import torch

NAMES = ('loader', 'epoch', 'quality', 'stack', 'sweep', 'growth', 'read', 'peers', 'winner', 'serve', 'lists')


def arguments():
    "What the command line says; ends with a message where it names no benchmark."
    as_it_is = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser('python -m benchmarks.run', description=__doc__, formatter_class=as_it_is)
    parser.add_argument('names', nargs='*', metavar='NAME', help=f'one of {", ".join(NAMES)}')
    parser.add_argument('--runs', type=int, default=5, help='runs of each contender (default 5)')
    args = parser.parse_args()
    if unknown := set(args.names) - set(NAMES):
        parser.error(f'unknown benchmark {", ".join(sorted(unknown))}: use {", ".join(NAMES)}')
    return args


def main(args):
    warnings.filterwarnings('ignore', message='The given NumPy array is not writable')
    threads = torch.get_num_threads()
    for name in args.names or NAMES:
        torch.set_num_threads(threads)                   # importing a peer may change it
        module = importlib.import_module(f'benchmarks.{name}')
        print(f'\n{name}: {module.__doc__}')
        module.main(args.runs)


if __name__ == '__main__': main(arguments())
