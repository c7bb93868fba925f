"""`python -m think` and `torchrun -m think` are the same program as the `think` command."""

from think.cli.app import main

if __name__ == "__main__":
    main()
