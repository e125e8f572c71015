"""`python -m groundplane`."""

from groundplane.apps.entry import main

if __name__ == "__main__":
    main()
