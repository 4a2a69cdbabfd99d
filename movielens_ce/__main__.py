"Runs the command: `python -m movielens_ce` does what `movielens-ce` does."
from .use.cli import main

if __name__ == '__main__': main()
