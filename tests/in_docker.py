"""Run the tests against the public Redis image: `make test-docker`."""

from __future__ import annotations

import os
import subprocess
import sys

# One container that ends with this script; the reaper would be a second image to pull.
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")

from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from tests.servers import GIVEN

IMAGE = "redis:8"
PORT = 6379


def main(arguments: list[str]) -> int:
    container = DockerContainer(IMAGE).with_exposed_ports(PORT).waiting_for(LogMessageWaitStrategy("Ready to accept connections"))
    with container:
        url = f"redis://{container.get_container_host_ip()}:{container.get_exposed_port(PORT)}"
        print(f"{IMAGE} answers at {url}", flush=True)
        return subprocess.run([sys.executable, "-m", "pytest", *arguments], env={**os.environ, GIVEN: url}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
