"""The network and its files beside classical steps, all measured against the clean test pictures."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.evidence import Evidence, Fidelity
from edgekit.report.labels import metric

HOW = (
    "PSNR in dB and SSIM against the clean test pictures, as saved in 8 bits: means over the pictures, and the worst one. A step that has settings was given the "
    "best of a few for these very pictures; the steps are those of edgekit export --before and --after. Their time was not measured."
)


@dataclass(frozen=True)
class Way:
    """A row, readable. `is_best`: of the classical ways."""

    name: str
    psnr: str
    worst: str
    ssim: str
    is_best: bool


@dataclass(frozen=True)
class Beside:
    said: str
    ways: tuple[Way, ...]
    how: str


def beside(found: Evidence | None) -> Beside | None:
    """None where nothing was compared with clean pictures."""
    classical = [way for way in found.fidelity if way.kind == "classical"] if found else []
    networks = [way for way in found.fidelity if way.kind == "network"] if found else []
    if not found or not classical or not networks:
        return None
    best = max(classical, key=lambda way: way.psnr_db)
    rows = tuple(
        Way(
            way.name,
            metric("psnr_gt_db").text(way.psnr_db),
            metric("psnr_gt_db").text(way.worst_psnr_db),
            metric("ssim").text(way.ssim),
            way is best,
        )
        for way in found.fidelity
    )
    return Beside(_said(networks[0], best), rows, HOW)


def _said(network: Fidelity, best: Fidelity) -> str:
    gain, similar = network.psnr_db - best.psnr_db, network.ssim - best.ssim
    if gain > 0 and similar > 0:
        said = f"is {gain:.2f} dB better than the best classical way, {best.name}; its SSIM is {similar:.4f} higher."
    elif gain <= 0 and similar <= 0:
        said = f"is {-gain:.2f} dB worse than a classical way, {best.name}, and its SSIM is not higher: is it worth its time?"
    else:
        more, higher = "more" if gain > 0 else "less", "higher" if similar > 0 else "lower"
        said = f"has {abs(gain):.2f} dB {more} than the best classical way, {best.name}, but its SSIM is {abs(similar):.4f} {higher}: look at the pictures."
    return f"Against the clean pictures, {network.name} {said}"
