"""The container files: linted, and true to the settings and routes of the service."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from app.main import create_app
from app.settings import Settings

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
STAGES = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]


def tool(name: str) -> str:
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    return found or pytest.skip(f"no {name} here; `make install-dev` brings it")


def test_hadolint_finds_nothing():
    subprocess.run([tool("hadolint"), str(ROOT / "Dockerfile")], check=True)


def test_the_compose_file_follows_the_specification():
    schema = ["--builtin-schema", "vendor.compose-spec"]
    subprocess.run([tool("check-jsonschema"), *schema, str(ROOT / "docker-compose.yml")], check=True)


def test_every_setting_that_a_container_is_given_is_one():
    inside = dict(re.findall(r"\b(CHORUS_[A-Z_]+)=(\S+)", STAGES[-1]))
    assert Settings.load(inside | COMPOSE["services"]["service"]["environment"])


def test_the_default_image_is_the_service_without_training():
    last = STAGES[-1]
    assert last.split()[:3] == ["base", "AS", "service"]
    copies = re.findall(
        r"^COPY (.*)", "".join(stage for stage in STAGES if " AS service" in stage), re.MULTILINE
    )
    assert not [copy for copy in copies if "training" in copy]
    assert re.findall(r"^USER (\S+)", last, re.MULTILINE) == ["10001"]


def test_what_the_images_copy_is_let_through():
    admitted = (ROOT / ".dockerignore").read_text()
    copies = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE)
    for source in {word for copy in copies for word in copy.split()}:
        assert f"!{source}" in admitted


def test_health_checks_ask_for_a_path_that_the_service_has():
    asked = set(re.findall(r"127\.0\.0\.1:8000(/[a-z/]+)", DOCKERFILE + str(COMPOSE)))
    assert asked == {"/health/ready"}
    assert asked <= set(create_app(Settings.load({})).openapi()["paths"])


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_no_container_can_gain_rights(name):
    service = COMPOSE["services"][name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_service_reads_its_bundles_and_cannot_change_anything():
    service = COMPOSE["services"]["service"]
    assert service["read_only"]
    assert [volume for volume in service["volumes"] if not volume.endswith(":ro")] == []
    assert service["depends_on"]["redis"]["condition"] == "service_healthy"


def test_a_service_without_keys_is_for_this_host_alone_and_no_secret_is_in_its_environment():
    [port] = COMPOSE["services"]["service"]["ports"]
    assert port.startswith("${CHORUS_ADDRESS:-127.0.0.1}:")
    told = [
        each for service in COMPOSE["services"].values() for each in service.get("environment", {}).values()
    ]
    assert not [each for each in told if "@" in each]


@pytest.mark.parametrize("name", [name for name in COMPOSE["services"] if name != "training"])
def test_what_stays_up_writes_to_its_volumes_alone(name):
    assert COMPOSE["services"][name]["read_only"]
    assert COMPOSE["services"][name].get("user", "not root, as the image says") != "root"
