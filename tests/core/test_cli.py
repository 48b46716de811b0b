"""The commands run, check, plan and graph: exit codes, what they print, and never a traceback for a user's mistake."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Command
from PIL import Image as Pillow

from pipeline_core.devices import choose

TEXT = """\
pipeline: 1
params: {light: {type: float, default: 0.5, maximum: 1}}
nodes:
  a: {op: constant, params: {width: 8, height: 4, color: ["${light}", 0, 0]}}
  b: {op: flip, inputs: {image: a}}
outputs:
  card: {from: b, path: "out/card.png"}
  spare: {from: a}
"""
PLUGIN = '''
import os, time
import numpy as np
from pipeline_core import Image, hookimpl, progress
def picture(): return Image(np.zeros((1, 1, 1, 3), np.float32))
def sleeps() -> Image:
    """Sleeps."""
    time.sleep(600)
    return picture()
def reports() -> Image:
    """Reports."""
    while True:
        progress(1, 2); time.sleep(0.02)
def fails() -> Image:
    """Fails."""
    raise ValueError("on purpose")
def fine() -> Image:
    """Fine."""
    return picture()
@hookimpl
def operations(): return [sleeps, reports, fails, fine]
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "x.yaml").write_text(TEXT)
    return tmp_path


@pytest.fixture(scope="module")
def troubles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    site = tmp_path_factory.mktemp("site")
    (site / "troubles.py").write_text(PLUGIN)
    info = site / "troubles-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: troubles\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[pipeline_core]\ntroubles = troubles\n")
    return {"PYTHONPATH": str(site)}


def test_run_saves_and_ends_with_a_table(folder: Path, command: Command) -> None:
    done = command("run", "x.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "out/card.png").is_file()
    assert "card" in done.stdout
    assert str(Path("out/card.png")) in done.stdout


def test_options_of_run(folder: Path, command: Command) -> None:
    (folder / "here").mkdir()
    done = command(
        "run", "../x.yaml", "-p", "light=0.25", "-o", "card=mine.png", "--only", "card", "-q", cwd=folder / "here"
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert (folder / "here/mine.png").is_file()
    assert not (folder / "out").exists()


def test_json_lines(folder: Path, command: Command) -> None:
    done = command("run", "x.yaml", "--json", cwd=folder)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[0]["event"] == "RunStarted"
    assert events[-1]["event"] == "Outputs"
    assert Path(events[-1]["outputs"]["card"]).is_file()


MISTAKES = {
    "no such file": (["check", "nothing.yaml"], "nothing.yaml: file not found"),
    "a folder": (["check", "."], ".: can't be read: Is a directory"),
    "unknown command": (["chek", "x.yaml"], "no command 'chek'. Did you mean 'check'?"),
    "no file": (["run"], "Missing argument 'FILE'"),
    "param without value": (["run", "x.yaml", "-p", "light"], "'light' is not -p NAME=VALUE"),
    "unknown param": (["run", "x.yaml", "-p", "ligth=1"], "the pipeline has no param 'ligth'. Did you mean 'light'?"),
    "bad value": (["run", "x.yaml", "-p", "light=x"], "param 'light': must be a number"),
    "above": (["check", "x.yaml", "-p", "light=2"], "param 'light': must be at most 1 (got 2)"),
    "unknown output": (["run", "x.yaml", "--only", "crad"], "no output 'crad'. Did you mean 'card'?"),
    "path of an unknown output": (["run", "x.yaml", "-o", "crad=x.png"], "no output 'crad'. Did you mean 'card'?"),
    "device": (["run", "x.yaml", "--device", "tpu"], "no device 'tpu' on this machine; it has cpu"),
    "jobs": (["run", "x.yaml", "--jobs", "0"], "0 is not in the range"),
    "suffix of a drawing": (["graph", "x.yaml", "-o", "x.gif"], "must end in .svg, .png, .mmd or .dot"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_a_message_and_exit_code_two(case: str, folder: Path, command: Command) -> None:
    words, wanted = MISTAKES[case]
    done = command(*words, cwd=folder)
    assert done.returncode == 2, done.stderr
    assert wanted in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["x.yaml"]


@pytest.mark.parametrize("kept", [20, 60])
def test_a_file_that_is_cut_off_is_one_line_and_exit_code_one(kept: int, tmp_path: Path, command: Command) -> None:
    """Whether its head says so, before anything runs, or only its pixels."""
    Pillow.effect_noise((64, 64), 90).save(tmp_path / "photo.png")
    content = (tmp_path / "photo.png").read_bytes()
    (tmp_path / "photo.png").write_bytes(content[:kept])
    (tmp_path / "x.yaml").write_text(
        "pipeline: 1\nnodes:\n  photo: {op: load_image, params: {path: photo.png}}\n"
        "  turned: {op: flip, inputs: {image: photo}}\noutputs:\n  card: {from: turned, path: card.png}\n"
    )
    done = command("run", "x.yaml", cwd=tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("x.yaml:3:")
    assert "node 'photo'" in line
    assert str(tmp_path / "photo.png") in line


def test_check_says_good_and_warns(folder: Path, command: Command) -> None:
    (folder / "x.yaml").write_text(TEXT.replace("outputs:", "  idle: {op: flip, inputs: {image: a}}\noutputs:"))
    done = command("check", "x.yaml", cwd=folder)
    assert done.returncode == 0
    assert "x.yaml:6:3: warning: node 'idle' is not used by any output" in done.stderr


def test_plan_shows_keys_and_writes_nothing(folder: Path, command: Command) -> None:
    done = command("plan", "x.yaml", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    steps = json.loads(done.stdout)["steps"]
    assert [step["node"] for step in steps] == ["a", "b", "card.png"]
    assert len({step["key"] for step in steps}) == 3
    assert steps[1]["gives"][0].startswith("8x4 RGB float32")
    assert sorted(path.name for path in folder.iterdir()) == ["x.yaml"]


@pytest.mark.parametrize("suffix", ["svg", "png", "mmd", "dot"])
def test_graph_draws(suffix: str, folder: Path, command: Command) -> None:
    done = command("graph", "x.yaml", "-o", f"x.{suffix}", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / f"x.{suffix}").stat().st_size > 100


def test_a_failed_run_is_exit_code_one_and_one_line(folder: Path, command: Command, troubles: dict[str, str]) -> None:
    (folder / "y.yaml").write_text(
        "pipeline: 1\nnodes: {bad: {op: fails}, good: {op: fine}}\noutputs: {b: {from: bad, path: b.png}, g: {from: good, path: g.png}}\n"
    )
    done = command("run", "y.yaml", "--keep-going", "-q", cwd=folder, **troubles)
    assert done.returncode == 1
    assert done.stderr.strip() == "y.yaml:2:9: node 'bad': operation 'fails' (plugin 'troubles') failed: on purpose"
    assert (folder / "g.png").is_file()
    assert not (folder / "b.png").exists()
    told = command("run", "y.yaml", "--traceback", cwd=folder, **troubles).stderr
    assert "Traceback" in told
    assert "troubles.py" in told


@pytest.mark.parametrize("operation", ["sleeps", "reports"])
def test_ctrl_c_is_exit_code_130_within_a_second(operation: str, folder: Path, troubles: dict[str, str]) -> None:
    (folder / "y.yaml").write_text(
        f"pipeline: 1\nnodes: {{n: {{op: {operation}}}}}\noutputs: {{o: {{from: n, path: o.png}}}}\n"
    )
    program = str(Path(sys.executable).with_name("pipeline"))
    run = subprocess.Popen([program, "run", "y.yaml", "--json"], cwd=folder, env={**os.environ, **troubles}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
    try:
        assert run.stdout is not None
        while '"Started"' not in run.stdout.readline():
            assert run.poll() is None
        sent = time.monotonic()
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=10)
        assert time.monotonic() - sent < 1.5
        assert run.returncode == 130
        assert "interrupted" in errors
        assert "Traceback" not in errors
    finally:
        run.kill()
        run.wait()
    assert not (folder / "o.png").exists()


def test_whoever_stops_reading_gets_no_complaint(folder: Path) -> None:
    program = str(Path(sys.executable).with_name("pipeline"))
    done = subprocess.run(
        f"'{program}' graph x.yaml | head -n 1", shell=True, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""


@pytest.mark.parametrize("suffix", ["png", "tif", "exr", "avif", "jxl"])
def test_a_library_that_leaves_has_nothing_to_say(tmp_path: Path, command: Command, suffix: str) -> None:
    (tmp_path / "x.yaml").write_text(
        f"""\
