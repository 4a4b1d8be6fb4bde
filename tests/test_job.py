import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from safetensors.torch import save_file

from gatys_lab import catalog, stylize
from gatys_lab.color import COLOURS
from gatys_lab.config import BALANCED_TV
from gatys_lab.errors import UnknownName
from gatys_lab.images import read, resize
from gatys_lab.job import prepare
from gatys_lab.losses import bn
from gatys_lab.models import adain
from gatys_lab.models._files import save
from gatys_lab.networks import lite
from gatys_lab.objective import content, style
from gatys_lab.starts import GREY

QUICK = {"size_px": 80, "evaluations": 6, "smallest_px": 32}
RELU3 = {"relu3_1": 1.0}


def test_three_lines_of_python(photo, painting, tmp_path):
    result = stylize(str(photo), painting, style_loss="mmd-gaussian", **QUICK)
    result.image.save(tmp_path / "out.png")
    assert Pillow.open(tmp_path / "out.png").size == (80, 64)
    assert result.reason == "budget" and result.evaluations == len(result.trace) == 9
    assert [row.size_px for row in result.trace] == [40] * 3 + [80] * 6
    row = result.trace[-1]
    assert row.total == pytest.approx(result.loss)
    assert row.total == pytest.approx(sum(row.parts.values()), rel=1e-4)
    assert all(a.seconds <= b.seconds for a, b in zip(result.trace, result.trace[1:], strict=False))
    assert result.trace[-1].total < result.trace[3].total


@pytest.mark.parametrize(("evaluations", "budgets"), [(6, {20: 3, 40: 3, 80: 6}), (3, {20: 2, 40: 2, 80: 3})])
def test_half_the_evaluations_where_a_larger_size_follows(photo, painting, evaluations, budgets):
    job = prepare(photo, painting, **QUICK | {"evaluations": evaluations, "smallest_px": 16, "style_layers": RELU3})
    assert job.budgets == budgets and tuple(job.budgets) == job.sizes


def test_a_larger_size_begins_with_the_detail_of_the_photo(photo, painting):
    """And without what was blurred: where the coarser size changed nothing, it begins at the photo itself."""
    job = prepare(photo, painting, **QUICK)
    large, small = job._photo(80), job._photo(40)
    network, _ = job._problem(80)
    assert (job._begun(small, 80, network, None) - large).abs().max() < 1e-6
    darker = job._begun(small * 0.5, 80, network, None)
    assert darker.min() >= 0 and (darker.mean() - 0.5 * large.mean()).abs() < 0.02
    blurred = prepare(photo, painting, init="noise", **QUICK)._begun(small, 80, network, None)
    assert (blurred - large).abs().mean() > 1e-3


def test_paths_pil_arrays_and_tensors_are_the_same_picture(photo, painting):
    pil = Pillow.open(photo)
    forms = [photo, pil, np.asarray(pil), read(photo).image]
    results = [stylize(form, painting, single_scale=True, **QUICK) for form in forms]
    assert all(torch.equal(result.pixels, results[0].pixels) for result in results)


def test_the_same_seed_gives_the_same_bytes_another_seed_others(photo, painting):
    first, second, other = (stylize(photo, painting, init="noise", seed=seed, **QUICK).pixels for seed in (1, 1, 2))
    assert torch.equal(first, second) and not torch.equal(first, other)


def test_the_photo_is_never_enlarged(photo, painting):
    assert stylize(photo, painting, size_px=500, evaluations=2, single_scale=True).image.size == (90, 72)


def test_transparency_is_put_back(tmp_path, painting):
    pixels = np.full((64, 64, 4), 255, np.uint8)
    pixels[:32, :, 3] = 0
    Pillow.fromarray(pixels, "RGBA").save(tmp_path / "cut.png")
    image = stylize(tmp_path / "cut.png", painting, **QUICK).image
    assert image.mode == "RGBA"
    alpha = np.asarray(image)[..., 3]
    assert (alpha[:31] == 0).all() and (alpha[33:] == 255).all()


def test_losses_by_name_by_object_and_mixed(photo, painting):
    job = prepare(photo, painting, style_loss={"gram": 3.0, bn.build(): 1.0}, balance=8.0, **QUICK)
    factors = {term.group: term.factor for term in job.objective.terms}
    assert factors == {"gram": 6.0, "BNStatistics": 2.0, "content": 1.0, "tv": BALANCED_TV}
    by_name = stylize(photo, painting, style_loss="bn", **QUICK)
    by_object = stylize(photo, painting, style_loss=bn.build(), **QUICK)
    assert torch.equal(by_name.pixels, by_object.pixels)


