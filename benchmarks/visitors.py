"""Many visitors at once, all moving sliders: is every picture the right one, how long do they wait, does memory grow?

    python -m benchmarks.visitors

`python app.py` in a process of its own. Every visitor has a session, a seed and a psi of their own, and goes from one
move to the next: a drag of several positions, each sent when the picture of the one before is there (as the page does
it), then at rest. Some visitors are programs that call /edit instead. Nothing is drawn in a browser, but all that the
page sends is sent, and every picture is fetched and decoded. Afterwards each is compared with the picture of its recipe
as the library draws it, by a renderer of its own. Visitors and server share the machine's cores.

latency: from the move to the decoded picture. busy: answers that say to come back, the only ones that may fail. rss: of
the server, in MiB, once every visitor has moved for some time that is not measured (warm), at the end, and the ratio.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import gradio
import httpx
import numpy as np
import torch
from PIL import Image

from benchmarks.machine import machine
from benchmarks.page_client import PREFIX, PageClient, PageError, Presence
from eigan import sources
from eigan.pack import DirectionPack
from eigan.recipe import PNG_KEY, PictureRecipe
from eigan.render import Renderer
from eigan.reproduce import draw

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
MIB = 2**20
DRAG = 6  # positions of one drag
START_SECONDS = 90
BUSY = ("busy", "Queue is full")


@dataclass
class Tally:
    """What all visitors saw. pictures: recipe -> digests of the pixels that came for it. Safe between threads."""

    pictures: dict[str, set[str]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    edit_seconds: list[float] = field(default_factory=list)
    busy: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def picture(self, recipe: str, digest: str, taken: float, *, counts: bool, edit: bool = False) -> None:
        with self.lock:
            self.pictures.setdefault(recipe, set()).add(digest)
            if counts:
                (self.edit_seconds if edit else self.seconds).append(taken)

    def error(self, error: Exception) -> None:
        text = str(error)
        with self.lock:
            if any(word in text for word in BUSY):
                self.busy += 1
            else:
                self.errors[f"{type(error).__name__}: {text[:160]}"] += 1


@dataclass(frozen=True)
class Party:
    """Who comes where, until when. ready: everybody has come; start: what is seen from then on counts."""

    url: str
    config: dict[str, Any]
    pack: DirectionPack
    start: float
    deadline: float
    tally: Tally

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.deadline


def digest_of(pixels: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


def read(data: bytes) -> tuple[str, str]:
    """(recipe as JSON, digest of the pixels) of a PNG that the app made."""
    with Image.open(io.BytesIO(data)) as image:
        return str(image.info[PNG_KEY]), digest_of(np.asarray(image.convert("RGB")))


def moves(pack: DirectionPack, chance: random.Random) -> Iterator[tuple[bool, dict[str, float]]]:
    """(still moving, amounts), without end: one slider after the other is dragged to somewhere and let go."""
    amounts: dict[str, float] = {}
    while True:
        direction = chance.choice(pack.directions)
        low, high = direction.amount_range
        start, end = amounts.get(direction.name, 0.0), round(chance.uniform(low, high), 1)
        for step in range(1, DRAG + 1):
            amounts[direction.name] = round(start + (end - start) * step / DRAG, 2)
            yield True, dict(amounts)
        yield False, dict(amounts)
        if len(amounts) > 4:
            amounts = {}


def visit(party: Party, number: int) -> None:
    """One person: their page loads, and they move sliders until the time is over."""
    chance, client = random.Random(number), PageClient(party.url, config=party.config)
    walk = moves(party.pack, chance)
    with contextlib.closing(client):
        try:
            client.arrive()
            Presence(client).start()
            client["seed"], client["psi"] = 1000 + number, round(chance.uniform(0.5, 1.0), 2)
        except (PageError, httpx.HTTPError) as error:
            party.tally.error(error)
        while not party.is_over:
            try:
                step(client, walk, party)
            except (PageError, httpx.HTTPError) as error:
                party.tally.error(error)
                time.sleep(0.2)


def step(client: PageClient, walk: Iterator[tuple[bool, dict[str, float]]], party: Party) -> None:
    """One move and its picture, which must be of what was asked for."""
    is_moving, amounts = next(walk)
    start = time.perf_counter()
    client.move(moving=is_moving, amounts=amounts)
    answer = client.http.get(client["picture"]["url"])
    answer.raise_for_status()
    recipe, digest = read(answer.content)
    taken = time.perf_counter() - start
    own = PictureRecipe.from_json(recipe)
    wanted = {name: amount for name, amount in amounts.items() if amount}
    if (own.seed, own.truncation_psi, own.amounts) != (client["seed"], client["psi"], wanted):
        raise PageError(f"asked for seed {client['seed']}, {wanted}; got seed {own.seed}, {dict(own.amounts)}")
    party.tally.picture(recipe, digest, taken, counts=time.monotonic() - taken >= party.start)


def program(party: Party, number: int) -> None:
    """One program: it calls /edit until the time is over."""
    chance = random.Random(-number)
    walk = moves(party.pack, chance)
    call = f"{PREFIX}call/v2/edit"
    with httpx.Client(base_url=party.url, timeout=120) as http:
        while not party.is_over:
            _, amounts = next(walk)
            start = time.perf_counter()
            try:
                asked = {"pack": party.pack.source, "seed": 5000 + number, "amounts": amounts}
                event = http.post(call, json=asked).json()["event_id"]
                told = http.get(f"{call}/{event}").text
                data = json.loads(told[told.rindex("data: ") + 6 :])
                if "event: complete" not in told:
                    raise PageError(str(data.get("error") if isinstance(data, dict) else data))
                recipe, digest = read(http.get(data[0]["url"]).content)
                taken = time.perf_counter() - start
                counts = time.monotonic() - taken >= party.start
                party.tally.picture(recipe, digest, taken, counts=counts, edit=True)
            except (PageError, httpx.HTTPError, ValueError, KeyError) as error:
                party.tally.error(error)
                time.sleep(0.2)


def check(pictures: dict[str, set[str]], pack: DirectionPack) -> int:
    """How many recipes came with pixels that are not theirs. Each is drawn anew."""
    generator = sources.generator_for(pack)
    wrong = 0
    for text, digests in pictures.items():
        recipe = PictureRecipe.from_json(text)
        wrong += digests != {digest_of(draw(recipe, pack, Renderer(generator))[0])}
    return wrong


def memory(pid: int | None) -> int:
    """Resident bytes of the server; 0 where that cannot be read."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))
    return 0


