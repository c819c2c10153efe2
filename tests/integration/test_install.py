"""The installer, below a folder of its own: real slots, links, settings and signals; venv, pip and systemd stand in.

What needs root, packages and a network (``make install`` itself) is tried by hand on a bare Debian; docs/install.md.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from kiosk.clock import SystemClock
from kiosk.journal import Journal
from kiosk.screens.guards import read_guards
from tests.conftest import ROOT

PYTHON3 = """\
#!/bin/bash
# Stands in for python3: `-m venv FOLDER` makes a folder whose python is SLOT_PYTHON; the rest is the real one.
if [ "$1 $2" = "-m venv" ]; then
  mkdir -p "${@: -1}/bin"
  cp "$SLOT_PYTHON" "${@: -1}/bin/python"
  cp "$SLOT_PYTHON" "${@: -1}/bin/gatepost"
  exit 0
fi
exec REAL "$@"
"""

SLOT_PYTHON_REAL = """\
#!/bin/bash
[ "$1 $2" = "-m pip" ] && exit 0
[ "$(basename "$0")" = gatepost ] && exec REAL -m kiosk.cli "$@"
exec REAL "$@"
"""

# What a slot says is in its version: `cannot` refuses its check, `mute` never answers, `nospace` is not built.
SLOT_PYTHON_QUICK = """\
#!/bin/bash
case "$0 $*" in
  *nospace*pip*) echo "No space left on device" >&2; exit 1 ;;
  *slow*-m\\ pip*) touch "$STATE/building"; sleep 60 ;;
  *cannot*check-gate*) echo "check-gate: cannot" >&2; exit 1 ;;
  *mute*answers-gate*) exit 1 ;;
  *page*) echo http://127.0.0.1:8470/lane/north-in ;;
esac
"""

# `dead` in the slot's name is a gate that does not start; `hung` one that takes for ever.
SYSTEMCTL = """\
#!/bin/bash
echo "$(basename "$(readlink "$DESTDIR/opt/gatepost/current")") $*" >>"$STATE/calls"
case "$(readlink "$DESTDIR/opt/gatepost/current") $*" in
  *dead*"restart gatepost.service") exit 1 ;;
  *hung*"restart gatepost.service") touch "$STATE/hanging"; sleep 60 ;;
  *"show "*) echo 4711 ;;
esac
"""


@dataclass
class Machine:
    """A root folder with systemd "running", a checkout, and what stands in for the system's programs."""

    root: Path
    checkout: Path
    programs: Path
    state: Path

    def environ(self) -> dict[str, str]:
        return {
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "DESTDIR": str(self.root),
            "STATE": str(self.state),
            "SLOT_PYTHON": str(self.state / "slot-python"),
            "PYTHONPATH": str(ROOT),
            "READY_WITHIN_S": "2",
            "SETTLE_S": "0",
        }

    def version(self, version: str) -> None:
        """The checkout becomes another version."""
        project = self.checkout / "pyproject.toml"
        project.write_text(re.sub(r'(?m)^version = ".*"$', f'version = "{version}"', project.read_text()))

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.checkout / "systemd/install", *words],
            env=self.environ(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *words: str) -> tuple[int, str]:
        with self.start(*words) as process:
            said, _ = process.communicate(timeout=60)
        return process.returncode, said

    def install(self, version: str, *words: str) -> tuple[int, str]:
        self.version(version)
        return self.run(*words)

    def kill_once(self, name: str, number: signal.Signals, version: str) -> None:
        """Install a version, and send the whole group a signal when ``name`` appears among the state files."""
        self.version(version)
        process = self.start()
        until = time.monotonic() + 30
        while not (self.state / name).exists():
            assert time.monotonic() < until
            time.sleep(0.02)
        os.killpg(process.pid, number)
        process.communicate(timeout=30)

    @property
    def base(self) -> Path:
        return self.root / "opt/gatepost"

    def version_of(self, link: str) -> str:
        return (self.base / link).readlink().name.partition("-")[0]

    def slots(self) -> list[str]:
        return sorted(p.name.partition("-")[0] for p in self.base.iterdir() if p.is_dir() and not p.is_symlink())

    def calls(self) -> str:
        return (self.state / "calls").read_text()


