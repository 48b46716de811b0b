"""How far two sets of vectors lie apart, each `(N, D)`: rows are members."""

from __future__ import annotations

import torch

ROWS = 1024
"""So many members are held against all others at a time."""
DIRECTIONS = 64


def sliced_wasserstein(one: torch.Tensor, other: torch.Tensor, projections: int, seed: int) -> float:
    """The mean over random directions of the Wasserstein-1 distance of the sets' shadows; both have N members.

    J. Rabin, G. Peyré, J. Delon and M. Bernot, "Wasserstein Barycenter and Its Application to Texture Mixing", 2011.
    """
    generator = torch.Generator().manual_seed(seed)
    total = 0.0
    for start in range(0, projections, DIRECTIONS):
        count = min(DIRECTIONS, projections - start)
        directions = torch.randn(one.shape[1], count, generator=generator, dtype=torch.float64)
        directions = (directions / directions.norm(dim=0, keepdim=True)).to(one.dtype).to(one.device)
        # Directions in rows: sorting goes along memory.
        shadows = [(directions.T @ members.T).sort(dim=1).values for members in (one, other)]
        total += float((shadows[0] - shadows[1]).abs().mean(dim=1).cpu().double().sum())
    return total / projections


def precision_and_recall(made: torch.Tensor, real: torch.Tensor, neighbours: int) -> tuple[float, float]:
    """What share of made members lies among the real ones, and what share of real ones among the made.

    A member lies among a set if it is within the reach of one of the set's: the distance to its k-th nearest.
    T. Kynkäänniemi, T. Karras, S. Laine, J. Lehtinen and T. Aila, "Improved Precision and Recall Metric for Assessing
    Generative Models", 2019, equations 1 and 2.
    """
    return _share_among(made, real, neighbours), _share_among(real, made, neighbours)


def _share_among(members: torch.Tensor, home: torch.Tensor, neighbours: int) -> float:
    # The nearest is the member itself, at 0.
    reach = nearest(home, home, neighbours + 1)[0][:, neighbours]
    inside = sum(int((distances(part, home) <= reach).any(dim=1).sum()) for part in _parts(members))
    return inside / len(members)


def frechet(one: torch.Tensor, other: torch.Tensor) -> float:
    """Between the normal distributions with the sets' means and covariances, squared.

    D. Dowson and B. Landau, "The Fréchet Distance between Multivariate Normal Distributions", 1982.
    """
    one, other = one.double().cpu(), other.double().cpu()
    size = one.shape[1], one.shape[1]  # of one feature, torch gives a number
    first, second = (torch.cov(part.T).reshape(size) for part in (one, other))
    values, vectors = torch.linalg.eigh(first)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    # The trace of (C1 C2)^(1/2) is that of (C1^(1/2) C2 C1^(1/2))^(1/2), which is symmetric.
    cross = torch.linalg.eigvalsh(root @ second @ root).clamp_min(0).sqrt().sum()
    apart = (one.mean(0) - other.mean(0)).square().sum()
    return max(0.0, float(apart + first.trace() + second.trace() - 2 * cross))


def nearest(members: torch.Tensor, home: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Distances to the `count` nearest of `home` and their places, nearest first, `(N, count)` each."""
    found = [distances(part, home).topk(count, dim=1, largest=False) for part in _parts(members)]
    return torch.cat([one.values for one in found]), torch.cat([one.indices for one in found])


def _parts(members: torch.Tensor) -> list[torch.Tensor]:
    return [members[start : start + ROWS] for start in range(0, len(members), ROWS)]


def distances(members: torch.Tensor, home: torch.Tensor) -> torch.Tensor:
    """Euclidean, `(N, M)`; differences are taken, not products, so that equal members are at exactly 0."""
    return torch.cdist(members, home, compute_mode="donot_use_mm_for_euclid_dist")
