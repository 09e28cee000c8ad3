"""What the files in `deploy/` promise each other and the service; nginx's has its own tests."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import pytest
import yaml
from pydantic import AliasChoices

from stream_serve.server.options import uvicorn_options
from stream_serve.settings import Settings
from stream_serve.testing import unused_port
from support.missing import lack

if TYPE_CHECKING:
    import aiohttp

    from support.service import Service

ROOT: Final = Path(__file__).parent.parent.parent
DEPLOY: Final = ROOT / "deploy"
PATIENCE: Final = 60.0


def read(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


def default(name: str) -> Any:
    return Settings.model_fields[name].default


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions and their arguments."""
    lines = [line for line in read("Dockerfile").splitlines() if not line.startswith("#")]
    whole = re.sub(r"\\\n\s*", "", "\n".join(lines))
    parts = [line.partition(" ") for line in whole.splitlines() if line]
    return [(name, arguments.strip()) for name, _, arguments in parts]


def instruction(name: str) -> str:
    """Return the arguments of the last instruction of a kind, which is the one that counts."""
    return [arguments for kind, arguments in instructions() if kind == name][-1]


def sources() -> list[str]:
    """Return the files and folders that the Dockerfile copies from the project."""
    copies = [arguments.split() for kind, arguments in instructions() if kind == "COPY"]
    return [word for words in copies if "--from" not in words[0] for word in words[:-1]]


def compose() -> dict[str, Any]:
    return yaml.safe_load(read("compose.yaml"))


def replicas() -> dict[str, Any]:
    """Return the services of the compose file that nginx's file names."""
    names = re.findall(r"^ *server (\S+):3000 ", read("nginx.conf"), re.MULTILINE)
    assert len(names) == 2
    return {name: compose()["services"][name] for name in names}


def kubernetes(kind: str) -> dict[str, Any]:
    (found,) = (one for one in yaml.safe_load_all(read("kubernetes.yaml")) if one["kind"] == kind)
    return found


def pod() -> dict[str, Any]:
    return kubernetes("Deployment")["spec"]["template"]["spec"]


def unit() -> dict[str, str]:
    """Return the unit's assignments; the last one of a name counts here."""
    lines = [line for line in read("stream-serve.service").splitlines() if line[:1].isalpha()]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def seconds(text: str) -> float:
    assert re.fullmatch(r"\d+s", text), text
    return float(text[:-1])


def test_every_setting_that_is_named_exists() -> None:
    known = {f"STREAM_SERVE_{name.upper()}" for name in Settings.model_fields}
    for field in Settings.model_fields.values():
        if isinstance(field.validation_alias, AliasChoices):
            known |= set(map(str, field.validation_alias.choices))
    for file in DEPLOY.iterdir():
        named = set(re.findall(r"STREAM_SERVE_[A-Z_]*[A-Z]", file.read_text(encoding="utf-8")))
        assert named - known == set(), file.name
    environment = next(iter(replicas().values()))["environment"]
    assert set(environment) <= known


