"""Every fault of a config is one clear line, whatever the file holds."""

import json
import math
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from metarl.algorithms.maml_config import MAMLConfig
from metarl.algorithms.promp_config import ProMPConfig
from metarl.config import Config, EnvConfig, changed, config_names, find_config, load_config, to_short_yaml, to_yaml
from metarl.config import settings as config_settings
from metarl.config.schema import present_key
from metarl.util.errors import UserError
from metarl.util.plugins import ALGORITHMS
from metarl.util.safe_yaml import parse_yaml, write_yaml
from metarl.util.text import close, nearest

BASE = "env: {family: HalfCheetahDir}\nalgorithm: {name: promp}\n"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a config as ./c.yaml, so that messages name it like that."""
    monkeypatch.chdir(tmp_path)

    def write(text: str | bytes) -> str:
        Path("c.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return "c.yaml"

    return write


def faults(path: str, *overrides: str) -> list[str]:
    with pytest.raises(UserError) as caught:
        load_config(path, overrides)
    return str(caught.value).splitlines()


HALF_CHEETAH = "env: {family: HalfCheetahDir}\n"


@pytest.mark.parametrize(("name", "old", "new", "value"), [
    ("promp", "clip", "clip_range", 0.15), ("promp", "inner_kl", "inner_kl_coef", 0.25),
    ("rl2", "clip", "clip_range", 0.15), ("rl2", "value_weight", "value_loss_coef", 0.25),
    ("rl2", "entropy", "entropy_coef", 0.125), ("rl2", "max_gradient", "max_grad_norm", 0.75),
])  # fmt: skip
def test_former_names_of_settings_are_valid(write, name, old, new, value):
    def loaded(text, *overrides):
        return getattr(load_config(write(f"{HALF_CHEETAH}algorithm: {{name: {name}{text}}}"), overrides).algorithm, new)

    assert loaded(f", {old}: {value}") == loaded("", f"algorithm.{old}={value}") == value
    for inside, outside in ((new, old), (old, new), (old, old), (new, new)):  # the command line stands over the file
        assert loaded(f", {inside}: 0.5", f"algorithm.{outside}={value}") == value
    assert loaded(f", {new}: 0.5", f"algorithm={{{old}: {value}}}") == value
    wrong = faults(write(f"{HALF_CHEETAH}algorithm: {{name: {name}, {old}: -1}}"), f"algorithm.{old}=x")
    assert wrong == [f'command line: algorithm.{new}: got "x", expected a valid number']
    config = load_config("demo", [f"algorithm={{name: {name}}}"]) if name == "promp" else load_config(
        "half_cheetah_mass/rl2")
    assert getattr(changed(config, {f"algorithm.{old}": value}).algorithm, new) == value
    assert f"{new}: {value}" in to_yaml(changed(config, {f"algorithm.{old}": value}))


def test_the_former_name_of_a_setting_of_the_policy_is_valid(write):
    path = write(BASE + "policy: {normalise_observations: true}")
    assert load_config(path).policy.normalize_observations
    assert not load_config(path, ["policy.normalize_observations=false"]).policy.normalize_observations
    assert load_config("demo", ["policy.normalise_observations=true"]).policy.normalize_observations


def test_both_names_of_a_setting_at_once(write):
    path = write(HALF_CHEETAH + "algorithm: {name: promp, clip: 0.1, clip_range: 0.2}\nseed: -1")
    assert faults(path) == [
        "c.yaml: algorithm.clip: got 0.1 beside clip_range, expected one of them: clip_range is its present name",
        "c.yaml: seed: got -1, expected greater than or equal to 0",
    ]
    assert faults(write(BASE), "algorithm.clip=0.1", "algorithm.clip_range=0.2") == [
        "command line: algorithm.clip_range: given twice, under a former name too, expected one value"
    ]


def test_former_settings_of_a_transformer_are_options_of_the_memory(write):
    def options(text, *overrides):
        return load_config(write(f"{HALF_CHEETAH}algorithm: {{name: rl2, {text}}}"), overrides).algorithm.memory_options

    assert options("memory: transformer, heads: 2, layers: 3, context: 7") == {"heads": 2, "layers": 3, "context": 7}
    assert options("memory: transformer, memory_options: {heads: 2, layers: 3}", "algorithm.heads=4") == {
        "heads": 4, "layers": 3,
    }
    assert options("memory: transformer", "algorithm.memory_options.heads=2") == {"heads": 2}
    assert options("heads: 2", "algorithm.memory=transformer", "algorithm.layers=3") == {"heads": 2, "layers": 3}
    assert options("memory: lstm, heads: 2, layers: 3, context: 7") == {}  # old run folders of all cells have them
    assert present_key("algorithm.heads", "rl2") == "algorithm.memory_options.heads"  # as in a search space
    (wrong,) = faults(write(HALF_CHEETAH + "algorithm: {name: rl2, heads: 3, memory_options: 4}"))
    assert wrong.startswith("c.yaml: algorithm.memory_options: got 4, expected a section")
    (wrong,) = faults(write(HALF_CHEETAH + "algorithm: {name: rl2, memory: transformer, heads: 3}"))
    assert wrong == "c.yaml: algorithm.memory_options.heads: got 3, expected a divisor of 128"
    (wrong,) = faults("half_cheetah_mass/rl2", "algorithm.memory_options={heds: 2}", "algorithm.memory=transformer")
    assert "heds" in wrong and "(did you mean 'heads'?)" in wrong
    (wrong,) = faults("half_cheetah_mass/rl2", "algorithm.memory=lsdm")
    assert "algorithm.memory: got \"lsdm\", expected a memory cell (did you mean 'lstm'?)" in wrong


def test_a_run_of_before_keeps_what_it_was_trained_with(write):
    """Without `revision` are a person's file, which means the present one, and the config of an old run."""
    rl2 = "env: {family: HalfCheetahVel}\nalgorithm: {name: rl2, memory: none}\n"
    new = load_config(write(rl2))
    assert (new.revision, new.algorithm.memory) == (3, "none")
    written = yaml.safe_load(to_yaml(new))
    assert load_config(write(yaml.safe_dump(written))) == new
    del written["revision"], written["env"]["splits"]
    written["evaluation"]["split"] = "held_out"
    file = write(yaml.safe_dump(written))
    old = load_config(file)
    assert (old.revision, old.algorithm.memory, old.env.splits) == (1, "one_step", 1)
    now = ["revision=3", "algorithm.memory=none", "env.splits=2", "evaluation.split=validation"]
    assert load_config(file, now) == new
    with pytest.raises(UserError, match="command line: revision: got 4, expected less than or equal to 3"):
        load_config(file, ["revision=4"])
    assert load_config(write(to_yaml(old))) == old == changed(old, {"seed": old.seed})


