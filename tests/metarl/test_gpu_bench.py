"""`make gpu-bench` measures everything; here on Warp's CPU device, a moment each."""

import json
import subprocess
import sys

import pytest

from metarl.envs.warp import GPU

pytestmark = [
    pytest.mark.slow, pytest.mark.timeout(900),
    pytest.mark.skipif(not GPU.installed(), reason=f"needs the extra gpu: {GPU.command}"),
]  # fmt: skip
SMALL = ["meta_batch=2", "episodes=2", "env.horizon=4"]


def positive(numbers):
    return all(value > 0 for name, value in numbers.items() if name not in ("price_of_determinism", "device"))


@pytest.mark.whole
def test_everything_is_measured_as_json(tmp_path):
    file = tmp_path / "gpu.json"
    settings = [word for setting in SMALL for word in ("--set", setting)]
    command = [sys.executable, "-m", "metarl.bench.gpu", "--device", "cpu", "--worlds", "2,3", "--seconds", "0.01"]
    subprocess.run([*command, *settings, "--json", str(file)], check=True)
    result = json.loads(file.read_text())
    assert result["machine"]["device"] == "cpu" and result["machine"]["card"] is None
    assert result["machine"]["versions"]["mujoco-warp"].startswith("4.")
    assert set(result["families"]) == {"HalfCheetahDir", "Go1Velocity"}
    for speeds in result["families"].values():
        assert [speed["worlds"] for speed in speeds] == [2, 3] and all(map(positive, speeds))
    for key in ("trained", "trained_in_numpy"):
        assert set(result[key]) == {"half_cheetah_dir/promp", "half_cheetah_dir/maml", "go1/rl2"}
        assert all(map(positive, result[key].values()))


def test_a_family_is_measured_in_both_loops_and_trained():
    from metarl.bench.gpu import loops, per_second, trained
    from metarl.envs.warp import Warp

    for loop in loops("HalfCheetahDir", 3, Warp("cpu")):
        assert per_second(loop, "cpu", 0.01) > 1
    for on_device in (True, False):
        found = trained("navigation/promp", "cpu", 0.01, SMALL, on_device)
        assert found["worlds"] == 4 and found["collected"] > found["steps"] > 0 and positive(found)


def test_what_cannot_be_measured_is_a_line_and_the_others_are(monkeypatch, capsys):
    from metarl.bench import gpu

    def broken(*_):
        raise RuntimeError("out of memory\nand more")

    monkeypatch.setattr(gpu, "CONFIGS", ("navigation/promp", "nowhere"))
    monkeypatch.setattr(gpu, "loops", broken)
    result = gpu.run("cpu", [2], 0.01, SMALL)
    assert result["families"]["Go1Velocity"][0]["physics"] == {"failed": "RuntimeError: out of memory"}
    assert result["families"]["Go1Velocity"][0]["price_of_determinism"] is None
    assert positive(result["trained"]["navigation/promp"]) and "nowhere" in result["trained"]["nowhere"]["failed"]
    said = capsys.readouterr().err.splitlines()
    assert "gpu-bench: closed_loop HalfCheetahDir 2 failed: RuntimeError: out of memory" in said
    assert len(said) == 2 * 5 + 2


def test_without_a_gpu_it_says_so():
    import warp

    if warp.is_cuda_available():
        pytest.skip("there is a GPU")
    ended = subprocess.run([sys.executable, "-m", "metarl.bench.gpu"], capture_output=True, text=True)
    assert ended.returncode == 1 and ended.stdout == ""
    assert ended.stderr.splitlines()[-1].startswith("gpu-bench: env.warp.device: got cuda, expected cpu: Warp finds no")