def program(path: Path, text: str) -> None:
    path.write_text(text.replace("REAL", sys.executable))
    path.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Slots answer at once, by what their version says."""
    made = Machine(tmp_path / "root", tmp_path / "checkout", tmp_path / "programs", tmp_path / "state")
    for folder in (made.root / "run/systemd/system", made.checkout / "docs", made.programs, made.state):
        folder.mkdir(parents=True)
    for name in ("pyproject.toml", "requirements.lock", "docs/install.md"):
        shutil.copy(ROOT / name, made.checkout / name)
    for name in ("systemd", "config"):
        shutil.copytree(ROOT / name, made.checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    program(made.programs / "python3", PYTHON3)
    program(made.programs / "systemctl", SYSTEMCTL)
    for quiet in ("udevadm", "journalctl"):
        program(made.programs / quiet, "#!/bin/sh\n")
    program(made.state / "slot-python", SLOT_PYTHON_QUICK)
    return made


def test_a_first_installation_makes_a_gate_that_may_start(machine: Machine) -> None:
    """With the real programs: settings are checked, keys made for the service alone, the screen gets a lane in."""
    program(machine.state / "slot-python", SLOT_PYTHON_REAL)
    (machine.root / "run/systemd/system").rmdir()  # a chroot: nothing is started
    settings = machine.checkout / "config/gate.toml"
    settings.write_text(
        settings.read_text()
        .replace("/etc/gatepost", f"{machine.root}/etc/gatepost")
        .replace("/var/lib/gatepost", f"{machine.root}/var/lib/gatepost")
        .replace("port = 8470", "port = 8479")
    )
    code, said = machine.install("1.0.0")
    assert code == 0, said
    etc = machine.root / "etc/gatepost"
    for secret in ("keys/community.key", "keys/kiosk.pem", "guards.toml"):
        assert stat.S_IMODE((etc / secret).stat().st_mode) == 0o600
    assert read_guards(etc / "guards.toml") == {}  # nobody yet, but a gate that starts
    assert stat.S_IMODE((etc / "keys").stat().st_mode) == 0o700
    assert "SCREEN_PAGE=http://127.0.0.1:8479/lane/north-in\n" in (etc / "screen.env").read_text()
    assert (machine.root / "etc/udev/rules.d/60-gatepost.rules").exists()
    assert {p.name for p in (machine.root / "usr/local/lib/systemd/system").iterdir()} == {
        "gatepost.service",
        "gatepost-sync.service",
        "gatepost-screen.service",
        "gatepost-screen-restart.service",
        "gatepost-screen-restart.timer",
    }
    assert "Next:" in said
    assert "systemctl enable --now gatepost.service" in said
    assert "good. Kiosk" in said


def test_the_same_command_again_changes_nothing_of_the_site(machine: Machine) -> None:
    """Settings, keys and rules that the site has changed stay as they are, and that is said."""
    assert machine.install("1.0.0")[0] == 0
    etc, rules = machine.root / "etc/gatepost", machine.root / "etc/udev/rules.d/60-gatepost.rules"
    (etc / "gate.toml").write_text("# ours\n")
    (etc / "screen.env").write_text("SCREEN_PAGE=http://127.0.0.1:8470/guard\n")
    rules.write_text("# ours\n")
    for version in ("1.0.0", "1.1.0"):
        code, said = machine.install(version)
        assert code == 0, said
        assert "gate.toml: kept" in said
        assert "changed by the site, kept" in said
    assert (etc / "gate.toml").read_text() == rules.read_text() == "# ours\n"
    assert "/guard" in (etc / "screen.env").read_text()


def test_rules_that_the_site_never_touched_follow_the_version(machine: Machine) -> None:
    """A new version's udev rules replace the shipped ones."""
    machine.install("1.0.0")
    with (machine.checkout / "systemd/60-gatepost.rules").open("a") as file:
        file.write("# newer\n")
    machine.install("1.1.0")
    assert (machine.root / "etc/udev/rules.d/60-gatepost.rules").read_text().endswith("# newer\n")


def test_an_upgrade_keeps_the_version_before_and_no_older(machine: Machine) -> None:
    """Three versions in turn leave two slots; the units are started each time."""
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        code, said = machine.install(version)
        assert code == 0, said
    assert (machine.version_of("current"), machine.version_of("previous")) == ("1.2.0", "1.1.0")
    assert machine.slots() == ["1.1.0", "1.2.0"]
    assert machine.calls().count("restart gatepost.service") == 3
    assert "gatepost-sync" not in machine.calls()  # the example's central exists nowhere


