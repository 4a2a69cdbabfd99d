"""The pipeline of the answer: each part makes the tables of some pages, with the library that a reader has, too.

    python -m answer OUT                 every part
    python -m answer OUT arms people     some of them
    python -m answer OUT --jobs 2        two processes, where a part has many runs

OUT keeps runs. A part that was stopped goes on where it was. `answer/README.md` says what each part makes, and how
long it takes.
"""
import argparse
import importlib

PARTS = 'settings', 'arms', 'coverage', 'peers', 'people', 'lists', 'million', 'other_data', 'averaging'


def main():
    parser = argparse.ArgumentParser('python -m answer', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', metavar='OUT', help='the folder that keeps runs')
    parser.add_argument('parts', metavar='PART', nargs='*', help=f'some of {", ".join(PARTS)} (default: all)')
    parser.add_argument('--jobs', type=int, default=1, help='processes (default 1)')
    args = parser.parse_args()
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f'unknown part {", ".join(sorted(unknown))}: use {", ".join(PARTS)}')
    for part in args.parts or PARTS: importlib.import_module(f'answer.{part}').main(args.out, args.jobs)


if __name__ == '__main__': main()