def test_random_takes_the_inner_loop_of_any_config_and_reads_none(write):
    text = "algorithm: {name: random}\ninner: {steps: 2, lr: 0.3, learn_lr: true}"
    assert load_config(write(HALF_CHEETAH + text)).inner.steps == 2
    (wrong,) = faults(write(HALF_CHEETAH + "algorithm: {name: random}\ninner: {sb3: {algorithm: PPO}}"))
    assert wrong == "c.yaml: inner.sb3.algorithm: got PPO, expected null: random has no inner loop"


def test_a_file_holds_only_what_differs(write):
    config = load_config(write(BASE + "inner: {lr: 5e-2}\n"))
    assert config.inner.lr == 0.05 and config.inner.steps == 1
    assert config == Config(
        env=EnvConfig(family="HalfCheetahDir"), algorithm=ProMPConfig(), inner=config.inner.model_copy()
    )


def test_overrides_stand_over_the_file_and_merge(write):
    path = write(BASE + "policy: {hidden: [8], activation: relu}\n")
    config = load_config(path, ["policy.hidden=[32, 16]", "seed=7", "wandb={mode: disabled}", "wandb.tags=[a, 1]"])
    assert config.policy.hidden == (32, 16) and config.policy.activation == "relu" and config.seed == 7
    assert config.wandb.mode == "disabled" and config.wandb.tags == ("a", "1") and config.wandb.project == "metarl"
    assert load_config(path, ["env.horizon=null"]).env.horizon is None
    path = write(BASE + "wandb: {project: mine}\n")
    assert load_config(path, ["wandb={mode: disabled, tags: [a]}"]).wandb.project == "mine"
    assert load_config(path, ["wandb={name: b}", "wandb.tags=[a]"]).wandb.tags == ("a",)


