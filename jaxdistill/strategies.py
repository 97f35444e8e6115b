"""From a stage's plan to the gradient function it is trained by."""

from __future__ import annotations

from jaxdistill.adversary import TABLE, adversarial
from jaxdistill.gradients import accumulate, gradient
from jaxdistill.types import GradFn, Stage, StagePlan


def make_gradient(stage: Stage, plan: StagePlan) -> GradFn:
    """The stage's loss, accumulated and attacked as the plan says.

    An attack on the table is one for the whole batch and so goes around the accumulation; one on
    tokens is each example's own, and goes inside, where it needs a microbatch's memory only.
    """
    plain = gradient(stage.loss)
    if plan.adversary == "none":
        return accumulate(plain, plan.accumulate)
    once = plan.adversary == "fgm"
    step, steps = (plan.attack_radius, 1) if once else (plan.attack_step, plan.attack_steps)
    if plan.attack_scope == "table" and stage.trains(TABLE):
        whole = accumulate(plain, plan.accumulate)
        return adversarial(whole, scope="table", radius=plan.attack_radius, step=step, steps=steps)
    attacked = adversarial(plain, scope="tokens", radius=plan.attack_radius, step=step, steps=steps)
    return accumulate(attacked, plan.accumulate)
