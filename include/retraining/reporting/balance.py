"""What resampling does to the classes, strategy by strategy, as the report shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from include.retraining.artifacts import PlanRecord
from include.retraining.reporting.plots import BarPlot, count_bars
from include.retraining.reporting.templating import percent


@dataclass(frozen=True)
class PlanView:
    """One strategy's plan.

    Attributes:
        record: What balancing recorded.
        plot: Rows by class, before and after.
        columns: What stands beside the bars: headings, each with a text by label.
        n_before: Train rows.
        n_after: Train rows once synthetic ones are added and cleaned ones are left out.
        noisiest: Label with the largest noise share; None where there is no synthetic row.
        is_open: Whether its details are shown at once.
    """

    record: PlanRecord
    plot: BarPlot
    columns: tuple[tuple[str, Mapping[str, str]], ...]
    n_before: int
    n_after: int
    noisiest: str | None
    is_open: bool

    @property
    def largest_noise_share(self) -> float | None:
        """The noise share of the noisiest label."""
        return None if self.noisiest is None else self.record.noise_share[self.noisiest]


def plan_views(labels: Sequence[str], plans: Mapping[str, PlanRecord], opened: str | None) -> list[PlanView]:
    """Returns every plan in the recipe's order.

    Args:
        labels: The classes, in their order.
        plans: By name of the strategy.
        opened: The strategy whose details are shown at once; the first one where it has no plan.
    """
    shown = opened if opened in plans else next(iter(plans), None)
    return [_view(labels, plan, is_open=name == shown) for name, plan in plans.items()]


def _view(labels: Sequence[str], plan: PlanRecord, *, is_open: bool) -> PlanView:
    noise = {label: share for label, share in plan.noise_share.items() if share is not None}
    return PlanView(
        record=plan,
        plot=count_bars(labels, plan.counts_before, plan.counts_after),
        columns=(
            ("asked", {label: f"{number:,}" for label, number in plan.counts_asked.items()}),
            ("k", {label: str(k) for label, k in plan.neighbours.items()}),
            ("noise", {label: percent(share) for label, share in plan.noise_share.items()}),
        ),
        n_before=sum(plan.counts_before.values()),
        n_after=sum(plan.counts_after.values()),
        noisiest=max(noise, key=lambda label: noise[label], default=None),
        is_open=is_open,
    )
