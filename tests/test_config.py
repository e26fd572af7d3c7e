import dataclasses
import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from d3gan import config as configs
from d3gan import config_files
from d3gan.cli.main import main
from d3gan.config import Config
from d3gan.errors import UserError
from d3gan.evaluation.metrics.names import check_evaluation
from d3gan.fields import Role
from d3gan.gan.aggregation import AGGREGATIONS

PRESETS = config_files.presets()
KEYS = configs.keys()


def test_expected_presets_exist() -> None:
    promised = (
        "demo-dcgan demo-d3gan mnist-dcgan mnist-d3gan cifar10-dcgan cifar10-d3gan "
        "cifar100-d3gan svhn-d3gan"
    )
    assert set(promised.split()) <= set(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_valid_and_survive_a_round_trip(name: str) -> None:
    config = config_files.load_preset(name)
    assert config.name == name
    assert configs.validate(config) == config
    assert config_files.from_toml(configs.to_toml(config), "x", "x") == config


@pytest.mark.parametrize("name", [name for name in PRESETS if name.endswith("-d3gan")])
def test_a_pair_differs_only_in_discriminators_and_aggregation(name: str) -> None:
    pair = [config_files.load_preset(n) for n in (name, name.replace("d3gan", "dcgan"))]
    d3gan, dcgan = (configs.flatten(configs.to_dict(config)) for config in pair)
    different = {key for key in d3gan if d3gan[key] != dcgan[key]}
    assert "gan.discriminators" in different
    assert different <= {"name", "gan.discriminators", "gan.aggregation"}
    assert (dcgan["gan.discriminators"], d3gan["gan.discriminators"]) == (1, 2)


@given(
    seed=st.integers(0, 2**63 - 1),
    n=st.integers(1, 64),
    rule=st.sampled_from(list(AGGREGATIONS)),
    rate=st.floats(1e-9, 1, allow_nan=False),
    epochs=st.floats(1e-3, 1e6),
    flip=st.booleans(),
    source=st.text("abc/\\ :.ü'\"\n", min_size=1).filter(
        lambda text: text.strip() and "\n" not in text
    ),
)
def test_toml_round_trip_is_the_identity(
    seed: int, n: int, rule: str, rate: float, epochs: float, flip: bool, source: str
) -> None:
    values = {
        "name": "a",
        "seed": seed,
        "gan": {"discriminators": n, "aggregation": rule},
        "optim": {"lr_g": rate},
        "train": {"epochs": epochs},
        "data": {"flip": flip, "source": source},
    }
    config = configs.from_dict(values)
    assert config_files.from_toml(configs.to_toml(config), "", "") == config


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[gan]\ndiscriminatrs = 2", "unknown key gan.discriminatrs = 2 (did you mean 'gan.disc"),
        ("[gna]\ndiscriminators = 2", "(did you mean 'gan'?)"),
        ("colour = 2", "unknown key colour = 2; allowed: base, name, seed, out_dir, [data], [mo"),
        ("[gan]\ncolour = 2", "unknown key gan.colour = 2; allowed: gan.discriminators, "),
        ("bas = 'demo-gan'", "(did you mean 'base'?)"),
        ("extends = 'demo-gan'", """'demo-gan' (did you mean 'base'? base = "demo-gan" starts"""),
        ("sed = 2", "unknown key sed = 2 (did you mean 'seed'?)"),
        ("gan = 2", "gan = 2: must be a table of keys"),
        ("[gan]\ndiscriminators = 'two'", "gan.discriminators = 'two': must be an integer"),
        ("[gan]\ndiscriminators = true", "gan.discriminators = True: must be an integer"),
        ("[gan]\ndiscriminators = 0", "gan.discriminators = 0: must be at least 1 and at most 64"),
        ("[model]\ngenerator_width = -4", "model.generator_width = -4: must be at least 1"),
        ("[optim]\nlr_g = 0", "optim.lr_g = 0.0: must be above 0"),
        ("[optim]\nlr_g = nan", "optim.lr_g = nan: must be above 0"),
        ("[optim]\nbeta1 = 1.0", "optim.beta1 = 1.0: must be at least 0 and at most 0.999999"),
        ("[data]\nflip = 1", "data.flip = 1: must be true or false"),
        ("[data]\nresolution = 2", "data.resolution = 2: must be at least 4 and at most 4,096"),
        ("[data]\nchannels = 2", "data.channels = 2: allowed: 1, 3"),
        ("[model]\ngenerator_norm = 'bach'", "allowed: batch, sync, group, none (did you mean"),
        ("[gan]\naggregation = 'maximum'", "'maximum' is not an aggregation rule"),
        ("[gan]\naggregation = 'softmax(temp=1)'", "softmax has no parameter 'temp'"),
        ("[gan]\naggregation = 'softmax(temperature=-1)'", "temperature must be above 0, not -1"),
        (
            "name = '../escape'",
            "name = '../escape': must be at most 200 letters, digits, spaces, . _ -",
        ),
        ("name = '..'", "name = '..': must be at most 200 letters, digits, spaces, . _ -"),
        ("[gan", "not valid TOML"),
        ("base = 'mnist-dcgam'", "no preset 'mnist-dcgam' (did you mean 'mnist-dcgan'?)"),
        ("base = 3", "base = 3: must be the name of a preset"),
    ],
)
def test_an_error_in_a_file_is_one_line_that_names_the_key(
    tmp_path: Path, toml: str, message: str
) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(toml)
    with pytest.raises(UserError) as caught:
        config_files.load_file(file)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_starts_from_a_preset_and_is_named_after_itself(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('base = "mnist-d3gan"\n[gan]\ndiscriminators = 4\n')
    config = config_files.load_file(file)
    expected = config_files.load_preset("mnist-d3gan")
    gan = dataclasses.replace(expected.gan, discriminators=4)
    assert config == dataclasses.replace(expected, name="mine", gan=gan)


def test_values_that_do_not_fit_together_are_reported() -> None:
    for gan, message in (
        (
            {"objective": "hinge", "aggregation": "hypervolume", "discriminators": 2},
            "needs losses above zero",
        ),
        (
            {"objective": "hinge", "aggregation": "geometric_softmax", "discriminators": 2},
            "needs losses of one sign, and those of gan.objective = 'hinge' can have both",
        ),
        (
            {"objective": "relativistic", "discriminators": 2},
            r"gan\.aggregation = 'original' is defined for separable objectives only",
        ),
        ({"objective": "d2gan"}, r"gan\.discriminators = 1: .* is defined for 2"),
        (
            {"objective": "mcl_gan(k=3)", "aggregation": "mean", "discriminators": 2},
            r"gan\.discriminators = 2: gan\.objective = 'mcl_gan\(k=3\)' needs at least 3",
        ),
        (
            {"objective": "duelgan", "discriminators": 2},
            r"gan\.aggregation = 'original': .*'duelgan' .*; set gan\.aggregation = 'mean'",
        ),
        ({"penalties": ["r1", "r1(gamma=2)"]}, "names a penalty twice"),
    ):
        with pytest.raises(UserError, match=message):
            configs.validate(configs.from_dict({"gan": gan}))
    one = {"objective": "hinge", "aggregation": "hypervolume"}
    configs.validate(configs.from_dict({"gan": one}))  # one discriminator: no rule is used
    odd = configs.from_dict({"data": {"resolution": 48}})
    with pytest.raises(UserError, match=r"= 48: the dcgan architecture supports 16, 32, 64 or 128"):
        configs.validate(odd)
    grey = configs.from_dict({"data": {"source": "stacked-mnist", "channels": 1}})
    with pytest.raises(UserError, match=r"stacked-mnist needs 3"):
        configs.validate(grey)


def test_every_default_is_allowed() -> None:
    assert configs.validate(Config()) == Config()
    assert configs.keys()[:4] == ["name", "seed", "out_dir", "data.source"]


def test_every_key_has_one_role() -> None:
    roles = {key: configs.role(key) for key in KEYS}
    assert set(roles.values()) == set(Role)
    assert roles["optim.lr_g"] is Role.RESULT
    assert roles["checkpoint.keep"] is Role.SCHEDULE
    assert roles["train.device"] is Role.MACHINE


def test_only_schedule_and_machine_keys_may_change_on_resume() -> None:
    config = Config(name="a")
    changed = configs.from_dict(
        {"train": {"epochs": 3, "device": "cpu"}, "eval": {"patience": 2}}, config
    )
    configs.refuse_changes(config, changed)
    for key, values in (
        ("model.latent_dim", {"model": {"latent_dim": 9}}),
        ("seed", {"seed": 9}),
        ("out_dir", {"out_dir": "elsewhere"}),
    ):
        with pytest.raises(UserError, match=f"^{key} = .*: cannot change when a run is resumed"):
            configs.refuse_changes(config, configs.from_dict(values, config))


def test_epochs_may_change_on_resume_only_with_a_constant_schedule() -> None:
    config = configs.from_dict({"optim": {"schedule": "linear_decay"}})
    longer = configs.from_dict({"train": {"epochs": 99}}, config)
    with pytest.raises(UserError, match=r"because optim\.schedule = 'linear_decay' depends on it"):
        configs.refuse_changes(config, longer)


def test_result_keys_separate_methods_unless_they_identify_the_run() -> None:
    separate = {key for key in KEYS if configs.separates_methods(key)}
    assert {"train.epochs", "gan.penalties", "eval.samples"} <= separate
    assert not separate & {"seed", "name", "out_dir", "train.device", "samples.count"}


def test_saved_configurations_with_kid_stay_readable() -> None:
    """It was the name of the kernel distance with all features."""
    saved = {"metrics": ["fd", "kid"], "monitor": "kid"}
    old = configs.from_dict({"eval": saved | {"features": "classifier:digits"}})
    assert (old.eval.metrics, old.eval.monitor) == (("fd", "kd"), "kd")
    with_inception = configs.from_dict({"eval": saved | {"features": "inception"}})
    assert with_inception.eval.metrics == ("fd", "kid")
    asked = configs.from_dict({"eval": saved})
    with pytest.raises(UserError, match=r"'kid' is not a metric .* \(it is kd\)"):
        check_evaluation(asked.eval)


@pytest.mark.parametrize(
    ("values", "penalties"),
    [
        ({"r1_gamma": 0.5}, ("r1(gamma=0.5)",)),
        ({"r1_gamma": 1}, ("r1(gamma=1.0)",)),
        ({"r1_gamma": 0}, ()),
        ({"r1_gamma": 0.5, "penalties": ["r1(gamma=3)"]}, ("r1(gamma=0.5)",)),
    ],
)
def test_r1_gamma_becomes_a_penalty(values: dict[str, object], penalties: tuple[str]) -> None:
    assert configs.from_dict({"gan": values}).gan.penalties == penalties
    over = config_files.load_preset("demo-dcgan")
    assert configs.from_dict({"gan": values}, over).gan.penalties == penalties


def test_errors_in_old_keys_are_reported() -> None:
    with pytest.raises(UserError, match=r"^x: gan\.r1_gamma = -1\.0: must be at least 0"):
        configs.from_dict({"gan": {"r1_gamma": -1}}, origin="x")


def test_members_set_the_number_of_discriminators() -> None:
    config = configs.from_dict({"gan": {"members": ["dcgan", "dcgan", "dcgan"]}})
    assert configs.validate(config).gan.discriminators == 3


def test_plugins_are_listed_with_their_source_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "my_schedule.py"
    file.write_text(
        "from d3gan.gan.schedules import Schedule\n"
        "class Slow(Schedule):\n    def factor(self, images, total):\n        return 0.5\n"
    )
    config = configs.from_dict({"optim": {"schedule": "my_schedule:Slow"}})
    assert configs.validate(config) == config
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    expected = {"my_schedule:Slow": {"file": str(file.resolve()), "sha256": digest}}
    assert configs.plugins(config) == expected
    assert configs.plugins(configs.from_dict({"eval": {"features": "classifier:digits"}})) == {}
    with pytest.raises(UserError, match=r"^optim\.schedule = 'my_schedule:Fast': module 'my_sch"):
        configs.validate(configs.from_dict({"optim": {"schedule": "my_schedule:Fast"}}))
    folder = configs.from_dict({"data": {"source": "my_schedule:Slow"}})
    monkeypatch.setattr(Path, "exists", lambda path: str(path) == "my_schedule:Slow")
    assert configs.plugins(folder) == {}, "a folder of that name is no plugin"


@pytest.mark.parametrize(
    ("key", "word", "value"),
    [
        ("data.flip", "True", True),
        ("data.flip", "maybe", "maybe"),
        ("train.epochs", "3", 3.0),
        ("train.batch_size", "x", "x"),
        ("eval.metrics", "fd,kd", ["fd", "kd"]),
        ("eval.metrics", "", []),
        ("gan.penalties", "r1(gamma=1),a:B(c=1,d=2),r1", ["r1(gamma=1)", "a:B(c=1,d=2)", "r1"]),
        ("gan.r1_gamma", "0.5", 0.5),
    ],
)
def test_words_of_the_command_line_become_values(key: str, word: str, value: object) -> None:
    assert configs.typed(key, word) == value
    with pytest.raises(UserError, match="unknown key seeds \\(did you mean 'seed'"):
        configs.typed("seeds", word)


def test_removed_keys_are_accepted_while_they_have_no_effect() -> None:
    old = {"train": {"engine": "fast", "shared_memory": False, "epochs": 3}}
    assert configs.from_dict(old) == configs.from_dict({"train": {"epochs": 3}})
    saved = '[train]\nengine = "reference"\nepochs = 3'
    assert config_files.from_toml(saved, "old", "config.toml").train.epochs == 3
    with pytest.raises(UserError, match=r"train\.engine = 'reference': .* 'd3gan bench step'"):
        configs.from_dict({"train": {"engine": "reference"}})
    with pytest.raises(UserError, match=r"train\.shared_memory = 1: must be true or false"):
        configs.from_dict({"train": {"shared_memory": 1}})


@pytest.mark.parametrize(
    ("flags", "penalties"),
    [
        ("--gan.r1-gamma 0.25", ("r1(gamma=0.25)",)),
        ("--gan.r1_gamma=0 --train.engine fast --train.no-shared-memory", ()),
        ("--train.shared-memory --gan.r1-gamma=2", ("r1(gamma=2.0)",)),
    ],
)
def test_old_keys_are_flags(
    flags: str, penalties: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[Config] = []

    def train(config: Config, *, resume: bool) -> None:
        trained.append(config)
        raise UserError("not trained")

    monkeypatch.setattr("d3gan.training.trainer.train", train)
    assert main(["train", "demo-dcgan", *flags.split()]) == 2
    assert [config.gan.penalties for config in trained] == [penalties]