def test_one_loss_twice_is_told_apart(photo, painting):
    job = prepare(photo, painting, style_loss={"mmd-poly,degree=1": 1.0, "mmd-poly,degree=2": 1.0}, **QUICK)
    assert {term.group for term in job.objective.terms} == {"mmd-poly", "mmd-poly#2", "content", "tv"}


@pytest.mark.parametrize("loss", catalog.names("losses"))
def test_strength_goes_from_the_photo_to_the_style(photo, painting, loss):
    own = resize(read(photo).image, 80)
    options = QUICK | {"style_loss": loss, "evaluations": 15}
    change = [
        float((stylize(photo, painting, strength=strength, **options).pixels - own).square().mean().sqrt())
        for strength in (0, 0.1, 0.5, 1)
    ]
    assert 0 == change[0] < change[1] < change[2] and change[1] < change[3]


def test_strength_says_how_much_of_balance(photo, painting):
    def factors(**options):
        terms = prepare(photo, painting, **options, **QUICK).objective.terms
        return {term.group: term.factor for term in terms}

    assert factors(strength=0.5) == factors() == {"gram": 5, "content": 1, "tv": BALANCED_TV}
    assert factors(strength=0.75, balance=2.0) == {"gram": 6, "content": 1, "tv": BALANCED_TV}
    assert factors(strength=0.2) == {"gram": 1.25, "content": 1, "tv": BALANCED_TV / 4}
    assert factors(strength=1) == {"gram": 5, "tv": BALANCED_TV}
    assert factors(strength=0) == {"content": 1}
    assert set(factors(strength=0.5, style_loss="style-swap")) == {"style-swap", "content", "tv"}
    with pytest.raises(ValueError, match="strength is 2; wanted 0"):
        factors(strength=2)
    with pytest.raises(ValueError, match="goes with balance, not with raw weights"):
        factors(strength=0.5, style_weight=3.0)


def test_raw_weights_are_the_plain_sum(photo, painting):
    job = prepare(photo, painting, content_weight=2.0, style_weight=300.0, style_layers={"relu2_1": 1.0}, **QUICK)
    wanted = 300 * style("gram", "relu2_1") + 2 * content("relu4_2")
    assert [(t.name, t.factor, t.share) for t in job.objective.terms] == [
        (t.name, t.factor, t.share) for t in wanted.terms
    ]
    result = stylize(photo, painting, content_weight=2.0, style_weight=0.0, single_scale=True, **QUICK)
    assert result.trace[0].total == 0  # content alone, from the content


def test_style_swap_alone_has_no_content_term_and_some_smoothness(photo, painting, caplog):
    caplog.set_level("INFO")
    job = prepare(photo, painting, style_loss="style-swap", **QUICK)
    assert {term.group for term in job.objective.terms} == {"style-swap", "tv"}
    assert [term.layer for term in job.objective.terms] == ["relu3_1", "input"]
    assert "no balance" in caplog.text
    job = prepare(photo, painting, style_loss={"style-swap": 1.0, "gram": 1.0}, **QUICK)
    assert {term.group for term in job.objective.terms} == {"style-swap", "gram", "content", "tv"}
    assert stylize(photo, painting, style_loss="style-swap", **QUICK).evaluations == 9


def test_style_swap_of_the_picture_itself(photo, painting):
    assert stylize(photo, painting, style_loss="style-swap", style_layers={"input": 1.0}, **QUICK).loss >= 0


@pytest.mark.parametrize("init", ["content", "noise", "grey", "style", "file"])
def test_where_it_begins(photo, painting, init):
    images = []
    start = str(painting) if init == "file" else init
    stylize(
        photo, painting, init=start, single_scale=True, callbacks=[lambda s: images.append(s.image.clone())], **QUICK
    )
    first = images[0]
    if init == "content":
        torch.testing.assert_close(first.mean((2, 3)), read(photo).image.mean((2, 3)), atol=0.01, rtol=0)
    elif init == "grey":
        torch.testing.assert_close(first.mean((0, 2, 3)), torch.tensor(GREY), atol=1e-5, rtol=0)
        assert 0 < float(first.std((2, 3)).max()) < 1e-5
    elif init == "noise":
        assert abs(float(first.mean()) - 0.5) < 0.02 and float(first.std()) > 0.25
    else:
        torch.testing.assert_close(first.mean((2, 3)), read(painting).image.mean((2, 3)), atol=0.02, rtol=0)


YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


def in_yiq(image):
    return torch.einsum("ij,njhw->nihw", YIQ, image)[0].flatten(1)


@pytest.mark.parametrize("loss", catalog.names("losses"))
def test_whose_colours(photo, painting, loss):
    """Correlations with the photo's chroma, luma with the plain result's: what each way keeps."""
    own, results = resize(read(photo).image, 80) * 0.5 + 0.25, {}  # nothing is clamped
    for colour in (None, *COLOURS):
        options = QUICK | {"single_scale": True, "style_loss": loss, "balance": 20.0}
        results[colour] = in_yiq(stylize(own, painting, colour=colour, **options).pixels)
    chroma = {colour: float((result - in_yiq(own))[1:].norm()) for colour, result in results.items()}
    luma = {colour: float((result - in_yiq(own))[0].norm()) for colour, result in results.items()}
    assert chroma["luma"] < 0.1 * chroma[None] and luma["luma"] == pytest.approx(luma[None], rel=0.05)
    assert luma["chroma"] < 0.1 * luma[None] and chroma["chroma"] == pytest.approx(chroma[None], rel=0.05)
    assert not torch.equal(results["linear"], results["histogram"])
    spread = {colour: float((r.mean(1) - in_yiq(own).mean(1))[1:].norm()) for colour, r in results.items()}
    assert max(spread["linear"], spread["histogram"]) <= spread[None] + 0.01


def test_style_scale_sizes_the_painting(photo, painting):
    seen = []
    job = prepare(photo, painting, style_scale=0.75, single_scale=True, **QUICK)
    network = job.network
    original = network.forward

    def spy(image, layers):
        seen.append(max(image.shape[2:]))
        return original(image, layers)

    network.forward = spy
    job.run()
    assert seen[:2] == [80, 60]


def test_an_interruption_delivers_a_picture_of_the_final_size(photo, painting):
    def interrupt(step):
        if step.evaluation == 2:
            raise KeyboardInterrupt

    result = stylize(photo, painting, callbacks=[interrupt], **QUICK)
    assert result.reason == "interrupted" and result.image.size == (80, 64)


def test_an_interruption_between_two_sizes_delivers_the_coarser_one(photo, painting, monkeypatch):
    job = prepare(photo, painting, **QUICK)
    run_size, calls = type(job)._run_size, []

    def second_time_interrupted(self, *args):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return run_size(self, *args)

    monkeypatch.setattr(type(job), "_run_size", second_time_interrupted)
    result = job.run()
    assert result.reason == "interrupted" and result.image.size == (80, 64)


def test_what_cannot_be_done_is_said(photo, painting):
    with pytest.raises(UnknownName, match="no option 'sise_px'"):
        stylize(photo, painting, sise_px=3)
    with pytest.raises(UnknownName, match="no layer 'relu9_9'"):
        stylize(photo, painting, style_layers={"relu9_9": 1.0})
    with pytest.raises(UnknownName, match="no device 'abacus'"):
        stylize(photo, painting, device="abacus")
    with pytest.raises(ValueError, match="needs 32 px a side"):
        stylize(photo, painting, size_px=36)
    with pytest.raises(ValueError, match="sum to 0"):
        stylize(photo, painting, style_loss={"gram": 0.0})
    with pytest.raises(FileNotFoundError):
        stylize("none.jpg", painting)


def test_a_model_paints_the_beginning(photo, painting, tmp_path):
    torch.manual_seed(0)
    model = adain.create(lite.build())
    save(model, tmp_path / "own.safetensors", {})
    images = []
    start = str(tmp_path / "own.safetensors")
    seen = [lambda step: images.append(step.image.clone())]
    result = stylize(photo, painting, init=start, style_scale=0.9, callbacks=seen, **QUICK)
    assert {row.size_px for row in result.trace} == {80}
    content, style = resize(read(photo).image, 80), resize(read(painting).image, 72)
    torch.testing.assert_close(images[0], model(content, model.style_of(style)), atol=2e-3, rtol=0)  # half precision
    assert result.trace[-1].total < result.trace[0].total


def test_a_beginning_that_is_no_model_is_said(photo, painting, tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors", {"gatys_lab": '{"style_of": "adain"}'})
    with pytest.raises(ValueError, match=r"other.safetensors' holds no model; wanted weights of adaattn, adain, inv"):
        prepare(photo, painting, init=str(tmp_path / "other.safetensors"))
