"""The root file system of the emulated board: Debian's arm64 packages and the runtimes' own wheels.

Nothing is run in emulation to make it: packages are unpacked, not configured, and wheels are
installed by the host's pip. It is built once and kept; what decides its content names its folder.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edgecv.device import debian_sources
from edgecv.device.emulated_board import BOARDS, cache_folder, data_folder
from edgecv.errors import DeviceError
from edgecv.progress import QUIET, Progress
from edgecv.recipe import RUNTIMES

PACKAGES = (
    *("python3", "python3-venv", "libstdc++6", "openssh-server", "openssh-client", "libc-bin"),
    *("bash", "dash", "coreutils", "sed", "grep", "gzip", "tar", "findutils", "procps"),
    *("util-linux", "base-files", "usr-is-merged", "ca-certificates"),
)
PYTHON = "python3.11"  # Debian 12's: the last that tflite-runtime has wheels for
PLATFORMS = ("_2_34", "_2_28", "_2_27", "_2_17", "2014")  # wheels that Debian 12's glibc can load
LIBRARY = Path("usr/lib/edgecv")
NEEDED = {  # a program, and the package that has it
    "qemu-aarch64-static": "qemu-user-static",
    "gcc": "gcc libc6-dev",
    "ssh-keygen": "openssh-client",
    "unshare": "util-linux",
}
ACCOUNTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/bash\npi:x:1000:1000::/home/pi:/bin/bash\n",
    "etc/group": "root:x:0:\ntty:x:5:\npi:x:1000:\n",
    "etc/hostname": "raspberrypi\n",
    "etc/hosts": "127.0.0.1 localhost raspberrypi\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "etc/resolv.conf": "",
}


def build(progress: Progress = QUIET, rebuild: bool = False) -> Path:
    """The folder of the root file system: the one in the cache, or built there first.

    Raises DeviceError when a program is missing, or a package cannot be had.
    """
    check_programs(NEEDED)
    cache = cache_folder()
    root = cache / f"root-{_key()}"
    with lock_file(cache / "lock"):
        if rebuild:
            shutil.rmtree(root, ignore_errors=True)
        if not root.is_dir():
            progress.line("build the emulated board: Debian's packages and the runtimes' wheels")
            partial = cache / f"partial-{root.name}"
            shutil.rmtree(partial, ignore_errors=True)
            _fill(partial, cache / "keys")
            partial.rename(root)
    return root


def check_programs(needed: dict[str, str]) -> None:
    """Raise DeviceError, with the line to type, unless every program is on this machine."""
    missing = [name for name in needed if shutil.which(name) is None]
    if missing:
        packages = " ".join(needed[name] for name in missing)
        raise DeviceError(
            f"emulated board: {', '.join(missing)} not found: sudo apt-get install {packages}"
        )


def run(command: Sequence[str | Path], what: str, **environment: str) -> str:
    """Run a program; its output. Raises DeviceError with the last line it complained with."""
    env = {**os.environ, **environment}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=env)
    except OSError as error:
        raise DeviceError(f"{what}: {command[0]}: {error.strerror}") from error
    if done.returncode:
        raise DeviceError(f"{what}: {Path(command[0]).name}: {_complaint(done)}")
    return done.stdout


def _complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The first line that a program called an error, or its last one."""
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("ERROR: ", "E: "))]
    return (errors or lines[-1:] or [f"it ended with code {done.returncode}"])[0]


def _key() -> str:
    """A hash of everything that the root file system is made of."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for path in sorted(data_folder().iterdir()):
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def lock_file(path: Path) -> Iterator[None]:
    """One process at a time; the others wait and then find the work done."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise DeviceError(f"{path.parent}: the emulated board cannot be kept: {reason}") from error


