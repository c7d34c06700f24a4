"""Terms against collapsed features, each a number to be minimised.

Each takes this rank's features [N, d], as many rows on every rank, and returns a scalar over the
rows of all ranks, the same on every rank. The mean over ranks of its gradients is the gradient of
one process with all rows. Terms are computed in float32 (float64 of features in float64), also
within autocast. Features that are not finite give a term that is not finite. A `UserError` refuses
fewer than two samples, features of width 0, and, where their directions count, vectors of zeros.
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch import distributed as dist

from maskwise.checks import checked
from maskwise.errors import UserError

Scale = Literal["exact", "public"]


def _ranks() -> tuple[int, int]:
    """Return which process this is, from 0, and how many train together."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def _summed(x: Tensor) -> Tensor:
    everything = x.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(everything)
    return everything


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, exact: bool) -> Tensor:
        ctx.exact = exact
        return _summed(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        # What this rank adds to the sum moves the loss of every rank, not only its own.
        return _summed(grad) if ctx.exact else grad, None


def _total(x: Tensor, exact: bool = True) -> Tensor:
    """Return the sum over ranks of their x, of one shape, on every rank.

    The gradient is the sum over ranks of theirs, so that their mean is that of a single process;
    if not `exact`, it is this rank's only, whose mean over ranks is too small by their number.
    """
    _, num = _ranks()
    return x if num == 1 else _Total.apply(x, exact)


def _gathered(x: Tensor) -> Tensor:
    """Return the rows [N, d] of all ranks, as many on each, in their order, on every rank."""
    rank, num = _ranks()
    return _total(F.pad(x, (0, 0, rank * len(x), (num - rank - 1) * len(x))))


def _features(term: str, z: Tensor) -> tuple[Tensor, int]:
    """Return features in full precision, and the number of rows of all ranks."""
    if z.dim() != 2:
        raise UserError(f"{term}: features of shape {tuple(z.shape)} must be [N, D]")
    _, num = _ranks()
    num_rows = len(z) * num
    if num_rows < 2:
        raise UserError(f"{term} compares samples: a batch of {num_rows} has no two, enlarge it")
    if z.shape[1] == 0:
        raise UserError(f"{term}: features of width 0 have nothing to spread: choose others")
    return z.to(torch.promote_types(z.dtype, torch.float32)), num_rows


def _directions(term: str, z: Tensor) -> tuple[Tensor, int]:
    """Return features of length 1, and the number of rows of all ranks."""
    z, num_rows = _features(term, z)
    length = torch.linalg.vector_norm(z, dim=1, keepdim=True)
    # Summed over ranks, so that all of them stop.
    num_zero = int(_total((length == 0).sum()))
    if num_zero:
        raise UserError(
            f"{term}: {num_zero} of {num_rows} feature vectors are exactly zero and have no "
            "direction: choose another pool or layer"
        )
    return z / length, num_rows


def _gram(z: Tensor) -> Tensor:
    """Return the inner products of columns, [d, d], at the precision of z also within autocast."""
    with torch.autocast(z.device.type, enabled=False):
        return z.T @ z


@checked()
def uniformity(z: Tensor, scale: Scale = "exact") -> Tensor:
    """Return the mean squared cosine between two samples, in [0, 1]; 1 = all on one line.

        exact:  (|G|² - N) / (N (N - 1)),  G = sum_i z_i z_iᵀ / |z_i|²,  [d, d]
        public: |G|² / N², with the gradient of the public code of U-MAE

    with N samples over all ranks. The public value counts each sample against itself, which adds
    1 / N to it and shrinks the rest by (N - 1) / N: it depends on the batch size. The public
    gradient is that of each rank's own samples, so after the mean over ranks it is that of the
    public value over the number of ranks.

    Source: Zhang et al., How mask matters (arXiv 2210.08344), the uniformity loss.

    >>> z = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]])
    >>> uniformity(z)  # one pair of three is on one line
    tensor(0.3333)
    >>> uniformity(z, scale="public")  # five of nine
    tensor(0.5556)
    """
    z, n = _directions("uniformity", z)
    squares = _total(_gram(z), exact=scale == "exact").square().sum()
    return squares / n**2 if scale == "public" else (squares - n) / (n * (n - 1))


@checked()
def coding_rate(z: Tensor, mu: float = 1.0) -> Tensor:
    """Return minus the total coding rate, -log det(I + (mu / d) sum_i z_i z_iᵀ / |z_i|²).

    To second order in c = mu / d it is -c N + c²/2 sum_ij cos²(z_i, z_j): uniformity with its
    diagonal. It is a sum over samples, so it grows with the batch.

    `mu` says how far the logarithm is from its expansion; 1 for ViT-B, 3 for ViT-L in the paper.

    Source: Tan et al., Information flow in self-supervised learning (arXiv 2309.17281), M-MAE.

    >>> coding_rate(torch.eye(2))  # -2 log(3 / 2)
    tensor(-0.8109)
    """
    z, _ = _directions("coding_rate", z)
    width = z.shape[1]
    identity = torch.eye(width, dtype=z.dtype, device=z.device)
    return -torch.logdet(identity + mu / width * _total(_gram(z)))


def _centred(z: Tensor, num_rows: int) -> Tensor:
    return z - _total(z.sum(dim=0)) / num_rows


@checked()
def variance(z: Tensor) -> Tensor:
    """Return mean_j max(0, 1 - sqrt(var_j + 1e-4)), how far dimensions are from a spread of 1.

    var_j is the unbiased variance of dimension j over the samples of all ranks.

    Source: Bardes et al., VICReg (arXiv 2105.04906), equations 1 and 2.

    >>> variance(torch.tensor([[0.0, 5.0], [2.0, 5.0]]))  # the second dimension does not vary
    tensor(0.4950)
    """
    z, n = _features("variance", z)
    spread = _total(_centred(z, n).square().sum(dim=0)) / (n - 1)
    return (1 - (spread + 1e-4).sqrt()).clamp(min=0).mean()


@checked()
def covariance(z: Tensor) -> Tensor:
    """Return sum_{i != j} C_ij² / d, with C the unbiased covariance over samples of all ranks.

    Source: Bardes et al., VICReg (arXiv 2105.04906), equations 3 and 4.

    >>> covariance(torch.tensor([[0.0, 0.0], [2.0, 1.0]]))  # C_01 = 1
    tensor(1.)
    """
    z, n = _features("covariance", z)
    matrix = _total(_gram(_centred(z, n))) / (n - 1)
    return (matrix.square().sum() - matrix.diagonal().square().sum()) / len(matrix)


@torch.no_grad()
def _nearest(rows: Tensor, everyone: Tensor, num: int) -> Tensor:
    """Return where the nearest others of rows [N, d] stand among all [R, d], int64 [N, num]."""
    # Differences first: a product of matrices loses the distances of features that are close.
    distances = torch.cdist(rows, everyone, compute_mode="donot_use_mm_for_euclid_dist")
    rank, _ = _ranks()
    distances.diagonal(rank * len(rows)).fill_(torch.inf)
    return distances.topk(num, largest=False).indices


@checked()
def koleo(z: Tensor) -> Tensor:
    """Return -mean_i log(min_{j != i} |u_i - u_j| + 1e-8), u_i = z_i / |z_i|.

    The nearest other sample is sought among all ranks. Samples that coincide do not push each
    other apart: their distance has gradient 0.

    Source: Sablayrolles et al., Spreading vectors for similarity search (arXiv 1806.03198);
    normalised and with this epsilon as in DINOv2 (arXiv 2304.07193).

    >>> koleo(torch.tensor([[1.0, 0.0], [0.0, 3.0]]))  # -log sqrt 2
    tensor(-0.3466)
    """
    z, n = _directions("koleo", z)
    everyone = _gathered(z)
    nearest = everyone[_nearest(z, everyone, 1)[:, 0]]
    distances = torch.linalg.vector_norm(z - nearest, dim=1)
    return -_total((distances + 1e-8).log().sum()) / n


@checked()
def local_dimension(z: Tensor, neighbours: int) -> Tensor:
    """Return -mean_i |log D_i|, with D_i the local dimension around sample i.

    By moments, D = m / (w - m), with w the distance to the last of the `neighbours` nearest others
    and m the mean distance to those before it. They are sought among all ranks and held fixed.
    m / w is kept within [1e-6, 1 - 1e-6]; outside, as where samples coincide, the gradient is 0.

    Raises:
        UserError: fewer than 2 neighbours, or not fewer than samples.

    Source: Huang et al., LDReg (arXiv 2401.10474), algorithms 1 and 2, L1 form.

    >>> local_dimension(torch.tensor([[0.0], [1.0], [3.0]]), neighbours=2)  # D = 1/2, 1, 2
    tensor(-0.4621)
    """
    z, n = _features("local_dimension", z)
    if not 2 <= neighbours < n:
        raise UserError(
            f"local_dimension: {neighbours} neighbours are not from 2 to {n - 1}, the others in "
            f"a batch of {n}: change neighbours or the batch size"
        )
    everyone = _gathered(z.detach())
    nearest = everyone[_nearest(z, everyone, neighbours)]
    distances = torch.linalg.vector_norm(z[:, None] - nearest, dim=2)
    last = distances[:, -1].clamp(min=torch.finfo(z.dtype).tiny)
    log_dimension = torch.logit(distances[:, :-1].mean(dim=1) / last, eps=1e-6)
    return -_total(log_dimension.abs().sum()) / n


@checked()
def magma(x: Tensor, y: Tensor) -> Tensor:
    """Return tr(Yᵀ L Y) / N², how much y differs between samples that are close in x.

        L = I - T^(-1/2) W T^(-1/2),  W_ij = exp(-s_ij / std(s)) off the diagonal and 0 on it,
        s_ij = |x_i - x_j|²,  T_ii = 1e-4 + sum_j W_ij

    with the standard deviation over pairs, at least 1e-6, and N samples over all ranks: the graph
    joins them all, that of the public code those of a rank. As there, the gradient goes through x
    and y.

    `x` [N, d] are features of an earlier layer, `y` [N, e] of a later one, of the same samples.

    Source: Dondera et al., MAGMA (arXiv 2412.02871).

    >>> x = torch.tensor([[0.0], [0.0], [9.0]])
    >>> bool(magma(x, torch.tensor([[1.0], [1.0], [0.0]])) < magma(x, torch.eye(3)[:, :1]))
    True
    """
    x, n = _features("magma", x)
    y, _ = _features("magma", y)
    # What all have in common would cost precision and makes no distance.
    products = _gram(_gathered(_centred(x, n)).T)
    lengths = products.diagonal()
    squares = (lengths[:, None] + lengths - 2 * products).clamp(min=0)
    same = torch.eye(n, dtype=torch.bool, device=x.device)
    # All distances may be equal, and the gradient is of the order of 1 over them.
    unit = squares[~same].std().clamp(min=1e-6)
    weights = (-squares / unit).exp().masked_fill(same, 0)
    scale = (1e-4 + weights.sum(dim=1)).rsqrt()
    laplacian = same.to(x.dtype) - scale[:, None] * weights * scale
    return (laplacian * _gram(_gathered(y).T)).sum() / n**2


@checked()
def orthogonality(module: nn.Module) -> Tensor:
    """Return the mean of |WᵀW - I|² over the linear layers of a module.

    On the smaller side: W Wᵀ where W has fewer rows than columns. The same on every rank.

    Raises:
        UserError: no linear layer.

    Source: Bansal et al., Can we gain more from orthogonality regularizations (arXiv 1810.09102),
    soft form; for self-supervised encoders He et al. (arXiv 2411.00392).

    >>> layer = torch.nn.Linear(2, 3)
    >>> _ = torch.nn.init.eye_(layer.weight)
    >>> orthogonality(layer).detach()
    tensor(0.)
    """
    costs = []
    for weight in (each.weight for each in module.modules() if isinstance(each, nn.Linear)):
        weight = weight.to(torch.promote_types(weight.dtype, torch.float32))
        gram = _gram(weight if len(weight) >= weight.shape[1] else weight.T)
        identity = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        costs.append((gram - identity).square().sum())
    if not costs:
        raise UserError(
            f"orthogonality: {type(module).__name__} has no linear layer, leave it out"
        )
    return torch.stack(costs).mean()