def processor(pid: int | None) -> float:
    """Seconds of processor that the server has taken; 0 where that cannot be read."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def run(
    url: str, pack: DirectionPack, *, visitors: int, programs: int, seconds: float, warm: float, pid: int | None
) -> dict[str, Any]:
    """All of them at once, on a running app whose bundles this process sees, too. warm: seconds that do not count."""
    with contextlib.closing(PageClient(url)) as first:
        config = first.config
    start = time.monotonic() + warm
    party = Party(url, config, pack, start, start + seconds, Tally())
    people = [threading.Thread(target=visit, args=(party, n), daemon=True) for n in range(visitors)]
    people += [threading.Thread(target=program, args=(party, n), daemon=True) for n in range(programs)]
    for person in people:
        person.start()
    time.sleep(warm)
    before, used, own = memory(pid), processor(pid), time.process_time()
    highest = before
    while not party.is_over:
        time.sleep(0.5)
        highest = max(highest, memory(pid))
    for person in people:
        person.join(150)
    after, used, own, tally = memory(pid), processor(pid) - used, time.process_time() - own, party.tally
    pictures = len(tally.seconds) + len(tally.edit_seconds)
    return {
        "visitors": visitors,
        "programs": programs,
        "seconds": seconds,
        "warm_seconds": warm,
        "pictures": pictures,
        "distinct": len(tally.pictures),
        "wrong": check(tally.pictures, pack),
        "errors": dict(tally.errors),
        "busy": tally.busy,
        "per_second": pictures / seconds,
        "latency_ms": spread(tally.seconds),
        "edit_latency_ms": spread(tally.edit_seconds),
        "cpu_seconds": {"server": used, "visitors": own, "server_per_picture": used / max(pictures, 1)},
        "rss_mib": {
            "warm": before / MIB,
            "end": after / MIB,
            "highest": highest / MIB,
            "ratio": after / before if before else None,
        },
    }


def spread(seconds: list[float]) -> dict[str, float] | None:
    """Median, 95th percentile and the longest, in milliseconds."""
    if not seconds:
        return None
    p50, p95, longest = np.percentile(seconds, [50, 95, 100]) * 1e3
    return {"p50": float(p50), "p95": float(p95), "max": float(longest)}


@contextlib.contextmanager
def app(**environ: str) -> Iterator[tuple[str, int]]:
    """(address, process id) of `python app.py` on a free port, with caches of its own and no Hub to talk to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory() as home:
        env = os.environ | {
            "GRADIO_SERVER_PORT": str(port),
            "GRADIO_TEMP_DIR": f"{home}/gradio",
            "HF_HOME": f"{home}/hf",
            "HF_HUB_OFFLINE": "1",
        }
        process = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=env | environ, stdout=subprocess.DEVNULL)
        try:
            url = f"http://127.0.0.1:{port}/"
            until = time.monotonic() + START_SECONDS
            while not _answers(url):
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError("the app did not start; run `python app.py` to see why")
                time.sleep(0.1)
            yield url, process.pid
        finally:
            process.terminate()
            process.wait(20)


def _answers(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"{url}config").status_code == 200
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, default=50)
    parser.add_argument("--programs", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--warm", type=float, default=40.0, help="seconds before the time is measured")
    parser.add_argument("--result", type=Path, default=RESULTS / f"visitors-{date.today()}.json")
    options = parser.parse_args()
    record = {"benchmark": "visitors", "date": str(date.today()), "machine": machine(torch.get_num_threads(), gradio)}
    pack = sources.load_pack(sources.bundled_packs()[0])
    with app() as (url, pid):
        crowd = {name: getattr(options, name) for name in ("visitors", "programs", "seconds", "warm")}
        found = run(url, pack, **crowd, pid=pid)
    record |= {"pack": pack.source, **found}
    print(
        f"{found['pictures']} pictures ({found['per_second']:.1f} a second), {found['wrong']} of {found['distinct']} "
        f"recipes wrong, {sum(found['errors'].values())} errors, {found['busy']} busy\n"
        f"latency {found['latency_ms']}, of /edit {found['edit_latency_ms']}\nserver's memory {found['rss_mib']}"
    )
    for error, count in found["errors"].items():
        print(f"{count} x {error}")
    options.result.parent.mkdir(parents=True, exist_ok=True)
    options.result.write_text(json.dumps(record, indent=1) + "\n")
    print(f"written to {options.result}")


if __name__ == "__main__":
    main()
