"""The search for hyperparameters: the same trials for all methods, on seeds that are not judged."""

import math
from pathlib import Path
from typing import Any

import pytest
from tests.study.made_up_runs import Studio

from d3gan.errors import UserError
from d3gan.study.study_file import make_study
from d3gan.study.tuning import Search, Trial, make_search, trials, tuned_toml

TUNE: dict[str, Any] = {
    "trials": 4,
    "seeds": [200, 201],
    "space": {"optim.lr_g": {"low": 1e-4, "high": 1e-2}, "optim": {"beta1": [0.0, 0.5]}},
}


def search(folder: Path, tune: dict[str, Any] = TUNE, **more: Any) -> Search:
    methods = {"one": {"base": "demo-dcgan"}, "two": {"base": "demo-d3gan"}}
    values = {"methods": methods, "seeds": [0, 1], "pilot_seeds": [100], "tune": tune}
    return make_search(values | {"out_dir": str(folder / "runs")} | more)


def test_all_methods_have_the_same_trials(tmp_path: Path) -> None:
    found = search(tmp_path)
    assert found.methods == ["one", "two"]
    assert found.trials[0] == {}
    for number, changes in enumerate(found.trials):
        for method in found.methods:
            runs = found.runs(method, number)
            assert [run.config.seed for run in runs] == [200, 201]
            for run in runs:
                assert run.config.gan.discriminators == (1 if method == "one" else 2)
                for key, value in changes.items():
                    assert getattr(run.config.optim, key.removeprefix("optim.")) == value
    assert len(found.study.runs) == 2 * 2 * 4
    own = found.runs("one", 0)[0].config
    assert own.optim == make_study({"methods": ["demo-dcgan"]}).runs[0].config.optim


def test_drawn_values_are_spread_over_the_space_and_never_change(tmp_path: Path) -> None:
    alone = {"one": {"base": "demo-dcgan"}}
    tune = TUNE | {"trials": 150, "seeds": [200]}
    many = search(tmp_path, tune, methods=alone).trials[1:]
    rates = sorted(changes["optim.lr_g"] for changes in many)
    assert 1e-4 <= rates[0] < 1.3e-4
    assert 0.75e-2 < rates[-1] <= 1e-2
    assert math.log10(rates[len(rates) // 2]) == pytest.approx(-3, abs=0.2)
    assert {changes["optim.beta1"] for changes in many} == {0.0, 0.5}
    assert many[:3] == search(tmp_path).trials[1:]
    assert many[0] == {"optim.lr_g": 0.000374, "optim.beta1": 0.5}  # on every machine


def test_a_grid_has_the_trials_that_it_lists(tmp_path: Path) -> None:
    grid = [{"optim": {"lr_g": 1e-3, "lr_d": 5e-4}}, {"optim": {"lr_g": 1e-4, "lr_d": 5e-5}}]
    found = search(tmp_path, {"seeds": [200], "grid": grid})
    assert found.trials[1:] == tuple(
        {f"optim.{key}": value for key, value in table["optim"].items()} for table in grid
    )


def test_values_of_a_varied_key_are_tuned_apart(tmp_path: Path) -> None:
    found = search(tmp_path, vary={"train.batch_size": [32, 64]})
    assert found.methods == [
        "one-batch_size-32", "one-batch_size-64", "two-batch_size-32", "two-batch_size-64",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("tune", "message"),
    [
        ({}, "tune.seeds = []: must name at least one seed, and none of the study's"),
        (TUNE | {"seeds": [100]}, "tune.seeds = [100]: must name at least one seed, and none"),
        (TUNE | {"seeds": [1]}, "tune.seeds = [1]: must name"),
        (TUNE | {"trials": 1}, "tune.trials = 1: must be at least 2"),
        (TUNE | {"trails": 2}, "tune: unknown key trails (did you mean 'trials'?)"),
        ({"seeds": [9]}, "tune: needs a table space of configuration keys, or a list grid"),
        (TUNE | {"grid": [{}]}, "tune: has both a grid and a space"),
        ({"seeds": [9], "grid": []}, "tune.grid = []: must be a list of tables"),
        (TUNE | {"space": {"seed": [3]}}, "tune.space: seed = "),
        (TUNE | {"space": {"optim.lr": [3.0]}}, "unknown key optim.lr"),
        (TUNE | {"space": {"optim.lr_g": [-1.0]}}, "optim.lr_g = -1.0: must be above 0"),
        (TUNE | {"space": {"optim.lr_g": 1e-3}}, "optim.lr_g = 0.001: must be {low = 1e-4"),
        (
            TUNE | {"space": {"optim.lr_g": {"low": 1e-3, "high": 1e-4}}},
            "with 0 < low < high, or a list of values",
        ),
    ],
)
def test_wrong_tables_are_refused(tmp_path: Path, tune: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        search(tmp_path, tune)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_study_without_the_table_is_refused() -> None:
    with pytest.raises(UserError, match=r"the study has no table \[tune\]"):
        make_search({"methods": ["demo-dcgan"]})


def test_the_best_trial_has_the_lowest_median_and_did_not_diverge(tmp_path: Path) -> None:
    found = search(tmp_path, {"seeds": [200, 201, 202], "grid": [{"optim.lr_g": 1e-3}] * 3})
    studio = Studio(found.study.out_dir)
    curves = {0: [9.0, 8.0, 7.0], 1: [9.0, 4.0, 5.0], 2: [2.0, 1.0, 1.0], 3: [9.0, 6.0, 3.0]}
    for number, values in curves.items():
        for seed, factor in zip((200, 201, 202), (0.5, 1.0, 9.0), strict=True):
            studio.run(
                f"one-trial-{number}",
                seed,
                [factor * value for value in values],
                state="diverged" if (number, seed) == (2, 201) else None,
            )
    order = trials(found, "one")
    assert [trial.number for trial in order] == [3, 1, 0, 2]
    # The running median of three makes 9, 4, 5 to 9, 5, 5; the ends of three values are kept.
    assert [trial.value for trial in order[:3]] == pytest.approx([3.0, 5.0, 7.0])
    assert order[3].value is None


def test_a_study_uses_the_values_that_were_found(tmp_path: Path) -> None:
    found = search(tmp_path)
    changes = found.trials[2]
    file = tmp_path / "tuned.toml"
    file.write_text(tuned_toml({"two": Trial(2, changes, 1.0), "one": Trial(0, {}, 1.0)}))
    methods = {"one": {"base": "demo-dcgan"}, "two": {"base": "demo-d3gan"}}
    one, two = make_study({"methods": methods, "seeds": [0], "tuned": str(file)}).runs
    assert two.config.optim.lr_g == changes["optim.lr_g"]
    assert one.config.optim == found.runs("one", 0)[0].config.optim
    with pytest.raises(UserError, match=r"\[two\] is not a method of the study; methods: one"):
        make_study({"methods": {"one": {"base": "demo-dcgan"}}, "tuned": str(file)})
    with pytest.raises(UserError, match="there is no such file; 'd3gan tune' of the study writes"):
        make_study({"methods": methods, "tuned": str(tmp_path / "none.toml")})