def test_whoever_ends_the_service_waits_longer_than_its_runs_may_take() -> None:
    grace = default("grace_timeout")
    for replica in replicas().values():
        assert seconds(replica["stop_grace_period"]) > grace
    pause = float(pod()["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod()["terminationGracePeriodSeconds"] > grace + pause
    assert float(unit()["TimeoutStopSec"]) > grace
    assert (unit()["KillSignal"], unit()["KillMode"]) == ("SIGTERM", "mixed")


def test_nginx_waits_longer_than_the_service_is_silent_and_takes_what_it_takes() -> None:
    text = read("nginx.conf")
    waits = {name: float(n) for name, n in re.findall(r"(\w+_timeout) (\d+)s;", text)}
    reads = [
        float(wait) for wait in re.findall(r"^    proxy_read_timeout (\d+)s;", text, re.MULTILINE)
    ]
    assert reads
    assert min(reads) > 2 * default("heartbeat_interval")
    (size,) = re.findall(r"client_max_body_size (\d+)m;", text)
    assert int(size) * 2**20 > default("max_body_bytes")
    # Whoever closes an idle connection first must be the one that would use it again.
    assert waits["keepalive_timeout"] < uvicorn_options(Settings.load())["timeout_keep_alive"]


def test_nobody_runs_as_root() -> None:
    user, group = instruction("USER").split(":")
    assert int(user) > 0
    context = pod()["securityContext"]
    assert context["runAsNonRoot"] is True
    assert (str(context["runAsUser"]), str(context["runAsGroup"])) == (user, group)
    for container in (*pod()["initContainers"], *pod()["containers"]):
        confined = container["securityContext"]
        assert confined["readOnlyRootFilesystem"] is True
        assert confined["allowPrivilegeEscalation"] is False
        assert confined["capabilities"] == {"drop": ["ALL"]}
    assert all(replica["read_only"] for replica in replicas().values())
    assert unit()["User"] not in {"", "root"}


def test_the_image_runs_the_command_itself_and_on_every_address() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    command = json.loads(instruction("CMD"))
    assert command == ["stream-serve", "serve", "--host", "0.0.0.0"]
    assert command[0] in project["scripts"]
    assert instruction("EXPOSE") == str(default("port"))
    bases = {arguments.split()[0] for kind, arguments in instructions() if kind == "FROM"}
    (version,) = (base.removeprefix("python:").removesuffix("-slim") for base in bases)
    assert f"Programming Language :: Python :: {version}" in project["classifiers"]
    lowest = project["requires-python"].removeprefix(">=")
    assert tuple(map(int, version.split("."))) >= tuple(map(int, lowest.split(".")))


def test_the_image_gets_what_it_copies_and_no_secret() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    let_in = {rule[1:] for rule in rules if rule.startswith("!")}
    assert let_in == set(sources())
    for name in sources():
        assert (ROOT / name).exists(), name
    assert not any(fnmatch(secret, rule) for rule in let_in for secret in (".env", "data", ".git"))


def test_the_files_that_the_image_copies_are_enough_to_build_from(tmp_path: Path) -> None:
    for name in sources():
        source, target = ROOT / name, tmp_path / "build" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(
                source, target, ignore=shutil.ignore_patterns("__pycache__", "node_modules")
            )
        else:
            shutil.copy(source, target)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    subprocess.run(
        [*pip, "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path / "out", "."],
        cwd=tmp_path / "build",
        check=True,
        timeout=PATIENCE,
    )
    assert len(list((tmp_path / "out").glob("stream_serve-*.whl"))) == 1


@pytest.mark.parametrize("setting", ["PORT", "STREAM_SERVE_PORT"])
def test_the_images_health_check_finds_out_that_nothing_answers(setting: str) -> None:
    assert _examine(setting, unused_port()) != 0


async def test_the_probes_of_a_service_that_is_well_say_so(
    service: Service, client: aiohttp.ClientSession
) -> None:
    container = pod()["containers"][0]
    paths = {
        kind: container[kind]["httpGet"]["path"] for kind in ("readinessProbe", "livenessProbe")
    }
    assert paths == {"readinessProbe": "/health/ready", "livenessProbe": "/health/live"}
    for path in paths.values():
        async with client.get(service.url + path) as response:
            assert response.status == 200
    port = urlsplit(service.url).port
    assert port is not None
    assert await asyncio.to_thread(_examine, "PORT", port) == 0
    assert await asyncio.to_thread(_examine, "STREAM_SERVE_PORT", port) == 0


def test_compose_asks_for_the_secrets_and_has_none_itself() -> None:
    secret = re.compile(r"(PASSWORD|API_KEYS?)\b")
    for line in read("compose.yaml").splitlines():
        if secret.search(line) and not line.startswith("#"):
            assert re.search(r"\$\{\w*(PASSWORD|API_KEYS?)(:\?[^}]+|:-)\}", line), line
    for replica in replicas().values():
        environment = replica["environment"]
        assert environment["STREAM_SERVE_API_KEYS"].startswith("${STREAM_SERVE_API_KEYS:?")
        assert environment["STREAM_SERVE_REDIS_URL"].startswith("redis://:${REDIS_PASSWORD:?")
        assert "${POSTGRES_PASSWORD:?" in environment["STREAM_SERVE_DATABASE_URL"]


def test_compose_starts_the_replicas_after_what_they_need() -> None:
    services = compose()["services"]
    assert services["migrate"]["command"] == ["stream-serve", "migrate"]
    assert services["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"
    for replica in replicas().values():
        assert {name: need["condition"] for name, need in replica["depends_on"].items()} == {
            "migrate": "service_completed_successfully",
            "redis": "service_healthy",
            "postgres": "service_healthy",
        }
    assert {"--appendonly", "noeviction"} <= set(services["redis"]["command"])
    named = {
        volume.partition(":")[0]
        for name in ("redis", "postgres")
        for volume in services[name]["volumes"]
    }
    assert named == set(compose()["volumes"])


def test_composes_nginx_has_the_shipped_file_and_finds_the_replicas() -> None:
    nginx = compose()["services"]["nginx"]
    source, target, mode = nginx["volumes"][0].split(":")
    assert (DEPLOY / source).samefile(DEPLOY / "nginx.conf")
    assert (target, mode) == ("/etc/nginx/conf.d/default.conf", "ro")
    assert nginx["ports"] == ["8080:80"]
    addresses = {
        name: replica["networks"]["default"]["ipv4_address"] for name, replica in replicas().items()
    }
    assert nginx["extra_hosts"] == addresses
    assert len(set(addresses.values())) == 2
    build = next(iter(replicas().values()))["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).samefile(DEPLOY / "Dockerfile")


def test_kubernetes_sends_requests_to_the_pods_and_keeps_one_of_them() -> None:
    deployment, service = kubernetes("Deployment"), kubernetes("Service")
    budget = kubernetes("PodDisruptionBudget")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert service["spec"]["selector"] == labels
    assert budget["spec"]["selector"]["matchLabels"] == labels
    assert budget["spec"]["minAvailable"] < deployment["spec"]["replicas"] == 2
    (port,) = pod()["containers"][0]["ports"]
    assert port == {"name": service["spec"]["ports"][0]["targetPort"], "containerPort": 3000}
    images = {one["image"] for one in (*pod()["initContainers"], *pod()["containers"])}
    assert len(images) == 1
    assert pod()["initContainers"][0]["args"] == ["stream-serve", "migrate"]


def test_kubernetes_puts_no_setting_of_its_own_into_the_pods() -> None:
    # For a Service `stream-serve` it would set STREAM_SERVE_PORT=tcp://…, and nothing would start.
    assert kubernetes("Service")["metadata"]["name"] == "stream-serve"
    assert pod()["enableServiceLinks"] is False


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        lack("systemd-analyze is not installed")
    installed = "=/opt/stream-serve/bin/stream-serve "
    text = read("stream-serve.service")
    replaced = text.count(installed)
    text = text.replace(installed, f"={sys.executable} ")
    assert replaced == 2
    copy = tmp_path / "stream-serve.service"
    copy.write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", copy],
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stderr) == (0, "")


def _examine(setting: str, port: int) -> int:
    """Run the image's health check against a port; return the exit code."""
    options, _, command = instruction("HEALTHCHECK").partition("CMD ")
    assert "--interval=" in options
    program, *arguments = json.loads(command)
    assert program == "python"
    done = subprocess.run(
        [sys.executable, *arguments],
        check=False,
        capture_output=True,
        env={**os.environ, setting: str(port)},
        timeout=PATIENCE,
    )
    return done.returncode