def test_sync_starts_once_the_central_is_named(machine: Machine) -> None:
    """The example's address is nobody's; the site's own one is used."""
    machine.install("1.0.0")
    settings = machine.root / "etc/gatepost/gate.toml"
    settings.write_text(settings.read_text().replace("central.example", "central.xiangyang.cn"))
    machine.run()
    assert "enable --quiet gatepost-sync.service" in machine.calls()


@pytest.mark.parametrize(
    ("lines", "starts"),
    [
        ("central_url = ''\n", False),
        ("[site]\n", False),
        ("central_url = 'https://central.xiangyang.cn'\n", True),
        ('central_url = ""\n[neighbours]\n', True),
        ('[lookup]\nurl = "https://codes.example"\n', True),
    ],
)
def test_sync_starts_only_where_it_has_something_to_do(machine: Machine, lines: str, starts: bool) -> None:
    """Without central, lookup or neighbours it would end at once and be started again for ever."""
    machine.install("1.0.0")
    (machine.root / "etc/gatepost/gate.toml").write_text(lines)
    machine.run()
    assert ("enable --quiet gatepost-sync.service" in machine.calls()) is starts


@pytest.mark.parametrize("written", ["", "0.9.0-gone-gate\n"])
def test_a_note_that_a_power_cut_emptied_stops_no_later_installation(machine: Machine, written: str) -> None:
    """Where to go back to may be unreadable or gone; the version in use stays, and an upgrade goes on."""
    machine.install("1.0.0")
    (machine.base / ".unconfirmed").write_text(written)
    code, said = machine.install("1.1.0")
    assert code == 0, said
    assert "in use stays: 1.0.0" in said
    assert (machine.version_of("current"), machine.version_of("previous")) == ("1.1.0", "1.0.0")


def test_links_of_the_gates_user_lead_root_nowhere(machine: Machine) -> None:
    """The gate's user owns its settings folder: what it links there is neither given away nor written to."""
    etc, elsewhere = machine.root / "etc/gatepost", machine.root / "elsewhere"
    etc.mkdir(parents=True)
    elsewhere.mkdir(mode=0o755)
    (etc / "trust").symlink_to(elsewhere)
    (etc / "guards.toml").symlink_to(elsewhere / "new-file")
    code, said = machine.install("1.0.0")
    assert code == 1
    assert "guards.toml is a link to nothing" in said
    (etc / "guards.toml").unlink()
    code, said = machine.install("1.0.0")
    assert code == 0, said
    assert "trust: a link, left as it is" in said
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize("fault", ["nospace", "cannot", "dead", "mute"])
def test_a_version_that_does_not_work_leaves_the_old_one_in_use(machine: Machine, fault: str) -> None:
    """Disk full while building, a check that says no, a gate that does not start, a page that does not answer."""
    machine.install("1.0.0")
    unit = machine.checkout / "systemd/gatepost.service"
    unit.write_text(unit.read_text().replace("RestartSec=1", "RestartSec=9"))
    code, said = machine.install(f"2{fault}")
    assert code == 1, said
    assert (machine.version_of("current"), machine.slots()) == ("1.0.0", ["1.0.0"])
    assert "RestartSec=1\n" in (machine.root / "usr/local/lib/systemd/system/gatepost.service").read_text()
    if fault in ("dead", "mute"):
        last = [line for line in machine.calls().splitlines() if line.endswith("restart gatepost.service")][-1]
        assert last.startswith("1.0.0")
    assert not (machine.base / ".unconfirmed").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize(("moment", "version"), [("building", "2slow"), ("hanging", "2hung")])
def test_a_kill_in_the_middle_ends_with_the_old_version(
    machine: Machine, number: signal.Signals, moment: str, version: str
) -> None:
    """While a slot is built, and between the switch and its confirmation; the next run leaves nothing half done."""
    machine.install("1.0.0")
    machine.kill_once(moment, number, version)
    if number == signal.SIGTERM or moment == "building":
        assert machine.version_of("current") == "1.0.0"
    code, said = machine.install("1.0.0")
    assert code == 0, said
    assert machine.version_of("current") == "1.0.0"
    assert not (machine.base / ".unconfirmed").exists()
    assert not [slot for slot in machine.slots() if slot == "2slow"]


