"""`python -m boxseg`."""

from boxseg.cli import main

if __name__ == "__main__":
    main()
