"""The command line as ``python -m bayesinn.cli``."""

from bayesinn.cli import main

if __name__ == "__main__":
    main()
