"""Runs the command line as `python -m logwarden`, where the program is not on the PATH."""

from logwarden.daemon.__main__ import main

if __name__ == "__main__":
    main()
