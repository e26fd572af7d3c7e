"""The engine computes what the plain loop computes, for every entry of the registries."""

from typing import Any

import pytest
import torch
from tests.kernels import use_everywhere
from tests.losses import unknown
from tests.registries import gan_of
from tests.scheduled import SCHEDULE_KEYS, SCHEDULED

from d3gan import config as configs
from d3gan.acceleration.convolutions import KERNELS
from d3gan.bench.baseline import Baseline
from d3gan.config import Config
from d3gan.data.cache import load_images
from d3gan.errors import UserError
from d3gan.gan.aggregation import AGGREGATIONS
from d3gan.gan.augment import AUGMENTATIONS
from d3gan.gan.game import Losses
from d3gan.gan.objectives import OBJECTIVES
from d3gan.gan.penalties import PENALTIES
from d3gan.networks import ARCHITECTURES
from d3gan.networks.views import VIEWS
from d3gan.training import distributed
from d3gan.training.build import build_rules
from d3gan.training.draws import Draws
from d3gan.training.engine import Engine
from d3gan.training.kernels import choose_kernels
from d3gan.training.state import State, make_state

CPU = torch.device("cpu")
WAYS = ("eager", "static")
"""Step by step, and with the fixed tensors of a CUDA graph (which a CPU does not record)."""


def made(config: Config, way: str, **sections: dict[str, Any]) -> Engine | Baseline:
    config = configs.validate(configs.from_dict(sections, config))
    images = load_images(config.data)
    plain = way == "baseline"
    state = make_state(config, CPU, classes=images.classes, plain=plain)
    if plain:
        return Baseline(config, state, images.images, CPU, images.labels)
    choose_kernels(config, state)
    return Engine(config, state, images.images, CPU, images.labels, graph=way == "static")


def run(trainer: Engine | Baseline, steps: int) -> list[Losses]:
    return [trainer.step() for _ in range(steps)]


def assert_same_weights(one: Engine | Baseline, other: Engine | Baseline, tolerance: float) -> None:
    for network in ("generator", "discriminators", "ema"):
        mine, theirs = (getattr(e.state, network).state_dict() for e in (one, other))
        for name, tensor in theirs.items():
            difference = (mine[name] - tensor).double().norm()
            # Relativistic losses do not depend on a logit's bias, which stays at 0 up to rounding.
            allowed = tolerance * tensor.double().norm() + 1e-12
            assert difference < allowed, (network, name)


def compare(config: Config, *ways: str, steps: int = 6, **sections: dict[str, Any]) -> None:
    """Train the baseline and, in each of these ways, the engine; all their values are equal."""
    baseline = made(config, "baseline", **sections)
    theirs = run(baseline, steps)
    for way in ways:
        engine = made(config, way, **sections)
        mine = run(engine, steps)
        assert_same_weights(engine, baseline, 1e-8)
        torch.testing.assert_close(engine.state.aggregation, baseline.state.aggregation)
        for a, b in zip(mine, theirs, strict=True):
            assert set(a) == set(b), way
            for name in a:
                where = f"{way}: {name}"
                a[name] = a[name].where(~unknown(a, name), b[name])
                torch.testing.assert_close(a[name], b[name], rtol=1e-7, atol=1e-11, msg=where)


@pytest.mark.parametrize("rule", AGGREGATIONS)
def test_every_rule(tiny: Config, rule: str) -> None:
    gan = {"aggregation": rule, "discriminators": 3, "penalties": ["r1(gamma=0.5)"]}
    compare(tiny, *WAYS, gan=gan, data={"flip": True}, train={"epochs": 4.0})


@pytest.mark.parametrize(
    "rule",
    [
        "softmax(through_weights=True)",
        "softmax_per_sample(through_weights=True)",
        "geometric_softmax(through_weights=True)",
        "harmonic_softmax",
        "gman_star(lr=0.1, through_weights=True)",
    ],
)
def test_gmans_means_of_the_loss_that_its_authors_minimise(tiny: Config, rule: str) -> None:
    gan = {"objective": "saturating", "aggregation": rule, "discriminators": 3}
    compare(tiny, "eager", gan=gan)


