from dataclasses import dataclass

import pytest
import torch

from gatys_lab import catalog
from gatys_lab.engine import optimize
from gatys_lab.objective import content, style

LAYERS = ("relu1_1", "relu3_1")


@pytest.fixture
def problem(network):
    photo, painting = torch.rand(1, 3, 20, 24, dtype=torch.float64), torch.rand(1, 3, 28, 20, dtype=torch.float64)
    objective = content("relu2_1") + 5 * style("gram", LAYERS)
    fitted = objective.fit(network(photo, objective.layers), network(painting, objective.layers))
    return photo, network, fitted


def loss_of(problem, image):
    _, network, fitted = problem
    with torch.no_grad():
        return float(fitted(network(image, fitted.layers)).total)


@pytest.mark.parametrize("name", catalog.names("optimizers"))
def test_the_contract_of_a_solution(problem, name):
    steps = []
    solution = optimize(*problem, catalog.load("optimizers", name), evaluations=25, callbacks=[steps.append])
    assert solution.evaluations == len(steps) <= 25
    assert [step.evaluation for step in steps] == list(range(1, len(steps) + 1))
    assert solution.reason == "budget"
    assert solution.loss == pytest.approx(loss_of(problem, solution.image))
    assert solution.loss < 0.7 * loss_of(problem, problem[0])
    assert solution.image.min() >= 0 and solution.image.max() <= 1
    assert solution.image.shape == problem[0].shape and solution.image.dtype == torch.float64
    torch.testing.assert_close(sum(steps[0].parts.values()), steps[0].loss)


@dataclass
class Wandering:
    """An optimizer whose iterates are given: `x` for the k-th evaluation; None interrupts."""

    images: list

    @dataclass
    class State:
        x: torch.Tensor
        average: torch.Tensor | None = None
        dropped: int = 0
        reason: str | None = None

    def start(self, x):
        return self.State(x.clone())

    def step(self, evaluate, state):
        for image in self.images:
            if image is None:
                raise KeyboardInterrupt
            evaluate(image)
        state.reason = "stalled"
        return state


def test_the_best_image_seen_is_delivered_not_the_last(problem):
    photo = problem[0]
    good, bad = photo, 1 - photo
    assert loss_of(problem, good) < loss_of(problem, bad)
    solution = optimize(*problem, Wandering([bad, good, bad]), evaluations=9)
    torch.testing.assert_close(solution.image, good)
    assert solution.reason == "stalled" and solution.evaluations == 4


def test_the_loss_is_that_of_the_clamped_image(problem):
    solution = optimize(*problem, Wandering([problem[0] * 3 - 1]), evaluations=5)
    assert solution.image.max() == 1 and solution.image.min() == 0
    assert solution.loss == pytest.approx(loss_of(problem, (problem[0] * 3 - 1).clamp(0, 1)))


def test_an_interruption_delivers_the_best_so_far(problem):
    solution = optimize(*problem, Wandering([problem[0], None]), evaluations=9)
    assert solution.reason == "interrupted" and solution.evaluations == 2
    torch.testing.assert_close(solution.image, problem[0])


@pytest.mark.parametrize("last", [None, "again"])
def test_an_interruption_while_the_picture_is_delivered_delivers_it_without_another_look(problem, last):
    """What is delivered is looked at once more, without a way back."""
    photo, network, fitted = problem

    def impatient(image, layers):
        if not torch.is_grad_enabled():
            raise KeyboardInterrupt
        return network(image, layers)

    images = [photo] if last is None else [photo, None]  # finished, or interrupted once already
    solution = optimize(photo, impatient, fitted, Wandering(images), evaluations=9)
    assert solution.reason == "interrupted" and solution.evaluations == 1
    torch.testing.assert_close(solution.image, photo)
    assert solution.loss == pytest.approx(loss_of(problem, photo))


def test_nothing_that_is_not_finite_is_delivered(problem):
    nan = torch.full_like(problem[0], float("nan"))
    solution = optimize(*problem, Wandering([problem[0], nan]), evaluations=9)
    torch.testing.assert_close(solution.image, problem[0])


@pytest.mark.parametrize("budget", [2, 3, 7])
def test_the_budget_is_never_exceeded(problem, budget):
    calls = []
    optimize(*problem, catalog.load("optimizers", "lbfgs"), evaluations=budget, callbacks=[calls.append])
    assert len(calls) == budget


def test_a_budget_of_one_is_refused(problem):
    with pytest.raises(ValueError, match="at least 2"):
        optimize(*problem, catalog.load("optimizers", "lbfgs"), evaluations=1)


def test_the_tolerance_stops_where_the_image_stands_still(problem):
    images = []
    solution = optimize(
        *problem,
        catalog.load("optimizers", "lbfgs"),
        evaluations=400,
        tolerance=0.01,
        callbacks=[lambda step: images.append(step.image.clone())],
    )
    assert solution.reason == "converged" and solution.evaluations < 400


def test_adam_delivers_its_average(problem):
    noisy = optimize(*problem, catalog.load("optimizers", "adam", lr=0.1, averaging=0.0), evaluations=40)
    averaged = optimize(*problem, catalog.load("optimizers", "adam", lr=0.1, averaging=0.9), evaluations=40)
    assert not torch.equal(noisy.image, averaged.image)
    assert averaged.loss == pytest.approx(loss_of(problem, averaged.image))


def test_the_same_start_gives_the_same_bytes(problem):
    first, second = (optimize(*problem, catalog.load("optimizers", "lbfgs"), evaluations=12).image for _ in range(2))
    assert torch.equal(first, second)


def test_a_fence_keeps_an_unbounded_optimizer_near_the_displayable(problem):
    steps = []
    solution = optimize(*problem, catalog.load("optimizers", "lbfgs"), evaluations=60, callbacks=[steps.append])
    best = min(float(step.loss) for step in steps[:-1])
    assert solution.loss < 1.01 * best  # the clamp costs nothing worth the name
    outside = problem[0] * 3 - 1
    seen = []
    optimize(*problem, Wandering([problem[0], outside]), evaluations=5, callbacks=[seen.append])
    assert seen[0].parts["outside [0, 1]"] == 0 < seen[1].parts["outside [0, 1]"]
    torch.testing.assert_close(sum(seen[1].parts.values()), seen[1].loss)


def test_the_fence_is_part_of_the_gradient(problem):
    """Finite differences of the loss that the engine reports, at a point outside [0, 1]."""

    @dataclass
    class Differences(Wandering):
        def step(self, evaluate, state):
            evaluate(problem[0])
            x, d = problem[0] * 1.5 - 0.2, torch.randn_like(problem[0])
            _, gradient = evaluate(x)
            h = 1e-6
            above, below = (evaluate(x + sign * h * d)[0] for sign in (1, -1))
            torch.testing.assert_close((above - below) / (2 * h), (gradient * d).sum(), rtol=1e-4, atol=1e-8)
            state.reason = "stalled"
            return state

    optimize(*problem, Differences([]), evaluations=9)
