"""`python -m eventbus`: the command line."""

from eventbus.cli import main

if __name__ == "__main__":
    main()