pipeline: 1
nodes:
  a: {{op: gradient, params: {{width: 64, height: 48, end: white}}}}
outputs:
  o: {{from: a, path: o.{suffix}}}
"""
    )
    done = command("run", "x.yaml", "--no-cache", "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_process_ends_with_its_exit_code_when_all_is_said(folder: Path) -> None:
    """It does not wait to be taken apart; but what is printed comes out, and what was to be done at the end is done."""
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: print('at the end'))\n"
        "sys.argv = ['pipeline', *sys.argv[1:]]\n"
        "from pipeline_core.cli import program\n"
        "program()\n"
    )
    for file, left, said in (("x.yaml", 0, "good"), ("none.yaml", 2, "")):
        done = subprocess.run(
            [sys.executable, "-c", code, "check", file], check=False, cwd=folder, capture_output=True, text=True
        )
        assert done.returncode == left, done.stderr
        assert said in done.stdout
        assert done.stdout.endswith("at the end\n")


def test_a_run_imports_the_formats_that_it_uses(tmp_path: Path) -> None:
    """Nor networkx, where nothing goes in a loop, and OpenCV, where nobody asks it: they take longer than many pipelines."""
    (tmp_path / "x.yaml").write_text(
        "pipeline: 1\nnodes:\n  a: {op: constant, params: {width: 4, height: 4, color: red}}\n"
        "  b: {op: merge, inputs: {base: a, top: a}}\n  c: {op: rotate, inputs: {image: b}, params: {angle: 10}}\n"
        "  d: {op: unsharp_mask, inputs: {image: c}}\noutputs: {o: {from: d, path: o.png}}\n"
    )
    code = (
        "import sys\n"
        "sys.argv = ['pipeline', 'run', 'x.yaml', '--no-cache', '-q']\n"
        "from pipeline_core.cli import main\n"
        "try:\n    main()\nexcept SystemExit as done:\n    assert not done.code\n"
        "formats = {f'pipeline_io.{name}' for name in ('png', 'tiff', 'avif', 'psd', 'dds', 'exr', 'apart')}\n"
        "libraries = {'networkx', 'simplejpeg', 'OpenImageIO', 'cv2', 'torch'}\n"
        "print(sorted({*libraries, *formats} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "['pipeline_io.png']\n"


@pytest.mark.skipif(choose("auto") != "cpu", reason="this machine has an accelerator, which only torch can use")
def test_a_classical_pipeline_runs_without_torch(tmp_path: Path) -> None:
    """Loading it takes longer than most pipelines."""
    (tmp_path / "x.yaml").write_text(
        """\
pipeline: 1
nodes:
  a: {op: gradient, params: {width: 64, height: 48, end: white}}
  b: {op: checkerboard, params: {width: 64, height: 48}}
  c: {op: merge, inputs: {base: a, top: b}, params: {operation: multiply}}
  d: {op: resize, inputs: {image: c}, params: {width: 40, filter: lanczos3}}
  e: {op: rotate, inputs: {image: d}, params: {angle: 10}}
  f: {op: crop, inputs: {image: e}, params: {x: 2, y: 2, width: 30, height: 20}}
  g: {op: unsharp_mask, inputs: {image: f}}
  h: {op: exposure, inputs: {image: g}, params: {stops: 0.5}}
  i: {op: text, inputs: {image: h}, params: {text: hi, x: 2, y: 2, size: 10}}
outputs:
  card: {from: i, path: card.png}
"""
    )
    code = (
        "import sys\n"
        "sys.argv = ['pipeline', 'run', 'x.yaml', '--no-cache', '-q']\n"
        "from pipeline_core.cli import main\n"
        "try:\n    main()\nexcept SystemExit as done:\n    assert not done.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "card.png").is_file()
