"""What a container engine and a kubelet change on the machine itself, and how to put it back.

dockerd turns on forwarding and leaves packet filter chains and bridges, the kubelet in the node sets kernel settings
of the whole machine. `snapshot` is taken before the first of them starts and kept in a file until `restore`, so a
killed run does not lose it. Only additions are taken back, and only those that carry a container engine's marks:
what somebody else changed meanwhile is left alone.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

from e2e.kind.debian import on_path

SETTINGS = (
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/forwarding",
    "net/ipv4/conf/default/forwarding",
    "net/ipv4/conf/all/route_localnet",
    "net/ipv6/conf/all/forwarding",
    "net/ipv6/conf/default/forwarding",
    "net/bridge/bridge-nf-call-iptables",
    "net/bridge/bridge-nf-call-ip6tables",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)
TOOLS = ("iptables", "ip6tables")
OURS = re.compile(r"DOCKER|docker0|\bbr-[0-9a-f]{12}\b")
Rules = dict[str, list[str]]


def snapshot(file: Path) -> None:
    """Write the state of the machine to `file`, unless an earlier snapshot still waits there to be restored."""
    if file.exists():
        return
    state = {"settings": settings(), "filters": {tool: _save(tool) for tool in TOOLS}, "links": bridges()}
    half = file.with_suffix(".half")
    half.write_text(json.dumps(state))
    half.replace(file)


def restore(file: Path) -> list[str]:
    """Put back what changed since the snapshot and forget it; return what could not be put back."""
    if not file.exists() or os.geteuid() != 0:
        return []
    before = json.loads(file.read_text())
    problems = []
    for link in bridges():
        if link not in before["links"]:
            problems += _call(["ip", "link", "delete", link])
    for tool in TOOLS:
        for command in removals(tool, before["filters"][tool], _save(tool)):
            problems += _call(command)
        problems += _drop_empty_tables(tool, before["filters"][tool])
    for name, value in before["settings"].items():
        path = Path("/proc/sys") / name
        if path.exists() and path.read_text().strip() != value:
            path.write_text(value)
    file.unlink()
    return problems


def settings() -> dict[str, str]:
    """Return the kernel settings that are watched, as far as this kernel has them."""
    paths = {name: Path("/proc/sys") / name for name in SETTINGS}
    return {name: path.read_text().strip() for name, path in paths.items() if path.exists()}


def bridges() -> list[str]:
    """Return the network bridges that have a container engine's names."""
    names = sorted(path.name for path in Path("/sys/class/net").iterdir() if (path / "bridge").exists())
    return [name for name in names if OURS.search(name)]


def parse_rules(saved: str) -> Rules:
    """Return the lines of `iptables-save` by table: rules (-A ...) and chains (:NAME POLICY, counters left out)."""
    tables: Rules = {}
    lines: list[str] = []
    for line in saved.splitlines():
        if line.startswith("*"):
            lines = tables.setdefault(line[1:].strip(), [])
        elif line.startswith(":"):
            lines.append(" ".join(line.split()[:2]))
        elif line.startswith("-A"):
            lines.append(line)
    return tables


def removals(tool: str, before: str, after: str) -> list[list[str]]:
    """Return the commands that take back what was added between two `iptables-save` outputs with an engine's marks.

    Rules first, then chains, then policies of built-in chains that dockerd tightened.
    """
    old, new = parse_rules(before), parse_rules(after)
    rules, chains, policies = [], [], []
    for table, lines in new.items():
        base = [tool, "--wait", "-t", table]
        known = old.get(table, [])
        were = dict(line[1:].split() for line in known if line.startswith(":"))
        for line in lines:
            if line in known:
                continue
            words = _words(line)
            if words[0] == "-A" and OURS.search(line):
                rules.append([*base, "-D", *words[1:]])
            elif words[0].startswith(":"):
                name, policy = words[0][1:], words[1]
                if OURS.search(name):
                    chains.append([*base, "-X", name])
                elif policy == "DROP" and were.get(name, "ACCEPT") == "ACCEPT":
                    policies.append([*base, "-P", name, "ACCEPT"])
    return rules + chains + policies


def _words(line: str) -> list[str]:
    return [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', line)]


def _drop_empty_tables(tool: str, before: str) -> list[str]:
    """Remove tables that did not exist before and hold no rule now; only the nft flavour of iptables makes such."""
    if on_path("nft") is None:
        return []
    family = "ip" if tool == "iptables" else "ip6"
    problems = []
    for table, lines in parse_rules(_save(tool)).items():
        if table not in parse_rules(before) and not any(line.startswith("-A") for line in lines):
            problems += _call(["nft", "delete", "table", family, table])
    return problems


def _save(tool: str) -> str:
    program = on_path(f"{tool}-save")
    if program is None or os.geteuid() != 0:
        return ""
    return subprocess.run([program], capture_output=True, text=True, check=False).stdout


def _call(command: list[str]) -> list[str]:
    program = on_path(command[0])
    if program is None:
        return [f"{command[0]} not found"]
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False)
    return [] if done.returncode == 0 else [f"{' '.join(command)}: {done.stderr.strip()}"]
