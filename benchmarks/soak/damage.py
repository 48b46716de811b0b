"""R2: whatever is done to an entry, it is noticed, computed again, and told in one line; also after it was proved."""

from __future__ import annotations

import ctypes
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.soak.children import Done, command
from benchmarks.soak.outcome import Outcome
from benchmarks.soak.proved import LATER, attack_proved, is_possible
from pipeline_core.cache import record
from pipeline_core.cache.record import Record

NODES = 100


@dataclass(frozen=True)
class Entry:
    """A record, its row and its one blob; `twin` is another of the same size."""

    record: Record
    contents: bytes
    blob: Path
    index: Path
    twin: Entry | None = None


def r2(count: int, work: Path) -> Outcome:
    """Damages the entry of one node, removes what was saved of it, and runs the command for that output."""
    outcome = Outcome("R2", rounds=count)
    file, cache = pipeline(work), work / "cache"
    first = command("run", file, "--cache", cache, "--device", "cpu", "-q")
    if first.code or first.err:
        outcome.fail(f"a plain run failed: {first.err}")
        return outcome
    pictures = {node: picture(work, node).read_bytes() for node in range(NODES)}
    known = entries(cache)
    caught: int | None = None
    for number in range(count):
        name, attack = list(DAMAGES.items())[number % len(DAMAGES)]
        node = number // len(DAMAGES) % NODES
        problem = attacked(attack, file, cache, node, known, pictures[node])
        if problem:
            outcome.fail(f"round {number}, {name}, node n{node}: {problem}")
    for number in range(1, 21):
        node = NODES - number
        if attacked(flip_payload, file, cache, node, known, pictures[node], trusting):
            caught = number
            break
    outcome.figures = f"{len(DAMAGES)} kinds of damage: noticed, told once with key and node, computed again, exit 0"
    broken = "digests not proved"
    if caught is not None and is_possible(work):
        outcome.figures += f"; as often written to after a proof, in {len(LATER)} ways"
        caught, broken = attack_proved(count, work, outcome.fail), "a time that can be set back"
    outcome.caught(caught, broken)
    return outcome


def pipeline(work: Path) -> Path:
    """A hundred pictures from nothing; every tenth is larger than a mebibyte, so that its blob is mapped."""
    lines = ["pipeline: 1", "nodes:"]
    for node in range(NODES):
        side = 300 if node % 10 in (8, 9) else 24
        params = f"{{width: {side}, height: {side}, angle: {node}, channels: RGBA}}"
        lines.append(f"  n{node}: {{op: gradient, cache: always, params: {params}}}")
    lines.append("outputs:")
    lines += [f"  n{node}: {{from: n{node}, path: out/n{node}.png}}" for node in range(NODES)]
    file = work / "r2.yaml"
    file.write_text("\n".join(lines) + "\n")
    return file


def picture(work: Path, node: int) -> Path:
    return work / "out" / f"n{node}.png"


def entries(cache: Path) -> dict[int, Entry]:
    """The entry of every node, in the order of the file, each with a twin of its size."""
    index = record.index_path(cache)
    connection = sqlite3.connect(index)
    found = {}
    for key, contents, checksum in connection.execute("SELECT key, contents, checksum FROM records"):
        made = Record.from_row(key, contents, checksum)
        blob = made.outputs[0].blob
        angle = made.parts["params"]["angle"]
        found[int(float(str(angle)))] = Entry(made, contents, cache / "v1" / "blobs" / blob[:2] / blob, index)
    connection.close()
    sizes: dict[int, list[int]] = {}
    for node, entry in found.items():
        sizes.setdefault(entry.record.nbytes, []).append(node)
    twins = {node: group[i - 1] for group in sizes.values() for i, node in enumerate(group)}
    return {
        node: Entry(entry.record, entry.contents, entry.blob, entry.index, found[twins[node]])
        for node, entry in found.items()
    }


def attacked(
    attack: Callable[[Entry], None],
    file: Path,
    cache: Path,
    node: int,
    known: dict[int, Entry],
    expected: bytes,
    broken: Callable[[], None] = lambda: None,
) -> str:
    """What was wrong with the answer to one attack; '' if nothing. Afterwards everything is as it was."""
    entry = known[node]
    blobs = [other.blob for other in (entry, entry.twin) if other is not None]
    contents = {blob: blob.read_bytes() for blob in blobs}
    output = file.parent / "out" / f"n{node}.png"
    output.unlink(missing_ok=True)  # an attack that was not withstood left none
    attack(entry)
    asked = ["run", file, "--cache", cache, "--device", "cpu", "-q", "--only", f"n{node}"]
    done = command(*asked, before=give_up_override if attack is lock else broken)
    problem = verdict(done, entry, node, output, expected)
    if not problem and entry.blob.read_bytes() != contents[entry.blob]:
        problem = "the damaged blob was not replaced"
    if not problem and node % 10 == 0 and ((again := command(*asked)).code or again.err):
        problem = f"the run after says {again.err!r}"
    for blob, content in contents.items():
        restore(blob, content)
    if entry.twin is not None and attack in (swap, foreign_row):
        (file.parent / "out" / f"n{node}.png").write_bytes(expected)
    return problem


