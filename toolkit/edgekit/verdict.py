"""Which artifact of a bundle to ship, and why."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.manifest import Artifact, Manifest


@dataclass(frozen=True)
class Verdict:
    """`ship` is an artifact's name, or None if none can be recommended. `over` and `unmeasured` are budget lines, readable."""

    ship: str | None
    why: str
    over: tuple[str, ...]
    unmeasured: tuple[str, ...]


def judge(manifest: Manifest) -> Verdict:
    """Among the files that were measured and within budget: the fastest here, then the smallest. What was not measured is never called good.

    Of a bundle with variants the heaviest one's file stands for its siblings: all of them have to be good, and all are shipped.
    """
    over, unmeasured, good, blind = [], [], [], []
    for artifact in manifest.artifacts:
        bad = over_budget(artifact)
        open_lines = [line for line in artifact.budget if line.status == "not measured"]
        over += bad
        unmeasured += [f"{artifact.name}: {line.name}, budget {_number(line.budget)}" for line in open_lines]
        if artifact.parity is None:
            blind.append(artifact)
        elif not bad:
            good.append(artifact)
    several = len(manifest.artifacts)
    if rule := manifest.routing:
        good = [a for a in good if a.variant == rule.heaviest.name and all(one in good for one in manifest.siblings(a).values())]
        several //= len(rule.variants)
    if good:
        best = min(good, key=lambda a: (a.latency.median_ms if a.latency else float("inf"), a.bytes))
        others = several - 1
        why = (
            f"within budget and the fastest of {others + 1} on this machine ({_number(best.latency.median_ms)} ms a tile)"
            if best.latency
            else "within budget"
            + f" and the smallest of {others + 1}" * bool(others)
            + "; its speed was not measured: " * bool(best.why_not.get("latency"))
            + best.why_not.get("latency", "")
        )
        if beside := [one.name for one in manifest.siblings(best).values() if one is not best]:
            why = f"with {' and '.join(beside)}, among which routing chooses: " + why
        return Verdict(
            best.name, why + "; measure both on your phone before you decide" * bool(others and best.latency), tuple(over), tuple(unmeasured)
        )
    if blind and not over:
        return Verdict(
            None,
            f"nothing could be run here ({next(iter(blind[0].why_not.values()), 'no reason given')}); no file is recommended unmeasured",
            (),
            tuple(unmeasured),
        )
    why = "no backend has a measured file within budget of every variant" if rule else "no measured file is within budget"
    return Verdict(None, why, tuple(over), tuple(unmeasured))


def routed(manifest: Manifest) -> list[str]:
    """The rule of a bundle with variants, and what it gave on the test pictures; empty for others."""
    rule = manifest.routing
    if rule is None:
        return []
    bounds = [f"{variant.name} below {bound / 100:g}" for variant, bound in zip(rule.variants[:-1], rule.thresholds, strict=True)]
    lines = [
        f"routing by {rule.unit}, {rule.score}: {', '.join(bounds)}, else {rule.heaviest.name} (calibration pictures lose {rule.chosen.drop_db:.3f} dB)"
    ]
    for one in rule.measured:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in one.shares.items())
        alone = ", ".join(f"{name} alone {value:.2f}" for name, value in one.alone_db.items())
        lines.append(
            f"routed {one.backend} {one.recipe}: {shares} of {one.tiles} tiles, {one.macs_share:.0%} of the multiplications; {one.routed_db:.2f} dB against "
            f"truth ({alone}); drop {one.drop_db:+.3f}, worst {one.worst_drop_db:+.3f} dB"
        )
    return lines


def over_budget(artifact: Artifact) -> list[str]:
    """The lines that were measured and are worse than the target allows, readable."""
    return [
        f"{artifact.name}: {line.name} {_number(line.measured)}, budget {_number(line.budget)}{_where(artifact, line.name)}"
        for line in artifact.budget
        if line.status == "over"
    ]


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


def _where(artifact: Artifact, line: str) -> str:
    if line == "fp16_headroom":
        return f" ({artifact.facts.get('fp16', {}).get('overflow', 'see facts.fp16 in the manifest')})"
    return f" (worst tile {artifact.parity.worst_tile})" if artifact.parity and line == "worst_psnr_db" else ""
