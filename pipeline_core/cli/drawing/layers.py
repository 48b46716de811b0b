"""A graph in layers, after Sugiyama, Tagawa and Toda (1981): which layer, which order in it.

Nodes are numbers; an edge that spans several layers goes by way of bends, numbered after the nodes. Edges that
leave one node share their bends, so a value read far away and often is one line that forks, not a bundle.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

Edge = tuple[int, int]

# Beyond these the picture can't be taken in anyway, and the time is better saved.
_MOST_BENDS = 20_000
_MOST_TO_POLISH = 400
WORK = 150_000


@dataclass
class Layers:
    """`rank` and `order` cover nodes and bends; `ways` lists the bends of each edge, first to last."""

    nodes: int
    rank: list[int]
    ways: list[tuple[int, ...]]
    order: list[list[int]] = field(default_factory=list)
    before: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    after: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))


def arrange(nodes: int, edges: Sequence[Edge]) -> Layers:
    """Ranks, bends and an order with few crossings. ValueError where the edges form a loop."""
    layers = _with_bends(nodes, edges, _ranks(nodes, edges))
    _put_in_order(layers)
    return layers


def _ranks(nodes: int, edges: Sequence[Edge]) -> list[int]:
    """Longest path from a source; then what has more readers than inputs moves towards its readers."""
    before, after = _neighbours(edges)
    waiting = [len(before[node]) for node in range(nodes)]
    ready = deque(node for node in range(nodes) if not waiting[node])
    rank = [0] * nodes
    sequence = []
    while ready:
        node = ready.popleft()
        sequence.append(node)
        for reader in after[node]:
            rank[reader] = max(rank[reader], rank[node] + 1)
            waiting[reader] -= 1
            if not waiting[reader]:
                ready.append(reader)
    if len(sequence) < nodes:
        raise ValueError("the boxes feed each other in a loop")
    for _ in range(3):
        for node in reversed(sequence):
            if after[node] and len(after[node]) >= len(before[node]):
                rank[node] = min(rank[reader] for reader in after[node]) - 1
        for node in sequence:
            if len(before[node]) > len(after[node]):
                rank[node] = max(rank[source] for source in before[node]) + 1
    lowest = min(rank, default=0)
    return [value - lowest for value in rank]


def _neighbours(edges: Sequence[Edge]) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    before: dict[int, list[int]] = defaultdict(list)
    after: dict[int, list[int]] = defaultdict(list)
    for source, target in edges:
        before[target].append(source)
        after[source].append(target)
    return before, after


def _with_bends(nodes: int, edges: Sequence[Edge], ranks: list[int]) -> Layers:
    reach = dict.fromkeys(range(nodes), 0)
    for source, target in edges:
        reach[source] = max(reach[source], ranks[target] - ranks[source] - 1)
    layers = Layers(nodes, ranks, [])
    trunks: dict[int, tuple[int, ...]] = {}
    for node in sorted(reach, key=lambda node: (reach[node], node)):
        first = len(layers.rank)
        if first - nodes + reach[node] > _MOST_BENDS:
            break  # the farthest go straight across
        trunks[node] = tuple(range(first, first + reach[node]))
        layers.rank += [ranks[node] + step for step in range(1, reach[node] + 1)]
    for node, trunk in trunks.items():
        for upper, lower in pairwise((node, *trunk)):
            _join(layers, upper, lower)
    for source, target in edges:
        way = trunks.get(source, ())[: ranks[target] - ranks[source] - 1]
        layers.ways.append(way)
        _join(layers, way[-1] if way else source, target)
    return layers


def _join(layers: Layers, upper: int, lower: int) -> None:
    layers.after[upper].append(lower)
    layers.before[lower].append(upper)


def _put_in_order(layers: Layers) -> None:
    """Barycentre sweeps from two starts, keeping the best order seen; small graphs are polished by swaps."""
    size = len(layers.rank)
    sweeps = max(2, min(24, WORK // max(1, size)))
    best: list[list[int]] = []
    fewest = -1
    for start in (_by_depth(layers, layers.after), _by_depth(layers, layers.before)):
        order = start
        for sweep in range(sweeps + 1):
            if sweep:
                order = _swept(layers, order, downwards=sweep % 2 == 1)
                if size <= _MOST_TO_POLISH:
                    _swap_neighbours(layers, order)
            crossings = sum(_crossings(layers, upper, lower) for upper, lower in pairwise(order))
            if fewest < 0 or crossings < fewest:
                best, fewest = [list(layer) for layer in order], crossings
            if not crossings:
                break
    layers.order = best


def _by_depth(layers: Layers, onwards: dict[int, list[int]]) -> list[list[int]]:
    """A first order: depth first, so that what hangs together stands together."""
    backwards = layers.before if onwards is layers.after else layers.after
    order: list[list[int]] = [[] for _ in range(max(layers.rank, default=-1) + 1)]
    seen: set[int] = set()
    for start in range(len(layers.rank)):
        stack = [start] if not backwards[start] else []
        while stack:
            node = stack.pop()
            if node not in seen:
                seen.add(node)
                order[layers.rank[node]].append(node)
                stack.extend(reversed(onwards[node]))
    return order


def _swept(layers: Layers, order: list[list[int]], downwards: bool) -> list[list[int]]:
    """Each layer sorted by the mean place of its neighbours in the layers already passed."""
    place = _places(order)
    result = [list(layer) for layer in order]
    neighbours = layers.before if downwards else layers.after
    for index in range(len(result)) if downwards else reversed(range(len(result))):
        layer = result[index]
        mean = {node: _mean([place[near] for near in neighbours[node]], place[node]) for node in layer}
        layer.sort(key=mean.__getitem__)
        place.update(_places([layer]))
    return result


def _places(order: list[list[int]]) -> dict[int, float]:
    """Where each stands in its layer, from 0 to 1, so that layers of different lengths compare."""
    return {node: (place + 0.5) / len(layer) for layer in order for place, node in enumerate(layer)}


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _crossings(layers: Layers, upper: list[int], lower: list[int]) -> int:
    place = {node: index for index, node in enumerate(lower)}
    seen: list[int] = []
    total = 0
    for node in upper:
        ends = sorted(place[reader] for reader in layers.after[node] if reader in place)
        total += sum(len(seen) - bisect_left(seen, end + 1) for end in ends)
        for end in ends:
            insort(seen, end)
    return total


def _swap_neighbours(layers: Layers, order: list[list[int]]) -> None:
    """Swaps two that stand side by side wherever that leaves fewer crossings."""
    place = {node: index for layer in order for index, node in enumerate(layer)}
    for layer in order:
        improved = True
        while improved:
            improved = False
            for index, (left, right) in enumerate(pairwise(layer)):
                gain = sum(
                    _between(near[left], near[right], place) - _between(near[right], near[left], place)
                    for near in (layers.before, layers.after)
                )
                if gain > 0:
                    layer[index], layer[index + 1] = right, left
                    place[left], place[right] = index + 1, index
                    improved = True
                    break


def _between(left: list[int], right: list[int], place: dict[int, int]) -> int:
    return sum(place[a] > place[b] for a in left for b in right)
