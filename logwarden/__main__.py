"""Makes `python -m logwarden` the command line, for those whose PATH does not have the program."""

from logwarden.daemon.__main__ import main

if __name__ == "__main__":
    main()
