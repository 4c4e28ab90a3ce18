"""Write requirements.lock from a report of `pip install --dry-run --report`: every version with its SHA-256.

    python .ci/lock.py report.json requirements.lock

The hashes are those of the files that pip chose on this machine; another system or processor needs a lock of its own.
"""

import json
import sys
from pathlib import Path


def lines(report: dict) -> list[str]:
    """``name==version --hash=sha256:...`` of every package of the report besides this project itself."""
    found = []
    for package in report["install"]:
        if "dir_info" in package["download_info"]:
            continue
        name, version = package["metadata"]["name"], package["metadata"]["version"]
        digest = package["download_info"]["archive_info"]["hashes"]["sha256"]
        found.append(f"{name}=={version} --hash=sha256:{digest}")
    return sorted(found, key=str.lower)


if __name__ == "__main__":
    report, lock = map(Path, sys.argv[1:])
    lock.write_text("\n".join(lines(json.loads(report.read_text()))) + "\n")
