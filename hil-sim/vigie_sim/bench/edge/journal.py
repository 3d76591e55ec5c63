"""Group commits of a thousand records, beside a bare loop: length, CRC-32 and bytes of each, one sync a group.

Both run in one process of their own that takes turns between them, so that they meet the same disk.
"""

import json
import subprocess
import sys

from vigie_sim.bench.figures import Figures, median

RECORDS = 1000
BYTES = 64
_PROGRAM = """
import json, os, struct, sys, time
from pathlib import Path
from zlib import crc32
from vigie_edge.journal.journal import Journal
from vigie_edge.journal.segment import Kind

folder, groups, records, size = Path(sys.argv[1]), *map(int, sys.argv[2:5])
journal = Journal(folder / "ours", 512 << 20, b"{}", int(time.time()), 64 << 20)
bare = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
payload = os.urandom(size)
found = {"ours": [], "bare": []}
for number in range(groups):
    begun = time.perf_counter()
    for _ in range(records):
        journal.append(Kind.SAMPLES, payload)
    if not journal.commit(b""):
        sys.exit("the journal did not commit")
    between = time.perf_counter()
    group = bytearray()
    for _ in range(records):
        group += struct.pack("<II", len(payload), crc32(payload)) + payload
    os.write(bare, group)
    os.fdatasync(bare)
    found["ours"].append(between - begun)
    found["bare"].append(time.perf_counter() - between)
print(json.dumps(found))
"""
"""The journal belongs to the agent, which the simulator never imports: so this runs beside it."""


def journal(figures: Figures) -> None:
    """Fill the figures."""
    groups = 20 if figures.quick else 300
    folder = figures.folder / "journal"
    folder.mkdir()
    line = [sys.executable, "-c", _PROGRAM, str(folder), *map(str, (groups, RECORDS, BYTES))]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    case = f"journal, groups of {RECORDS} x {BYTES} bytes"
    ours, bare = median(found["ours"]), median(found["bare"])
    figures.ours(case, "records committed", RECORDS / ours, "1/s", groups)
    figures.reference(case, "bare append + fdatasync", "records committed", RECORDS / bare, "1/s", groups)
    figures.ours(case, "share of the bare loop's rate", 100 * bare / ours, "%", groups, ">= 50")
