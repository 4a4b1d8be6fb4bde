"""Style losses: one file each, all of the same contract (`gatys_lab.types.StyleLoss`).

This folder is imported as `gatys_lab.losses`. The guard keeps it from being taken for somebody's own `losses` module.
"""

if __name__ == "losses":
    raise ImportError("this folder is the package 'gatys_lab.losses': write `from gatys_lab.losses import ...`")