def verdict(done: Done, entry: Entry, node: int, output: Path, expected: bytes) -> str:
    if done.code:
        return f"exit code {done.code}: {done.err}"
    if "Traceback" in done.err:
        return f"a traceback: {done.err}"
    told = done.err.splitlines()
    if len(told) != 1 or f"n{node}" not in told[0] or entry.record.key[:12] not in told[0]:
        return f"not one warning with key and node: {told}"
    if not output.exists() or output.read_bytes() != expected:
        return "the picture is wrong"
    return ""


def restore(blob: Path, content: bytes) -> None:
    if blob.is_symlink() or not blob.is_file() or blob.read_bytes() != content:
        remove(blob)
        blob.write_bytes(content)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def give_up_override() -> None:
    """A superuser may read everything, until he lets go of the two capabilities that say so (Linux: capset(2))."""
    if os.geteuid() != 0 or not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    if libc.capget(header, sets):
        raise OSError(ctypes.get_errno(), "capget")
    sets[0] &= ~0b110  # effective: CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    if libc.capset(header, sets):
        raise OSError(ctypes.get_errno(), "capset")


def trusting() -> None:
    """The broken build: a blob is what its name says."""
    from pipeline_core.cache import blob

    blob.xxhash = _Trusting  # type: ignore[assignment]


class _Trusting:
    """In place of xxhash: every checksum is what was expected."""

    class _Same(str):
        def __ne__(self, other: object) -> bool:
            return False

        __hash__ = str.__hash__

    @classmethod
    def xxh3_128_hexdigest(cls, content: object) -> str:
        return cls._Same("")

    class xxh3_128:  # noqa: N801  the name that it stands in for
        def update(self, content: object) -> None:
            pass

        def hexdigest(self) -> str:
            return _Trusting._Same("")


# --- the damages ----------------------------------------------------------------------------------------------------


def cut(part: float) -> Callable[[Entry], None]:
    def damage(entry: Entry) -> None:
        os.truncate(entry.blob, int(entry.record.nbytes * part))

    return damage


def cut_one_byte(entry: Entry) -> None:
    os.truncate(entry.blob, entry.record.nbytes - 1)


def zero_tail(entry: Entry) -> None:
    content = entry.blob.read_bytes()
    tail = len(content) // 4
    entry.blob.write_bytes(content[:-tail] + bytes(tail))


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 4
    path.write_bytes(content)


def flip_header(entry: Entry) -> None:
    flip(entry.blob, 20)


def flip_payload(entry: Entry) -> None:
    flip(entry.blob, entry.record.nbytes - 10)


def swap(entry: Entry) -> None:
    assert entry.twin is not None
    entry.blob.write_bytes(entry.twin.blob.read_bytes())


def write_row(entry: Entry, contents: bytes, checksum: bytes | None = None) -> None:
    connection = sqlite3.connect(entry.index)
    with connection:
        if checksum is None:
            connection.execute("UPDATE records SET contents = ? WHERE key = ?", (contents, entry.record.key))
        else:
            connection.execute(
                "UPDATE records SET contents = ?, checksum = ? WHERE key = ?", (contents, checksum, entry.record.key)
            )
    connection.close()


def flip_index(entry: Entry) -> None:
    contents = bytearray(entry.contents)
    contents[len(contents) // 2] ^= 1
    write_row(entry, bytes(contents))


def foreign_row(entry: Entry) -> None:
    """The whole row of another key under this one."""
    assert entry.twin is not None
    twin = entry.twin
    write_row(entry, twin.contents, record.row_checksum("record", twin.record.key, twin.contents))


def older_format(entry: Entry) -> None:
    """A row that is right for the format before."""
    now = record.FORMAT
    record.FORMAT = now - 1
    try:
        checksum = record.row_checksum("record", entry.record.key, entry.contents)
    finally:
        record.FORMAT = now
    write_row(entry, entry.contents, checksum)


def lock(entry: Entry) -> None:
    entry.blob.chmod(0)


def folder_in_its_place(entry: Entry) -> None:
    entry.blob.unlink()
    entry.blob.mkdir()
    (entry.blob / "file").write_bytes(b"x")


def dangling_link(entry: Entry) -> None:
    entry.blob.unlink()
    entry.blob.symlink_to(entry.blob.parent / "nowhere")


def link_outside(entry: Entry) -> None:
    """To the very same bytes: what lies outside can change at any time."""
    outside = entry.index.parents[3] / "outside"
    shutil.move(entry.blob, outside)
    entry.blob.symlink_to(outside)


DAMAGES: dict[str, Callable[[Entry], None]] = {
    "empty": cut(0),
    "cut by a byte": cut_one_byte,
    "cut to half": cut(0.5),
    "cut to a hundredth": cut(0.01),
    "zero tail": zero_tail,
    "a bit in the header": flip_header,
    "a bit in the payload": flip_payload,
    "a bit in the index": flip_index,
    "another's payload": swap,
    "another's row": foreign_row,
    "older format": older_format,
    "mode 000": lock,
    "a folder in its place": folder_in_its_place,
    "a dangling link": dangling_link,
    "a link outside": link_outside,
}