def test_the_algorithm_can_be_changed_by_an_override(write):
    config = load_config(write(BASE), ["algorithm.name=maml-trpo", "algorithm.max_kl=0.02"])
    assert config.algorithm == MAMLConfig(max_kl=0.02)


ONE_FAULT = [
    ("inner: {lrr: 1}", "inner.lrr: got 1, expected no such key (did you mean 'inner.lr'?)"),
    ("inner_lr: 1", "inner_lr: got 1, expected no such key (did you mean 'inner.lr'?)"),
    ("hidden: [3]", "hidden: got [3], expected no such key (did you mean 'policy.hidden'?)"),
    ("lr: 1", "lr: got 1, expected no such key (did you mean 'inner.lr' or 'algorithm.lr'?)"),
    ("3: 1", "3: got 1, expected no such key"),
    ("seed: ${oc.env:HOME}", 'seed: got "${oc.env:HOME}", expected an integer'),
    ("inner: {lr: fast}", 'inner.lr: got "fast", expected a valid number'),
    ("inner: {lr: -1}", "inner.lr: got -1, expected greater than 0"),
    ("inner: {lr: .nan}", "inner.lr: got NaN, expected a finite number"),
    ("inner: {lr: .inf}", "inner.lr: got Infinity, expected a finite number"),
    ("inner: {lr: null}", "inner.lr: got null, expected a valid number"),
    ("inner: {steps: true}", "inner.steps: got true, expected a number"),
    ("inner: {steps: 1.5}", "inner.steps: got 1.5, expected an integer"),
    ("inner: {first_order: maybe}", 'inner.first_order: got "maybe", expected a valid boolean'),
    ("inner: 3", "inner: got 3, expected a section of `key: value` lines"),
    ("inner:", "inner: got null, expected a section of `key: value` lines"),
    ("policy: {hidden: 64}", "policy.hidden: got 64, expected a list"),
    ("policy: {hidden: [64, 0]}", "policy.hidden.1: got 0, expected greater than or equal to 1"),
    ("policy: {activation: tan}", "policy.activation: got \"tan\", expected one of tanh, relu (did you mean 'tanh'?)"),
    ("evaluation: {split: heldout}", "evaluation.split: got \"heldout\", expected one of validation, held_out, "
     "extrapolation, train (did you mean 'held_out'?)"),
    ("evaluation: {split: extrapolation}", 'evaluation.split: got "extrapolation", expected one of train, held_out, '
     "validation: HalfCheetahDir declares no others"),
    ("seed: 1e400", "seed: got Infinity, expected a finite number"),
    ("wandb: {name: \"a\\nb\"}", 'wandb.name: got "a\\nb", expected one line of printable characters'),
    ("wandb: {api_key: abc}", "wandb.api_key: got ***, expected no such key (secrets come from the environment, never "
     "from a config)"),
    ("policy: {min_std: 2}", "policy.min_std: got 2.0, expected at most policy.init_std = 1.0"),
    ("inner: {steps: 0, learn_lr: true}", "inner.learn_lr: got true, expected false with inner.steps = 0: nothing "
     "adapts"),
    ("inner: {head_only: true}\npolicy: {hidden: []}", "inner.head_only: got true, expected false with policy.hidden = "
     "[]: the head is all there is"),
    ("meta_batch: 20000\nepisodes: 2000", "meta_batch * episodes: got 40000000, expected at most 1000000 simulations"
     " at once"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line"), ONE_FAULT)
def test_one_fault_is_one_line_with_key_value_and_what_is_allowed(write, text, line):
    found = faults(write(BASE + text))
    assert len(found) == 1
    assert found[0].startswith("c.yaml: " + line)


def test_settings_of_warp_are_refused_without_it(write):
    text = "env: {{family: HalfCheetahDir, warp: {{device: cpu}}{}}}\nalgorithm: {{name: promp}}"
    assert load_config(write(text.format(", physics: warp"))).env.warp.device == "cpu"
    (found,) = faults(write(text.format("")))
    assert found == "c.yaml: env.warp.device: got cpu, expected no such setting: env.physics is mujoco"


INNER_LEARNERS = [
    ("algorithm: {name: reptile}\ninner: {steps: 0}", "inner.steps: got 0, expected at least 1 with reptile"),
    ("algorithm: {name: reptile}\ninner: {learn_lr: true}",
     "inner.learn_lr: got true, expected false with reptile: no derivative goes through"),
    ("algorithm: {name: promp}\ninner: {sb3: {algorithm: PPO}}",
     "inner.sb3.algorithm: got PPO, expected null: promp differentiates the inner loop"),
    ("algorithm: {name: reptile}\ninner: {sb3: {settings: {gamma: 1}}}",
     "inner.sb3.settings: got {'gamma': 1}, expected none without inner.sb3.algorithm"),
    ("algorithm: {name: scratch}\ninner: {lr: 0.2, sb3: {algorithm: PPO}}",
     "inner.lr: got 0.2, expected no such setting: PPO has its own in inner.sb3.settings"),
    ("algorithm: {name: scratch}\ninner: {sb3: {algorithm: PPO}}\npolicy: {hidden: [3]}",
     "policy.hidden: got (3,), expected no such setting: PPO has its own in inner.sb3.settings"),
    ("algorithm: {name: scratch}\npolicy: {normalize_observations: true}",
     "policy.normalize_observations: got true, expected false with scratch: nothing was seen before the task to "
     "normalize by"),
    ("algorithm: {name: scratch}\ninner: {sb3: {algorithm: PPO}}\ndiscount: 0.9",
     "discount: got 0.9, expected no such setting: PPO has its own"),
    ("algorithm: {name: reptile}\ninner: {sb3: {algorithm: SAK}}",
     "inner.sb3: got algorithm 'SAK', expected one of A2C, DDPG"),
    ("algorithm: {name: reptile}\ninner: {sb3: {algorithm: PPO, settings: {gama: 1}}}",
     "inner.sb3: got 'gama', expected a setting of PPO (did you mean 'gamma'?)"),
]


@pytest.mark.parametrize(("text", "line"), INNER_LEARNERS)
def test_what_an_inner_learner_does_not_read_is_refused(write, text, line):
    (found,) = faults(write(f"env: {{family: HalfCheetahDir}}\n{text}"))
    assert found.startswith("c.yaml: " + line)


WITHOUT_BASE = [
    ("", ["env: got nothing, expected a value: Which robot, and what varies about it.",
          "algorithm: got nothing, expected a value: The outer loop."]),
    ("# nothing\n", ["env: got nothing, expected a value: Which robot, and what varies about it.",
                     "algorithm: got nothing, expected a value: The outer loop."]),
    ("env: {}\nalgorithm: {}", ["env.family: got nothing, expected a value: Name of the task family, as `metarl list` "
                                "shows it; or, in its place, `robot: PATH` of your own.",
                                "algorithm.name: got null, expected an algorithm "
                                "(choose from 'es-maml', 'maml-trpo', 'pearl', 'plasticity',"]),
    ("env: {family: HalfCheetaDir}\nalgorithm: {name: maml_trpo}",
     ["algorithm.name: got \"maml_trpo\", expected an algorithm (did you mean 'maml-trpo'?)",
      "env.family: got \"HalfCheetaDir\", expected a family (did you mean 'HalfCheetahDir'?)"]),
    ("env: {family: 3}\nalgorithm: promp",
     ["algorithm: got \"promp\", expected a section of `key: value` lines",
      'env.family: got "3", expected a family (choose from']),
    ("env: {family: HalfCheetahDir}\nalgorithm: {name: maml-trpo, clip_range: 1}",
     ["algorithm.clip_range: got 1, expected no such key (a setting of promp, rl2, rma, and algorithm.name is"]),
    ("env: {family: HalfCheetahVel, options: {max_velocty: 2}}\nalgorithm: {name: promp}",
     ["env.options.max_velocty: got 2, expected an option of HalfCheetahVel (did you mean 'max_velocity'?)"]),
    ("env: {family: HalfCheetahVel, options: {max_velocity: fast}}\nalgorithm: {name: promp}",
     ['env.options.max_velocity: got "fast", expected a valid number']),
    ("env: {family: HalfCheetahVel, options: {max_velocity: .nan}}\nalgorithm: {name: promp}",
     ["env.options.max_velocity: got NaN, expected a finite number"]),
    ("env: {family: HalfCheetahVel, options: {max_velocity: -3}}\nalgorithm: {name: promp}",
     ['env.options: got {"max_velocity": -3}: ']),
    ("env: {family: HalfCheetahDir, options: {variant: mal}}\nalgorithm: {name: promp}",
     ['env.options: got {"variant": "mal"}: HalfCheetahDir: unknown variant \'mal\' (did you mean \'maml\'?)']),
    ("env: {family: Navigation2D, options: {variant: gym}}\nalgorithm: {name: promp}",
     ['env.options.variant: got "gym", expected an option of Navigation2D (it has none)']),
    ("env: {family: HalfCheetahDir, options: [gym]}\nalgorithm: {name: promp}",
     ['env.options: got ["gym"], expected a section of `key: value` lines']),
]  # fmt: skip


@pytest.mark.parametrize(("text", "lines"), WITHOUT_BASE)
def test_faults_of_required_keys_families_and_algorithms(write, text, lines):
    found = faults(write(text))
    assert len(found) == len(lines)
    for got, want in zip(found, lines, strict=True):
        assert got.startswith("c.yaml: " + want)


NOT_YAML = [
    ("a: {", "c.yaml: line 1, column 5: not valid YAML: expected the node content, but found '<stream end>'"),
    ("a: 1\nb: ]", "c.yaml: line 2, column 4: not valid YAML: "),
    ("seed: 1\nseed: 2", 'c.yaml: line 2, column 1: not valid YAML: key "seed" stands twice'),
    ("seed: 1\n--- \nseed: 2", "c.yaml: line 2, column 1: not valid YAML: but found another document"),
    ("\x00", "c.yaml: not valid YAML: unacceptable character #x0000: special characters are not allowed"),
    (b"\xff\xfea", "c.yaml: got bytes at offset 0 that are not UTF-8, expected YAML"),
    ("seed: " + "9" * 5000, "c.yaml: not valid YAML: Exceeds the limit"),
    ("- 1", "c.yaml: got [1], expected `key: value` lines"),
    ("a: &x [1]\nb: *x", "c.yaml: line 1, column 4: not valid YAML: aliases (&name, *name) are not used here"),
    ("a: !!python/object/apply:os.system [x]", "c.yaml: line 1, column 4: not valid YAML: tags "
     "such as tag:yaml.org,2002:python/object/apply:os.system are not used here"),
    ("a: !!binary aGVsbG8=", "c.yaml: line 1, column 4: not valid YAML: tags such as tag:yaml.org,2002:bin"),
    ("a: " + "[" * 100_000, "c.yaml: line 1, column 19: not valid YAML: nested deeper than 16 levels"),
    ("a: " + "x" * 1_000_001, "c.yaml: has 1000004 bytes, expected at most 1000000"),
    ("? [1]\n: 2", "c.yaml: line 1, column 3: not valid YAML: a key must be a name"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line"), NOT_YAML, ids=range(len(NOT_YAML)))
def test_what_is_not_plain_yaml_is_said_with_its_place(write, text, line):
    found = faults(write(text))
    assert len(found) == 1
    assert found[0].startswith(line)
    assert len(found[0]) < 300


TRICKY = ["1e-3", "5.", "1_000", "yes", "~", "null", "2026-11-21", "0x10", "a: b", "", " a", "é\n", 1e-3, 5.0, 10**400]


@pytest.mark.parametrize("value", TRICKY)
def test_what_is_written_reads_back_the_same(value):
    text = write_yaml({"a": [value], "b": {"c": value}})
    assert parse_yaml(text) == {"a": [value], "b": {"c": value}}, text


OVERRIDES = [
    ("seed", 'command line: got "seed", expected key=value, such as inner.lr=0.05'),
    ("=3", 'command line: got "=3", expected key=value'),
    ("inner..lr=3", 'command line: got "inner..lr=3", expected key=value'),
    ("hidden[0]=3", 'command line: got "hidden[0]=3", expected key=value'),
    ("seed=[1", 'command line: seed: got "[1": line 1'),
    ("seed=${oc.env:HOME}", 'command line: seed: got "${oc.env:HOME}", expected an integer'),
    ("seed=", 'command line: seed: got null, expected an integer'),
    ("inner.lr=-1", "command line: inner.lr: got -1, expected greater than 0"),
    ("inner={lr: -1}", "command line: inner.lr: got -1, expected greater than 0"),
    ("env.family.name=x", 'command line: env.family: got {"name": "x"}, expected a valid string'),
    ("env.family=HalfCheetah", "command line: env.family: got \"HalfCheetah\", expected a family (did you mean"),
]  # fmt: skip


@pytest.mark.parametrize(("override", "line"), OVERRIDES)
def test_faults_of_an_override_name_the_command_line(write, override, line):
    found = faults(write(BASE), override)
    assert len(found) == 1
    assert found[0].startswith(line)


def test_a_key_given_twice_is_a_fault(write):
    assert faults(write(BASE), "seed=1", "seed=2") == ["command line: seed: given twice, expected one value"]


def test_all_faults_come_in_one_go(write):
    found = faults(
        write("env: {family: Nav, horizon: 0}\nalgorithm: {name: promp, clp: 1}\nseed: x\n"), "epochs", "inner.lr=0"
    )
    assert [line.split(": got")[0] for line in found] == [
        "command line", "c.yaml: env.horizon", "command line: inner.lr", "c.yaml: algorithm.clp", "c.yaml: seed",
        "c.yaml: env.family",
    ]  # fmt: skip


def test_long_and_unprintable_values_are_cut_and_escaped(write):
    (line,) = faults(write(BASE + json.dumps({"seed": "\x1b[31m" + "x" * 1000})[1:-1]))
    assert "\x1b" not in line and len(line) < 150
    (line,) = faults(write(BASE + '"\\e[31mred\\nx": 1'))
    assert "\x1b" not in line and line.startswith('c.yaml: "\\u001b[31mred\\nx": got 1, expected no such key')


def test_a_missing_config_names_the_nearest_one():
    (line,) = faults("half_cheetah_dir/promb")
    assert line == (
        'config "half_cheetah_dir/promb": neither a file nor a shipped config '
        "(did you mean 'half_cheetah_dir/promp'?)"
    )
    assert faults("x" * 5000)[0].startswith('config "xxx')
    assert faults("a\0b")[0].startswith('config "a\\u0000b"')


def test_a_file_stands_over_a_shipped_config_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = find_config("demo")
    assert find_config("configs/demo.yaml") == shipped == find_config("demo.yaml")
    Path("demo").write_text(BASE)
    assert find_config("demo") == Path("demo")


@pytest.mark.slow
@pytest.mark.parametrize("name", config_names())
def test_shipped_configs_load_and_hold_only_what_differs(name):
    config = load_config(name)
    text = find_config(name).read_text()
    assert text.startswith("# "), "`metarl list configs` shows the first line"

    def check(section, data):
        for key, value in data.items():
            field = type(section).model_fields[key]
            if isinstance(value, dict) and key not in ("options", "settings"):
                check(getattr(section, key), value)
            elif not field.is_required() and key != "name":
                assert getattr(section, key) != field.default, f"{key} is the default"

    data = yaml.safe_load(text)
    data["env"].pop("robot", None)  # short for a family and an option of it
    check(config, data)


@pytest.mark.slow
@pytest.mark.parametrize("name", config_names())
def test_a_config_written_as_yaml_reads_back_equal(name, tmp_path):
    given = ["env.action_scale=0.1234567890123456789", "seed=9223372036854775807", "wandb.tags=[é, '1']"]
    config = load_config(name, given)
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(config))
    assert load_config(path) == config


def test_every_setting_is_documented_and_its_default_is_shown():
    rows = list(config_settings())
    assert all(len(row) == 4 and row[3].endswith(".") for row in rows)
    table = {(key, text.partition(")")[0]): (kind, default) for key, kind, default, text in rows}
    assert table["algorithm.clip_range", "(promp"] == ("number > 0, <= 100", "0.3")
    assert table["algorithm.cg_iterations", "(maml-trpo"] == ("integer >= 1, <= 1000", "10")
    by_key = {key: (kind, default) for key, kind, default, _ in rows}
    assert by_key["env.family"] == ("text", "required")
    assert by_key["env.horizon"] == ("integer >= 1, <= 1000000 | null", "null")
    assert by_key["policy.hidden"] == ("list of integer >= 1, <= 16384", "[64, 64]")
    assert by_key["policy.activation"] == ("tanh | relu", "tanh")
    assert by_key["inner.learn_lr"] == ("true | false", "false")


def test_settings_and_what_tuning_searches_are_those_on_record():
    record = yaml.safe_load((Path(__file__).parent / "settings.yaml").read_text())
    today = [[key, text.partition(")")[0].lstrip("("), kind, default] for key, kind, default, text in config_settings()]
    assert [row for row in record["settings"] if row not in today] == []
    for name, searched in record["searched"].items():
        algorithm = ALGORITHMS.load(name)()
        config = Config(env=EnvConfig(family="Navigation2D"), algorithm=algorithm)
        assert algorithm.search_space(config) == searched


@pytest.mark.parametrize("name", ["rl2", "rma", "recurrent-sac", "pearl"])
def test_a_memory_adapts_between_the_episodes_of_a_trial(name):
    algorithm = {"name": name, "trial_episodes": 3}
    config = Config.model_validate({"env": {"family": "Navigation2D"}, "algorithm": algorithm})
    assert (config.rounds, config.adaptation_steps) == (3, 2)


def test_a_config_is_frozen():
    config = load_config("demo")
    with pytest.raises(ValidationError):
        config.seed = 3
    with pytest.raises(ValidationError):
        Config(env=EnvConfig(family="HalfCheetahDir"), algorithm=ProMPConfig(), seeds=3)


def test_nearest():
    assert nearest("halfcheetahdir", ["Navigation2D", "HalfCheetahDir"]) == " (did you mean 'HalfCheetahDir'?)"
    assert nearest("xyz", ["a", "b"]) == " (choose from 'a', 'b')"
    assert nearest("xyz", []) == "" == close("xyz", ["a"])


KEYS = ["env", "family", "horizon", "options", "variant", "algorithm", "name", "inner", "lr", "steps", "policy",
        "hidden", "seed", "wandb", "tags", "evaluation", "split", "episodes", "max_velocity", "nmae"]  # fmt: skip
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
    st.sampled_from(["promp", "maml-trpo", "HalfCheetahVel", "HalfCheetahDir", "maml", "???", "${x}", "", "~", 10**400,
                     -0.0, "1e3", math.inf]),
)  # fmt: skip
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | LEAVES, inner, max_size=3),
    max_leaves=6,
)


