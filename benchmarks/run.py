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

# Name of a benchmark, which is a function `(n_runs)` -> the module that has it
NAMES = dict(loader='training', epoch='training', quality='training', stack='stacks', sweep='stacks', growth='growth',
             read='growth',
             peers='packages', winner='packages', serve='lists', lists='lists')


def arguments(line=None):
    "What the command line says; ends with a message where it names no benchmark or no runs."
    parser = argparse.ArgumentParser('python -m benchmarks.run', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*', metavar='NAME', help=f'some of {", ".join(NAMES)} (default: all)')
    parser.add_argument('--runs', type=int, default=5, help='runs of each contender (default 5)')
    args = parser.parse_args(line)
    if unknown := set(args.names) - set(NAMES):
        parser.error(f'unknown benchmark {", ".join(sorted(unknown))}: use {", ".join(NAMES)}')
    if args.runs < 1: parser.error(f'--runs must be at least 1, not {args.runs}')
    return args


def benchmark(name):
    "The function that runs a benchmark and writes its results."
    return getattr(importlib.import_module(f'benchmarks.{NAMES[name]}'), name)


def main(args):
    warnings.filterwarnings('ignore', message='The given NumPy array is not writable')
    threads = torch.get_num_threads()
    for name in args.names or NAMES:
        run = benchmark(name)
        torch.set_num_threads(threads)                   # importing a peer may change it
        print(f'\n{name}: {run.__doc__}')
        run(args.runs)


if __name__ == '__main__': main(arguments())
