"""Study: how far behind should the twin be? C and tau over three orders of magnitude, at matched mean age.

python benchmarks/lab/how_far_behind.py [--list] [--only ROW ...]        about 35 min on two cores
"""

from shared import EPSILON, Row, Study, main

SMALL, FEWER, LARGE = (3, 10, 30, 100, 300, 1000, 3000), (3, 30, 300, 3000), (10, 100, 1000, 10_000)


def matched(periods: tuple[int, ...]) -> tuple[str, ...]:
    """``hard:C`` and the soft target of the same mean age, tau = 2 / (C + 1), for each C; and no target at all."""
    soft = [f"soft:{2 / (c + 1):.6g}" for c in periods]
    return (*[f"hard:{c}" for c in periods], *soft, "tied")


STUDY = Study(
    "how-far-behind",
    "Is there a best age of the target, neither too old nor too young, and are hard and soft the same at the same age?",
    "Piche et al. 2021: Atari is best at C = 5,000 of 500 ... 500,000. Grill et al. 2020, table 5a: BYOL is best at a"
    " fraction kept of 0.99, of 1, 0.999, 0.99, 0.9 and 0. Equal mean age at tau = 2 / (C + 1) is arithmetic; equal"
    " learning at it is the question.",
    (
        Row("CartPole", ("CartPole-v1", "--target", *matched(SMALL), "--seeds", "10"), 15),
        Row(
            "Acrobot",
            ("Acrobot-v1", "--preset", "cleanrl", "--target", *matched(FEWER), "--steps", "250000", "--seeds", "10"), 6,
        ),
        Row(
            "SpaceInvaders",
            (
                "minatar:SpaceInvaders", "--preset", "minatar", *EPSILON, "--collect", "4", "--target", *matched(LARGE),
                "--steps", "120000", "--seeds", "5",
            ),
            12,
        ),
    ),
)  # fmt: skip

if __name__ == "__main__":
    main(STUDY)