YAML_SIGNS = [b"*", b"&a", b"!!", b": ", b"\n- ", b"${", b"'", b"{", b"|", b"%"]


def load_or_faults(path, overrides=()):
    """A config that can be written and read, or lines that can be printed; anything else is raised."""
    try:
        config = load_config(path, overrides)
    except UserError as error:
        lines = str(error).splitlines()
        assert lines and all(line.isprintable() and len(line) < 700 for line in lines)
    else:
        assert isinstance(config, Config)


@pytest.mark.slow
@settings(max_examples=400)
@given(data=st.data())
def test_mutated_configs_never_end_in_a_traceback(data, tmp_path_factory):
    """Values and keys of a real config replaced, added or taken away at any depth."""
    tree = yaml.safe_load(to_yaml(load_config(data.draw(st.sampled_from(["demo", "navigation/maml"])))))
    for _ in range(data.draw(st.integers(1, 3))):
        node = tree
        while True:
            key = data.draw(st.sampled_from(sorted(node, key=str)))
            if not (isinstance(node[key], dict) and node[key] and data.draw(st.booleans())):
                break
            node = node[key]
        action = data.draw(st.sampled_from(["replace", "add", "remove"]))
        if action == "remove" and len(node) > 1:
            del node[key]
        else:
            node[key if action == "replace" else data.draw(st.sampled_from(KEYS))] = data.draw(VALUES)
    path = tmp_path_factory.mktemp("mutated") / "c.yaml"
    path.write_text(yaml.safe_dump(tree, allow_unicode=data.draw(st.booleans())), encoding="utf-8")
    load_or_faults(path)