def test_going_back_by_hand_and_forward_again(machine: Machine) -> None:
    """--rollback swaps the slot in use and the one before; without one before it says so."""
    machine.install("1.0.0")
    code, said = machine.run("--rollback")
    assert code == 1
    assert "no version before" in said
    machine.install("1.1.0")
    for current, previous in (("1.0.0", "1.1.0"), ("1.1.0", "1.0.0")):
        code, said = machine.run("--rollback")
        assert code == 0, said
        assert (machine.version_of("current"), machine.version_of("previous")) == (current, previous)


def test_only_one_installation_at_a_time(machine: Machine) -> None:
    """A second one says so and touches nothing."""
    machine.version("1slow")
    first = machine.start()
    try:
        until = time.monotonic() + 30
        while not (machine.state / "building").exists():
            assert time.monotonic() < until
            time.sleep(0.02)
        code, said = machine.run()
    finally:
        os.killpg(first.pid, signal.SIGTERM)
        first.communicate(timeout=30)
    assert (code, "another installation is under way" in said) == (1, True)


def test_parts_are_remembered_and_wrong_ones_named(machine: Machine) -> None:
    """A central beside a gate shares its slot; the screen may be left out, and does not come with an upgrade."""
    machine.install("1.0.0", "gate")
    units = machine.root / "usr/local/lib/systemd/system"
    assert not (units / "gatepost-screen.service").exists()
    assert machine.install("1.1.0")[0] == 0
    assert not (units / "gatepost-screen.service").exists()
    code, said = machine.install("1.2.0", "central")
    assert code == 0, said
    assert (units / "gatepost-central.service").exists()
    assert (units / "gatepost.service").exists()
    code, said = machine.run("centrel")
    assert code == 1
    assert "unknown part: centrel" in said


def test_taking_it_away_leaves_settings_and_records(machine: Machine) -> None:
    """Programs and units go, keys and journal stay."""
    machine.install("1.0.0")
    (machine.root / "var/lib/gatepost/journal.db").write_bytes(b"records")
    assert machine.run("--uninstall")[0] == 0
    assert not machine.base.exists()
    assert not list((machine.root / "usr/local/lib/systemd/system").iterdir())
    assert (machine.root / "var/lib/gatepost/journal.db").exists()
    assert (machine.root / "etc/gatepost/gate.toml").exists()


