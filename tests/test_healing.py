"""What goes wrong in a run is taken back, said, and gone on from; what cannot be mended ends it with the best image."""

from dataclasses import dataclass, field
from math import isinf

import pytest
import torch

from gatys_lab import catalog
from gatys_lab.engine import optimize
from gatys_lab.objective import content, style
from gatys_lab.states import freeze
from gatys_lab.types import Loss

NAMES = catalog.names("optimizers")
LAYERS = ("relu1_1", "relu3_1")


@dataclass
class Faulty:
    """An objective that is not a number at some evaluations, the first being number 1."""

    sound: object
    bad: object  # of a number: whether it is
    gradients_too: bool = True
    calls: list = field(default_factory=list)

    @property
    def layers(self):
        return self.sound.layers

    def __call__(self, features):
        self.calls.append(None)
        loss = self.sound(features)
        if not self.bad(len(self.calls)):
            return loss
        if self.gradients_too:
            return Loss(loss.total * float("nan"), loss.parts)
        return Loss(loss.total + 0 * (loss.total - loss.total.detach()).sqrt(), loss.parts)  # its derivative is nan


@pytest.fixture
def problem(network):
    photo, painting = torch.rand(1, 3, 20, 24, dtype=torch.float64), torch.rand(1, 3, 28, 20, dtype=torch.float64)
    objective = content("relu2_1") + 5 * style("gram", LAYERS)
    return photo, network, objective.fit(network(photo, objective.layers), network(painting, objective.layers))


def solved(problem, name, bad, evaluations=40, gradients_too=True, **options):
    photo, network, fitted = problem
    faulty = Faulty(fitted, bad, gradients_too)
    return optimize(photo, network, faulty, catalog.load("optimizers", name), evaluations=evaluations, **options)


@pytest.mark.parametrize("gradients_too", [True, False])
@pytest.mark.parametrize("bad", [{1}, {1, 2, 3}, {5}, {4, 9, 10, 17, 23, 31}], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_evaluations_that_are_not_finite_are_taken_back(problem, name, bad, gradients_too):
    sound = solved(problem, name, lambda n: False, evaluations=10)
    healed = solved(problem, name, bad.__contains__, gradients_too=gradients_too)
    assert healed.reason == "budget" and healed.evaluations == 40 and torch.isfinite(healed.image).all()
    assert healed.loss < sound.loss
    (note,) = healed.notes
    assert note.startswith(f"{len(bad)} evaluation") and sound.notes == ()


@pytest.mark.parametrize("name", NAMES)
def test_what_is_never_finite_again_diverges_and_leaves_the_best(problem, name):
    losses = []
    watch = [lambda step: losses.append(float(step.loss))]
    ended = solved(problem, name, lambda n: n >= 8, evaluations=500, callbacks=watch)
    assert ended.reason == "diverged" and ended.evaluations < 60
    assert ended.loss == min(losses[:7]) < 0.9 * losses[0]
    with torch.no_grad():
        _, network, fitted = problem
        assert float(fitted(network(ended.image, fitted.layers)).total) < losses[0]


@pytest.mark.parametrize("name", NAMES)
def test_what_was_never_finite_leaves_the_start(problem, name):
    ended = solved(problem, name, lambda n: True, evaluations=500)
    assert ended.reason == "diverged" and ended.evaluations < 60
    assert torch.equal(ended.image, problem[0]) and isinf(ended.loss)


@pytest.mark.parametrize("name", NAMES)
def test_a_step_that_was_taken_back_is_no_standstill(problem, name):
    """With a tolerance: the image does not change where nothing was finite."""
    ended = solved(problem, name, {1, 2, 6}.__contains__, evaluations=30, tolerance=1e-12)
    assert ended.reason == "budget"


@pytest.mark.parametrize("name", NAMES)
def test_it_goes_on_from_a_standing_with_its_notes(problem, name):
    """Between two evaluations that were not finite, and the same image in the end."""
    bad = {3, 12, 13}
    kept = []

    def keep(standing):
        if not kept and standing.used >= 5:
            kept.append((standing.used, clone(freeze(standing))))

    whole = solved(problem, name, bad.__contains__, evaluations=20, at_rest=keep)
    if not kept:
        pytest.skip("scipy keeps its own state")
    used, standing = kept[0]
    again = solved(problem, name, lambda n: n + used in bad, evaluations=20, standing=standing)
    assert torch.equal(again.image, whole.image) and again.notes == whole.notes and "3 eval" in whole.notes[0]


def clone(frozen):
    return frozen._replace(tensors={name: tensor.clone() for name, tensor in frozen.tensors.items()})


def test_adam_grows_its_steps_again(problem):
    """One in five is not finite: steps that were only ever halved would be a millionth after a hundred."""
    sound = solved(problem, "adam", lambda n: False, evaluations=40)
    healed = solved(problem, "adam", lambda n: n % 5 == 0, evaluations=100)
    assert healed.loss < sound.loss