@pytest.mark.parametrize("join", [False, True])
@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kernel(
    tiny: Config, monkeypatch: pytest.MonkeyPatch, kernel: str, join: bool
) -> None:
    """Whatever was measured to be the fastest, the results are the same."""

    def use(config: Config, state: State) -> None:
        for network in (state.generator, state.discriminators):
            use_everywhere(network, kernel)
        state.discriminators.join = join

    monkeypatch.setattr(f"{__name__}.choose_kernels", use)
    for penalties in ([], ["r1(gamma=0.5)", "r2(gamma=0.5)"]):
        gan = {"penalties": penalties, "augmentations": ["color", "translation"]}
        compare(tiny, "eager", gan=gan)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective(tiny: Config, objective: str) -> None:
    compare(tiny, *WAYS, gan=gan_of(objective))


@pytest.mark.parametrize("penalty", PENALTIES)
def test_every_penalty_with_every_augmentation(tiny: Config, penalty: str) -> None:
    gan = {"penalties": [penalty, *(p for p in PENALTIES if p != penalty)][:2]}
    compare(tiny, "static", gan=gan | {"augmentations": list(AUGMENTATIONS)})


@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("objective", ["hinge", "least_squares"])
def test_one_discriminator_with_two_updates_per_step(
    tiny: Config, norm: str, objective: str
) -> None:
    compare(
        tiny,
        *WAYS,
        gan={"objective": objective, "discriminators": 1, "discriminator_steps": 2},
        model={"generator_norm": norm, "discriminator_norm": norm},
        optim={"schedule": "linear_decay"},
    )


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture(tiny: Config, architecture: str, conditional: bool) -> None:
    gan = {"penalties": ["r1", "r2"], "objective": "relativistic", "aggregation": "mean"}
    model = {"architecture": architecture, "conditional": conditional}
    compare(tiny, *WAYS, model=model, gan=gan)


def test_a_conditional_model(tiny: Config) -> None:
    gan = {"penalties": ["r1", "r2"], "objective": "relativistic", "aggregation": "softmax"}
    compare(tiny, *WAYS, model={"conditional": True}, gan=gan)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("penalties", [[], ["wgan_gp", "r1"]])
@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_with_and_without_penalties(
    tiny: Config, architecture: str, conditional: bool, penalties: list[str], count: int
) -> None:
    game = {"discriminators": count, "penalties": penalties, "objective": "hinge"}
    model = {"architecture": architecture, "conditional": conditional}
    gan = game | {"aggregation": "mean", "discriminator_steps": 3 - count}
    compare(tiny, "static" if penalties else "eager", steps=5, model=model, gan=gan)


def test_members_of_different_architectures(tiny: Config) -> None:
    members = ["dcgan(width=2)", "dcgan(activation='mish')", "dcgan(norm='none')"]
    compare(tiny, "eager", gan={"members": members, "penalties": ["r1"]})


@pytest.mark.parametrize("objective", ["non_saturating", "relativistic"])
def test_shards_of_the_data(tiny: Config, objective: str) -> None:
    """Every discriminator sees its own real images; a swap after every third batch."""
    gan = {
        "discriminators": 3,
        "objective": objective,
        "aggregation": "softmax",
        "penalties": ["r1", "r2(gamma=0.5)", "wgan_gp(coefficient=0.1)"],
        "augmentations": ["color", "cutout"],
    }
    data = {"sharded": True, "swap_every_epochs": 0.6, "flip": True}
    compare(tiny, *WAYS, steps=7, gan=gan, data=data)


@pytest.mark.parametrize("view", VIEWS)
def test_every_view(tiny: Config, view: str) -> None:
    gan = {"views": [view], "penalties": ["r1", "wgan_gp"], "augmentations": ["cutout"]}
    data, model = {"resolution": 32}, {"conditional": True}
    compare(tiny, "static", steps=5, gan=gan, data=data, model=model)


def test_members_of_different_depths_and_views(tiny: Config) -> None:
    members = ["dcgan(stages=2)", "dcgan(stages=3)", "dcgan", "dcgan(stages=3)"]
    views = ["patches(size=8, stride=4)", "projection", "full", "projection(size=4)"]
    gan = {"members": members, "views": views, "objective": "relativistic", "penalties": ["r2"]}
    compare(tiny, "eager", gan=gan | {"aggregation": "softmax"})