def locked(*extras: str) -> dict[str, str]:
    """The subset of the lock for some extras: name to entry."""
    said = subprocess.run(
        [
            sys.executable,
            ROOT / "systemd/locked_subset.py",
            ROOT / "pyproject.toml",
            ROOT / "requirements.lock",
            *extras,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    entries = re.split(r"(?m)^(?=[a-z0-9])", said)[1:]
    names = {entry.partition("==")[0] for entry in entries}
    return {name: "".join(entry for entry in entries if entry.startswith(f"{name}==")) for name in names}


def needed(requirement: str, seen: set[str]) -> set[str]:
    """The names that an installed package leads to here, by its own metadata."""
    for text in metadata.requires(requirement) or []:
        wanted = Requirement(text)
        name = re.sub(r"[-_.]+", "-", wanted.name).lower()
        if name not in seen and (wanted.marker is None or wanted.marker.evaluate({"extra": ""})):
            seen.add(name)
            needed(name, seen)
    return seen


@pytest.mark.parametrize("extra", ["kiosk", "central"])
def test_a_slot_gets_all_it_needs_and_no_test_tools(extra: str) -> None:
    """Every locked entry has hashes; what the packages themselves ask for is among them; pytest and mypy are not."""
    entries = locked(extra)
    assert all("--hash=sha256:" in entry for entry in entries.values())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = project["dependencies"] + project["optional-dependencies"][extra]
    roots = {Requirement(text).name.lower() for text in asked}
    closure = set(roots)
    for root in roots:
        needed(root, closure)
    assert closure <= entries.keys()
    assert not {"pytest", "mypy", "ruff", "playwright", "hypothesis", "hatchling"} & entries.keys()


ONLY = """\
import importlib, sys
from importlib import metadata

allowed, modules = set(sys.argv[1].split()), sys.argv[2].split()
owners = {top: {d.lower().replace("_", "-") for d in dists} for top, dists in metadata.packages_distributions().items()}

class Only:
    def find_spec(self, name, path=None, target=None):
        of = owners.get(name)
        if of and not (of & allowed) and name not in ("kiosk", "drivers", "sync", "config"):
            raise ModuleNotFoundError(f"{name} is not in the slot", name=name)

sys.meta_path.insert(0, Only())
for module in modules:
    importlib.import_module(module)
"""


@pytest.mark.parametrize(
    ("extra", "modules"),
    [
        ("kiosk", "kiosk.cli kiosk.run kiosk.doctor sync.cli sync.run"),
        ("central", "sync.central.cli sync.central.app sync.central.migrate"),
    ],
)
def test_programs_import_with_nothing_but_what_their_slot_holds(extra: str, modules: str) -> None:
    """Whatever a program imports and its extra forgot would be found first on a new machine."""
    done = subprocess.run(
        [sys.executable, "-c", ONLY, " ".join(locked(extra)), modules],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-400:]


def test_a_package_that_is_locked_for_two_pythons_comes_whole() -> None:
    """Each of the lock's lines of a package is in the subset; pip takes the one whose marker holds here."""
    lock = (ROOT / "requirements.lock").read_text()
    for name, entry in locked("kiosk").items():
        lines = re.findall(rf"(?m)^{name}==.*$", lock)
        assert lines == re.findall(rf"(?m)^{name}==.*$", entry), name


def test_a_central_has_no_devices() -> None:
    """Neither OpenCV nor serial ports nor code readers nor numpy."""
    assert not {"opencv-python-headless", "pyserial", "pyzbar", "zxing-cpp", "numpy"} & locked("central").keys()


def ask_journal(path: Path) -> subprocess.CompletedProcess[str]:
    """Asks this version whether it can work with a journal."""
    code = "import sys; from pathlib import Path; import ask_slot; ask_slot.check_journal(Path(sys.argv[1]), 'north-1')"
    return subprocess.run(
        [sys.executable, "-c", code, path],
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'systemd'}", "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_journal_of_a_newer_format_keeps_an_older_version_away(tmp_path: Path) -> None:
    """None, and one of this format, are fine and stay as they are; a newer one is refused with what to do."""
    path = tmp_path / "journal.db"
    assert ask_journal(path).returncode == 0
    Journal.open(path, kiosk_id="north-1", clock=SystemClock(None)).close()
    before = path.read_bytes()
    assert ask_journal(path).returncode == 0
    assert path.read_bytes() == before
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    done = ask_journal(path)
    assert done.returncode != 0
    assert "install the newer Gatepost again" in done.stderr


@pytest.fixture
def screen(tmp_path: Path) -> Callable[[str], subprocess.Popen[str]]:
    """Starts the screen's script with a cage that says what it was given."""
    program(tmp_path / "cage", '#!/bin/sh\necho "$@"\n')

    def start(page: str) -> subprocess.Popen[str]:
        environ = {
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "SCREEN_PAGE": page,
            "SCREEN_FLAGS": "--force-device-scale-factor=0.8",
            "XDG_RUNTIME_DIR": str(tmp_path),
        }
        return subprocess.Popen(
            [ROOT / "systemd/screen"], env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    return start


def test_the_screen_waits_for_the_gate_and_may_sound(screen: Callable[[str], subprocess.Popen[str]]) -> None:
    """The browser starts when the page's port answers, with its sandbox, and allowed to play without a touch."""
    with socket.create_server(("127.0.0.1", 0)) as gate:
        page = f"http://127.0.0.1:{gate.getsockname()[1]}/lane/in"
        with screen(page) as process:
            said, _ = process.communicate(timeout=30)
    assert process.returncode == 0, said
    flags = said.split()
    assert flags[:2] == ["--", "chromium"]
    assert {f"--app={page}", "--kiosk", "--autoplay-policy=no-user-gesture-required"} <= set(flags)
    assert flags[-1] == "--force-device-scale-factor=0.8"
    assert not {"--no-sandbox", "--disable-web-security"} & set(flags)


def test_the_screen_shows_this_machine_only(screen: Callable[[str], subprocess.Popen[str]]) -> None:
    """Any other address is refused with what is expected."""
    with screen("https://example.org/") as process:
        said, _ = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "expected a page of this machine" in said
