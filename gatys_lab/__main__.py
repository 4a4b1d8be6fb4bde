"""`python -m gatys_lab` is `gatys-lab`."""

from gatys_lab.cli import main

if __name__ == "__main__":
    main()