@pytest.mark.slow
@settings(max_examples=300)
@given(data=st.data())
def test_mutated_bytes_never_end_in_a_traceback(data, tmp_path_factory):
    """Bytes of a real config changed, doubled or cut."""
    text = bytearray(to_yaml(load_config("demo")).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text) - 1))
        end = data.draw(st.integers(start, min(len(text), start + 20)))
        text[start:end] = data.draw(st.binary(max_size=4) | st.sampled_from(YAML_SIGNS))
        text = text or bytearray(b"a")
    path = tmp_path_factory.mktemp("bytes") / "c.yaml"
    path.write_bytes(bytes(text))
    load_or_faults(path)


@pytest.mark.slow
@settings(max_examples=300)
@given(key=st.lists(st.sampled_from(KEYS) | st.text(max_size=3), max_size=3).map(".".join),
       value=st.text(max_size=12) | VALUES.map(json.dumps))  # fmt: skip
def test_mutated_overrides_never_end_in_a_traceback(key, value):
    load_or_faults("half_cheetah_vel/promp", [f"{key}={value}"])


def test_a_config_with_other_values():
    config = load_config("half_cheetah_mass/reptile_ppo")
    other = changed(config, {"inner.steps": 1, "inner.sb3.settings.learning_rate": 0.01, "evaluation.tasks": 5})
    assert other == load_config(
        "half_cheetah_mass/reptile_ppo",
        ["inner.steps=1", "inner.sb3.settings.learning_rate=0.01", "evaluation.tasks=5"],
    )
    assert config == load_config("half_cheetah_mass/reptile_ppo")
    # a mapping takes the place of the section: nothing of PPO's settings is left
    other = changed(config, {"inner.sb3": {"algorithm": "SAC", "settings": {}}, "inner.sb3.settings.tau": 0.01})
    assert other.inner.sb3.model_dump() == {"algorithm": "SAC", "settings": {"tau": 0.01}, "processes": 0}
    made_in_python = Config(env=EnvConfig(family="Navigation2D"), algorithm=ProMPConfig())
    assert changed(made_in_python, {"algorithm.lr": 0.5}).algorithm == ProMPConfig(lr=0.5)


