"""Draw the three style pictures of examples/images: strokes.png (oil), ink.png (brush and ink) and mosaic.png (stone).

    python examples/draw_styles.py [FOLDER] [--size 640]

Nothing is photographed or learned: each picture is a composition given by formulas (styles/strokes.py, ink.py,
mosaic.py), carried out by a tool. Oil and ink are laid with one brush (styles/brush.py) along paths that follow a field
of directions, the largest strokes first; the mosaic sets square stones along the outlines of its motif. The same size
gives the same picture. It needs numpy, scipy and Pillow, and about 20 seconds.
"""

import argparse
from pathlib import Path

from PIL import Image
from styles import ink, mosaic, strokes

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Read the command line, draw, write."""
    parser = argparse.ArgumentParser(description="Draw the example style pictures.")
    parser.add_argument("folder", nargs="?", type=Path, default=HERE / "images", help="where to (default: %(default)s)")
    parser.add_argument("--size", type=int, default=640, metavar="PX", help="side (default: %(default)s)")
    options = parser.parse_args()
    for style in (strokes, ink, mosaic):
        path = options.folder / f"{style.__name__.split('.')[-1]}.png"
        Image.fromarray(style.draw(options.size)).save(path, optimize=True)


if __name__ == "__main__":
    main()
