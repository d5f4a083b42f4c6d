"""RabbitMQ 4 in a Debian root folder of its own: what the machine's own Debian has is older.

The folder is made once by debootstrap from the mirror that apt uses, and is never written to afterwards: each broker
sees it in its own mount and process namespaces, with its own folder in the place of /var/lib/rabbitmq. So several run
from one folder, whatever a broker starts dies with it, and no mount outlives it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.brokers.downloads import Abandoned, FetchFailed, Missing, cache, fetched, need, need_root, run
from tests.brokers.server import HOST, Server, conversation

PREFERRED_SUITE = "forky"
OLDER_SUITE = "trixie"
PLUGINS = ("rabbitmq_management", "rabbitmq_stream", "rabbitmq_shovel")
# cgroups and the like are not needed; /dev has the random numbers
_ENTER = ('r=$1 d=$2; shift 2; mount -t proc proc "$r/proc" && mount --bind /dev "$r/dev" && mount --bind "$d/lib" "$r/var/lib/rabbitmq" '
          '&& mount --bind "$d/etc" "$r/etc/rabbitmq" && exec chroot "$r" "$@"')


def suite() -> str:
    """The Debian release RabbitMQ is taken from."""
    return os.environ.get("BROKERCLI_TEST_RABBITMQ_SUITE") or PREFERRED_SUITE


def check() -> None:
    """Raise Missing for what the machine lacks. debootstrap is installed by `fetch`."""
    need_root("RabbitMQ in a root folder", "or give a broker in BROKERCLI_TEST_RABBITMQ, or leave it out: tests/run --broker kafka --broker nats")
    need("unshare", "util-linux", "RabbitMQ in a root folder")
    if not _root(suite()).exists():
        need("apt-get", "apt", "fetching RabbitMQ")


def fetch(name: str | None = None) -> Path:
    """Return the root folder of a Debian release, made the first time. Where the preferred release cannot be had today (it may
    be between two versions), the older one is taken, and that is said."""
    name = name or suite()
    try:
        return _checked(fetched(_root(name), lambda part: _make(part, name)))
    except Abandoned:
        raise
    except FetchFailed as problem:
        if name != PREFERRED_SUITE:
            raise
        print(f"RabbitMQ: Debian {PREFERRED_SUITE} cannot be had, taking {OLDER_SUITE}: {problem}", flush=True)  # noqa: T201  said to whoever runs the tests
        return _checked(fetched(_root(OLDER_SUITE), lambda part: _make(part, OLDER_SUITE)))


def version(root: Path) -> str:
    """Return the version of RabbitMQ in a root folder."""
    found = [match[1] for path in (root / "usr/lib/rabbitmq/lib").glob("rabbitmq_server-*") if (match := re.search(r"-([\d.]+)$", path.name))]
    assert len(found) == 1, f"no RabbitMQ in {root}"
    return found[0]


# one scheduler: two keep waking each other, which costs a sixth of the processor's time and is no faster where others need it; processes
# begin with room, so that most of them end before they collect garbage, which is a twentieth; and what quorum queues and streams count
# themselves is a second old at most, as all other figures are
THRIFTY = "+S 1:1 +hms 4096 -rabbit quorum_tick_interval 1000 -rabbit stream_tick_interval 1000"


class RabbitMQ(Server):
    """One node with the management and stream plugins. `settings` are lines of rabbitmq.conf; `release` is the Debian release it
    is taken from: OLDER_SUITE has RabbitMQ 4.0."""

    name = "RabbitMQ"
    erlang = THRIFTY
    """Arguments of the Erlang machine; empty: as it comes."""
    roles = ("client", "management", "stream", "epmd", "distribution")

    def __init__(self, directory: Path, *, ports: dict[str, int] | None = None, settings: Mapping[str, str] | None = None,
                 plugins: tuple[str, ...] = PLUGINS, release: str | None = None) -> None:
        super().__init__(directory, ports=ports)
        self._settings = dict(settings or {})
        self._plugins = plugins
        self._release = release

    @property
    def address(self) -> str:
        return f"amqp://guest:guest@{HOST}:{self.port}/"

    @property
    def management(self) -> str:
        """Address of the management API."""
        return f"http://{HOST}:{self.ports['management']}"

    def prepare(self) -> None:
        fetch(self._release)
        for name in ("lib", "etc"):
            (self.directory / name).mkdir(exist_ok=True)
        configuration = {
            "listeners.tcp.1": f"{HOST}:{self.port}",
            "log.console": "true", "log.console.level": "warning", "log.file": "false",
            # the management plugin's figures are this old at most
            "collect_statistics_interval": "1000",
            # without one, each connection has the machine's name looked up in the DNS, and waits for 5 s when an answer is lost
            "cluster_name": "tests@localhost",
        }
        if "rabbitmq_management" in self._plugins:
            configuration |= {"management.tcp.ip": HOST, "management.tcp.port": str(self.ports["management"])}
            # it takes them in at the shortest of these intervals; as it comes, after five seconds
            configuration |= {f"management.sample_retention_policies.{kind}": "1" for kind in ("global.minute", "basic.minute", "detailed.10")}
        if "rabbitmq_stream" in self._plugins:
            configuration |= {"stream.listeners.tcp.1": f"{HOST}:{self.ports['stream']}"}
        (self.directory / "etc/rabbitmq.conf").write_text("".join(f"{name} = {value}\n" for name, value in (configuration | self._settings).items()))
        (self.directory / "etc/enabled_plugins").write_text(f"[{','.join(self._plugins)}].\n")

    def command(self) -> list[str]:
        return self._inside("/usr/lib/rabbitmq/bin/rabbitmq-server", "--pid", "--fork", "--kill-child=KILL")

    def environment(self) -> dict[str, str]:
        return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/var/lib/rabbitmq", "HOSTNAME": "localhost",
                "RABBITMQ_NODENAME": "tests@localhost", "RABBITMQ_DIST_PORT": str(self.ports["distribution"]),
                "ERL_EPMD_PORT": str(self.ports["epmd"]), "ERL_EPMD_ADDRESS": HOST,
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": self.erlang,
                # the Erlang machine takes the place of the shell, so that a signal reaches it
                "RUNNING_UNDER_SYSTEMD": "true"}

    def answers(self) -> bool:
        if conversation(self.port, b"AMQP\x00\x00\x09\x01", 12)[7:11] != b"\x00\x0a\x00\x0a":
            return False
        return "rabbitmq_management" not in self._plugins or conversation(self.ports["management"], b"GET / HTTP/1.0\r\n\r\n", 12).startswith(b"HTTP/1.")

    @property
    def version(self) -> str:
        """Its version."""
        return version(fetch(self._release))

    def evaluate(self, expression: str) -> None:
        """Evaluate Erlang on this node, as `rabbitmqctl eval` does, which starts an Erlang machine of its own for it."""
        ended = subprocess.run([*self._inside("/usr/bin/erl_call"), "-address", f"{HOST}:{self.ports['distribution']}", "-e"], env=self.environment(),
                               input=f"{expression}\n", capture_output=True, text=True, check=False)
        assert ended.stdout.startswith("{ok, "), ended.stdout + ended.stderr

    def alarm(self, *, on: bool) -> None:
        """Be short of memory, so that whoever publishes has to wait, or no longer."""
        self.evaluate(f"vm_memory_monitor:set_vm_memory_high_watermark({0.00001 if on else 0.6:f}).")

    def _inside(self, program: str, *namespaces: str) -> list[str]:
        mount = "mount -t proc proc" if namespaces else "mount --bind /proc"
        enter = _ENTER.replace("mount -t proc proc", mount)
        root = fetch(self._release)
        return [need("unshare", "util-linux", "RabbitMQ"), "--mount", *namespaces, "sh", "-c", enter, "sh", str(root), str(self.directory), program]


def _root(name: str) -> Path:
    return cache() / "rabbitmq" / f"debian-{name}"


def _checked(root: Path) -> Path:
    if version(root).split(".")[0] != "4":
        raise Missing(f"Debian {root.name.removeprefix('debian-')} has RabbitMQ {version(root)} by now, and these tests are for RabbitMQ 4: "
                      f"BROKERCLI_TEST_RABBITMQ_SUITE={OLDER_SUITE} tests/run")
    return root


def _make(part: Path, name: str) -> None:
    log = part.parent / f"debootstrap-{name}.log"
    quiet = dict(os.environ) | {"DEBIAN_FRONTEND": "noninteractive"}
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin"
    if shutil.which("debootstrap", path=path) is None:
        print("RabbitMQ: installing debootstrap by apt-get", flush=True)  # noqa: T201  said to whoever runs the tests
        run(["apt-get", "update", "-q"], log, environment=quiet)
        run(["apt-get", "install", "-q", "-y", "--no-install-recommends", "debootstrap"], log, environment=quiet)
    scripts = Path("/usr/share/debootstrap/scripts")
    # a release that this debootstrap is too old to know is made like any other
    script = scripts / (name if (scripts / name).exists() else "sid")
    run([need("debootstrap", "debootstrap", "fetching RabbitMQ"), "--variant=minbase", "--include=rabbitmq-server,ca-certificates", name, str(part),
         mirror(), str(script)], log, environment=quiet | {"PATH": path})
    # the node is called tests@localhost
    (part / "etc/hosts").write_text("127.0.0.1 localhost\n")


def mirror() -> str:
    """Return the Debian mirror that apt uses. Raises Missing when its sources name none."""
    places = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    found: list[str] = []
    for place in places:
        text = place.read_text(errors="replace") if place.is_file() else ""
        if place.suffix == ".sources":
            found += re.findall(r"^URIs:\s*(\S+)", text, re.MULTILINE)
        else:
            found += re.findall(r"^deb\s+(?:\[[^\]]*\]\s+)?(\S+)", text, re.MULTILINE)
    chosen = [uri for uri in found if uri.rstrip("/").endswith("/debian")]
    if not chosen:
        raise Missing("RabbitMQ is taken from Debian, and apt's sources name no Debian mirror (an address that ends in /debian): "
                      "give a broker in BROKERCLI_TEST_RABBITMQ")
    return chosen[0]
