"""Where across its layer each node and bend of a layered graph stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from .layers import WORK, Layers

# An edge that is nearly straight by this much, and could be, is made straight.
_NEARLY = 24.0
_MOST_PUSHED = 500


def coordinates(
    layers: Layers, sizes: Sequence[float], gap: Callable[[int, int], float], offset: Callable[[int, int], float]
) -> list[float]:
    """The centre of every node and bend across the layers.

    sizes: extent of each across. gap: the least room between two that stand side by side.
    offset: how far from the centre of the second an edge from the first ends.
    """
    room = [[(sizes[a] + sizes[b]) / 2 + gap(a, b) for a, b in pairwise(layer)] for layer in layers.order]
    centre = _balanced(layers, room, offset)
    _straighten(layers, room, offset, centre)
    return centre


def _balanced(layers: Layers, room: list[list[float]], offset: Callable[[int, int], float]) -> list[float]:
    """Layer by layer, to and fro, the places nearest to what the neighbours ask for, in the sense of least squares."""
    centre = [0.0] * len(layers.rank)

    def settle(index: int, before: bool, after: bool) -> None:
        layer = layers.order[index]
        wishes, weights = [], []
        for node in layer:
            pulls = [(centre[node], 0.01)]  # what nothing pulls stays
            if before:
                pulls += [
                    (centre[near] - offset(near, node), _weight(layers, near, node)) for near in layers.before[node]
                ]
            if after:
                pulls += [
                    (centre[near] + offset(node, near), _weight(layers, node, near)) for near in layers.after[node]
                ]
            total = sum(weight for _, weight in pulls)
            wishes.append(sum(wish * weight for wish, weight in pulls) / total)
            weights.append(total)
        for node, value in zip(layer, _isotonic(wishes, weights, room[index]), strict=True):
            centre[node] = value

    count = len(layers.order)
    for index in range(count):
        settle(index, before=False, after=False)
    for _ in range(max(2, min(12, WORK // max(1, len(layers.rank))))):
        for index in range(1, count):
            settle(index, before=True, after=False)
        for index in reversed(range(count - 1)):
            settle(index, before=False, after=True)
        for index in range(count):
            settle(index, before=True, after=True)
    return centre


def _weight(layers: Layers, upper: int, lower: int) -> float:
    """Bends ask loudest, so that long edges are straight (the weights of Gansner et al., 1993)."""
    return (1.0, 2.0, 8.0)[(upper >= layers.nodes) + (lower >= layers.nodes)]


def _isotonic(wishes: list[float], weights: list[float], room: list[float]) -> list[float]:
    """Least squares under `place[i + 1] - place[i] >= room[i]`: pool adjacent violators (Ayer et al., 1955)."""
    shifts = [0.0]
    for space in room:
        shifts.append(shifts[-1] + space)
    pools: list[tuple[float, float, int]] = []  # mean, weight, members
    for wish, weight, shift in zip(wishes, weights, shifts, strict=False):
        mean, total, members = wish - shift, weight, 1
        while pools and pools[-1][0] > mean:
            other, other_weight, others = pools.pop()
            mean = (mean * total + other * other_weight) / (total + other_weight)
            total, members = total + other_weight, members + others
        pools.append((mean, total, members))
    means = [mean for mean, _, members in pools for _ in range(members)]
    return [mean + shift for mean, shift in zip(means, shifts, strict=False)]


def _straighten(
    layers: Layers, room: list[list[float]], offset: Callable[[int, int], float], centre: list[float]
) -> None:
    """Takes the kinks out of edges that can be straight; what such an edge joins moves as one from then on."""
    above: dict[int, tuple[int, float]] = {}
    below: dict[int, tuple[int, float]] = {}
    for layer, spaces in zip(layers.order, room, strict=True):
        for (a, b), space in zip(pairwise(layer), spaces, strict=True):
            above[b], below[a] = (a, space), (b, space)
    group = {node: [node] for node in range(len(layers.rank))}

    def moved(first: list[int], shift: float, fixed: list[int]) -> list[int]:
        """All that moves when a group does, for whole groups are pushed; nothing if `fixed` is in the way."""
        beside, sign = (below, 1) if shift > 0 else (above, -1)
        pushed, waiting = {id(first)}, [first]
        moving: list[int] = []
        while waiting:
            members = waiting.pop()
            moving += members
            if members is fixed or len(moving) > _MOST_PUSHED:
                return []
            for node in members:
                near, space = beside.get(node, (node, 0.0))
                if id(group[near]) not in pushed and sign * (centre[near] - centre[node] - shift) < space:
                    pushed.add(id(group[near]))
                    waiting.append(group[near])
        return moving

    def kink(edge: tuple[int, int]) -> float:
        return centre[edge[0]] - centre[edge[1]] - offset(*edge)

    def between_bends(edge: tuple[int, int]) -> bool:
        return min(edge) >= layers.nodes

    def follow(edge: tuple[int, int]) -> None:
        """Moves the lower end to the upper, or the other way round, and ties them."""
        shift = kink(edge)
        upper, lower = group[edge[0]], group[edge[1]]
        if moving := moved(lower, shift, upper):
            by = shift
        elif moving := moved(upper, -shift, lower):
            by = -shift
        else:
            return
        for node in moving:
            centre[node] += by
        lesser, greater = sorted((upper, lower), key=len)
        greater.extend(lesser)
        group.update(dict.fromkeys(lesser, greater))

    edges = [(upper, lower) for upper, readers in layers.after.items() for lower in readers]
    for edge in sorted(edges, key=lambda edge: (not between_bends(edge), abs(kink(edge)))):
        alone = len(layers.after[edge[0]]) == len(layers.before[edge[1]]) == 1
        wanted = alone or between_bends(edge) or abs(kink(edge)) <= _NEARLY
        if wanted and group[edge[0]] is not group[edge[1]]:
            follow(edge)