@pytest.mark.parametrize("way", WAYS)
def test_the_first_losses_in_float32(tiny: Config, way: str) -> None:
    train = {"precision": "fp32"}
    theirs, mine = (run(made(tiny, kind, train=train), 3) for kind in ("baseline", way))
    for a, b in zip(mine, theirs, strict=True):
        for name in ("loss_g", "loss_d_real", "loss_d_fake"):
            torch.testing.assert_close(a[name], b[name], rtol=1e-4, atol=0)


def test_the_baseline_runs_on_one_process(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    with pytest.raises(UserError, match="the baseline runs on one process"):
        made(tiny, "baseline")


def test_the_baseline_has_no_bf16(tiny: Config) -> None:
    with pytest.raises(UserError, match="computes in fp32, tf32 or fp64"):
        made(tiny, "baseline", train={"precision": "bf16"})


def test_augmentation_draws_belong_to_global_image_indices(tiny: Config) -> None:
    config = configs.from_dict({"gan": {"augmentations": ["color", "cutout"]}}, tiny)
    whole = Engine(config, make_state(config, CPU), load_images(config.data).images, CPU).draws
    part = Draws(config, build_rules(config.gan), range(3, 8), CPU)
    everything, mine = whole.augmentation(5), part.augmentation(5)
    assert everything is not None
    assert mine is not None
    assert everything.shape == (4, 8, 5)
    assert torch.equal(mine, everything[:, 3:])
    assert not torch.equal(everything[0], everything[1]), "real and generated images differ"


def test_every_schedule(tiny: Config) -> None:
    compare(tiny, *WAYS, steps=10, **SCHEDULED)


def test_every_schedule_with_micro_batches_and_a_fresh_batch(tiny: Config) -> None:
    sections = {**SCHEDULED, "gan": SCHEDULED["gan"] | {"fresh_batch": True}}
    baseline = made(tiny, "baseline", **sections)
    engine = made(tiny, "eager", **sections, train={"accumulate": 3})
    run(baseline, 6), run(engine, 6)
    assert_same_weights(engine, baseline, 1e-8)


@pytest.mark.parametrize("way", [*WAYS, "baseline"])
def test_an_ema_of_half_life_zero_is_a_copy(tiny: Config, way: str) -> None:
    optim = {"ema_half_life_images": 50.0, "ema_schedule": "linear(start=0, end=1)"}
    trainer = made(tiny, way, optim=optim)
    for copied in (True, False):
        trainer.step()
        assert trainer.state.ema is not None
        networks = (trainer.state.ema, trainer.state.generator)
        pairs = zip(*(network.parameters() for network in networks), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs) == copied


@pytest.mark.parametrize("key", SCHEDULE_KEYS)
def test_every_schedule_changes_what_is_learned(tiny: Config, key: str) -> None:
    section, name = key.split(".")
    constant = {**SCHEDULED, section: SCHEDULED[section] | {name: "constant"}}
    weights = []
    for sections in (SCHEDULED, constant):
        trainer = made(tiny, "eager", **sections)
        run(trainer, 4)
        network = trainer.state.ema if key == "optim.ema_schedule" else trainer.state.discriminators
        assert network is not None
        weights.append(torch.cat([weight.flatten() for weight in network.parameters()]))
    assert not torch.equal(*weights)


def test_an_augmentation_changes_images_with_the_scheduled_probability(tiny: Config) -> None:
    config = configs.from_dict({"gan": {"augmentations": ["color", "cutout"]}}, tiny)
    rules = build_rules(config.gan)
    whole, part = (Draws(config, rules, shard, CPU) for shard in (range(5000), range(3, 8)))
    for probability in (0.0, 0.25, 0.8, 1.0):
        chosen, mine = (each.augmented(5, probability) for each in (whole, part))
        assert chosen is not None
        assert mine is not None
        assert chosen.shape == (4, 5000, 2)
        assert torch.equal(mine, chosen[:, 3:8])
        on_device = whole.augmented(5, torch.tensor(probability, dtype=torch.float64))
        assert torch.equal(chosen, on_device)
        deviation = (probability * (1 - probability) / 5000) ** 0.5
        assert (chosen.double().mean(dim=1) - probability).abs().max() <= 4 * deviation
    assert whole.augmented(5, None) is None