def test_other_values_are_checked_as_a_file_is():
    config = load_config("half_cheetah_mass/reptile_ppo")
    with pytest.raises(UserError, match=r"^inner.stps: got 3, expected no such key \(did you mean 'inner.steps'\?\)$"):
        changed(config, {"inner.stps": 3})
    with pytest.raises(UserError, match="^inner.sb3: got 'n_epoch', expected a setting of PPO"):
        changed(config, {"inner.sb3.settings.n_epoch": 3})


@pytest.mark.parametrize("name", ["demo", "half_cheetah_mass/reptile_ppo", "half_cheetah_mass/random", "go1/promp"])
def test_the_short_form_reads_back(name, tmp_path):
    config = load_config(name)
    (tmp_path / "short.yaml").write_text(to_short_yaml(config))
    assert load_config(tmp_path / "short.yaml") == config
    assert len(to_short_yaml(config)) < len(to_yaml(config)) / 2


@pytest.mark.parametrize("text", ["007", "12345e6", "12:30:45", "1.10", "yes", "0x1F", "2026-11-26"])
def test_text_stays_as_it_is_written(tmp_path, text):
    on_the_line = load_config("demo", [f"wandb.name={text}", f"wandb.tags=[{text}, a]", "wandb.entity=null"]).wandb
    assert (on_the_line.name, on_the_line.tags, on_the_line.entity) == (text, (text, "a"), None)
    file = tmp_path / "c.yaml"
    file.write_text(to_yaml(load_config("demo")).partition("wandb:")[0] + f"wandb: {{name: {text}, tags: [{text}]}}\n")
    in_a_file = load_config(file).wandb
    assert (in_a_file.name, in_a_file.tags) == (text, (text,))
    file.write_text(to_yaml(load_config(file)))
    assert load_config(file).wandb == in_a_file
