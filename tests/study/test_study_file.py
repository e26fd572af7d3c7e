"""Study files and the runs that they describe."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from d3gan import config as configs
from d3gan import config_files
from d3gan.config import Config
from d3gan.errors import UserError
from d3gan.study.plan import planned_steps
from d3gan.study.question import Primary, Question
from d3gan.study.study_file import make_study, read_study
from d3gan.study.variants import scaled
from d3gan.training.build import build_discriminators
from d3gan.training.schedule import make_schedule

STUDIES = sorted((Path(__file__).parents[2] / "studies").glob("*.toml"))
TWO: dict[str, Any] = {"methods": ["demo-dcgan", "demo-d3gan"], "seeds": [0, 1]}


def names(values: dict[str, Any], **keywords: Any) -> list[str]:
    return [run.name for run in make_study(values, **keywords).runs]


def study_file(folder: Path, text: str) -> Path:
    file = folder / "mine.toml"
    file.write_text(text)
    return file


def test_runs_are_methods_times_seeds_ordered_by_seed() -> None:
    study = make_study({**TWO, "name": "two"})
    assert [run.name for run in study.runs] == [
        "demo-dcgan-seed-0", "demo-d3gan-seed-0", "demo-dcgan-seed-1", "demo-d3gan-seed-1",
    ]  # fmt: skip
    assert study.methods == ["demo-dcgan", "demo-d3gan"]
    assert (study.question.baseline, study.out_dir) == ("demo-dcgan", Path("runs/two"))
    first = study.runs[0].config
    assert (first.seed, first.out_dir, first.name) == (0, "runs/two", "demo-dcgan-seed-0")


def test_runs_of_a_method_differ_only_in_the_seed() -> None:
    study = make_study({**TWO, "vary": {"train": {"batch_size": [16, 32]}}, "set": {"gan": {}}})
    for method in study.methods:
        of_it = {
            dataclasses.replace(run.config, name="", seed=0)
            for run in study.runs
            if run.method == method
        }
        assert len(of_it) == 1


def test_varied_values_multiply_the_methods() -> None:
    rules = ["max", "softmax(temperature=0.5)"]
    vary = {"train.batch_size": [16, 32], "gan": {"aggregation": rules}}
    study = make_study({"methods": ["demo-d3gan"], "seeds": [3], "vary": vary})
    assert study.methods == [
        "demo-d3gan-batch_size-16-aggregation-max",
        "demo-d3gan-batch_size-16-aggregation-softmax-temperature-0.5",
        "demo-d3gan-batch_size-32-aggregation-max",
        "demo-d3gan-batch_size-32-aggregation-softmax-temperature-0.5",
    ]
    assert study.runs[-1].config.gan.aggregation == "softmax(temperature=0.5)"
    assert study.runs[-1].config.train.batch_size == 32


def test_varied_keys_with_the_same_last_part_keep_their_sections() -> None:
    vary = {"samples.every_epochs": [1], "eval.every_epochs": [2]}
    (name,) = names({"methods": ["demo-dcgan"], "seeds": [0], "vary": vary})
    assert name == "demo-dcgan-samples.every_epochs-1-eval.every_epochs-2-seed-0"


def test_varied_lists_of_choices() -> None:
    vary = {"gan.penalties": [[], ["r1(gamma=0.1)", "r2(gamma=0.1)"]]}
    study = make_study({"methods": ["demo-d3gan"], "seeds": [0], "vary": vary})
    assert study.methods == [
        "demo-d3gan-penalties-none",
        "demo-d3gan-penalties-r1-gamma-0.1-r2-gamma-0.1",
    ]
    assert [run.config.gan.penalties for run in study.runs] == [tuple(p) for p in vary.popitem()[1]]


def test_a_file_with_tables(tmp_path: Path) -> None:
    file = study_file(
        tmp_path,
        """
        seeds = [5]
        baseline = "b"
        metric = "kd"
        [methods.a]
        base = "demo-d3gan"
        gan.aggregation = "max"
        [methods.b]
        base = "demo-d3gan"
        [methods.b.gan]
        discriminators = 4
        [methods.demo-dcgan]
        [set]
        train.epochs = 2
        "train.batch_size" = 64
        [slurm]
        partition = "gpu"
        """,
    )
    study = make_study(read_study(file), origin=str(file))
    a, b, plain = (run.config for run in study.runs)
    assert (a.gan.aggregation, b.gan.discriminators, plain.gan.discriminators) == ("max", 4, 1)
    assert {(c.train.epochs, c.train.batch_size, c.seed) for c in (a, b, plain)} == {(2.0, 64, 5)}
    question = study.question
    assert (study.name, question.baseline, question.metric) == ("mine", "b", "kd")
    assert study.slurm == {"partition": "gpu"}


def test_a_method_may_have_fewer_seeds() -> None:
    methods = {"demo-dcgan": {}, "demo-d3gan": {}, "mean": {"base": "demo-d3gan", "seeds": [0, 1]}}
    study = make_study({"methods": methods, "seeds": [0, 1, 2, 3]})
    seeds = {name: [r.config.seed for r in study.runs if r.method == name] for name in methods}
    assert seeds == {"demo-dcgan": [0, 1, 2, 3], "demo-d3gan": [0, 1, 2, 3], "mean": [0, 1]}
    methods["mean"] = {"base": "demo-d3gan", "seeds": [4, 1]}
    with pytest.raises(UserError, match=r"methods\.mean\.seeds: 4 is not among the study's seeds"):
        make_study({"methods": methods, "seeds": [0, 1, 2, 3]})


def test_methods_may_be_files_beside_the_study(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text('base = "demo-d3gan"\n[gan]\ndiscriminators = 3\n')
    file = study_file(tmp_path, 'seeds = [0]\nmethods = ["other.toml", "demo-dcgan"]\n')
    study = make_study(read_study(file))
    assert study.methods == ["other", "demo-dcgan"]
    assert study.runs[0].config.gan.discriminators == 3
    file = study_file(tmp_path, 'seeds = [0]\n[methods.x]\nbase = "other.toml"\n')
    assert make_study(read_study(file)).runs[0].config.gan.discriminators == 3


def test_the_baseline_is_that_of_all_varied_values() -> None:
    values = {**TWO, "baseline": "demo-d3gan", "vary": {"train.batch_size": [16, 32]}}
    question = make_study(values).question
    assert (question.baseline, question.vary) == ("demo-d3gan", ("train.batch_size",))
    assert make_study({**values, "baseline": ""}).question.baseline == "demo-dcgan"


def test_without_a_name_the_baseline_has_the_fewest_discriminators() -> None:
    methods = ["demo-d3gan", "mnist-dcgan", "demo-dcgan"]
    assert make_study({**TWO, "methods": methods}).question.baseline == "mnist-dcgan"


def test_the_question_of_a_study(tmp_path: Path) -> None:
    file = study_file(
        tmp_path,
        """
        methods = ["demo-dcgan", "demo-d3gan", "mnist-dcgan"]
        seeds = [0, 1]
        pilot_seeds = [100, 101]
        targets = [1.5, 1.1]
        clocks = ["images", "seconds"]
        margin = 0.2
        collapsed_below = 1
        [primary]
        method = "demo-d3gan"
        """,
    )
    question = make_study(read_study(file)).question
    assert question == Question(
        baseline="demo-dcgan",
        primary=Primary("demo-d3gan", "seconds", 1.5),
        pilot_seeds=(100, 101),
        targets=(1.5, 1.1),
        clocks=("images", "seconds"),
        margin=0.2,
        collapsed_below=1.0,
    )


def test_the_only_other_method_is_the_primary_one() -> None:
    assert make_study(TWO).question.primary == Primary("demo-d3gan", "seconds", 1.25)
    images = make_study({**TWO, "clocks": ["images", "flops"]}).question
    assert images.primary == Primary("demo-d3gan", "images", 1.25)
    three = {**TWO, "methods": [*TWO["methods"], "mnist-dcgan"]}
    assert make_study(three).question.primary is None
    varied = {**TWO, "vary": {"train.batch_size": [16, 32]}}
    assert make_study(varied).question.primary is None
    named = make_study({**varied, "primary": {"method": "demo-d3gan-batch_size-32"}}).question
    assert named.primary == Primary("demo-d3gan-batch_size-32")


def test_pilot_runs_are_those_of_the_primary_comparison_and_come_first() -> None:
    values = {**TWO, "methods": [*TWO["methods"], "mnist-dcgan"], "pilot_seeds": [100, 101]}
    all_methods = make_study(values)
    assert [run.name for run in all_methods.runs if run.pilot] == [
        f"{method}-pilot-{seed}" for seed in (100, 101) for method in values["methods"]
    ]
    study = make_study({**values, "primary": {"method": "demo-d3gan"}}, scale=0.5)
    assert [run.name for run in study.runs[:5]] == [
        "demo-dcgan-pilot-100", "demo-d3gan-pilot-100",
        "demo-dcgan-pilot-101", "demo-d3gan-pilot-101", "demo-dcgan-seed-0",
    ]  # fmt: skip
    pilot, judged = study.runs[0], study.runs[4]
    assert (pilot.pilot, pilot.method, pilot.config.seed) == (True, "demo-dcgan", 100)
    assert not judged.pilot
    assert pilot.config.train.epochs == judged.config.train.epochs, "both are scaled"


def test_every_varied_value_has_a_pilot_of_its_baseline() -> None:
    values = {**TWO, "vary": {"train.batch_size": [16, 32]}, "pilot_seeds": [100]}
    study = make_study({**values, "primary": {"method": "demo-d3gan-batch_size-32"}})
    assert [run.method for run in study.runs if run.pilot] == [
        "demo-dcgan-batch_size-16", "demo-dcgan-batch_size-32", "demo-d3gan-batch_size-32",
    ]  # fmt: skip


def test_old_keys_that_vary_separate_groups_by_the_new_ones() -> None:
    study = make_study({**TWO, "vary": {"gan.r1_gamma": [0.1, 1.0]}})
    assert study.question.vary == ("gan.penalties",)


TWO_METHODS = "methods = ['demo-dcgan', 'demo-d3gan']\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pilot_seeds = [0]", "pilot_seeds = [0]: 0 is also among the seeds; pilot runs"),
        ("pilot_seeds = 3", "pilot_seeds = 3: must be a list such as [0, 1, 2]"),
        ("pilot_seeds = [7, 7]", "pilot_seeds = [7, 7]: contains a seed twice"),
        ("targets = []", "targets = []: must be a list such as [1.25, 1.1]"),
        ("targets = [0.9]", "targets = [0.9]: 0.9 must be at least 1 and at most 1000"),
        ("targets = [nan]", "nan must be at least 1"),
        ("targets = ['a']", "targets = 'a': must be a number"),
        ("targets = [1.1, 1.1]", "targets = [1.1, 1.1]: contains a target twice"),
        ("clocks = ['hours']", "clocks = 'hours': allowed: seconds, images, steps, flops"),
        ("clocks = []", "clocks = []: must be a list of seconds, images, steps, flops"),
        ("margin = 1", "margin = 1: must be above 0 and below 1"),
        ("margin = nan", "margin = nan: must be above 0 and below 1"),
        ("margin = 'a'", "margin = 'a': must be a number"),
        ("collapsed_below = 0", "collapsed_below = 0: must be above 0 and at most 1"),
        ("primary = 'demo-d3gan'", "primary = 'demo-d3gan': must be a table such as {method ="),
        ("[primary]", "primary: needs method = NAME"),
        ("[primary]\nmetod = 'x'", "primary: unknown key metod (did you mean 'method'?)"),
        ("[primary]\nmethod = 'demo-d3gam'",
         "primary.method = 'demo-d3gam': is not a method to compare (did you mean 'demo-d3gan'?)"),
        ("[primary]\nmethod = 'demo-dcgan'",
         "primary.method = 'demo-dcgan': is the baseline; name another method: demo-d3gan"),
        ("[primary]\nmethod = 'demo-d3gan'\n[vary]\ntrain.batch_size = [8, 16]",
         "has several varied values; name one of demo-d3gan-batch_size-8, demo-d3gan-"),
        ("clocks = ['images']\n[primary]\nmethod = 'demo-d3gan'\nclock = 'seconds'",
         "primary.clock = 'seconds': must be one of the study's clocks, images"),
        ("[primary]\nmethod = 'demo-d3gan'\ntarget = 2",
         "primary.target = 2: must be one of the study's targets, 1.25, 1.1"),
    ],
)  # fmt: skip
def test_errors_about_the_question_name_the_key(tmp_path: Path, text: str, message: str) -> None:
    file = study_file(tmp_path, TWO_METHODS + text)
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        make_study(read_study(file), origin=str(file))
    assert str(caught.value).startswith(f"{file}: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'mine.toml: name the methods to compare: methods = ["mnist-dcgan", "mnist-d3gan"]'),
        ("methods = 3", "methods = 3: must be a list, as methods ="),
        ("methods = []", "name the methods to compare"),
        ("method = ['demo-dcgan']", "unknown key method (did you mean 'methods'?)"),
        ("methods = ['demo-dcgan']\ntrain.epochs = 3", "unknown key train; write it as set.train"),
        ("methods = ['demo-dcgn']", "there is no preset 'demo-dcgn' (did you mean 'demo-dcgan'?)"),
        ("methods = ['no.toml']", "there is no file no.toml"),
        ("methods = ['demo-dcgan', 'demo-dcgan']", "two runs would be called demo-dcgan-seed-0;"),
        ("methods = ['demo-dcgan']\nseeds = [1, 1]", "seeds = [1, 1]: contains a seed twice"),
        ("methods = ['demo-dcgan']\nseeds = 3", "seeds = 3: must be a list such as [0, 1, 2]"),
        ("methods = ['demo-dcgan']\nseeds = [-1]", "seeds: seed = -1: must be at least 0"),
        ("methods = ['demo-dcgan']\nseeds = ['a']", "seeds: seed = 'a': must be an integer"),
        ("[methods.x]\ngan.discriminators = 2", "methods.x: needs base = PRESET; `d3gan presets`"),
        ("[methods]\nx = 2", "methods.x = 2: must be a table of keys"),
        ("[methods.x]\nbase = 'demo-dcgan'\nseed = 2", "methods.x: seed = 2: the study sets it"),
        ("[methods.x]\nbase = 'demo-dcgan'\ngan.discriminatrs = 2",
         "mine.toml: methods.x: unknown key gan.discriminatrs = 2 (did you mean 'gan.discr"),
        ("methods = ['demo-dcgan']\n[set]\ntrain.epochs = -1", "set: train.epochs = -1.0: must be"),
        ("methods = ['demo-dcgan']\nset = 1", "set = 1: must be a table of keys"),
        ("methods = ['demo-dcgan']\n[vary]\ntrain.epochs = 1", "train.epochs = 1: must be a list"),
        ("methods = ['demo-dcgan']\n[vary]\ntrain.epochs = ['a']", "vary: train.epochs = 'a': mu"),
        ("methods = ['demo-dcgan']\n[vary]\nname = ['a']", "vary: name = ['a']: the study sets"),
        ("methods = ['demo-dcgan']\n[vary]\ngan.r1_gamma = [1, 1]", "two runs would be called"),
        ("methods = ['demo-dcgan']\nbaseline = 'demo-d3gan'",
         "baseline = 'demo-d3gan': is not a method of the study (did you mean 'demo-dcgan'?)"),
        ("methods = ['demo-dcgan']\nmetric = 'fdd'",
         "metric = 'fdd': demo-dcgan-seed-0 does not measure it (did you mean 'fd'?)"),
        ("methods = ['demo-dcgan']\nmetric = 3", "metric = 3: must be a string"),
        ("methods = ['demo-dcgan']\n[set]\neval.every_epochs = 0",
         "demo-dcgan-seed-0: eval.every_epochs = 0: nothing could be compared"),
        ("methods = ['demo-dcgan']\n[set]\neval.monitor = 'x'", "demo-dcgan-seed-0: eval.monitor"),
        ("methods = ['demo-dcgan']\nname = 'a/b'", "name = 'a/b': must be at most 200 letters"),
        ("methods = ['demo-dcgan']\nslurm = 'gpu'", "slurm = 'gpu': must be a table of keys"),
        ("methods = [", "not valid TOML"),
    ],
)  # fmt: skip
def test_errors_name_the_key_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    file = study_file(tmp_path, text)
    with pytest.raises(UserError, match=re.escape(message)):
        make_study(read_study(file), origin=str(file))


def test_a_missing_study_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no study"):
        read_study(tmp_path / "no.toml")


# Scaled


def test_scaled_studies_have_as_many_evaluations_and_a_separate_folder() -> None:
    values = {**TWO, "name": "two"}
    whole, small = make_study(values), make_study(values, scale=0.25)
    assert small.out_dir == Path("runs/two-scale-0.25")
    assert {run.folder.path for run in whole.runs}.isdisjoint(r.folder.path for r in small.runs)
    for before, after in zip(whole.runs, small.runs, strict=True):
        a, b = before.config, after.config
        assert b.train.epochs == a.train.epochs / 4
        assert b.eval.every_epochs == a.eval.every_epochs / 4
        assert b.samples.every_epochs == a.samples.every_epochs / 4
        assert b.checkpoint.every_epochs == a.checkpoint.every_epochs / 4
    assert make_study(values, scale=1.0) == whole


@pytest.mark.parametrize(
    ("width", "scale", "expected"),
    [(64, 0.5, 32), (64, 0.3, 16), (64, 0.01, 8), (64, 1, 64), (4, 0.5, 4), (90, 0.5, 45)],
)
def test_scaled_widths(width: int, scale: float, expected: int) -> None:
    config = configs.from_dict({"model": {"generator_width": width, "discriminator_width": width}})
    model = scaled(config, scale).model
    assert (model.generator_width, model.discriminator_width) == (expected, expected)


def test_runs_of_the_smallest_study_have_one_step(tiny: Config) -> None:
    config = scaled(configs.from_dict({"eval": {"every_epochs": 1.0}}, tiny), 1e-9)
    assert config.train.epochs > 0
    study = make_study({**TWO, "seeds": [0]}, scale=1e-9)
    assert [planned_steps(run) for run in study.runs] == [1, 1]


@pytest.mark.parametrize("scale", [0.0, -1.0, 1.5, float("nan")])
def test_scales_out_of_range(scale: float) -> None:
    with pytest.raises(UserError, match="must be above 0 and at most 1"):
        make_study(TWO, scale=scale)


# The studies of the repository


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.stem)
def test_every_study_can_be_planned_at_full_and_small_scale(file: Path) -> None:
    for scale in (1.0, 0.02):
        study = make_study(read_study(file), origin=str(file), scale=scale)
        assert len(study.methods) >= 2
        assert len(study.runs) >= 2 * len(study.methods)


def test_studies_that_share_runs_plan_the_same_ones() -> None:
    """Runs with the same folder are the same run."""
    planned: dict[Path, Config] = {}
    for file in STUDIES:
        for run in make_study(read_study(file)).runs:
            assert planned.setdefault(run.folder.path, run.config) == run.config


@pytest.mark.parametrize(
    "name", [name for name in config_files.presets() if name.endswith("-wide")]
)
def test_the_wide_control_has_the_parameters_of_two(name: str) -> None:
    def parameters(config: Config) -> int:
        networks = build_discriminators(config, initialise=False)
        return sum(weight.numel() for weight in networks.parameters())

    wide = config_files.load_preset(name)
    two = config_files.load_preset(name.replace("dcgan-wide", "d3gan"))
    assert (wide.gan.discriminators, two.gan.discriminators) == (1, 2)
    assert parameters(wide) == pytest.approx(parameters(two), rel=0.02)


@pytest.mark.parametrize("data", ["mnist", "cifar10"])
def test_controls_differ_in_one_thing(data: str) -> None:
    def differ(name: str, base: str) -> dict[str, Any]:
        one, other = (
            configs.flatten(configs.to_dict(config_files.load_preset(f"{data}-{n}")))
            for n in (name, base)
        )
        return {key: one[key] for key in one if one[key] != other[key] and key != "name"}

    assert differ("dcgan-wide", "dcgan") == {"model.discriminator_width": 90}
    assert differ("dcgan-2steps", "dcgan") == {"gan.discriminator_steps": 2}
    for rule in ("max", "mean", "random"):
        assert differ(f"d3gan-{rule}", "d3gan") == {"gan.aggregation": rule}


def ema_decays(config: Config) -> list[float]:
    """Return the weights that the moving average keeps in the first, some later and late steps."""
    values = make_schedule(config, images=60_000)
    return [values(step).ema_decay for step in (0, 1, 10, 100, 10_000)]


@pytest.mark.parametrize(
    "name", [name for name in config_files.presets() if name.endswith("-2steps")]
)
@pytest.mark.parametrize("half_life", [0.0, 50.0])
def test_the_control_of_two_steps_has_the_ema_of_its_baseline(name: str, half_life: float) -> None:
    """The half-life is the same in steps of the generator, also where a study sets it."""
    control, baseline = (
        configs.from_dict(
            {"optim": {"ema_half_life_steps": half_life}} if half_life else {},
            config_files.load_preset(each),
        )
        for each in (name, name.removesuffix("-2steps"))
    )
    assert control.images_per_step == 2 * baseline.images_per_step
    assert control.ema_half_life == 2 * baseline.ema_half_life
    assert ema_decays(control) == pytest.approx(ema_decays(baseline), rel=1e-12)


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.stem)
def test_methods_that_differ_in_updates_share_the_half_life_in_steps(file: Path) -> None:
    steps = "gan.discriminator_steps"
    by_game: dict[str, list[Config]] = {}
    for run in make_study(read_study(file)).runs:
        flat = configs.flatten(configs.to_dict(run.config))
        same = {k: v for k, v in flat.items() if k not in (steps, "name") and "ema_half" not in k}
        by_game.setdefault(repr(same), []).append(run.config)
    for first, *others in by_game.values():
        for other in others:
            assert ema_decays(other) == pytest.approx(ema_decays(first), rel=1e-12)
    controls = [each for each in by_game.values() if len(each) > 1]
    assert bool(controls) == ("2steps" in file.read_text())
