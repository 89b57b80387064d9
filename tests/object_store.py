"""A real S3 server for tests, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from loopback import answers, free_port
from pyarrow.fs import S3FileSystem
from waiting import wait_until

BUCKET = "sweeps"


@contextmanager
def object_store() -> Iterator[dict[str, str]]:
    """A server with an empty bucket; the environment that leads pyarrow, Ray and boto3 to it."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: answers(f"{url}/moto-api/"), server)
        filesystem = S3FileSystem(
            access_key="testing",
            secret_key="testing",
            region="us-east-1",
            endpoint_override=url,
            allow_bucket_creation=True,
        )
        filesystem.create_dir(BUCKET)
        yield {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": url,
        }
    finally:
        server.kill()
        server.wait()
