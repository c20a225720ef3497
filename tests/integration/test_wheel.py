"""What is released, at work as others get it: sdist and wheel, and the wheel in a fresh environment outside the checkout.

Nothing is downloaded: the fresh environment holds the wheel alone, and sees the libraries of the one that runs the tests.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import urllib.request
import venv
import zipfile
from pathlib import Path, PurePosixPath

import pytest

import plainfilm

pytestmark = [pytest.mark.slow, pytest.mark.campaign]  # .ci/run asks for this file by name

ROOT = Path(__file__).parents[2]
NAME = f"plainfilm-{plainfilm.__version__}"
SCRIPTS = "Scripts" if os.name == "nt" else "bin"
MOST_BYTES = 8_000_000  # of the sdist; 1.6 MB without the artefacts of the tests


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    """The files of the checkout that git knows."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S607
    return sorted(name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file())


def build(source: Path, out: Path, *what: str) -> None:
    """`python -m build` with the build backend that is installed here."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", out, *what, source]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def dist(tracked: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """sdist and wheel as they are released, the wheel out of the sdist; images and a run lie in the checkout."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    strays = ("chest_xray/NORMAL/person1.jpeg", "patients.csv", "runs/a/table.csv", "site/index.html")
    for name in tracked:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)
    for name in strays:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("not ours to give away")
    build(source, out)
    build(source, out / "straight", "--wheel")
    return out


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (found,) = dist.glob("*.whl")
    return found


def test_the_sdist_holds_the_tracked_files_and_nothing_else(dist: Path, tracked: list[str]) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        held = {name.removeprefix(f"{NAME}/") for name in archive.getnames()}
    assert sdist.name == f"{NAME}.tar.gz"
    assert held == {*tracked, "PKG-INFO"}  # a new file at the top: name it in pyproject.toml, targets.sdist
    assert sdist.stat().st_size < MOST_BYTES


def test_the_wheel_out_of_the_sdist_is_the_wheel_of_the_checkout(dist: Path, wheel: Path) -> None:
    straight = contents(dist / "straight" / wheel.name)
    assert contents(wheel) == straight and len(straight) > 150


