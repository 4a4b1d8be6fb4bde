"""Check the picture of the main job: check_picture.py PHOTO PAINTING RESULT. One line; exit status 1 if it is wrong."""

import sys

import torch

from gatys_lab.images import read, resize, resize_to
from gatys_lab.networks import lite
from gatys_lab.objective import content, style

SIZE_PX = 512
STYLE_FALL = 8  # the photo's style loss over the result's, a mean over layers; measured 26, the photo itself 1
CONTENT_KEPT = 0.5  # the result's content loss over that of noise; measured .29
LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


def main(photo_path: str, painting_path: str, result_path: str) -> int:
    network = lite.build()
    result = read(result_path).image
    photo = resize_to(read(photo_path).image, result.shape[2:])
    painting = resize(read(painting_path).image, SIZE_PX)
    noise = torch.rand(photo.shape, generator=torch.Generator().manual_seed(0))
    objective = style("gram", LAYERS) + content("relu4_2")
    layers = objective.layers
    with torch.no_grad():
        fitted = objective.fit(network(photo, layers), network(painting, layers))
        parts = {name: fitted(network(image, layers)).parts for name, image in
                 (("photo", photo), ("result", result), ("noise", noise))}  # fmt: skip
    left = [float(parts["result"][f"gram {k}"] / parts["photo"][f"gram {k}"]) for k in LAYERS]
    fall = len(left) / sum(left)
    kept = float(parts["result"]["content relu4_2"] / parts["noise"]["content relu4_2"])
    size_px = max(result.shape[2:])
    print(f"{size_px} px; style loss of the photo over the result's: {fall:.1f}; content loss over noise's: {kept:.2f}")
    return 0 if size_px == SIZE_PX and fall >= STYLE_FALL and kept <= CONTENT_KEPT else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
