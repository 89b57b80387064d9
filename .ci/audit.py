"""`make audit`: what is installed, looked up by pip-audit in its database of known vulnerabilities.

Where the database cannot be reached nothing is audited; that is said, and is no failure. pip-audit itself
then ends with a traceback or, where something else answers in the place of the database, as a mirror of
packages may, with "No known vulnerabilities found".
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

UNREACHABLE = re.compile(r"Could not connect|ConnectionError|Max retries|Timeout|ProxyError|SSLError")


def main() -> int:
    """0 without vulnerabilities, or without a database; 1 with some; pip-audit's own code where it fails."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        options = [
            "--skip-editable",
            "--progress-spinner",
            "off",
            "--format",
            "json",
            "--output",
            str(report),
        ]
        command = [sys.executable, "-m", "pip_audit", *options, *sys.argv[1:]]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if report.is_file():
            return judge(json.loads(report.read_text("utf-8"))["dependencies"])
    if UNREACHABLE.search(done.stderr):
        print("nothing was audited: the database of vulnerabilities cannot be reached from here")
        return 0
    sys.stderr.write(done.stderr)
    return done.returncode or 1


def judge(packages: list[dict[str, Any]]) -> int:
    """Say what is known of each package.

    Args:
        packages: as in pip-audit's JSON: `name`, and `version` with `vulns`, or `skip_reason`.
    """
    known = [package for package in packages if "vulns" in package]
    unknown = sorted(package["name"] for package in packages if "vulns" not in package)
    if not known:
        print(f"nothing was audited: whoever answered for the database knows none of {len(unknown)} packages")
        return 0
    for package in known:
        for one in package["vulns"]:
            fixed = f"fixed in {', '.join(one['fix_versions'])}" if one["fix_versions"] else "not fixed yet"
            print(f"{package['name']} {package['version']}: {one['id']}, {fixed}")
    found = sum(len(package["vulns"]) for package in known)
    print(f"{len(known)} packages audited, {found} known vulnerabilities")
    if unknown:
        print(f"not in the database: {', '.join(unknown)}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