def test_the_wheel_holds_the_package_whole_and_nothing_else(wheel: Path, tracked: list[str]) -> None:
    held = contents(wheel)
    package = {name.removeprefix("src/") for name in tracked if name.startswith("src/")}
    suffixes = {PurePosixPath(name).suffix for name in package}
    assert suffixes >= {".py", ".j2", ".css", ".js", ".svg", ".png", ".typed"}
    rest = held.keys() - package
    (shipped,) = (name for name in rest if name.endswith("/phantom.yaml"))
    assert held.keys() >= package and "plainfilm/py.typed" in held
    assert all(name == shipped or name.startswith(f"{NAME}.dist-info/") for name in rest)
    assert held[shipped] == (ROOT / "experiments" / "phantom.yaml").read_bytes()
    assert held[f"{NAME}.dist-info/licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()


class Fresh:
    """An environment with the wheel installed, and an empty folder to work in."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        venv.create(folder / "venv", with_pip=True)
        self.scripts, self.here = folder / "venv" / SCRIPTS, folder / "here"
        self.here.mkdir()
        own = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
        self.env = {name: value for name, value in os.environ.items() if name not in own}
        self.env |= {"PLAINFILM_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "80"}
        self.run("python", "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", wheel)
        self.packages = Path(self.run("python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
        # its own packages come first; a path in a .pth file reads no further .pth file, so that an editable
        # plainfilm of the other environment stays unseen
        seen = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
        (self.packages / "libraries.pth").write_text("".join(f"{path}\n" for path in seen), encoding="utf-8")

    def run(self, program: str, *words: str | Path) -> str:
        """What a program of the environment prints on stdout; it must succeed."""
        command = [self.scripts / program, *words]
        done = subprocess.run(command, cwd=self.here, env=self.env, capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, done.stdout + done.stderr
        self.told = done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Fresh:
    return Fresh(tmp_path_factory.mktemp("fresh"), wheel)


@pytest.fixture(scope="module")
def run(fresh: Fresh) -> Path:
    """A training without DATA: drawn phantoms, found and drawn by what the wheel holds."""
    fresh.run("plainfilm", "train", "--epochs", "1", "--size", "48", "--device", "cpu", "--out", "run")
    assert "No DATA given" in fresh.told
    return fresh.here / "run"


def test_the_fresh_environment_runs_the_wheel(fresh: Fresh) -> None:
    code = "import json, sys, plainfilm, torch\nprint(json.dumps([plainfilm.__file__, torch.__file__, sys.path]))"
    ours, theirs, path = json.loads(fresh.run("python", "-c", code))
    assert Path(ours) == fresh.packages / "plainfilm" / "__init__.py"
    assert not Path(theirs).is_relative_to(fresh.packages)
    assert not any(Path(entry).is_relative_to(ROOT / "src") for entry in path if entry)
    assert fresh.run("plainfilm", "--version") == f"plainfilm {plainfilm.__version__}\n"
    assert fresh.run("python", "-m", "plainfilm", "--version") == f"plainfilm {plainfilm.__version__}\n"


def test_its_requirements_are_met_by_the_locked_libraries(fresh: Fresh) -> None:
    command = [fresh.scripts / "python", "-m", "pip", "check", "--disable-pip-version-check"]
    done = subprocess.run(command, cwd=fresh.here, env=fresh.env, capture_output=True, text=True, timeout=120)
    assert [line for line in done.stdout.splitlines() if line.startswith(f"{NAME.replace('-', ' ')} ")] == []


def test_train_without_data_takes_the_shipped_experiment(fresh: Fresh, run: Path) -> None:
    from plainfilm.config import experiment_file, load_config

    resolved, shipped = load_config(run / "config.yaml"), load_config(experiment_file("phantom.yaml"))
    assert resolved.data.phantom == shipped.data.phantom and shipped.data.phantom.images == 1200
    assert (resolved.train.epochs, resolved.train.size_px) == (1, 48)
    assert resolved.train.batch_size == shipped.train.batch_size == 32  # 64 by default
    assert json.loads((run / "status.json").read_text())["status"] == "done"
    assert sorted(path.name for path in fresh.here.iterdir()) == ["run"]


def test_reports_and_audit_pages_find_their_templates(fresh: Fresh, run: Path) -> None:
    fresh.run("plainfilm", "evaluate", "run", "-q")
    fresh.run("plainfilm", "report", "run", "-q")
    page = (run / "report.html").read_text(encoding="utf-8")
    assert page.rstrip().endswith("</html>") and "Research use only" in page
    fresh.run("plainfilm", "phantom", "small", "--images", "60", "--size", "48", "-q")
    fresh.run("plainfilm", "audit", "small", "--out", "audit", "-q")
    (page,) = (path.read_text(encoding="utf-8") for path in (fresh.here / "audit").rglob("*.html"))
    assert page.rstrip().endswith("</html>")


def test_a_bundle_is_exported_predicts_and_is_served_with_its_static_files(fresh: Fresh, run: Path) -> None:
    fresh.run("plainfilm", "export", "run", "--out", "bundle", "-q")
    fresh.run("plainfilm", "phantom", "films", "--images", "12", "--size", "48", "-q")
    assert fresh.run("plainfilm", "predict", "bundle", "films", "-q").count("\n") == 13
    command = [fresh.scripts / "plainfilm", "serve", "bundle", "--port", "0"]
    with subprocess.Popen(
        command, cwd=fresh.here, env=fresh.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout and server.stderr
            address = server.stdout.readline().strip()
            assert address, server.stderr.read()
            page = got(address)
            linked = set(re.findall(r'(?:href|src)="([^"#:]+)"', page.decode()))
            assert {"card", "static/serve.css", "static/serve.js", "static/icon.svg", "examples/0.png"} <= linked
            assert all(len(got(f"{address.rstrip('/')}/{one}")) > 100 for one in linked)
            server.send_signal(signal.SIGINT)
            assert server.wait(20) == 0
        finally:
            server.kill()  # nothing where it has ended


def got(address: str) -> bytes:
    """The body of an answer of our own server."""
    with urllib.request.urlopen(address, timeout=30) as answer:  # noqa: S310 - an address that serve printed
        body: bytes = answer.read()
    return body