def _fill(root: Path, keys: Path) -> None:
    """Make the whole tree; downloads of packages and of wheels overlap."""
    for name in ("bin", "sbin", "lib"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    with ThreadPoolExecutor() as pool:
        jobs = [pool.submit(_install_runtime, root, name) for name in RUNTIMES]  # /opt/<name>
        jobs.append(pool.submit(_unpack_packages, root))
        for job in jobs:
            job.result()
    _write_settings(root, keys)
    _install_qemu(root)
    if f"python{sys.version_info.major}.{sys.version_info.minor}" == PYTHON:
        compiler = [sys.executable, "-m", "compileall", "-q", "-s", str(root), "-x", "test|lib2to3"]
        run([*compiler, str(root / f"usr/lib/{PYTHON}")], "emulated board: byte-code")


def _unpack_packages(root: Path) -> None:
    """Debian's packages and all they depend on, by the host's apt with a state of its own."""
    state = root / "apt"
    for folder in ("lists/partial", "archives/partial"):
        (state / folder).mkdir(parents=True)
    (state / "status").touch()
    settings = {
        **debian_sources.settings(state / "etc", debian_sources.host_suite()),
        "Dir::State": state,
        "Dir::State::status": state / "status",
        "Dir::Cache": state,
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "",
    }
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in settings.items())]
    what = "emulated board: Debian's packages for arm64"
    run([*apt, "update"], what)
    run([*apt, "-y", "--download-only", "install", *PACKAGES], what)
    packages = sorted((state / "archives").glob("*.deb"))
    if not any(path.name.startswith(f"{PYTHON}_") for path in packages):
        raise DeviceError(f"{what}: no {PYTHON}; the sources must be Debian 12's (bookworm)")
    for package in packages:
        _unpack(package, root)
    shutil.rmtree(state)


def _unpack(package: Path, root: Path) -> None:
    """A package's files, without its documents."""
    skipped = [f"--exclude=./usr/share/{name}" for name in ("doc", "man", "locale")]
    tar = [
        "tar",
        "-x",
        f"--directory={root}",
        "--keep-directory-symlink",
        "--no-same-owner",
        *skipped,
    ]
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as deb:
        code = subprocess.run(
            [*tar, *skipped], stdin=deb.stdout, stderr=subprocess.DEVNULL
        ).returncode
    if code or deb.returncode:
        raise DeviceError(f"{package.name}: cannot be unpacked into {root}")


def _install_runtime(root: Path, name: str) -> None:
    """A virtual environment in /opt with a runtime and its numpy, every wheel checked by hash."""
    environment = root / "opt" / name
    site = environment / "lib" / PYTHON / "site-packages"
    site.mkdir(parents=True)
    (environment / "bin").mkdir()
    (environment / "bin" / "python").symlink_to(f"/usr/bin/{PYTHON}")
    (environment / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {PYTHON[6:]}\n"
    )
    platforms = [f"--platform=manylinux{version}_aarch64" for version in PLATFORMS]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", f"--target={site}", "--no-deps"]
    wheels = ["--only-binary=:all:", f"--python-version={PYTHON[6:]}", "--implementation=cp"]
    pins = ["--require-hashes", f"--requirement={data_folder() / name}.txt"]
    run([*pip, *wheels, *platforms, *pins], f"emulated board: wheels of {name}")


def _write_settings(root: Path, keys: Path) -> None:
    """Accounts, the ssh server's keys, and the folders that a start mounts over."""
    for name, text in ACCOUNTS.items():
        (root / name).write_text(text)
    mounted = ("home/pi", "mnt/small", "dev", "tmp", "run", "var/tmp")
    for name in mounted:
        (root / name).mkdir(parents=True, exist_ok=True)
    authorities = Path("/etc/ssl/certs/ca-certificates.crt")  # of the host: packages' are unmade
    if authorities.exists():
        shutil.copy(authorities, root / "etc/ssl/certs")
    keys.mkdir(mode=0o700, exist_ok=True)
    for name in ("user", "host"):
        if not (keys / name).exists():
            run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "edgecv", "-f", keys / name],
                "emulated board: keys",
            )
    ssh = root / "etc/ssh"
    shutil.copy(keys / "host", ssh / "ssh_host_ed25519_key")
    shutil.copy(keys / "user.pub", ssh / "authorized_keys")
    shutil.copy(data_folder() / "sshd_config", ssh)


def _install_qemu(root: Path) -> None:
    """QEMU, and for each core the interpreter of that name which starts it."""
    library = root / LIBRARY
    library.mkdir()
    shutil.copy(str(shutil.which("qemu-aarch64-static")), library)
    interpreter = library / "interpreter"
    source = data_folder() / "interpreter.c"
    run(["gcc", "-O1", "-static", "-o", interpreter, source], "emulated board: interpreter.c")
    for cpu in {board.cpu for board in BOARDS.values()}:
        os.link(interpreter, library / cpu)
